using IoBufferEdge.Configuration;

namespace IoBufferEdge.Tests.Configuration;

public sealed class ChannelRulesTests
{
    private static readonly AckConfig Ack = new() { Type = AckType.Bytes, AckHex = "06" };

    private static ChannelConfig Channel() => new()
    {
        Id = "c",
        Source = new() { Type = EndpointType.TcpServer, Host = "127.0.0.1", Port = 7000 },
        Destination = new() { Type = EndpointType.TcpClient, Host = "127.0.0.1", Port = 8000 },
    };

    private static ChannelConfig Acknowledged(ConfirmConfig? confirm)
    {
        var channel = Channel();
        return channel with { Source = channel.Source with { Ack = Ack }, Destination = channel.Destination with { Confirm = confirm } };
    }

    [Fact]
    public void Delivery_is_as_configured_where_nothing_forces_it()
    {
        Assert.Equal(DeliveryMode.CutThrough, ChannelRules.EffectiveDelivery(Channel()));
        Assert.Equal(DeliveryMode.CutThrough, ChannelRules.EffectiveDelivery(Acknowledged(null)));
        var durable = Channel() with { Buffer = new() { Delivery = DeliveryMode.DurableFirst } };
        Assert.Equal(DeliveryMode.DurableFirst, ChannelRules.EffectiveDelivery(durable));
    }

    [Fact]
    public void An_acknowledged_source_whose_destination_confirms_nothing_is_written_first()
    {
        Assert.Equal(DeliveryMode.DurableFirst, ChannelRules.EffectiveDelivery(Acknowledged(new() { Type = ConfirmType.None })));
        var udp = Acknowledged(null) with { Destination = new() { Type = EndpointType.Udp, Host = "127.0.0.1", Port = 1 } };
        Assert.Equal(DeliveryMode.DurableFirst, ChannelRules.EffectiveDelivery(udp));
    }

    [Fact]
    public void A_remote_source_and_retained_messages_are_written_first()
    {
        var remote = Channel() with { Source = new() { Type = EndpointType.RemoteIcombuffer } };
        Assert.Equal(DeliveryMode.DurableFirst, ChannelRules.EffectiveDelivery(remote));
        Assert.Equal(DeliveryMode.DurableFirst, ChannelRules.EffectiveDelivery(Channel() with { Buffer = new() { RetainBytes = 1 } }));
    }

    [Fact]
    public void Acknowledged_bytes_are_held_for_a_second_where_the_source_has_an_ack()
    {
        Assert.Equal(0, ChannelRules.EffectiveHoldMs(Channel()));
        Assert.Equal(1000, ChannelRules.EffectiveHoldMs(Acknowledged(null)));
        Assert.Equal(5, ChannelRules.EffectiveHoldMs(Acknowledged(new() { Type = ConfirmType.Transport, HoldMs = 5 })));
        Assert.Equal(0, ChannelRules.EffectiveHoldMs(Acknowledged(new() { Type = ConfirmType.Mllp, HoldMs = 5 })));
    }

    [Fact]
    public void Channels_compare_by_the_content_of_their_lists()
    {
        var one = Polling("10.0.0.0/8");
        var same = Polling("10.0.0.0/8");
        var other = Polling("10.0.0.0/9");
        Assert.Equal(one, same);
        Assert.Equal(one.GetHashCode(), same.GetHashCode());
        Assert.NotEqual(one, other);
    }

    private static ChannelConfig Polling(string allowed) =>
        Channel() with { Source = Channel().Source with { Allow = [allowed], Poll = [new() { RequestHex = "01", IntervalMs = 1 }] } };
}
