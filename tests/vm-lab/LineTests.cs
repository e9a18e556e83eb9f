using System.Diagnostics;
using System.Text;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>The cable out and in again, and what the driver counts.</summary>
public sealed class LineTests(ITestOutputHelper output) : LabTest
{
    private const int LineBytes = 20;

    [Fact]
    public void A_source_that_was_unplugged_goes_on()
    {
        var peer = Peer();
        var gateway = StartedGateway(FromLine(9_600, peer.Port, """{"framing":{"type":"line"}}"""));
        var device = Device(9_600);
        for (var round = 0; round < 5; round++)
        {
            var line = NumberedLine(round, LineBytes);
            device.Write(line, 0, line.Length);
            Wait.Until(() => peer.Bytes.Length >= (round + 1) * LineBytes, 10, $"line {round} behind TCP", () => gateway.LastLines);
            PullAndPlug(gateway);
        }

        Assert.Equal(Enumerable.Range(0, 5).SelectMany(i => NumberedLine(i, LineBytes)), peer.Bytes);
        Assert.Equal(6, Counter(gateway, "source_status", "openings"));
    }

    /// <summary>What had left before the plug was pulled may come again; nothing that was accepted is missing.</summary>
    [Fact]
    public void A_destination_that_was_unplugged_in_the_middle_of_a_frame_gets_everything()
    {
        const int Lines = 60;
        var port = FreePort.Tcp();
        var gateway = StartedGateway(ToLine(9_600, port));
        var device = Device(9_600);
        var received = new StringBuilder();
        var sent = Enumerable.Range(0, Lines).Select(i => NumberedLine(i, LineBytes)).ToList();
        Client(port).GetStream().Write([.. sent.SelectMany(line => line)]);
        for (var pull = 1; pull <= 3; pull++)
        {
            Wait.Until(() => Collect() > pull * 300, 20, "bytes in the middle of a frame", () => gateway.LastLines);
            PullAndPlug(gateway);
        }

        Wait.Until(() => Collect() >= 0 && gateway.LedgerOf(Id) is { Buffered: 0, Delivered: Lines }, 30, "everything delivered",
            () => $"{gateway.LedgerOf(Id)}\n{gateway.LastLines}");
        Thread.Sleep(100);
        Collect();
        var text = received.ToString();
        var at = 0;
        foreach (var line in sent.Select(Encoding.ASCII.GetString))
        {
            var found = text.IndexOf(line, at, StringComparison.Ordinal);
            Assert.True(found >= 0, $"'{line.Trim()}' is missing behind byte {at} of:\n{text}");
            at = found + 1;
        }

        int Collect() => received.Append(device.ReadExisting()).Length;
    }

    [Fact]
    public void A_hundred_unplugs_leave_no_thread_and_no_handle()
    {
        var peer = Peer();
        var gateway = StartedGateway(FromLine(9_600, peer.Port, """{"framing":{"type":"line"}}"""));
        for (var i = 0; i < 5; i++) PullAndPlug(gateway);
        var before = Count();
        for (var i = 0; i < 100; i++) PullAndPlug(gateway);
        Thread.Sleep(500);
        var after = Count();
        output.WriteLine($"before {before}, after {after}");
        Assert.True(after.Threads <= before.Threads + 2, $"{before.Threads} threads became {after.Threads}.");
        Assert.True(after.Handles <= before.Handles + 2, $"{before.Handles} handles became {after.Handles}.");
        var device = Device(9_600);
        device.Write(NumberedLine(1, LineBytes), 0, LineBytes);
        Wait.Until(() => peer.Bytes.Length == LineBytes, 10, "a line behind TCP", () => gateway.LastLines);

        (int Threads, int Handles) Count() =>
            (Directory.GetDirectories($"/proc/{gateway.Id}/task").Length, Directory.GetFiles($"/proc/{gateway.Id}/fd").Length);
    }

    [Theory]
    [InlineData("parity", "parity_errors")]
    [InlineData("frame", "frame_errors")]
    [InlineData("overrun", "overruns")]
    [InlineData("break", "breaks")]
    public void What_the_driver_counts_is_in_the_status(string error, string counter)
    {
        var peer = Peer();
        var gateway = StartedGateway(FromLine(9_600, peer.Port, """{"framing":{"type":"line"}}"""));
        var device = Device(9_600);
        for (var i = 1; i <= 3; i++)
        {
            UartSim.Control($"0 {error}");
            device.Write(NumberedLine(i, LineBytes), 0, LineBytes);
            Wait.Until(() => peer.Bytes.Length >= i * LineBytes, 10, $"line {i} behind TCP", () => gateway.LastLines);
        }

        Assert.Equal(3, Counter(gateway, "source_status", counter));
    }

    /// <summary>The gateway's port goes and comes back; within a second it is open again.</summary>
    private static void PullAndPlug(GatewayProcess gateway)
    {
        UartSim.Control("0 unplug");
        Thread.Sleep(20);
        UartSim.Control("0 plug");
        var plugged = Stopwatch.GetTimestamp();
        Wait.Until(() => UartSim.Port(0)["open"] == 1, 10, "the port to be open again",
            () => $"{UartSim.State}\n{gateway.LastLines}");
        var took = UartSim.Events(0).Last(e => e.What == "open").At - plugged;
        Assert.True(took < 1_000_000_000, $"The port was open again {took / 1_000_000} ms after it had been plugged in; 1,000 are allowed.");
    }
}
