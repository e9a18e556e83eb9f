using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Devices that answer, and a line that two channels share.</summary>
public sealed class SerialDestinationTests
{
    private static readonly FramingConfig Lines = new() { Type = FramingType.Line };
    private static readonly ConfirmConfig Answers =
        new() { Type = ConfirmType.Bytes, AckHex = "06", NakHex = "15", TimeoutMs = 300 };

    private readonly SerialRig _rig = new();

    [Fact]
    public async Task The_devices_answer_confirms_or_refuses()
    {
        using var pty = new Pty();
        await using var destination = await _rig.OpenAsync(SerialRig.Destination(pty.Path) with { Framing = Lines, Confirm = Answers });
        await using var link = await RunningLink.StartAsync(destination);
        Assert.Equal(1, link.Link.MaxInFlightMessages);
        await pty.WriteAsync("\u0006 an answer before its message is none");
        await Task.Delay(100);
        var sending = link.Link.SendAsync(Messages.Run(7, "one"u8.ToArray()), default).AsTask();
        Assert.Equal("one\n"u8.ToArray(), await pty.ReadAsync(4));
        await Task.Delay(20);
        Assert.Equal(0, link.Sink.ConfirmedUpTo);
        await pty.WriteAsync("noise \u0006");
        await sending.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(7, link.Sink.ConfirmedUpTo);

        sending = link.Link.SendAsync(Messages.Run(8, "two"u8.ToArray()), default).AsTask();
        await pty.ReadAsync(4);
        await pty.WriteAsync("\u0015");
        await sending.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal([(8, true, $"The device on {pty.Path} answered a nak.")], link.Sink.Rejections);
    }

    [Fact]
    public async Task An_answer_that_does_not_come_ends_the_link_and_a_late_one_counts_for_nothing()
    {
        using var pty = new Pty();
        await using var destination = await _rig.OpenAsync(SerialRig.Destination(pty.Path) with { Framing = Lines, Confirm = Answers });
        await using (var link = await RunningLink.StartAsync(destination))
        {
            await Assert.ThrowsAsync<IOException>(async () => await link.Link.SendAsync(Messages.Run(1, "one"u8.ToArray()), default));
            Assert.Contains("did not answer within 300 ms", (await link.Watching).Reason, StringComparison.Ordinal);
        }

        await pty.WriteAsync("\u0006");
        await Task.Delay(100);
        await using var next = await RunningLink.StartAsync(destination);
        var sending = next.Link.SendAsync(Messages.Run(1, "one"u8.ToArray()), default).AsTask();
        await pty.ReadAsync(8);
        Assert.Equal(0, next.Sink.ConfirmedUpTo);
        await pty.WriteAsync("\u0006");
        await sending.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(1, next.Sink.ConfirmedUpTo);
    }

    /// <summary>The device reports of its own accord and answers what it is sent: neither channel gets what is the other's.</summary>
    [Fact]
    public async Task A_source_and_a_destination_share_a_line_and_take_turns()
    {
        const int Rounds = 40;
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(SerialRig.Source(pty.Path) with { Framing = Lines });
        await using var destination = await _rig.OpenAsync(
            SerialRig.Destination(pty.Path) with { Framing = Lines, Confirm = Answers with { TimeoutMs = 20_000 } });
        await using var link = await RunningLink.StartAsync(destination);
        for (var round = 1; round <= Rounds; round++)
        {
            await pty.WriteAsync($"report {round}\n");
            var sending = link.Link.SendAsync(Messages.Run(round, Encoding.ASCII.GetBytes($"{round:D4}")), default).AsTask();
            Assert.Equal($"{round:D4}\n", Encoding.ASCII.GetString(await pty.ReadAsync(5)));
            await pty.WriteAsync($"meanwhile {round}\n\u0006");
            await sending.WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal(round, link.Sink.ConfirmedUpTo);
        }

        await run.CountAsync(2 * Rounds);
        Assert.Equal(Enumerable.Range(1, Rounds).SelectMany(i => new[] { $"report {i}\n", $"meanwhile {i}\n" }), run.Texts);
    }

    [Fact]
    public async Task A_source_without_room_makes_the_other_channels_turn_fail_and_loses_nothing()
    {
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(SerialRig.Source(pty.Path) with { Framing = Lines });
        run.Sink.SetRoom(3);
        await using var destination = await _rig.OpenAsync(SerialRig.Destination(pty.Path) with { Framing = Lines, Confirm = Answers });
        await using (var link = await RunningLink.StartAsync(destination))
        {
            await pty.WriteAsync("one\n");
            await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
            await pty.WriteAsync("two\n");
            await Task.Delay(50);
            var broken = await Assert.ThrowsAsync<IOException>(async () => await link.Link.SendAsync(Messages.Run(1, "x"u8.ToArray()), default));
            Assert.Equal($"The source on {pty.Path} has no room for what has arrived.", broken.Message);
        }

        run.Sink.SetRoom(long.MaxValue);
        await run.CountAsync(2);
        Assert.Equal(["one\n", "two\n"], run.Texts);
    }

    [Fact]
    public async Task A_source_acknowledges_what_is_secured()
    {
        using var pty = new Pty();
        var sink = new MemorySink(TimeProvider.System) { SecuresAtOnce = false };
        await using var run = await _rig.StartAsync(
            SerialRig.Source(pty.Path) with { Framing = Lines, Ack = new() { Type = AckType.Bytes, AckHex = "06" } }, sink);
        await pty.WriteAsync("one\n");
        await sink.UntilAsync(s => s.WaitingForSecured == 1);
        Assert.True(pty.ReadNow(new byte[8]) < 0, "nothing is acknowledged before it is secured");
        sink.Secure(1);
        Assert.Equal([6], await pty.ReadAsync(1));
    }

    [Fact]
    public async Task Nothing_is_confirmed_twice_or_lost_when_a_full_line_is_given_up()
    {
        using var pty = new Pty();
        await using var destination = await _rig.OpenAsync(
            SerialRig.Destination(pty.Path) with { Framing = Lines, FlowControl = "XON/XOFF" });
        await using var link = await RunningLink.StartAsync(destination);
        using var cut = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        // Nobody reads: the line holds a few KB of it.
        var big = Messages.Run(1, Messages.Payload(1, 200_000));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await link.Link.SendAsync(big, cut.Token));
        Assert.Equal(0, link.Sink.ConfirmedUpTo);
    }
}
