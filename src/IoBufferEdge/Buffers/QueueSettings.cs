using IoBufferEdge.Configuration;

namespace IoBufferEdge.Buffers;

/// <summary>What a queue needs to know of its channel. Changes with Apply; the queue and its messages stay.</summary>
public sealed record QueueSettings
{
    public BufferConfig Buffer { get; init; } = new();

    /// <summary>The delivery mode in effect: rule 3 may force <see cref="DeliveryMode.DurableFirst"/>.</summary>
    public DeliveryMode Delivery { get; init; } = DeliveryMode.CutThrough;

    /// <summary>The source sends an application ack: <c>offline_delay_ms</c> never applies.</summary>
    public bool SourceAcknowledges { get; init; }

    /// <summary>Bound on what is unread or unacknowledged at the peer (rule 14).</summary>
    public long WindowBytes { get; init; } = 512 * 1024;

    /// <summary>How much delivered payload is kept in memory for a repeat; null: nothing, not even the newest message.</summary>
    public long? ResendBytes { get; init; } = 2 * 1024 * 1024;
}
