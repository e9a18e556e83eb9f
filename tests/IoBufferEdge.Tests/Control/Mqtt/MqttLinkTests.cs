using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Mqtt;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>The link in virtual time: what lies on the broker, whatever happens to either of them.</summary>
public sealed class MqttLinkTests : IDisposable
{
    private const string Root = LinkRig.Root;

    private readonly LinkRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void A_connected_broker_holds_everything_and_at_the_end_offline() => _rig.Run(async () =>
    {
        _rig.Reported = "{\"status\":\"APPLIED\",\"errors\":[]}"u8.ToArray();
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        Assert.Equal(
            [Root + "availability", Root + "channel/scale/state", Root + "config/reported", Root + "state"],
            _rig.Broker.Retained.Keys.Where(k => !k.Contains("alert")));
        Assert.Equal("online", _rig.Broker.Json(Root + "availability"));
        Assert.True(_rig.Link.Status!.Connected);
        var connection = _rig.Broker.Connection!;
        _rig.Link.Stop();
        await _rig.Pass(1);
        Assert.Equal(("offline", true), (_rig.Broker.Json(Root + "availability"), connection.LeftInOrder));
    });

    [Fact]
    public void A_broker_that_is_away_is_tried_for_ever_with_backoff_and_told_everything_at_its_return() => _rig.Run(async () =>
    {
        _rig.Broker.IsAway = true;
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(3600);
        Assert.InRange(_rig.Broker.Attempts, 3600 / 30, 600);
        Assert.Contains("nobody is there", _rig.Link.Status!.LastError, StringComparison.Ordinal);
        Assert.Single(_rig.Log.Lines, l => l.StartsWith("No broker", StringComparison.Ordinal));
        _rig.Change(c => c with { State = ChannelState.Blocked });
        _rig.Broker.IsAway = false;
        await _rig.Pass(31);
        Assert.True(_rig.Link.Status!.Connected);
        Assert.Contains("\"state\":\"blocked\"", _rig.Broker.Json(Root + "channel/scale/state"), StringComparison.Ordinal);
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void After_each_death_of_the_broker_what_it_holds_is_right_within_seconds(bool forgets) => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        for (var death = 0; death < 100; death++)
        {
            await _rig.Pass(2);
            _rig.Broker.Die(forgets);
            _rig.Broker.Retained[Root + "availability"] = "offline";
            await _rig.Pass(0.3);
            _rig.Change(c => c with { State = death % 2 == 0 ? ChannelState.Waiting : ChannelState.Running });
            _rig.Broker.IsAway = false;
            await _rig.Pass(3);
            Assert.Equal("online", _rig.Broker.Json(Root + "availability"));
            Assert.Contains(death % 2 == 0 ? "\"waiting\"" : "\"running\"", _rig.Broker.Json(Root + "channel/scale/state"), StringComparison.Ordinal);
        }
    });

    [Fact]
    public void A_broker_that_accepts_and_closes_at_once_is_not_hammered() => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        for (var i = 0; i < 6000; i++)
        {
            await _rig.Pass(0.1);
            _rig.Broker.Connection?.End("closed at once");
        }

        Assert.InRange(_rig.Broker.Attempts, 10, 1500);
    });

    [Fact]
    public void An_offline_of_ours_that_comes_late_is_corrected() => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(5);
        _rig.Broker.Publish(Root + "availability", "offline", retained: true);
        await _rig.Pass(2);
        Assert.Equal("online", _rig.Broker.Json(Root + "availability"));
    });

    [Fact]
    public void What_earlier_runs_left_is_cleared_and_nothing_else() => _rig.Run(async () =>
    {
        foreach (var topic in (string[])[Root + "alert/gone.silent", Root + "channel/gone/state", "homeassistant/sensor/iobuffer_gw-0017/gone_state/config"])
            _rig.Broker.Retained[topic] = "{}";
        _rig.Broker.Retained["homeassistant/sensor/iobuffer_gw-0018/x_state/config"] = "{}";
        _rig.Broker.Retained[Root + "config/desired"] = "{}";
        _rig.Link.Use(LinkRig.Target(new HomeAssistantConfig()));
        await _rig.Pass(5);
        Assert.DoesNotContain(_rig.Broker.Retained.Keys, k => k.Contains("gone", StringComparison.Ordinal));
        Assert.Contains("homeassistant/sensor/iobuffer_gw-0018/x_state/config", _rig.Broker.Retained.Keys);
        Assert.Contains(Root + "config/desired", _rig.Broker.Retained.Keys);
        Assert.Contains("homeassistant/sensor/iobuffer_gw-0017/scale_state/config", _rig.Broker.Retained.Keys);
    });

    [Fact]
    public void The_sweep_ends_and_commands_stay_subscribed() => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(15);
        Assert.Equal(_rig.Broker.Connection!.Filters.Order(), LinkRig.Target().Topics.Watched.Order());
    });

    [Fact]
    public void Wishes_and_commands_are_handed_on_and_acknowledged_when_they_are_dealt_with() => _rig.Run(async () =>
    {
        _rig.Broker.Retained[Root + "config/desired"] = "the wish";
        _rig.Broker.Retained[Root + "cmd/purge/1"] = "{}";
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        _rig.Broker.Publish(Root + "cmd/identify/2", "{}");
        _rig.Broker.Publish(Root + "cmd/identify/2/more", "{}");
        await _rig.Pass(2);
        Assert.Equal(["the wish"], _rig.Offered);
        Assert.Equal(["purge 1 retained", "identify 2"], _rig.Commands);
        Assert.Equal(1, _rig.Count("cmd/identify/2/result"));
        Assert.False(_rig.Broker.Published.Single(m => m.Topic.EndsWith("cmd/identify/2/result", StringComparison.Ordinal)).Retained);
        Assert.Contains(_rig.Broker.Connection!.Acknowledged, m => m.Topic.EndsWith("cmd/identify/2", StringComparison.Ordinal));
    });

    [Fact]
    public void More_than_the_inbox_holds_is_dropped_and_counted() => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        for (var i = 0; i < 100; i++) _rig.Broker.Publish($"{Root}cmd/identify/{i}", "{}");
        await _rig.Pass(5);
        Assert.Equal(100, _rig.Commands.Count + _rig.Link.Status!.DroppedMessages);
        Assert.InRange(_rig.Commands.Count, MqttLink.InboxMax, MqttLink.InboxMax + 1);
    });

    [Fact]
    public void A_message_of_a_connection_that_has_ended_is_neither_carried_out_nor_acknowledged() => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        var first = _rig.Broker.Connection!;
        for (var i = 0; i < 10; i++) _rig.Broker.Publish($"{Root}cmd/identify/{i}", "{}");
        first.End("cut off");
        await _rig.Pass(5);
        Assert.InRange(_rig.Commands.Count, 0, 1);
        Assert.NotSame(first, _rig.Broker.Connection);
        Assert.DoesNotContain(_rig.Broker.Connection!.Acknowledged, m => m.Connection == first);
    });

    [Fact]
    public void Another_broker_is_gone_over_to_in_order_and_the_same_one_is_kept() => _rig.Run(async () =>
    {
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        var first = _rig.Broker.Connection!;
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        Assert.Same(first, _rig.Broker.Connection);
        _rig.Link.Use(LinkRig.Target(host: "other"));
        Assert.False(_rig.Link.Status!.Connected);
        await _rig.Pass(3);
        Assert.Equal((true, true, "other:1883"), (first.LeftInOrder, _rig.Link.Status!.Connected, _rig.Link.Status.Broker));
        _rig.Link.Use(null);
        await _rig.Pass(3);
        Assert.Null(_rig.Link.Status);
        Assert.Equal("offline", _rig.Broker.Json(Root + "availability"));
    });

    [Fact]
    public void A_topic_that_the_broker_refuses_does_not_hold_the_others_up() => _rig.Run(async () =>
    {
        _rig.Broker.Refuses = Root + "state";
        _rig.Link.Use(LinkRig.Target());
        await _rig.Pass(2);
        Assert.Contains(Root + "channel/scale/state", _rig.Broker.Retained.Keys);
        Assert.Equal($"{Root}state: refused", _rig.Link.Status!.Refusal);
    });
}
