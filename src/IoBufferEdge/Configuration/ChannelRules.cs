namespace IoBufferEdge.Configuration;

/// <summary>What follows from a channel's configuration as a whole, beyond what one of its keys says.</summary>
public static class ChannelRules
{
    /// <summary>UDP payload of one datagram over IPv4: 65,535 less 20 bytes of IP header and 8 of UDP header.</summary>
    public const int DatagramMaxBytes = 65_507;

    /// <summary>How messages are delivered: as configured, unless rule 3 forces <see cref="DeliveryMode.DurableFirst"/>.</summary>
    public static DeliveryMode EffectiveDelivery(ChannelConfig channel) =>
        ForcesDurableFirst(channel) ? DeliveryMode.DurableFirst : channel.Buffer.Delivery;

    /// <summary>
    /// Rule 3: a forwarded remote message that its receiver forgets would come twice; a source that is acknowledged relies on us where its
    /// destination confirms nothing; what was never written cannot be retained.
    /// </summary>
    public static bool ForcesDurableFirst(ChannelConfig channel) =>
        channel.Source.Type == EndpointType.RemoteIcombuffer
        || (channel.Source.Ack is not null && ConfirmsNothing(channel.Destination))
        || channel.Buffer.RetainBytes > 0;

    /// <summary>Messages count as delivered when they were handed over: <c>confirm: none</c>, and always over UDP.</summary>
    public static bool ConfirmsNothing(DestinationConfig destination) =>
        destination.Type == EndpointType.Udp || destination.EffectiveConfirm.Type == ConfirmType.None;

    /// <summary>Rule 14: what was confirmed may have to be sent again. Not on a serial line: what has left it does not lie unread in a
    /// kernel. Not where another instance confirms: it holds that durably.</summary>
    public static bool KeepsForRepeat(DestinationConfig destination) => destination.Type switch
    {
        EndpointType.Udp => true,
        EndpointType.Serial or EndpointType.RemoteIcombuffer => false,
        _ => destination.EffectiveConfirm.Type == ConfirmType.Transport,
    };

    /// <summary>Rule 1: how long bytes must have been acknowledged before the cursor passes them, where that is the confirmation; else
    /// 0.</summary>
    public static int EffectiveHoldMs(ChannelConfig channel)
    {
        var confirm = channel.Destination.EffectiveConfirm;
        if (confirm.Type != ConfirmType.Transport) return 0;
        return confirm.HoldMs ?? (channel.Source.Ack is null ? 0 : 1000);
    }
}
