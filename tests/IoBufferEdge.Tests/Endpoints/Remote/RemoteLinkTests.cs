using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Tests.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>How a link sends, confirms and ends.</summary>
public sealed class RemoteLinkTests
{
    private const long Life = RemoteRig.Life;

    [Fact]
    public void A_lone_message_goes_at_once_and_under_load_a_free_place_takes_all_that_waits()
    {
        var rig = new RemoteRig();
        rig.Connect();
        for (var i = 1; i <= 7; i++) rig.Send(i);
        Assert.Equal(
            ["1..1 after none", "2..2 after 000000000000000a:1", "3..3 after 000000000000000a:2", "4..4 after 000000000000000a:3"],
            rig.Transport.Sent.Select(r => r.Range));
        rig.Transport.Sent[0].Take();
        rig.Pass();
        Assert.Equal("5..7 after 000000000000000a:4", rig.Transport.Sent[^1].Range);
        Assert.Equal(5, rig.Transport.Sent.Count);
        Assert.Equal(1, rig.Sink.ConfirmedUpTo);
    }

    [Fact]
    public void A_batch_says_who_sends_it_what_is_durable_and_where_its_messages_come_from()
    {
        var rig = new RemoteRig { Queue = { Route = "far/sensor>hub/all" } };
        rig.Queue.SecuredSequence = 2;
        rig.Connect();
        rig.Send(Messages.Run(1, "one"u8.ToArray(), [], "three"u8.ToArray()));
        var batch = rig.Transport.Sent.Single().Batch;
        Assert.Equal(RemoteRig.Sender, Encoding.ASCII.GetString(batch.Sender));
        Assert.Equal(2, batch.Claimed);
        var payloads = new List<string>();
        foreach (var message in batch)
            payloads.Add($"{message.Sequence} {message.Route} {message.FirstSequence} {Encoding.ASCII.GetString(message.Payload.Span)}");
        Assert.Equal(["1 0 1 one", "2 0 2 ", "3 0 3 three"], payloads);
        foreach (var route in batch.Routes) Assert.Equal("far/sensor>hub/all", Encoding.ASCII.GetString(route));
    }

    [Fact]
    public void A_batch_keeps_to_batch_bytes_but_a_larger_message_goes_alone()
    {
        var rig = new RemoteRig(d => d with { BatchBytes = 4096 });
        rig.Connect();
        rig.Send(1, count: 1, bytes: 10_000);
        rig.Send(2, count: 40, bytes: 200);
        foreach (var request in rig.Transport.Sent.Skip(1).SkipLast(1)) Assert.InRange(request.Bytes.Length, 3000, 4096);
        Assert.Equal(1, rig.Transport.Sent[0].Batch.Count);
        Assert.Equal(4, rig.Transport.Sent.Count);
        for (var i = 0; i < rig.Transport.Sent.Count; i++)
        {
            rig.Transport.Sent[i].Take();
            rig.Pass();
        }

        Assert.Equal(41, rig.Sink.ConfirmedUpTo);
        Assert.Equal(41, rig.Transport.Sent.Sum(r => r.Batch.Count));
    }

    [Fact]
    public void Messages_of_two_lives_never_share_a_batch()
    {
        var rig = new RemoteRig();
        rig.Queue.AddLife(0xB, 4);
        rig.Queue.SecuredSequence = 3;
        rig.Connect();
        rig.Send(1, count: 6);
        Assert.Equal(["1..3 after none", "4..6 after 000000000000000a:3"], rig.Transport.Sent.Select(r => r.Range));
        Assert.Equal([Life, 0xB], rig.Transport.Sent.Select(r => r.Batch.Life));
        Assert.Equal([3, 0], rig.Transport.Sent.Select(r => r.Batch.Claimed));
    }

    [Fact]
    public void Batch_delay_waits_for_more_but_not_longer_and_not_for_more_than_a_batch()
    {
        var rig = new RemoteRig(d => d with { BatchDelayMs = 100, BatchBytes = 4096 });
        rig.Connect();
        rig.Send(1);
        rig.Pass(0.09);
        rig.Send(2);
        Assert.Empty(rig.Transport.Sent);
        rig.Pass(0.02);
        Assert.Equal("1..2 after none", rig.Transport.Sent.Single().Range);
        rig.Send(3, count: 20, bytes: 300);
        Assert.Equal(2, rig.Transport.Sent.Count);
    }

    [Fact]
    public void What_waits_in_the_link_is_bounded()
    {
        var rig = new RemoteRig(d => d with { BatchBytes = 4096 });
        rig.Connect();
        var taken = new List<Task>();
        for (var i = 0; i < 20; i++) taken.Add(rig.Send(1 + i, bytes: 4000));
        Assert.Equal(4, rig.Transport.Sent.Count);
        Assert.InRange(taken.Count(t => t.IsCompleted), 6, 8);
        rig.Transport.Sent[0].Take();
        rig.Pass();
        Assert.Equal(5, rig.Transport.Sent.Count);
    }

    [Fact]
    public void Answers_count_in_the_order_of_the_requests()
    {
        var rig = new RemoteRig();
        rig.Connect();
        for (var i = 1; i <= 3; i++) rig.Send(i);
        rig.Transport.Sent[2].Take();
        rig.Transport.Sent[1].Take();
        rig.Pass(1);
        // The first is still being sent, as far as the link knows: its memory must stay.
        Assert.Empty(rig.Sink.Reports);
        rig.Transport.Sent[0].Take();
        rig.Pass();
        Assert.Equal(["confirmed 1", "confirmed 2", "confirmed 3"], rig.Sink.Reports);
        Assert.Null(rig.End);
    }

    [Fact]
    public void An_answer_that_a_later_one_makes_needless_is_waited_for_two_seconds()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Send(2);
        rig.Transport.Sent[1].Take();
        rig.Pass(1.9);
        Assert.Empty(rig.Sink.Reports);
        rig.Pass(0.2);
        Assert.True(rig.Transport.Sent[0].WasGivenUp);
        Assert.Equal(2, rig.Sink.ConfirmedUpTo);
        Assert.Null(rig.End);
    }

    [Fact]
    public void No_answer_within_30_s_ends_the_link_in_order_and_the_next_begins_carefully()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Pass(29.9);
        Assert.Null(rig.End);
        rig.Pass(0.2);
        Assert.Equal(new LinkEnd(true, "http://centre:8080 did not answer within 30 s."), rig.End);
        Assert.True(rig.Transport.Sent[0].WasGivenUp);

        rig.Connect();
        rig.Send(1, bytes: 100_000);
        rig.Send(2);
        Assert.Equal(2, rig.Transport.Sent.Count);
        // 100 kB over a way that once took too long: 30 s, and a second for every 4 KiB.
        rig.Pass(50);
        Assert.Null(rig.End);
        rig.Transport.Sent[1].Take();
        rig.Pass();
        rig.Transport.Sent[2].Take();
        rig.Pass();
        for (var i = 3; i <= 9; i++) rig.Send(i);
        Assert.Equal(2, rig.Transport.Open.Count());
    }

    [Fact]
    public void A_message_that_the_receiver_holds_already_is_confirmed_and_not_sent()
    {
        var rig = new RemoteRig();
        rig.Holds(new LifeMark(Life, 5, 5));
        rig.Connect();
        rig.Send(4, count: 4);
        Assert.Equal(["confirmed 5"], rig.Sink.Reports);
        Assert.Equal("6..7 after 000000000000000a:5", rig.Transport.Sent.Single().Range);
    }

    [Fact]
    public void Other_marks_than_believed_end_the_link_and_the_next_goes_on_behind_them()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Transport.Sent[0].Refuse(409, "The message before is not held.");
        rig.Pass();
        Assert.Equal(new LinkEnd(true, "http://centre:8080 answered with status 409. It says: The message before is not held."), rig.End);
        Assert.Empty(rig.Sink.Reports);
        rig.Holds(new LifeMark(Life, 1, 1));
        rig.Connect();
        rig.Send(1, count: 2);
        Assert.Equal("2..2 after 000000000000000a:1", rig.Transport.Sent[^1].Range);
    }

    [Fact]
    public void Without_room_the_same_is_sent_again_the_oldest_alone_until_it_is_taken()
    {
        var rig = new RemoteRig();
        rig.Connect();
        for (var i = 1; i <= 3; i++) rig.Send(i);
        rig.Transport.Sent[0].Refuse(503, "The buffer is full.", TimeSpan.FromSeconds(5));
        rig.Transport.Sent[1].Refuse(409, "1 is not held.");
        rig.Pass(4.9);
        Assert.Equal(3, rig.Transport.Sent.Count);
        Assert.Equal("http://centre:8080 has no room now. It says: The buffer is full.", rig.Destination.Status.Detail);
        // The third comes back only now: it was overtaken too.
        rig.Transport.Sent[2].Refuse(409, "2 is not held.");
        rig.Pass(0.2);
        Assert.Equal(4, rig.Transport.Sent.Count);
        Assert.Equal(rig.Transport.Sent[0].Bytes, rig.Transport.Sent[3].Bytes);
        rig.Transport.Sent[3].Refuse(429, retryAfter: TimeSpan.FromSeconds(1));
        rig.Pass(1.1);
        Assert.Equal(5, rig.Transport.Sent.Count);
        rig.Transport.Sent[4].Take();
        rig.Pass();
        Assert.Equal(["2..2 after 000000000000000a:1", "3..3 after 000000000000000a:2"], rig.Transport.Sent.Skip(5).Select(r => r.Range));
        rig.Transport.Sent[5].Take();
        rig.Transport.Sent[6].Take();
        rig.Pass();
        Assert.Equal(3, rig.Sink.ConfirmedUpTo);
        Assert.Null(rig.End);
        Assert.Equal(RemoteRig.Receiver, rig.Destination.Status.Detail);
    }

    [Theory]
    [InlineData(0, 0.2)]
    [InlineData(3600, 60)]
    [InlineData(null, 1)]
    public void Retry_after_is_kept_within_bounds(int? answeredS, double waitedS)
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Transport.Sent[0].Refuse(503, retryAfter: answeredS is { } s ? TimeSpan.FromSeconds(s) : null);
        rig.Pass(waitedS - 0.01);
        Assert.Single(rig.Transport.Sent);
        rig.Pass(0.02);
        Assert.Equal(2, rig.Transport.Sent.Count);
    }

    [Fact]
    public void A_refused_message_is_found_by_sending_one_at_a_time_and_then_many_go_again()
    {
        var rig = new RemoteRig();
        rig.Connect();
        Assert.Equal(int.MaxValue, rig.Link!.MaxInFlightMessages);
        rig.Send(1, count: 5);
        rig.Transport.Sent[0].Refuse(400, "Not a batch.");
        rig.Pass();
        Assert.Contains("one by one", rig.End!.Value.Reason);
        Assert.Empty(rig.Sink.Reports);

        rig.Connect();
        Assert.Equal(1, rig.Link.MaxInFlightMessages);
        rig.Send(1);
        rig.Transport.Sent[1].Take();
        rig.Pass();
        rig.Send(2);
        rig.Transport.Sent[2].Refuse(400, "Not a batch.");
        rig.Pass();
        Assert.Equal(["confirmed 1", "rejected 2 True: http://centre:8080 answered with status 400. It says: Not a batch."], rig.Sink.Reports);
        // Kept aside by the buffer: the next one follows the one that was taken.
        for (var i = 3; i <= 5; i++)
        {
            Assert.Null(rig.End);
            rig.Send(i);
            Assert.Equal($"{i}..{i} after 000000000000000a:{(i == 3 ? 1 : i - 1)}", rig.Transport.Sent[^1].Range);
            rig.Transport.Sent[^1].Take();
            rig.Pass();
        }

        Assert.Contains("passed", rig.End!.Value.Reason);
        Assert.Equal(5, rig.Sink.ConfirmedUpTo);
        rig.Holds(new LifeMark(Life, 5, 5));
        rig.Connect();
        Assert.Equal(int.MaxValue, rig.Link.MaxInFlightMessages);
    }

    [Fact]
    public void A_message_that_is_named_as_refused_ends_the_search_with_itself()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1, count: 100);
        rig.Transport.Sent[0].Refuse(413, "Longer than max_message_bytes.", refused: 2);
        rig.Pass();
        // What was before it has been taken.
        rig.Holds(new LifeMark(Life, 1, 1));
        rig.Connect();
        rig.Send(1);
        rig.Send(2);
        rig.Transport.Sent[^1].Refuse(413, "Longer than max_message_bytes.", refused: 2);
        rig.Pass();
        rig.Send(3);
        Assert.Equal("3..3 after 000000000000000a:1", rig.Transport.Sent[^1].Range);
        rig.Transport.Sent[^1].Take();
        rig.Pass();
        Assert.Equal(["confirmed 1", "rejected 2", "confirmed 3"], rig.Sink.Reports.Select(r => string.Join(' ', r.Split(' ')[..2])));
        Assert.NotNull(rig.End);
    }

    [Fact]
    public void A_blocked_message_is_offered_again_on_the_same_link()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1, count: 2);
        rig.Transport.Sent[0].Refuse(422);
        rig.Pass();
        rig.Connect();
        for (var i = 0; i < 3; i++)
        {
            rig.Send(1);
            rig.Transport.Sent[^1].Refuse(422);
            rig.Pass(20);
        }

        Assert.Null(rig.End);
        rig.Send(1);
        rig.Transport.Sent[^1].Take();
        rig.Pass();
        Assert.Equal(1, rig.Sink.ConfirmedUpTo);
    }

    [Theory]
    [InlineData(415, "compression")]
    [InlineData(401, "auth")]
    [InlineData(404, "channel_id")]
    [InlineData(500, "status 500")]
    [InlineData(302, "points elsewhere")]
    public void What_speaks_of_no_message_ends_the_link_and_rejects_none(int status, string named)
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Transport.Sent[0].Refuse(status);
        rig.Pass();
        Assert.Contains(named, rig.End!.Value.Reason);
        rig.Connect();
        Assert.Equal(int.MaxValue, rig.Link!.MaxInFlightMessages);
        Assert.Empty(rig.Sink.Reports);
    }

    [Fact]
    public void A_loop_is_an_alert_until_a_message_is_taken()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Transport.Sent[0].Refuse(508);
        rig.Pass();
        Assert.Equal([ReceiverCheck.Loop], rig.Alerts);
        rig.Connect();
        rig.Send(1);
        Assert.Equal([ReceiverCheck.Loop], rig.Alerts);
        rig.Transport.Sent[1].Take();
        rig.Pass();
        Assert.Empty(rig.Alerts);
    }

    [Fact]
    public void An_answer_that_contradicts_itself_or_comes_from_another_confirms_nothing()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1, count: 2);
        rig.Transport.Sent[0].Reply(new RemoteReply(200) { Receiver = RemoteRig.Receiver, Marks = [new LifeMark(Life, 1, 1)] });
        rig.Pass();
        Assert.Contains("another mark", rig.End!.Value.Reason);
        rig.Connect();
        rig.Send(1);
        rig.Transport.Sent[1].Take("other/inbox");
        rig.Pass();
        Assert.Contains("other/inbox", rig.End!.Value.Reason);
        Assert.Empty(rig.Sink.Reports);
    }

    [Fact]
    public void A_stop_waits_for_what_is_under_way_and_sends_nothing_more()
    {
        var rig = new RemoteRig();
        rig.Connect();
        for (var i = 1; i <= 6; i++) rig.Send(i);
        rig.Stop();
        foreach (var request in rig.Transport.Sent.Take(3)) request.Take();
        rig.Pass(2.9);
        Assert.Equal(3, rig.Sink.ConfirmedUpTo);
        Assert.Null(rig.End);
        Assert.IsType<IOException>(rig.Send(7).Exception?.InnerException);
        rig.Pass(0.2);
        Assert.Equal(new LinkEnd(true, "Stopped."), rig.End);
        Assert.Equal(4, rig.Transport.Sent.Count);
        Assert.True(rig.Transport.Sent[3].WasGivenUp);
    }
}
