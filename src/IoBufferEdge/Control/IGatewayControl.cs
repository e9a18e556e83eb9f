using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Control;

/// <summary>
/// What an operator may ask of a running gateway. Channels are named by their id; an answer of null or false: no such channel.
/// Its twin, for tests of the control socket, notes what it was asked.
/// </summary>
public interface IGatewayControl
{
    GatewayStatus Status { get; }

    /// <summary>Holds a channel's delivery back, or lets it go on; receiving goes on until the buffer is full.</summary>
    bool SetPaused(string channelId, bool paused);

    /// <summary>Lets delivery go on, paused or not, where the receiver does not hold what it should.</summary>
    ResumeOutcome? Resume(string channelId, ResumeChoice choice);

    /// <summary>Cuts a backoff short.</summary>
    bool RetryNow(string channelId);

    /// <summary>Lets the LEDs show which device this is, for so long from now on.</summary>
    void Identify(TimeSpan span);

    /// <summary>What waits in a queue, from a number on, a page at a time; its channel may be disabled, or gone.</summary>
    /// <param name="offset">Bytes of the message <paramref name="from"/> itself that are not wanted again.</param>
    Task<QueuePage?> ReadQueueAsync(string queueId, long from, int offset, int count, CancellationToken cancel);

    /// <summary>Discards what waits now in a channel's queue and is not in flight; forgets a queue that has no channel.</summary>
    Task<PurgeOutcome?> PurgeQueueAsync(string queueId, CancellationToken cancel);

    /// <summary>The first parked messages in order; the channel may be disabled, or gone.</summary>
    Task<IReadOnlyList<ParkedMessage>?> ListParkedAsync(string queueId, CancellationToken cancel);

    /// <summary>Puts parked messages at the queue's tail under new numbers, in order.</summary>
    Task<SelectionOutcome?> ReplayParkedAsync(string channelId, MessageSelection selection, CancellationToken cancel);

    /// <summary>Queues copies of delivered messages that are retained (<c>retain_bytes</c>), under new numbers, in order.</summary>
    Task<SelectionOutcome?> ReplayRetainedAsync(string channelId, MessageSelection selection, CancellationToken cancel);

    /// <summary>Drops parked messages for good; the channel may be disabled, or gone.</summary>
    Task<SelectionOutcome?> DropParkedAsync(string queueId, MessageSelection selection, CancellationToken cancel);
}

/// <summary>What a purge discarded.</summary>
/// <param name="IsForgotten">The queue had no channel: it is gone, with what was parked in it.</param>
/// <param name="Parked">So many parked messages went with it.</param>
public sealed record PurgeOutcome(QueueTotals Discarded, bool IsForgotten, long Parked);
