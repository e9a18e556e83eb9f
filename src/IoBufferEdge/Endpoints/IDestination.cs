using IoBufferEdge.Buffers;

namespace IoBufferEdge.Endpoints;

/// <summary>Where a channel's messages go. One life: <see cref="OpenAsync"/>, then any number of links one after the other,
/// dispose.</summary>
public interface IDestination : IAsyncDisposable
{
    /// <summary>Binds, reads certificates: what must hold before the channel counts as started.</summary>
    /// <exception cref="EndpointException">One sentence for the operator.</exception>
    ValueTask OpenAsync();

    /// <summary>Connects, or waits for the peer to connect, and completes with a link ready to send.</summary>
    /// <exception cref="EndpointException">Refused, unreachable, timed out, handshake failed: the caller backs off and tries
    /// again.</exception>
    ValueTask<IDestinationLink> ConnectAsync(CancellationToken cancel);

    /// <summary>Completes when the peer shows a sign of life that makes waiting out a backoff pointless (a new client connects, a cable is
    /// plugged).</summary>
    ValueTask WaitForPeerSignAsync(CancellationToken cancel);

    EndpointStatus Status { get; }

    /// <summary>Standing conditions of the peer that an operator should know, each a code and one sentence. Any thread.</summary>
    IReadOnlyList<KeyValuePair<string, string>> Alerts(ISenderQueue queue) => [];

    /// <summary>What an operator chose where the peer does not hold what it should; carried out at the next connect. Any thread.</summary>
    ResumeOutcome Resume(ResumeChoice choice, ISenderQueue queue) =>
        new(false, "Only a remote_icombuffer destination waits for this choice; without an option the channel goes on.");
}

/// <summary>How delivery goes on where the receiver does not hold what it should (rule 12).</summary>
public enum ResumeChoice
{
    /// <summary>From what the receiver holds now; what it will not take any more is kept aside.</summary>
    AcceptLoss,

    /// <summary>What waits is sent as if it had never been.</summary>
    Resend,
}

/// <summary>What became of a <see cref="ResumeChoice"/>.</summary>
/// <param name="IsTaken">False: nothing waited for it.</param>
/// <param name="Sentence">For the operator.</param>
public readonly record struct ResumeOutcome(bool IsTaken, string Sentence);

/// <summary>
/// One connection to the destination. The delivery loop calls <see cref="SendAsync"/> for one run after the other while
/// <see cref="WatchAsync"/> runs beside it; when either ends, the loop disposes the link and both return.
/// </summary>
public interface IDestinationLink : IAsyncDisposable
{
    /// <summary>How many messages may be offered without a confirmation: 1 where the peer can refuse (rule 8), else int.MaxValue.</summary>
    int MaxInFlightMessages { get; }

    /// <summary>
    /// Hands a run of messages to the transport, waiting while the window is full (rule 14). The run's memory stays valid until its
    /// last message is confirmed or the link has ended.
    /// </summary>
    /// <exception cref="Exception">The link is broken; the reason comes from <see cref="WatchAsync"/>.</exception>
    ValueTask SendAsync(DeliveryRun run, CancellationToken cancel);

    /// <summary>
    /// Watches the connection: reports confirmations and rejections, reads what the peer sends. Completes, never throws, when the
    /// connection has ended or <paramref name="cancel"/> asks for the end; on cancellation it first shuts down its sending side and waits
    /// up to 3 s for the peer's end (rule 10), going on to report confirmations meanwhile.
    /// </summary>
    Task<LinkEnd> WatchAsync(IDeliverySink sink, CancellationToken cancel);
}

/// <summary>What a link reports to: the channel's buffer. Any thread.</summary>
public interface IDeliverySink
{
    /// <summary>Everything sent on this link up to this number is confirmed, holds included.</summary>
    void Confirmed(long upTo);

    /// <summary>The peer refused this message, the only one in flight.</summary>
    /// <param name="permanent">It will never take it (AR, CR, nak): <c>on_reject</c> applies. Else (AE, CE) it is retried like a
    /// failure.</param>
    void Rejected(long sequence, bool permanent, string reason);

    /// <summary>This message, the only one in flight, is kept aside whatever <c>on_reject</c> says: the operator chose so.</summary>
    void SetAside(long sequence, string reason);

    /// <summary>
    /// How much may be unread or unacknowledged at the peer now (rule 14): <c>window_bytes</c>, less when memory is short or when the peer
    /// may hide much. Tells the buffer at the same time what is outstanding, so that it knows when it may keep less.
    /// </summary>
    /// <param name="outstandingBytes">What the peer has not acknowledged, or shows as unread in its window.</param>
    /// <param name="hiddenBytes">What may be unread beside that without its window showing it.</param>
    long WindowBytes(long outstandingBytes, long hiddenBytes);

    /// <summary>The queue that is delivered, for a receiver that knows messages by their identity.</summary>
    ISenderQueue Queue { get; }
}

/// <summary>How a link ended.</summary>
/// <param name="Orderly">The peer closed after it had acknowledged and, as far as can be seen, read everything: nothing need be
/// repeated.</param>
/// <param name="Reason">One short sentence for the operator.</param>
/// <param name="RepeatFrom">Repeat nothing below this number although it is kept (udp: what was sent in the last second); 0: all that is
/// kept.</param>
public readonly record struct LinkEnd(bool Orderly, string Reason, long RepeatFrom = 0);

/// <summary>
/// Messages with consecutive numbers that lie one after the other in memory: <see cref="Payload"/> is all of them. Reading
/// individual messages goes through the slab.
/// </summary>
public readonly struct DeliveryRun(Slab slab, int firstIndex, int count)
{
    public int Count { get; } = count;

    public long FirstSequence => slab.FirstSequence + firstIndex;

    public long LastSequence => FirstSequence + Count - 1;

    public ReadOnlyMemory<byte> Payload => slab.Payload(firstIndex, Count);

    /// <summary>A part of the run.</summary>
    public DeliveryRun Slice(int index, int length) => new(slab, firstIndex + index, length);

    /// <summary>One message of the run, where it lies.</summary>
    public SlabMessage At(int index) => new(slab, firstIndex + index);

    /// <summary>Payload of one message of the run.</summary>
    public ReadOnlyMemory<byte> Message(int index) => slab.Payload(firstIndex + index, 1);

    /// <summary>How many messages of the run end within its first <paramref name="bytes"/> bytes, when the framing adds
    /// <paramref name="overheadBytes"/> bytes to each.</summary>
    public int CountWithin(long bytes, int overheadBytes = 0) => slab.CountWithin(firstIndex, Count, bytes, overheadBytes);
}
