using IoBufferEdge.Buffers;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// Where a channel's messages come from. One life: <see cref="OpenAsync"/>, <see cref="RunAsync"/>, dispose.
/// Twin: the simulation runs the real sources over a simulated network.
/// </summary>
public interface ISource : IAsyncDisposable
{
    /// <summary>Binds, reads certificates: what must hold before the channel counts as started.</summary>
    /// <exception cref="EndpointException">One sentence for the operator.</exception>
    ValueTask OpenAsync();

    /// <summary>
    /// Receives frames until <paramref name="stop"/>: reads the socket, splits it into frames, appends them to <paramref name="sink"/>,
    /// waits where the sink has no room, acknowledges what is secured. Reconnects by itself. When stopped it takes no new connection,
    /// reads out what the kernel held at that moment, appends an unfinished frame as <see cref="MessageFlags.Partial"/>, waits until its
    /// acknowledgements have gone out (bounded by the sink, which fails its waits when the channel gives up) and returns.
    /// </summary>
    Task RunAsync(IMessageSink sink, CancellationToken stop);

    /// <summary>What the endpoint is doing; cheap, from any thread.</summary>
    EndpointStatus Status { get; }
}

/// <summary>What a source hands its frames to: the channel's buffer.</summary>
public interface IMessageSink
{
    /// <summary>
    /// Appends a message: copies it and gives it the next sequence number. False when there is no room now; nothing was taken then,
    /// wait with <see cref="WaitForRoomAsync"/> and offer it again. 0 as <paramref name="sequence"/> of an accepted message: policy
    /// discarded it (counted; acknowledge it like any other). Any thread.
    /// </summary>
    bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence);

    /// <summary>
    /// The same for a message from another instance. Its mark (or key) is written in the same batch as the message itself: both are durable, or
    /// neither. It is in <see cref="HeldFrom"/> at once. Who calls has checked that the message is new and follows what is held.
    /// </summary>
    bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence);

    /// <summary>What this queue holds from one sender, that which is not secured yet with it.</summary>
    HeldMarks HeldFrom(string sender);

    /// <summary>The number under which a message with this idempotency key was taken; null: none of the last 1,024 has it.</summary>
    long? FindKey(UInt128 key);

    /// <summary>Makes what was appended known to the destination and the committer. Once per read, not per message.</summary>
    void Publish();

    /// <summary>Completes when a message of so many bytes may have room. Always ask <see cref="TryAppend"/> again afterwards.</summary>
    /// <exception cref="OperationCanceledException">The token, or the channel gave up.</exception>
    ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel);

    /// <summary>Everything up to this number is secured (rule 1): it may be acknowledged.</summary>
    long SecuredSequence { get; }

    /// <summary>Completes when <paramref name="sequence"/> is secured.</summary>
    /// <exception cref="OperationCanceledException">The token, or the channel gave up: do not acknowledge.</exception>
    ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel);
}

/// <summary>An endpoint cannot do what it was asked. The message is one sentence that names the address, file or device and the
/// reason.</summary>
public sealed class EndpointException(string message, Exception? inner = null) : Exception(message, inner);

public enum EndpointState
{
    Closed,
    Opening,

    /// <summary>Bound, or trying: no peer yet.</summary>
    Waiting,

    Connected,
}

/// <param name="Detail">The peer, or why there is none; one short sentence or null.</param>
/// <param name="Connections">Peers connected now.</param>
/// <param name="Counters">Named event counts of this endpoint since it opened (refused_clients, oversize, partial, kernel_drops, naks …):
/// snake_case.</param>
public sealed record EndpointStatus(
    EndpointState State, string? Detail, int Connections, IReadOnlyList<KeyValuePair<string, long>> Counters)
{
    public static EndpointStatus Closed { get; } = new(EndpointState.Closed, null, 0, []);
}
