namespace IoBufferEdge.Control;

/// <summary>
/// Notes whenever a status is taken whether a channel's cursor has moved since: who looks regularly sees how long delivery stands still,
/// and the data path has nothing to do with it. One caller at a time.
/// </summary>
internal sealed class DeliveryProgress(TimeProvider time)
{
    private readonly Dictionary<string, (long Cursor, long Since)> _channels = new(StringComparer.Ordinal);

    public ChannelStatus Note(ChannelStatus channel)
    {
        if (channel.MessagesWait && _channels.TryGetValue(channel.Id, out var last) && last.Cursor == channel.Cursor)
            return channel with { StandingStill = time.GetElapsedTime(last.Since) };
        _channels[channel.Id] = (channel.Cursor, time.GetTimestamp());
        return channel;
    }
}
