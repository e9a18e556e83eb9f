using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>What does not fit together at a connect: alarms, and the operator's two ways out of them.</summary>
public sealed class ReceiverCheckTests
{
    private const long Life = RemoteRig.Life;

    [Theory]
    [InlineData(401, "auth")]
    [InlineData(403, "auth")]
    [InlineData(404, "channel_id")]
    [InlineData(503, "no room")]
    public void A_connect_that_is_refused_names_what_to_correct(int status, string named)
    {
        var rig = new RemoteRig();
        rig.Transport.Marks = new RemoteReply(status) { Error = "Says the receiver." };
        var sentence = rig.FailToConnect();
        Assert.Contains(named, sentence);
        Assert.EndsWith("It says: Says the receiver.", sentence);
        Assert.Equal(EndpointState.Waiting, rig.Destination.Status.State);
    }

    [Fact]
    public void A_receiver_that_does_not_say_who_it_is_is_none()
    {
        var rig = new RemoteRig();
        rig.Transport.Marks = new RemoteReply(200);
        Assert.Contains("which instance", rig.FailToConnect());
    }

    [Fact]
    public void The_receivers_name_is_noted_and_another_one_is_trusted_from_the_start()
    {
        var rig = new RemoteRig();
        rig.Connect();
        Assert.Equal(new ReceiverNote(RemoteRig.Receiver, MessageIdentity.None, null), rig.Queue.Receiver);
        rig.Queue.Receiver = rig.Queue.Receiver with { LastDelivered = new MessageIdentity(Life, 50) };
        rig.Transport.Marks = new RemoteReply(200) { Receiver = "spare/inbox" };
        rig.Connect();
        Assert.Null(rig.End);
        Assert.Empty(rig.Alerts);
        Assert.Equal(new ReceiverNote("spare/inbox", MessageIdentity.None, null), rig.Queue.Receiver);
        Assert.Contains(rig.Log.Lines, l => l.Contains("spare/inbox") && l.Contains(RemoteRig.Receiver));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(49)]
    public void A_receiver_that_has_forgotten_stops_delivery_before_anything_is_sent(long mark)
    {
        var rig = Behind(mark);
        Assert.NotNull(rig.End);
        Assert.True(rig.End.Value.Orderly);
        Assert.Contains("--accept-loss", rig.End.Value.Reason);
        Assert.Contains("--resend", rig.End.Value.Reason);
        Assert.Equal([ReceiverCheck.Behind], rig.Alerts);
        rig.Send(51);
        Assert.Empty(rig.Transport.Sent);
        // Asked again and again it stays so, and is logged once.
        rig.Connect();
        Assert.NotNull(rig.End);
        Assert.Single(rig.Log.Lines, l => l.Contains(ReceiverCheck.Behind));
    }

    [Fact]
    public void A_receiver_that_holds_what_it_confirmed_is_no_alarm()
    {
        var rig = Behind(50);
        Assert.Null(rig.End);
        Assert.Empty(rig.Alerts);
    }

    [Fact]
    public void Of_lives_before_the_last_64_nothing_can_be_said()
    {
        var rig = new RemoteRig();
        var lives = Enumerable.Range(1, HeldMarks.LivesKept).Select(i => new LifeMark(0x100 + i, i, i)).ToArray();
        for (var i = 0; i < lives.Length; i++) rig.Queue.AddLife(lives[i].Life, 1000 + i);
        rig.Queue.Receiver = new ReceiverNote(RemoteRig.Receiver, new MessageIdentity(Life, 50), null);
        rig.Holds(lives);
        rig.Connect();
        Assert.Null(rig.End);
        rig.Holds(lives[1..]);
        rig.Connect();
        Assert.NotNull(rig.End);
    }

    [Fact]
    public void Accepting_the_loss_goes_on_behind_what_the_receiver_holds()
    {
        var rig = Behind(20);
        Assert.True(rig.Destination.Resume(ResumeChoice.AcceptLoss, rig.Queue).IsTaken);
        rig.Connect();
        Assert.Null(rig.End);
        Assert.Empty(rig.Alerts);
        Assert.Equal(new MessageIdentity(Life, 20), rig.Queue.Receiver.LastDelivered);
        rig.Send(51);
        Assert.Equal("51..51 after 000000000000000a:20", rig.Transport.Sent.Single().Range);
        rig.Transport.Sent[0].Take();
        rig.Holds(new LifeMark(Life, 51, 51));
        rig.Pass(15);
        Assert.Null(rig.End);
    }

    [Fact]
    public void Resending_gives_what_waits_a_new_life()
    {
        var rig = Behind(20);
        Assert.True(rig.Destination.Resume(ResumeChoice.Resend, rig.Queue).IsTaken);
        rig.Connect();
        rig.Send(51);
        Assert.Equal("51..51 after 000000000000000a:20", rig.Transport.Sent.Single().Range);
        Assert.Equal(0xBEEF, rig.Transport.Sent[0].Batch.Life);
        Assert.Empty(rig.Alerts);
    }

    [Fact]
    public void A_wiped_receiver_takes_what_waits_once_the_loss_is_accepted()
    {
        var rig = Behind(0);
        rig.Holds();
        rig.Destination.Resume(ResumeChoice.AcceptLoss, rig.Queue);
        rig.Connect();
        rig.Send(51);
        Assert.Equal("51..51 after none", rig.Transport.Sent.Single().Range);
        Assert.Equal(MessageIdentity.None, rig.Queue.Receiver.LastDelivered);
    }

    [Fact]
    public void An_alarm_ends_by_itself_when_the_receiver_remembers()
    {
        var rig = Behind(20);
        rig.Holds(new LifeMark(Life, 50, 50));
        rig.Connect();
        Assert.Null(rig.End);
        Assert.Empty(rig.Alerts);
        Assert.False(rig.Destination.Resume(ResumeChoice.AcceptLoss, rig.Queue).IsTaken);
    }

    [Fact]
    public void A_receiver_that_is_put_back_while_idle_is_noticed_by_what_this_link_delivered()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1, count: 3);
        rig.Transport.Sent[0].Take();
        rig.Holds(new LifeMark(Life, 2, 2));
        rig.Pass(10.1);
        Assert.NotNull(rig.End);
        Assert.Equal([ReceiverCheck.Behind], rig.Alerts);
    }

    [Fact]
    public void What_waits_of_a_closed_life_stops_delivery()
    {
        var rig = Closed();
        Assert.NotNull(rig.End);
        Assert.Contains("--accept-loss", rig.End.Value.Reason);
        Assert.Equal([ReceiverCheck.Closed], rig.Alerts);
        Assert.Empty(rig.Transport.Sent);
        // What it holds of that life had come before.
        Assert.Equal(["confirmed 5"], rig.Sink.Reports);
    }

    [Fact]
    public void Accepting_the_loss_of_a_closed_life_keeps_its_messages_aside()
    {
        var rig = Closed();
        rig.Destination.Resume(ResumeChoice.AcceptLoss, rig.Queue);
        rig.Connect();
        Assert.Equal(1, rig.Link!.MaxInFlightMessages);
        for (var i = 6; i <= 9; i++) rig.Send(i);
        Assert.Equal(["confirmed 5", "aside 6", "aside 7", "aside 8", "aside 9"], rig.Sink.Reports);
        Assert.Equal([ReceiverCheck.Closed], rig.Alerts);
        rig.Send(10);
        Assert.Equal("10..10 after 000000000000000b:12", rig.Transport.Sent.Single().Range);
        Assert.Empty(rig.Alerts);
        rig.Transport.Sent[0].Take();
        rig.Pass();
        Assert.NotNull(rig.End);
        rig.Holds(new LifeMark(Life, 5, 9), new LifeMark(0xB, 12, 12), new LifeMark(0xC, 10, 10));
        rig.Connect();
        Assert.Equal(int.MaxValue, rig.Link.MaxInFlightMessages);
        Assert.Null(rig.End);
    }

    [Fact]
    public void Resending_a_closed_life_sends_it_as_new()
    {
        var rig = Closed();
        rig.Destination.Resume(ResumeChoice.Resend, rig.Queue);
        rig.Connect();
        rig.Send(6, count: 2);
        Assert.Equal("6..7 after 000000000000000b:12", rig.Transport.Sent.Single().Range);
        Assert.Equal(0xBEEF, rig.Transport.Sent[0].Batch.Life);
        Assert.Empty(rig.Alerts);
    }

    [Fact]
    public void A_life_that_this_queue_does_not_know_is_an_alarm_that_stops_nothing_and_stays_until_it_is_answered()
    {
        var rig = new RemoteRig();
        rig.Holds(new LifeMark(0xF, 7, 7));
        rig.Connect();
        Assert.Null(rig.End);
        Assert.Equal([ReceiverCheck.Restored], rig.Alerts);
        rig.Send(1);
        Assert.Equal("1..1 after 000000000000000f:7", rig.Transport.Sent.Single().Range);
        rig.Transport.Sent[0].Take();
        rig.Holds(new LifeMark(0xF, 7, 7), new LifeMark(Life, 1, 1));
        rig.Connect();
        Assert.Equal([ReceiverCheck.Restored], rig.Alerts);
        Assert.False(rig.Destination.Resume(ResumeChoice.Resend, rig.Queue).IsTaken);
        Assert.True(rig.Destination.Resume(ResumeChoice.AcceptLoss, rig.Queue).IsTaken);
        Assert.Empty(rig.Alerts);
        rig.Connect();
        Assert.Empty(rig.Alerts);
    }

    [Fact]
    public void An_accepted_life_is_no_alarm_again_after_a_restart_before_anything_was_delivered()
    {
        var rig = new RemoteRig();
        rig.Holds(new LifeMark(0xF, 7, 7));
        rig.Connect();
        rig.Destination.Resume(ResumeChoice.AcceptLoss, rig.Queue);
        rig.Pass(20);
        Assert.Empty(rig.Alerts);
        var restarted = new RemoteRig { Queue = { Receiver = rig.Queue.Receiver } };
        restarted.Holds(new LifeMark(0xF, 7, 7));
        restarted.Connect();
        Assert.Empty(restarted.Alerts);
    }

    [Fact]
    public void What_was_stored_and_is_lost_on_both_sides_is_named()
    {
        // This queue had stored up to 100 of its life and was put back to 60; the receiver has taken up to 80.
        var rig = new RemoteRig();
        rig.Queue.AddLife(0xB, 61);
        rig.Holds(new LifeMark(Life, 80, 100));
        rig.Connect();
        Assert.Null(rig.End);
        Assert.Contains("81..100", Assert.Single(rig.Destination.Alerts(rig.Queue)).Value);
        // 55..60 are known there; 61 and 62 are new ones under old numbers.
        rig.Send(55, count: 8);
        Assert.Equal("61..62 after 000000000000000a:80", rig.Transport.Sent.Single().Range);
        Assert.Equal(["confirmed 60"], rig.Sink.Reports);
    }

    [Fact]
    public void What_still_waits_here_is_not_named_as_lost()
    {
        // Put back to 60 while the receiver was behind: 41..60 wait, 61..100 are gone, and 61 is given again in a new life.
        var rig = new RemoteRig();
        rig.Queue.AddLife(0xB, 61);
        rig.Holds(new LifeMark(Life, 40, 100));
        rig.Connect();
        Assert.Contains("Messages 61..100 ", Assert.Single(rig.Destination.Alerts(rig.Queue)).Value);
        rig.Send(41, count: 20);
        Assert.Equal("41..60 after 000000000000000a:40", rig.Transport.Sent.Single().Range);
    }

    [Theory]
    [InlineData(80, 80)]
    [InlineData(40, 60)]
    public void What_one_side_still_has_is_not_lost(long mark, long claimed)
    {
        var rig = new RemoteRig();
        rig.Queue.AddLife(0xB, 61);
        rig.Holds(new LifeMark(Life, mark, claimed));
        rig.Connect();
        Assert.Empty(rig.Alerts);
    }

    private static RemoteRig Behind(long mark)
    {
        var rig = new RemoteRig();
        rig.Queue.Receiver = new ReceiverNote(RemoteRig.Receiver, new MessageIdentity(Life, 50), null);
        rig.Holds(mark == 0 ? [] : [new LifeMark(Life, mark, mark)]);
        rig.Connect();
        return rig;
    }

    /// <summary>Messages 1 to 9 of a life wait; the receiver has 5 of them and then took others of a later life.</summary>
    private static RemoteRig Closed()
    {
        var rig = new RemoteRig();
        rig.Queue.AddLife(0xC, 10);
        rig.Queue.Receiver = new ReceiverNote(RemoteRig.Receiver, new MessageIdentity(0xB, 12), null);
        rig.Holds(new LifeMark(Life, 5, 9), new LifeMark(0xB, 12, 12));
        rig.Connect();
        rig.Send(4, count: 6);
        return rig;
    }
}
