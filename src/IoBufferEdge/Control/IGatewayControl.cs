namespace IoBufferEdge.Control;

/// <summary>
/// What an operator may ask of a running gateway. Channels are named by their id; an answer of null or false: no such channel.
/// </summary>
public interface IGatewayControl
{
    GatewayStatus Status { get; }

    /// <summary>Stops delivering; receiving goes on until the buffer is full. Survives no restart.</summary>
    ValueTask<bool> PauseAsync(string channelId);

    ValueTask<bool> ResumeAsync(string channelId);

    /// <summary>Cuts a backoff short.</summary>
    ValueTask<bool> RetryNowAsync(string channelId);

    /// <summary>The parked messages in order.</summary>
    ValueTask<IReadOnlyList<ParkedEntry>?> ListParkedAsync(string channelId);

    /// <summary>Puts every parked message at the tail under a new number (rule 8); how many they were.</summary>
    ValueTask<int?> ReplayParkedAsync(string channelId);
}
