namespace IoBufferEdge.Buffers;

/// <summary>What the committer takes in one instant, for all queues, and the store writes with one sync.</summary>
public sealed class CommitBatch
{
    /// <summary>One entry per queue that has something to write.</summary>
    public List<QueueCommit> Queues { get; } = [];

    /// <summary>The next blocks go into a new segment: asked for after a failed batch and before what a stop writes back.</summary>
    public bool BeginSegment { get; set; }

    /// <summary>This process's life, a random number; goes into the high-water mark.</summary>
    public long Life { get; init; }

    /// <summary>Running time of the gateway over all its lives, µs; the next life counts on from here.</summary>
    public long RunningUs { get; init; }
}

/// <summary>One queue's share of a batch. Everything in it belongs to the same instant (rule 4).</summary>
public sealed class QueueCommit
{
    public required int Queue { get; init; }

    /// <summary>Set in the batch that makes the queue: its name is bound to its number for ever.</summary>
    public string? CreatesId { get; init; }

    /// <summary>Forgets the queue with everything in it (purge); all other members are ignored.</summary>
    public bool Removes { get; init; }

    /// <summary>Everything up to here is done. It falls only in the batch that a stop writes back (rule 10).</summary>
    public long Cursor { get; init; }

    public QueueTotals TotalsAtCursor { get; init; }

    public QueueCounters Counters { get; init; }

    /// <summary>Numbers up to here may be given out once the batch is durable.</summary>
    public long ReservedUpTo { get; init; }

    public LifeRecord? BeginsLife { get; init; }

    /// <summary>Lives that begin inside the queue instead of those that are known, so that a receiver takes what waits as new.</summary>
    public IReadOnlyList<LifeRecord> RenamesLives { get; init; } = [];

    /// <summary>Ascending, without overlap, all above the cursor.</summary>
    public IReadOnlyList<PendingBlock> Blocks { get; init; } = [];

    /// <summary>Messages to keep aside, each as a block of one message. A number that is parked twice keeps one record.</summary>
    public IReadOnlyList<PendingBlock> Parks { get; init; } = [];

    /// <summary>Parked messages that go back into the queue as new messages of this same batch (replay).</summary>
    public IReadOnlyList<long> Unparks { get; init; } = [];

    /// <summary>Numbers discarded by policy; the store forgets the record once the cursor has passed it.</summary>
    public IReadOnlyList<SequenceRange> Discards { get; init; } = [];

    /// <summary>Delivered messages above it stay for a replay; null: the queue retains none.</summary>
    public RetainMark? RetainAfter { get; init; }

    /// <summary>What was retained goes, to make room.</summary>
    public bool GivesUpRetained { get; init; }

    /// <summary>Numbers that a replay must not send: parked or discarded.</summary>
    public IReadOnlyList<SequenceRange> Withholds { get; init; } = [];

    /// <summary>All marks of senders whose messages are in this batch: what they say of each is in it, or was in one before.</summary>
    public IReadOnlyList<(string Sender, IReadOnlyList<LifeMark> Lives)> Held { get; init; } = [];

    /// <summary>Idempotency keys of messages of this batch, and those that are old enough to be forgotten.</summary>
    public IReadOnlyList<(UInt128 Key, long Number)> Keys { get; init; } = [];

    public IReadOnlyList<UInt128> ForgetsKeys { get; init; } = [];

    /// <summary>What is known of the instance behind the destination as of this cursor; null: nothing new.</summary>
    public ReceiverNote? Receiver { get; init; }
}

/// <summary>A block that is encoded only when the store has a place for it, straight from the tail.</summary>
public abstract class PendingBlock
{
    public long FirstSequence { get; protected set; }

    public long LastSequence { get; protected set; }

    /// <summary>Exact size of the encoded block in bytes.</summary>
    public int EncodedLength { get; protected set; }

    /// <summary>Writes the whole block into <paramref name="destination"/>, which has exactly <see cref="EncodedLength"/> bytes.</summary>
    public abstract void EncodeTo(Span<byte> destination);
}
