using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Tests.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>How a link ends, and what it does while it has nothing to send.</summary>
public sealed class RemoteLinkEndTests
{
    [Fact]
    public void A_closed_link_leaves_no_request_behind()
    {
        var rig = new RemoteRig();
        rig.Connect();
        var waiting = new List<Task>();
        for (var i = 1; i <= 30; i++) waiting.Add(rig.Send(i, bytes: 60_000));
        Assert.Contains(waiting, t => !t.IsCompleted);
        rig.Scheduler.Run(() => rig.Link!.DisposeAsync().AsTask(), TimeSpan.FromSeconds(1));
        rig.Pass();
        Assert.Empty(rig.Transport.Open);
        Assert.NotNull(rig.End);
        Assert.All(waiting, t => Assert.True(t.IsCompleted));
    }

    [Fact]
    public void While_idle_the_receiver_is_asked_every_10_s_and_a_dead_one_is_noticed_within_30_s()
    {
        var rig = new RemoteRig();
        rig.Connect();
        Assert.Equal(1, rig.Transport.Asked);
        rig.Pass(35);
        Assert.Equal(4, rig.Transport.Asked);
        rig.Transport.Marks = null;
        rig.Pass(30);
        Assert.Equal(new LinkEnd(true, "http://centre:8080 did not answer within 15 s."), rig.End);
    }

    [Fact]
    public void A_question_while_idle_does_not_hold_messages_up_and_its_old_answer_is_not_believed()
    {
        var rig = new RemoteRig();
        rig.Connect();
        rig.Send(1);
        rig.Transport.Sent[0].Take();
        rig.Transport.Marks = null;
        rig.Pass(10.1);
        Assert.Equal(2, rig.Transport.Asked);
        rig.Send(2);
        rig.Transport.Sent[1].Take();
        rig.Pass();
        Assert.Equal(2, rig.Sink.ConfirmedUpTo);
        Assert.Null(rig.End);
    }

    [Fact]
    public void Sending_needs_a_watch() =>
        Assert.Throws<InvalidOperationException>(() =>
        {
            var rig = new RemoteRig();
            var config = new DestinationConfig { Type = EndpointType.RemoteIcombuffer };
            var state = new RemoteLinkState(new ReceiverCheck("c", config, rig.Context.Log));
            var link = new RemoteLink(rig.Transport, config, state, new RemoteReply(200), null, rig.Context);
            link.SendAsync(Messages.Numbered(1, 1, 1), default).AsTask().GetAwaiter().GetResult();
        });
}
