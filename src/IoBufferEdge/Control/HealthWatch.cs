namespace IoBufferEdge.Control;

/// <summary>
/// Judges by progress, not by process, whether the gateway does its work; feeds <c>/healthz</c> and the watchdog. A fault is ours when
/// what a channel has received is not secured although nothing outside can prevent it, or when the store fails. A peer that is away,
/// slow or refusing is no fault of ours, and a channel that an operator paused neither.
/// Call <see cref="Judge"/> from one thread at a time, every few seconds.
/// </summary>
/// <param name="patience">How long what should move may stand still: well above a slow disk's longest sync.</param>
public sealed class HealthWatch(TimeProvider time, TimeSpan patience)
{
    private readonly Dictionary<string, (long Secured, long Since)> _channels = [];

    /// <summary>What is wrong through our own fault, one sentence each; empty when healthy.</summary>
    public HealthReport Judge(GatewayStatus status)
    {
        var stalled = status.Channels.Where(IsStalled).Select(channel =>
            $"Channel {channel.Id} has not secured a message for {StatusText.Span(StandingStill(channel.Id))} although "
            + $"{channel.UnsecuredMessages} wait.").ToList();
        return new HealthReport(stalled, status.Store.Error is { } error ? $"The store fails: {error}" : null);
    }

    private bool IsStalled(ChannelStatus channel)
    {
        var moving = channel.UnsecuredMessages == 0
            || !_channels.TryGetValue(channel.Id, out var last) || last.Secured != channel.SecuredSequence;
        if (moving) _channels[channel.Id] = (channel.SecuredSequence, time.GetTimestamp());
        return !moving && StandingStill(channel.Id) >= patience;
    }

    private TimeSpan StandingStill(string channelId) => time.GetElapsedTime(_channels[channelId].Since);
}

/// <param name="Stalled">Channels that stand still through our own fault.</param>
/// <param name="StoreError">Null while the store works.</param>
public sealed record HealthReport(IReadOnlyList<string> Stalled, string? StoreError)
{
    public bool IsHealthy => Stalled.Count == 0 && StoreError is null;

    /// <summary>A restart may help: something stands still and the disk is not the reason.</summary>
    public bool NeedsRestart => Stalled.Count > 0 && StoreError is null;

    public override string ToString() =>
        IsHealthy ? "ok" : string.Join('\n', StoreError is null ? Stalled : [StoreError, .. Stalled]);
}
