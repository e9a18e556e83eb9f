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

    /// <summary>What waits in a channel's queue, from a number on, a page at a time; the channel may be disabled.</summary>
    /// <param name="offset">Bytes of the message <paramref name="from"/> itself that are not wanted again.</param>
    Task<QueuePage?> ReadQueueAsync(string channelId, long from, int offset, int count);

    /// <summary>The first parked messages in order.</summary>
    Task<IReadOnlyList<ParkedMessage>?> ListParkedAsync(string channelId);

    /// <summary>Puts every parked message at the queue's tail under a new number, in order; how many they were.</summary>
    Task<int?> ReplayParkedAsync(string channelId, CancellationToken cancel);
}
