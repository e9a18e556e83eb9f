using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>
/// Who switches the transmitter, and when: a character during which it was off never reaches the device.
/// </summary>
public sealed class Rs485Tests(ITestOutputHelper output) : LabTest
{
    private const int FrameBytes = 8;
    private const int LongFrameBytes = 2000;

    private const string ByGpio = """{"rs485":{"mode":"gpio","de":{"chip":"iobuf-gpio","line":0}}}""";

    [Theory]
    [InlineData(9_600)]
    [InlineData(19_200)]
    public void Rts_covers_every_bit_and_is_off_half_a_millisecond_after_the_last(int baud)
    {
        UartSim.Control("0 driver rts");
        SendFrames(baud, """{"rs485":{"mode":"rts"}}""", FrameCount);
        Judge(baud, FrameCount);
    }

    [Theory]
    [InlineData(9_600)]
    [InlineData(19_200)]
    public void A_gpio_line_covers_every_bit_and_is_off_half_a_millisecond_after_the_last(int baud)
    {
        UartSim.Control("0 driver gpio 0");
        var gateway = SendFrames(baud, ByGpio, FrameCount);
        Judge(baud, FrameCount);
        Assert.DoesNotContain("memory may be paged out", DestinationDetail(gateway), StringComparison.Ordinal);
        Assert.Matches(@"VmLck:\s+[1-9]", File.ReadAllText($"/proc/{gateway.Id}/status"));
    }

    /// <summary>A chip may keep the last value of a line that nobody holds: the next start has to free the bus before it opens anything.</summary>
    [Fact]
    public void Killed_with_its_line_on_the_gateway_frees_the_bus_at_its_next_start_before_anything_else()
    {
        UartSim.Control("0 driver gpio 0");
        LabChip.Pull(0, high: true);
        try
        {
            var port = FreePort.Tcp();
            var gateway = StartedGateway(ToLine(9_600, port, ByGpio));
            Client(port).GetStream().Write(NumberedLine(1, LongFrameBytes));
            WaitForTheMiddleOfAFrame(gateway);
            gateway.Kill();
            Assert.Equal(1, UartSim.Port(0)["driver"]);

            UartSim.Control("0 clear");
            gateway.Start();
            Wait.Until(() => UartSim.Frames(0).Count > 0, 20, "the frame again", () => $"{gateway.LedgerOf(Id)}\n{UartSim.State}\n{gateway.LastLines}");
            var events = UartSim.Events(0);
            output.WriteLine(string.Join('\n', events.Take(12)));
            var order = events.Where(e => e.What is "driver" or "open").Take(3).Select(e => e.What == "driver" ? e.What + e.Value : e.What);
            Assert.Equal(["driver0", "open", "driver1"], order);
        }
        finally
        {
            LabChip.Pull(0, high: false);
        }
    }

    [Fact]
    public void The_kernels_mode_is_taken_where_the_driver_offers_it()
    {
        UartSim.Control("0 driver rts");
        var gateway = SendFrames(9_600, """{"rs485":{"mode":"kernel"}}""", 50);
        Assert.Equal(3, UartSim.Port(0)["rs485"]);
        Judge(9_600, 50);
        Assert.Equal(0, gateway.Terminate());
    }

    [Fact]
    public void The_kernels_mode_refused_is_said()
    {
        UartSim.Control("0 rs485 refuse");
        var gateway = Keep(new GatewayProcess(Config.Gateway(ToLine(9_600, FreePort.Tcp(), """{"rs485":{"mode":"kernel"}}"""))));
        gateway.Launch();
        Wait.Until(() => gateway.LastLines.Contains("does not switch RS485", StringComparison.Ordinal), 20, "the refusal in the log",
            () => gateway.LastLines);
    }

    [Fact]
    public void Auto_leaves_a_line_alone_whose_driver_refuses()
    {
        UartSim.Control("0 rs485 refuse");
        SendFrames(9_600, """{"rs485":{"mode":"auto"}}""", 20);
        Assert.Equal(0, UartSim.Port(0)["rs485"]);
        Assert.Equal(0, UartSim.Port(0)["lost"]);
    }

    [Fact]
    public void Auto_keeps_what_the_device_tree_has_switched_on()
    {
        UartSim.Control("0 driver rts");
        UartSim.Control("0 rs485 on");
        SendFrames(9_600, """{"rs485":{"mode":"auto"}}""", 20);
        Assert.Equal(3, UartSim.Port(0)["rs485"]);
        Judge(9_600, 20);
        // The driver keeps RTS to itself from the open on: the transmitter was never on with nothing to send.
        Assert.Equal(20, UartSim.Events(0).Count(e => e is { What: "driver", Value: "1" }));
    }

    /// <summary>The bus is free without anybody's help, and the next start takes RTS back before it does anything else.</summary>
    [Fact]
    public void Killed_in_the_middle_of_a_frame_the_gateway_leaves_no_transmitter_on()
    {
        UartSim.Control("0 driver rts");
        var port = FreePort.Tcp();
        var gateway = StartedGateway(ToLine(9_600, port, """{"rs485":{"mode":"rts"}}"""));
        var device = Device(9_600);
        Client(port).GetStream().Write(NumberedLine(1, LongFrameBytes));
        WaitForTheMiddleOfAFrame(gateway);
        gateway.Kill();
        Wait.Until(() => UartSim.Port(0)["driver"] == 0, 5, "the transmitter to be off after the kill");
        Assert.Equal(0, UartSim.Port(0)["lost"]);

        device.DiscardInBuffer();
        UartSim.Control("0 clear");
        gateway.Start();
        Wait.Until(() => UartSim.Frames(0).Count > 0, 20, "the frame again", () => $"{gateway.LedgerOf(Id)}\n{UartSim.State}\n{gateway.LastLines}");
        var events = UartSim.Events(0);
        output.WriteLine(string.Join('\n', events.Take(12)));
        var switches = events.Where(e => e.What is "driver" or "first-bit").Take(3).Select(e => e.What + e.Value);
        Assert.Equal(["driver1", "driver0", "driver1"], switches);
        var first = events.Where(e => e.What == "driver").Take(2).ToList();
        Assert.True(first[1].At - first[0].At < 5_000_000, $"The kernel's open left RTS up for {(first[1].At - first[0].At) / 1000} µs.");
    }

    /// <summary>The message is written, and its frame is on the wire for a second more.</summary>
    private static void WaitForTheMiddleOfAFrame(GatewayProcess gateway)
    {
        Wait.Until(() => gateway.LedgerOf(Id).Buffered == 1, 10, "the message to be secured", () => $"{gateway.LedgerOf(Id)}");
        Assert.InRange(UartSim.Port(0)["tx"], 1, LongFrameBytes - 100);
    }

    private GatewayProcess SendFrames(int baud, string keys, int count)
    {
        var port = FreePort.Tcp();
        var gateway = StartedGateway(ToLine(baud, port, keys));
        var device = Device(baud);
        UartSim.Control("0 clear");
        var lines = Enumerable.Range(0, count).SelectMany(i => NumberedLine(i, FrameBytes)).ToArray();
        Client(port).GetStream().Write(lines);
        Assert.Equal(lines, ReadExactly(device, lines.Length, 30 + count * 0.1));
        Wait.Until(() => gateway.LedgerOf(Id).Buffered == 0, 10, "everything delivered", () => $"{gateway.LedgerOf(Id)}");
        return gateway;
    }

    private static string DestinationDetail(GatewayProcess gateway) =>
        ChannelLedger.Channel(gateway.Status(), Id)["destination_status"]!["detail"]!.GetValue<string>();

    private void Judge(int baud, int count)
    {
        var frames = UartSim.Frames(0);
        Assert.Equal(count, frames.Count);
        Assert.All(frames, frame => Assert.True(frame is { Bytes: FrameBytes, Lost: 0, Lead: >= 0, Release: >= 0 }, $"{frame}"));
        var late = frames.Select(frame => frame.Release / 1000).Order().ToList();
        output.WriteLine($"{baud} baud, {count} frames: driver off after the last stop bit: median {late[count / 2]} µs, "
            + $"p99 {late[count * 99 / 100]} µs, max {late[^1]} µs");
        Assert.True(late[count / 2] <= 500, $"The median release is {late[count / 2]} µs after the last stop bit; 500 are allowed.");
    }
}
