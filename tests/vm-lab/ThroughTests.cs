using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>Bytes in are bytes out, with the time that a wire takes.</summary>
public sealed class ThroughTests : LabTest
{
    [Theory]
    [InlineData(9_600, 1_000)]
    [InlineData(19_200, 2_000)]
    [InlineData(115_200, 12_000)]
    public void From_the_line_to_tcp(int baud, int count)
    {
        var peer = Peer();
        StartedGateway(FromLine(baud, peer.Port));
        var device = Device(baud);
        var sent = RandomBytes(count);
        for (var at = 0; at < count; at += 250)
        {
            device.Write(sent, at, Math.Min(250, count - at));
            Thread.Sleep(TimeSpan.FromSeconds(250 * 10.0 / baud + 0.02));
        }

        Wait.Until(() => peer.Bytes.Length >= count, 90, $"{count} bytes behind TCP", () => $"{peer.Bytes.Length} came");
        Assert.Equal(sent, peer.Bytes);
    }

    [Theory]
    [InlineData(9_600, 1_000)]
    [InlineData(19_200, 2_000)]
    [InlineData(115_200, 12_000)]
    public void From_tcp_to_the_line(int baud, int count)
    {
        var port = FreePort.Tcp();
        var gateway = StartedGateway(ToLine(baud, port));
        var device = Device(baud);
        var lines = Enumerable.Range(0, count / 50).SelectMany(i => NumberedLine(i, 50)).ToArray();
        Client(port).GetStream().Write(lines);
        var received = ReadExactly(device, lines.Length, 90);
        Assert.Equal(lines, received);
        Wait.Until(() => gateway.LedgerOf(Id) is { Buffered: 0 } ledger && ledger.Delivered == count / 50, 10, "everything delivered",
            () => $"{gateway.LedgerOf(Id)}");
        Assert.Equal(0, UartSim.Port(0)["lost"] + UartSim.Port(1)["unread"]);
        // The wire itself: what one frame took is its characters' time.
        var frame = UartSim.Frames(0)[0];
        Assert.Equal(frame.Bytes * 10e9 / baud, frame.End - frame.Start, frame.Bytes);
    }

    private static byte[] RandomBytes(int count)
    {
        var bytes = new byte[count];
        new Random(1).NextBytes(bytes);
        return bytes;
    }
}
