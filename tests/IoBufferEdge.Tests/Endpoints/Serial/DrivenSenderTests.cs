using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>The thread that switches an RS485 driver: frames in, their ends out, also when the port is closed meanwhile.</summary>
public sealed class DrivenSenderTests
{
    private static readonly SerialSettings Settings =
        SerialSettings.From(new SourceConfig { Type = EndpointType.Serial, SerialPort = "/dev/bus0", BaudRate = 19_200 });

    private readonly SimulatedUart _uart = new(new Random(1), (long)Settings.WireTime(1).TotalNanoseconds, callNs: 1000, preemptedNs: 0);

    [Fact]
    public async Task Frames_go_out_one_after_the_other_and_their_lateness_is_counted()
    {
        using var sender = new DrivenSender(Settings, _ => _uart);
        for (var i = 0; i < 20; i++) await sender.SendAsync(new byte[10], default).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(200, _uart.Characters.Count);
        Assert.Equal(20, _uart.Switches.Count(s => s.On));
        Assert.False(_uart.Switches[^1].On);
        Assert.Equal(20, sender.Lateness.Single(f => f.Key == "rs485_frames").Value);
        Assert.Equal(0, sender.Lateness.Single(f => f.Key == "rs485_released_late").Value);
    }

    [Fact]
    public async Task A_closed_port_takes_no_frame_and_leaves_none_waiting()
    {
        var sender = new DrivenSender(Settings, _ => _uart);
        var sending = Enumerable.Range(0, 1).Select(_ => sender.SendAsync(new byte[10], default).AsTask()).ToList();
        sender.Dispose();
        foreach (var frame in sending) await frame.WaitAsync(TimeSpan.FromSeconds(20)).ContinueWith(_ => { }, TaskScheduler.Default);
        Assert.All(sending, frame => Assert.True(frame.IsCompleted));
        var refused = await Assert.ThrowsAsync<IOException>(async () => await sender.SendAsync(new byte[10], default));
        Assert.Equal("/dev/bus0 has been closed.", refused.Message);
    }

    [Fact]
    public async Task A_transmitter_that_is_stuck_is_an_error_and_not_a_wait()
    {
        using var sender = new DrivenSender(Settings, _ => _uart);
        _uart.IsStuck = true;
        var stuck = await Assert.ThrowsAsync<IOException>(() => sender.SendAsync(new byte[10], default).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal("/dev/bus0 did not send a frame within twice its time on the wire.", stuck.Message);
    }
}
