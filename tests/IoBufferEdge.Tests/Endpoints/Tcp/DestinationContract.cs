using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>
/// What a TCP destination promises, over any network: run against real sockets here, and against the simulation's network beside it.
/// The other side of every connection is played through the same seam.
/// </summary>
public abstract partial class DestinationContract
{
    /// <summary>The network as the gateway sees it.</summary>
    protected abstract INetwork Network { get; }

    /// <summary>The network as the peer sees it, and the name that the gateway finds it under; and the other way round.</summary>
    protected abstract INetwork PeerNetwork { get; }

    protected abstract string PeerHost { get; }

    protected abstract string GatewayHost { get; }

    protected abstract TimeProvider Time { get; }

    /// <summary>Runs a test to its end; a test that hangs fails.</summary>
    protected abstract Task PlayAsync(Func<Task> story);

    [Fact]
    public Task Messages_arrive_in_order_and_are_confirmed() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 100, 50), default);
        await stage.Link.SendAsync(Messages.Numbered(101, 3, 70_000), default);
        Assert.Equal(Expected(1, 100, 50), await stage.Peer.ReadAsync(100 * 50));
        Assert.Equal(Expected(101, 3, 70_000), await stage.Peer.ReadAsync(3 * 70_000));
        await stage.Sink.ConfirmedAsync(103);
    });

    [Fact]
    public Task A_peer_that_has_read_everything_and_closes_ends_in_order() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(1000);
        await stage.Sink.ConfirmedAsync(10);
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.True(end.Orderly, end.Reason);
    });

    [Fact]
    public Task A_peer_that_closes_with_unread_bytes_ends_out_of_order() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(100);
        await stage.Sink.ConfirmedAsync(10);
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.False(end.Orderly);
        Assert.Equal(0, end.RepeatFrom);
        await Assert.ThrowsAsync<IOException>(async () => await stage.Link.SendAsync(Messages.Numbered(11, 1, 1), default));
    });

    [Fact]
    public Task What_waits_in_the_send_queue_is_not_confirmed() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(receiveBufferBytes: 256 * 1024);
        stage.Sink.WindowLimitBytes = 64 << 20;
        var sending = stage.Link.SendAsync(Messages.Numbered(1, 2000, 1000), default);
        await stage.Peer.ReadAsync(1000);
        await Task.Delay(TimeSpan.FromMilliseconds(300), Time);
        Assert.InRange(stage.Sink.ConfirmedUpTo, 1, 1900);
        await stage.Peer.ReadAsync(1_999_000);
        await sending;
        await stage.Sink.ConfirmedAsync(2000);
    });

    [Fact]
    public Task A_stop_waits_for_the_peers_end_and_confirms_meanwhile() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        stage.Stop();
        Assert.Equal(1000, (await stage.Peer.ReadToEndAsync()).Length);
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.True(end.Orderly, end.Reason);
        Assert.Equal(10, stage.Sink.ConfirmedUpTo);
    });

    [Fact]
    public Task A_peer_that_does_not_close_ends_a_stop_out_of_order() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(1000);
        var before = Time.GetTimestamp();
        stage.Stop();
        var end = await stage.Watch;
        Assert.False(end.Orderly);
        Assert.InRange(Time.GetElapsedTime(before).TotalSeconds, 2.9, 4);
        Assert.Equal(10, stage.Sink.ConfirmedUpTo);
    });

    [Fact]
    public Task No_more_than_the_window_is_sent_to_a_peer_that_does_not_read() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        stage.Sink.WindowLimitBytes = 128 * 1024;
        using var giveUp = new CancellationTokenSource(TimeSpan.FromMilliseconds(500), Time);
        var sent = 0;
        try
        {
            for (; sent < 200; sent++) await stage.Link.SendAsync(Messages.Numbered(1 + 16L * sent, 16, 1024), giveUp.Token);
        }
        catch (OperationCanceledException)
        {
            // The window is full, as it should be.
        }

        Assert.InRange(sent * 16 * 1024, 128 * 1024, 3 * 128 * 1024);
        Assert.False(stage.Watch.IsCompleted);

        // It reads on: so do we, and nothing has ended.
        var reading = stage.Peer.ReadAsync((sent + 20) * 16 * 1024);
        for (var more = 0; more < 20; more++, sent++) await stage.Link.SendAsync(Messages.Numbered(1 + 16L * sent, 16, 1024), default);
        Assert.Equal(Expected(1, sent * 16, 1024), await reading);
        await stage.Sink.ConfirmedAsync(sent * 16);
    });

    [Fact]
    public Task A_message_larger_than_the_window_passes() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        stage.Sink.WindowLimitBytes = 1000;
        var reading = stage.Peer.ReadAsync(900_000);
        await stage.Link.SendAsync(Messages.Numbered(1, 1, 300_000), default);
        await stage.Link.SendAsync(Messages.Numbered(2, 1, 300_000), default);
        await stage.Link.SendAsync(Messages.Numbered(3, 1, 300_000), default);
        Assert.Equal(Expected(1, 3, 300_000), await reading);
        await stage.Sink.ConfirmedAsync(3);
    });

    [Fact]
    public Task A_hold_delays_the_confirmation_and_an_orderly_close_ends_it() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with { Confirm = new ConfirmConfig { Type = ConfirmType.Transport, HoldMs = 400 } });
        var before = Time.GetTimestamp();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Sink.ConfirmedAsync(10);
        Assert.InRange(Time.GetElapsedTime(before).TotalMilliseconds, 400, 2000);
        await stage.Link.SendAsync(Messages.Numbered(11, 1, 100), default);
        await stage.Peer.ReadAsync(1100);
        stage.Peer.Dispose();
        Assert.True((await stage.Watch).Orderly);
        Assert.Equal(11, stage.Sink.ConfirmedUpTo);
    });

    [Fact]
    public Task A_reset_ends_no_hold() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(
            c => c with { Confirm = new ConfirmConfig { Type = ConfirmType.Transport, HoldMs = 60_000 } });
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(1000);
        stage.Peer.Connection.AbortOnDispose();
        stage.Peer.Dispose();
        Assert.False((await stage.Watch).Orderly);
        Assert.Equal(0, stage.Sink.ConfirmedUpTo);
    });

    [Fact]
    public Task Input_from_the_peer_is_read_and_discarded() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Peer.WriteAsync(new byte[100_000]);
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(1000);
        await stage.Sink.ConfirmedAsync(10);
        await stage.Peer.WriteAsync(new byte[100_000]);
        stage.Peer.Dispose();
        Assert.True((await stage.Watch).Orderly);
    });

    [Fact]
    public Task Confirm_none_confirms_what_is_written_and_repeats_nothing() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with { Confirm = new ConfirmConfig { Type = ConfirmType.None } });
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        Assert.Equal(10, stage.Sink.ConfirmedUpTo);
        stage.Peer.Connection.AbortOnDispose();
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.False(end.Orderly);
        Assert.Equal(long.MaxValue, end.RepeatFrom);
    });

    [Fact]
    public Task A_framing_of_its_own_goes_around_every_message_and_confirms_whole_messages() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with { Framing = new FramingConfig { Type = FramingType.LengthPrefix, Bytes = 2 } });
        await stage.Link.SendAsync(Messages.Run(1, "abc"u8.ToArray(), [], "de"u8.ToArray()), default);
        await stage.Link.SendAsync(Messages.Numbered(4, 100, 1500), default);
        Assert.Equal("\0\u0003abc\0\0\0\u0002de"u8.ToArray(), await stage.Peer.ReadAsync(11));
        await stage.Peer.ReadAsync(100 * 1502);
        await stage.Sink.ConfirmedAsync(103);
    });

    [Fact]
    public Task Bytes_confirm_and_refuse_one_message_at_a_time() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with
        {
            Confirm = new ConfirmConfig { Type = ConfirmType.Bytes, AckHex = "06", NakHex = "15" },
        });
        Assert.Equal(1, stage.Link.MaxInFlightMessages);
        await stage.Link.SendAsync(Messages.Numbered(1, 1, 100), default);
        await stage.Peer.ReadAsync(100);
        Assert.Equal(0, stage.Sink.ConfirmedUpTo);
        await stage.Peer.WriteAsync(new byte[] { 0x06 });
        await stage.Sink.ConfirmedAsync(1);
        await stage.Link.SendAsync(Messages.Numbered(2, 1, 100), default);
        await stage.Peer.ReadAsync(100);
        await stage.Peer.WriteAsync(new byte[] { 0x15 });
        await stage.Sink.RejectedAsync(1);
        var (sequence, permanent, _) = Assert.Single(stage.Sink.Rejections);
        Assert.Equal((2, true), (sequence, permanent));
        Assert.False(stage.Watch.IsCompleted);
    });

    [Fact]
    public Task An_answer_too_late_ends_the_connection() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with
        {
            Confirm = new ConfirmConfig { Type = ConfirmType.Bytes, AckHex = "06", TimeoutMs = 200 },
        });
        await stage.Link.SendAsync(Messages.Numbered(1, 1, 100), default);
        var end = await stage.Watch;
        Assert.False(end.Orderly);
        Assert.Contains("200 ms", end.Reason, StringComparison.Ordinal);
        await Assert.ThrowsAsync<IOException>(async () => await stage.Link.SendAsync(Messages.Numbered(2, 1, 100), default));
        Assert.Equal(0, stage.Sink.ConfirmedUpTo);
    });

    [Theory]
    [InlineData("AA", "M1", "confirmed")]
    [InlineData("CA", "M1", "confirmed")]
    [InlineData("AR", "M1", "refused")]
    [InlineData("CR", "M1", "refused")]
    [InlineData("AE", "M1", "failed")]
    [InlineData("CE", "M1", "failed")]
    [InlineData("AA", "M2", "timeout")]
    public Task Mllp_answers_are_judged_by_code_and_control_id(string code, string controlId, string outcome) => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with { Confirm = new ConfirmConfig { Type = ConfirmType.Mllp, TimeoutMs = 500 } });
        var message = Encoding.ASCII.GetBytes("\vMSH|^~\\&|LAB|A|GW|B|20260101||ORU^R01|M1|P|2.3\rPID|1\r\x1C\r");
        await stage.Link.SendAsync(Messages.Run(1, message), default);
        await stage.Peer.ReadAsync(message.Length);
        await stage.Peer.WriteAsync(Encoding.ASCII.GetBytes($"\vMSH|^~\\&|GW|B|LAB|A|20260101||ACK|9|P|2.3\rMSA|{code}|{controlId}|why\r\x1C\r"));
        if (outcome == "confirmed")
        {
            await stage.Sink.ConfirmedAsync(1);
            return;
        }

        if (outcome == "timeout")
        {
            Assert.False((await stage.Watch).Orderly);
            Assert.Equal(0, stage.Sink.ConfirmedUpTo);
            return;
        }

        await stage.Sink.RejectedAsync(1);
        var (sequence, permanent, reason) = Assert.Single(stage.Sink.Rejections);
        Assert.Equal((1, outcome == "refused"), (sequence, permanent));
        Assert.Contains($"MSA|{code}|M1|why", reason, StringComparison.Ordinal);
    });

    [Fact]
    public Task The_first_client_stays_and_later_ones_are_closed() => PlayAsync(async () =>
    {
        await using var stage = await ServeAsync();
        using var second = new Peer(await PeerNetwork.ConnectAsync(GatewayHost, stage.Port, new TcpTuning(), default));
        Assert.Empty(await second.ReadToEndAsync());
        await stage.Link.SendAsync(Messages.Numbered(1, 1, 10), default);
        Assert.Equal(Expected(1, 1, 10), await stage.Peer.ReadAsync(10));
        Assert.Contains(new KeyValuePair<string, long>("refused_clients", 1), stage.Destination.Status.Counters);
    });

    [Fact]
    public Task A_client_that_returns_right_after_its_close_is_served() => PlayAsync(async () =>
    {
        await using var stage = await ServeAsync();
        var sign = stage.Destination.WaitForPeerSignAsync(default);
        stage.Peer.Dispose();
        using var again = new Peer(await PeerNetwork.ConnectAsync(GatewayHost, stage.Port, new TcpTuning(), default));
        Assert.True((await stage.Watch).Orderly);
        await sign;
        await using var link = await stage.Destination.ConnectAsync(default);
        var watch = link.WatchAsync(new RecordingSink(), default);
        await link.SendAsync(Messages.Numbered(1, 1, 10), default);
        Assert.Equal(Expected(1, 1, 10), await again.ReadAsync(10));
        Assert.False(watch.IsCompleted);
    });

    [Fact]
    public Task A_new_client_takes_over() => PlayAsync(async () =>
    {
        await using var stage = await ServeAsync(c => c with { ClientPolicy = ClientPolicy.Takeover });
        await stage.Link.SendAsync(Messages.Numbered(1, 1, 10), default);
        await stage.Sink.ConfirmedAsync(1);
        using var second = new Peer(await PeerNetwork.ConnectAsync(GatewayHost, stage.Port, new TcpTuning(), default));
        var end = await stage.Watch;
        Assert.False(end.Orderly);
        Assert.Contains("taken over", end.Reason, StringComparison.Ordinal);
        await stage.Link.DisposeAsync();
        await using var link = await stage.Destination.ConnectAsync(default);
        var watch = link.WatchAsync(new RecordingSink(), default);
        await link.SendAsync(Messages.Numbered(1, 1, 10), default);
        Assert.Equal(Expected(1, 1, 10), await second.ReadAsync(10));
        Assert.False(watch.IsCompleted);
    });

    [Fact]
    public Task A_client_that_is_not_allowed_is_closed() => PlayAsync(async () =>
    {
        await using var destination = new TcpDestination(
            Channel(new DestinationConfig { Type = EndpointType.TcpServer, Host = GatewayHost, Allow = ["192.0.2.1"] }), Context());
        await destination.OpenAsync();
        using var client = new Peer(await PeerNetwork.ConnectAsync(GatewayHost, destination.Port, new TcpTuning(), default));
        Assert.Empty(await client.ReadToEndAsync());
        Assert.Contains(new KeyValuePair<string, long>("refused_clients", 1), destination.Status.Counters);
    });

    [Fact]
    public Task Pacing_spreads_messages_over_time() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(c => c with { MaxMessagesPerS = 100 });
        var before = Time.GetTimestamp();
        await stage.Link.SendAsync(Messages.Numbered(1, 50, 10), default);
        Assert.InRange(Time.GetElapsedTime(before).TotalSeconds, 0.45, 3);
        Assert.Equal(Expected(1, 50, 10), await stage.Peer.ReadAsync(500));
    });
}
