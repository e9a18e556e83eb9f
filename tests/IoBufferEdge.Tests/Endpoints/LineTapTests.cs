using System.Net;
using IoBufferEdge.Control;
using IoBufferEdge.Daemon;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Control;

namespace IoBufferEdge.Tests.Endpoints;

/// <summary>Looking at a line: only while somebody looks, bounded, and with nothing missing that is not said to be missing.</summary>
public sealed class LineTapTests
{
    private static readonly TimeSpan NoWait = TimeSpan.Zero;

    private readonly Scheduler _scheduler = new(1);

    private LineTap Tap => field ??= new LineTap(_scheduler.World.Time);

    private EndTap Source => field ??= new EndTap(Tap, ChannelEnd.Source);

    [Fact]
    public void Nothing_is_kept_before_somebody_looks_and_5_s_after_the_last_look() => Run(async () =>
    {
        Source.Received("before"u8, null);
        var (none, from) = await Tap.LookAsync(0, NoWait, default);
        Assert.Empty(none);
        Source.Received("one"u8, IPEndPoint.Parse("192.0.2.1:7000"));
        new EndTap(Tap, ChannelEnd.Destination).Sent("two"u8, "/dev/ttyS0");
        var (seen, next) = await Tap.LookAsync(from, NoWait, default);
        Assert.Equal(
            [("Source", false, "192.0.2.1:7000", 3), ("Destination", true, "/dev/ttyS0", 3)],
            seen.Select(e => (e.End.ToString(), e.Sent, e.Peer!, e.Length)));
        await _scheduler.World.Delay(LineTap.LooksFor + TimeSpan.FromMilliseconds(1));
        Source.Received("nobody looks"u8, null);
        Assert.False(Tap.IsWatched);
        Assert.Empty((await Tap.LookAsync(next, NoWait, default)).Entries);
    });

    [Fact]
    public void What_is_too_much_goes_from_the_oldest_end_and_the_numbers_tell() => Run(async () =>
    {
        var (_, from) = await Tap.LookAsync(0, NoWait, default);
        for (var i = 0; i < LineTap.EntriesMax + 5; i++) Source.Received([(byte)i], null);
        var (small, next) = await Tap.LookAsync(from, NoWait, default);
        Assert.Equal((from + 5, LineTap.EntriesMax, from + 5 + LineTap.EntriesMax), (small[0].Number, small.Count, next));
        var large = new byte[10_000];
        for (var i = 0; i < 100; i++) Source.Received(large, null);
        var (pieces, _) = await Tap.LookAsync(next, NoWait, default);
        Assert.Equal(LineTap.BytesMax / LineTap.PieceBytesMax, pieces.Count);
        Assert.All(pieces, piece => Assert.Equal((10_000, LineTap.PieceBytesMax), (piece.Length, piece.Bytes.Length)));
    });

    [Fact]
    public void Who_looks_waits_for_the_first_piece() => Run(async () =>
    {
        var (_, from) = await Tap.LookAsync(0, TimeSpan.FromSeconds(1), default);
        var looking = Tap.LookAsync(from, TimeSpan.FromSeconds(1), default);
        await _scheduler.World.Delay(TimeSpan.FromMilliseconds(300));
        Source.Received("late"u8, null);
        Assert.Single((await looking).Entries);
        Assert.InRange(_scheduler.Now, TimeSpan.FromMilliseconds(300), TimeSpan.FromMilliseconds(360));
    });

    [Fact]
    public async Task A_channel_that_is_not_there_is_named()
    {
        var commands = new ControlCommands(
            new TwinGateway(), new SecretStore("/nowhere", null), () => throw new NotSupportedException(), taps: new LineTaps(TimeProvider.System));
        var wrong = await commands.HandleAsync(new ControlRequest { Command = "tap", Channel = "nope" }, default);
        Assert.Contains("no channel \"nope\"", wrong.Error!, StringComparison.Ordinal);
        var nameless = await commands.HandleAsync(new ControlRequest { Command = "tap" }, default);
        Assert.Contains("needs the id of a channel", nameless.Error!, StringComparison.Ordinal);
        Assert.Equal(1, (await commands.HandleAsync(new ControlRequest { Command = "tap", Channel = "scale" }, default)).Next);
    }

    [Theory]
    [InlineData(false, "12:34:56.789000Z source      192.0.2.1:7000 <     5  a\\n\\x1b[2")]
    [InlineData(true, "12:34:56.789000Z source      192.0.2.1:7000 <     5  61 0a 1b 5b 32")]
    public void A_line_of_it_cannot_steer_a_terminal(bool hex, string expected)
    {
        var at = new DateTimeOffset(2030, 1, 1, 12, 34, 56, 789, TimeSpan.Zero);
        var line = new TapCommandLine(null!, hex, json: false, TextWriter.Null, TextWriter.Null)
            .Line(new TappedEntry(1, at, "source", "received", "192.0.2.1:7000", 5, "a\n\e[2"u8.ToArray()));
        Assert.Equal(expected, line);
        Assert.EndsWith(" …", new TapCommandLine(null!, hex, json: false, TextWriter.Null, TextWriter.Null)
            .Line(new TappedEntry(1, at, "source", "received", null, 9000, new byte[4096])), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 0, 0, 10, true)]
    [InlineData(1, 0, 0, 10, false)]
    [InlineData(0, 1, 0, 10, false)]
    [InlineData(0, 0, 1, 10, false)]
    [InlineData(0, 0, 0, 9, false)]
    public void The_loss_tests_verdict_is_broken_by_any_of_it(long lost, long disordered, long damaged, long acknowledged, bool kept) =>
        Assert.Equal(kept, new LossVerdict(10, acknowledged, 10, lost, disordered, damaged, 7, 1, 1, 2).IsKept);

    private void Run(Func<Task> test) => _scheduler.Run(test, TimeSpan.FromMinutes(1));
}
