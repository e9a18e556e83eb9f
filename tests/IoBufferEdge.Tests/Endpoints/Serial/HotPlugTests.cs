using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Tests.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Adapters that are pulled out and plugged in again, as often as somebody stumbles over the cable.</summary>
public sealed class HotPlugTests : IDisposable
{
    private static readonly FramingConfig Lines = new() { Type = FramingType.Line };
    private readonly SerialRig _rig = new();
    private readonly PluggedDevice _device = new();

    public void Dispose() => _device.Dispose();

    [Fact]
    public async Task A_source_goes_on_within_a_second_of_its_devices_return()
    {
        await using var run = await _rig.StartAsync(SerialRig.Source(_device.Path) with { Framing = Lines });
        await _device.Pty.WriteAsync("before\nhalf");
        await run.CountAsync(1);
        await Wait.UntilAsync(() => run.Source.Status.State == EndpointState.Connected);
        _device.Unplug();
        await run.CountAsync(2);
        await Wait.UntilAsync(() => run.Source.Status.State == EndpointState.Waiting);
        Assert.Contains("is not there", run.Source.Status.Detail, StringComparison.Ordinal);

        await Task.Delay(300);
        _device.Plug();
        var began = TimeProvider.System.GetTimestamp();
        await Wait.UntilAsync(() => run.Source.Status.State == EndpointState.Connected);
        Assert.True(TimeProvider.System.GetElapsedTime(began) < TimeSpan.FromSeconds(1), "it took longer than a second");
        await _device.Pty.WriteAsync("after\n");
        await run.CountAsync(3);
        Assert.Equal(
            [("before\n", MessageFlags.None), ("half", MessageFlags.Partial), ("after\n", MessageFlags.None)],
            run.Sink.Messages.Select(m => (m.Text, m.Flags)));
    }

    [Fact]
    public async Task A_device_that_is_not_there_yet_is_waited_for()
    {
        _device.Unplug();
        await using var run = await _rig.StartAsync(SerialRig.Source(_device.Path) with { Framing = Lines });
        await using var destination = await _rig.OpenAsync(SerialRig.Destination(_device.Path));
        var connecting = destination.ConnectAsync(default);
        await Task.Delay(100);
        Assert.False(connecting.IsCompleted);
        _device.Plug();
        await using var link = await connecting.AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        await _device.Pty.WriteAsync("now\n");
        await run.CountAsync(1);
    }

    public static TheoryData<FramingConfig, string, string> Framings => new()
    {
        { new() { Type = FramingType.Raw }, "frame", "fra" },
        { new() { Type = FramingType.Line }, "frame\n", "fra" },
        { new() { Type = FramingType.Delimiter, DelimiterHex = "0d1a" }, "fra\rme\r\u001a", "fra\r" },
        { new() { Type = FramingType.StxEtx, StartHex = "02", EndHex = "03" }, "\u0002frame\u0003", "\u0002fra" },
        { new() { Type = FramingType.Mllp }, "\u000bframe\u001c\r", "\u000bframe\u001c" },
        { new() { Type = FramingType.LengthPrefix, Bytes = 2 }, "\0\u0005frame", "\0\u0005fra" },
        { new() { Type = FramingType.Fixed, Bytes = 5 }, "frame", "fra" },
        { new() { Type = FramingType.IdleGap, GapMs = 50 }, "frame", "fra" },
    };

    /// <summary>In the middle of a frame, at the slowest and the fastest rate: every byte that came is in a message, and the next frame begins
    /// a new one.</summary>
    [Theory]
    [MemberData(nameof(Framings))]
    public async Task Unplugged_in_the_middle_of_a_frame_every_framing_keeps_what_came(FramingConfig framing, string frame, string half)
    {
        foreach (var baud in (int[])[1_200, 921_600])
        {
            await using var run = await _rig.StartAsync(SerialRig.Source(_device.Path) with { Framing = framing, BaudRate = baud });
            for (var i = 1; i <= 3; i++) await SendAsync(run, frame, i);
            await _device.Pty.WriteAsync(half);
            if (framing.Type is FramingType.Raw or FramingType.IdleGap) await run.CountAsync(4);
            else await Task.Delay(50);
            _device.Unplug();
            await run.CountAsync(4);
            _device.Plug();
            await Wait.UntilAsync(() => run.Source.Status.State == EndpointState.Connected && run.Counter("openings") == 2);
            for (var i = 5; i <= 7; i++) await SendAsync(run, frame, i);
            Assert.Equal([frame, frame, frame, half, frame, frame, frame], run.Texts);
        }
    }

    private async Task SendAsync(RunningSource run, string frame, int number)
    {
        await _device.Pty.WriteAsync(frame);
        await run.CountAsync(number);
    }

    /// <summary>A plug with a loose contact: the device goes while it is being opened, and whatever that throws is no end.</summary>
    [Fact]
    public async Task A_port_that_breaks_while_it_is_opened_is_opened_again()
    {
        var openings = 0;
        var rig = new SerialRig(opening: () =>
        {
            if (++openings is 2 or 3) throw new FileNotFoundException("it went");
        });
        await using var run = await rig.StartAsync(SerialRig.Source(_device.Path) with { Framing = Lines });
        _device.Unplug();
        _device.Plug();
        await Wait.UntilAsync(() => openings == 3);
        Assert.Equal($"{_device.Path} cannot be opened: it went", run.Source.Status.Detail);
        await Wait.UntilAsync(() => openings == 4 && run.Source.Status.State == EndpointState.Connected);
        await _device.Pty.WriteAsync("after\n");
        await run.CountAsync(1);
    }

    [Fact]
    public void A_device_that_goes_right_behind_its_opening_is_no_failure()
    {
        using var handle = SerialCalls.Open(_device.Pty.Path, out _);
        var settings = SerialSettings.From(SerialRig.Source("/dev/it-went"));
        Assert.Equal(Rs485Mode.None, Rs485Direction.Take(handle, settings));
    }

    [Fact]
    public async Task What_had_not_left_when_the_device_went_is_not_confirmed()
    {
        await using var destination = await _rig.OpenAsync(SerialRig.Destination(_device.Path) with { BaudRate = 1200, Framing = Lines });
        await using (var link = await RunningLink.StartAsync(destination))
        {
            // 120 characters a second: one message a second.
            var sending = link.Link.SendAsync(Messages.Run(1, Message(1), Message(2)), default).AsTask();
            await _device.Pty.ReadAsync(120);
            _device.Unplug();
            var end = await link.Watching.WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal($"{_device.Path} has gone.", end.Reason);
            await Assert.ThrowsAnyAsync<Exception>(() => sending.WaitAsync(TimeSpan.FromSeconds(20)));
            Assert.Equal(0, link.Sink.ConfirmedUpTo);
        }

        var sign = destination.WaitForPeerSignAsync(default);
        Assert.False(sign.IsCompleted);
        _device.Plug();
        await sign.AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        await using var next = await RunningLink.StartAsync(destination);
        await next.Link.SendAsync(Messages.Run(1, Message(1)), default);
        Assert.Equal(1, next.Sink.ConfirmedUpTo);
        Assert.Equal(Message(1), (await _device.Pty.ReadAsync(120))[..119]);
    }

    [Fact]
    public async Task A_hundred_unplugs_leave_no_thread_and_no_handle()
    {
        const int Unplugs = 100;
        await using var run = await _rig.StartAsync(SerialRig.Source(_device.Path) with { Framing = Lines });
        await using var destination = await _rig.OpenAsync(SerialRig.Destination(_device.Path) with { Framing = Lines });
        var (handles, threads) = (0, 0);
        for (var round = 0; round < Unplugs; round++)
        {
            await using (var link = await RunningLink.StartAsync(destination))
            {
                await _device.Pty.WriteAsync($"in {round}\n");
                await run.CountAsync(round + 1);
                await link.Link.SendAsync(Messages.Run(round + 1, Encoding.ASCII.GetBytes($"out {round:D3}")), default);
                await _device.Pty.ReadAsync(8);
                if (round == 3) (handles, threads) = (OpenHandles(), SerialThreads());
                if (round == Unplugs - 1) break;
                _device.Unplug();
                await link.Watching.WaitAsync(TimeSpan.FromSeconds(20));
            }

            _device.Plug();
        }

        Assert.Equal(Enumerable.Range(0, Unplugs).Select(i => $"in {i}\n"), run.Texts);
        await Wait.UntilAsync(() => SerialThreads() <= threads && OpenHandles() <= handles + 2);
        Assert.Equal(Unplugs, run.Counter("openings"));
    }

    private static byte[] Message(int number) => Messages.Payload(number, 119);

    /// <summary>Terminals and wake-up events of this process: other tests open sockets and files meanwhile.</summary>
    private int OpenHandles() => new DirectoryInfo("/proc/self/fd").GetFileSystemInfos().Count(fd =>
        fd.LinkTarget is { } target && (target == _device.Pty.Path || target.EndsWith("(deleted)", StringComparison.Ordinal)));

    private int SerialThreads() => Directory.GetDirectories("/proc/self/task").Count(task => NameOf(task) == "serial usb-adap");

    private static string NameOf(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm")).TrimEnd();
        }
        catch (IOException)
        {
            return "";
        }
    }
}

/// <summary>Waiting for what comes by itself.</summary>
internal static class Wait
{
    public static async Task UntilAsync(Func<bool> condition, int limitSeconds = 20)
    {
        for (var late = DateTime.UtcNow.AddSeconds(limitSeconds); !condition(); await Task.Delay(2))
            if (DateTime.UtcNow > late) throw new TimeoutException("It has not come in time.");
    }
}
