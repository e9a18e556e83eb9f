namespace IoBufferEdge.Buffers;

/// <summary>
/// The seam beneath every queue of the gateway: one store for the device, written by one committer, read by the delivery loops.
/// Its twins are <c>RocksBufferStore</c> and the simulation's store; one contract suite runs against both.
///
/// What it promises. A batch is atomic: after a crash all of it is there, or none. When <see cref="CommitAsync"/> returns, the
/// batch and everything before it survive a power cut. When it throws, the outcome is unknown: the batch may be readable now and
/// gone after a power cut; the caller reopens and writes it again. What <see cref="OpenAsync"/> reports is durable.
/// The store trims by itself: a block goes once a durable cursor has reached its last number, and what the queue retains does not.
/// Calls: one <see cref="OpenAsync"/> first; then one <see cref="CommitAsync"/>, <see cref="ReopenAsync"/> or <see cref="ReserveAsync"/>
/// at a time, reads beside it.
/// </summary>
public interface IBufferStore : IAsyncDisposable
{
    /// <summary>Opens the store, salvaging and quarantining what is damaged, and tells what it holds.</summary>
    /// <exception cref="StoreException">Nothing can be opened or created here (permissions, no such device).</exception>
    ValueTask<StoreOpening> OpenAsync();

    /// <summary>Writes one batch and syncs it.</summary>
    /// <exception cref="StoreException">Outcome unknown; call <see cref="ReopenAsync"/> before the next commit.</exception>
    ValueTask CommitAsync(CommitBatch batch);

    /// <summary>Closes and opens the engine after a failed commit. What reads back is durable only after a later commit.</summary>
    /// <exception cref="StoreException">Still failing: try again later; reads fail until then.</exception>
    ValueTask ReopenAsync();

    /// <summary>
    /// Sets room aside for a full medium (the ballast). False: there is too little, and no block may be written until there is, or the next
    /// failure could find no room to begin again in.
    /// </summary>
    ValueTask<bool> ReserveAsync();

    /// <summary>
    /// Shows the visitor the block of <paramref name="queue"/> that contains <paramref name="sequence"/>, or, if none does, the one
    /// with the lowest first number above it.
    /// </summary>
    ValueTask<BlockReading> ReadAsync(int queue, long sequence, IBlockVisitor visitor);

    /// <summary>Shows the queue's first parked message at or above <paramref name="from"/>, as a block of one message; none: nothing.</summary>
    ValueTask ReadParkedAsync(int queue, long from, IBlockVisitor visitor);

    /// <summary>Sizes and counters; cheap, may be asked at any time from any thread.</summary>
    StoreUsage Usage { get; }
}

/// <summary>Receives a block's bytes, which are valid only during the call.</summary>
public interface IBlockVisitor
{
    /// <param name="block">A whole block (<see cref="BlockFormat"/>), its checksum already verified.</param>
    void Visit(ReadOnlySpan<byte> block);
}

public enum BlockReadingStatus
{
    /// <summary>The visitor has seen a block.</summary>
    Found,

    /// <summary>There is no readable block at or above the number.</summary>
    End,

    /// <summary>A block that should hold the number is damaged; the next readable one begins at
    /// <see cref="BlockReading.ResumeAt"/>.</summary>
    Damaged,
}

/// <param name="Status">How it went.</param>
/// <param name="ResumeAt">With <see cref="BlockReadingStatus.Damaged"/>: the lowest readable number above the damage, or
/// <see cref="long.MaxValue"/> where nothing readable follows.</param>
public readonly record struct BlockReading(BlockReadingStatus Status, long ResumeAt = 0);

/// <summary>The store could not do what it was asked; the message names the file or device and the engine's reason.</summary>
public sealed class StoreException(string message, bool outOfSpace = false, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The medium is full (ENOSPC, EDQUOT): room may come back.</summary>
    public bool OutOfSpace { get; } = outOfSpace;
}

/// <summary>What a start found.</summary>
/// <param name="Generation">Random number of this store, from its creation to its quarantine.</param>
/// <param name="Queues">One entry per queue that was ever made here, also those without a channel today.</param>
/// <param name="RunningUs">The running time that the last durable batch carried, µs.</param>
/// <param name="Salvage">Null after an ordinary start; else one sentence that says what was damaged, what was read and where the rest
/// lies.</param>
public sealed record StoreOpening(long Generation, IReadOnlyList<QueueOpening> Queues, long RunningUs, string? Salvage)
{
    /// <summary>Highest queue number ever given here, also to queues that were removed: new queues get higher ones, in order.</summary>
    public int HighestQueue { get; init; }

    /// <summary>The medium had no room to set aside for records (the ballast).</summary>
    public bool WithoutReserve { get; init; }
}

/// <summary>One queue as a start found it. Sequence numbers begin at 1; 0 means "none yet".</summary>
public sealed record QueueOpening
{
    /// <summary>The channel's id: the queue's name for ever.</summary>
    public required string Id { get; init; }

    /// <summary>The queue's number in keys, 1..65535, never given twice.</summary>
    public required int Number { get; init; }

    /// <summary>Everything up to here is done.</summary>
    public long Cursor { get; init; }

    /// <summary>Highest number that any life has reserved: the next life begins above it.</summary>
    public long ReservedUpTo { get; init; }

    /// <summary>Highest number readable from a block, or the cursor where that is higher.</summary>
    public long LastDurable { get; init; }

    /// <summary>Cumulative counts at the cursor and at <see cref="LastDurable"/>: what is buffered is their difference.</summary>
    public QueueTotals TotalsAtCursor { get; init; }

    public QueueTotals TotalsAtEnd { get; init; }

    /// <summary>The counters of the last durable batch.</summary>
    public QueueCounters Counters { get; init; }

    /// <summary>The newest life records, ascending: all whose gaps lie above the cursor, and some that it has passed.</summary>
    public IReadOnlyList<LifeRecord> Lives { get; init; } = [];

    /// <summary>Durable discards above the cursor, ascending.</summary>
    public IReadOnlyList<SequenceRange> Discarded { get; init; } = [];

    /// <summary>Numbers that the high-water mark or the blocks themselves prove to be missing: lost, or delivered already.</summary>
    public IReadOnlyList<SequenceRange> Lost { get; init; } = [];

    /// <summary>What came from other instances' queues.</summary>
    public IReadOnlyList<(string Sender, IReadOnlyList<LifeMark> Lives)> Held { get; init; } = [];

    /// <summary>Idempotency keys and the numbers that were taken with them, ascending by number.</summary>
    public IReadOnlyList<(UInt128 Key, long Number)> Keys { get; init; } = [];

    public ReceiverNote Receiver { get; init; } = ReceiverNote.None;

    /// <summary>Delivered messages above it are there for a replay; null: the queue retains none.</summary>
    public RetainMark? RetainAfter { get; init; }

    /// <summary>Ends of runs of blocks in the retained part, ascending.</summary>
    public IReadOnlyList<RetainMark> RetainMarks { get; init; } = [];

    /// <summary>Numbers of the retained part that were not delivered.</summary>
    public IReadOnlyList<SequenceRange> Withheld { get; init; } = [];
}

/// <summary>How many messages and payload bytes a queue has taken since it was made, up to some sequence number.</summary>
public readonly record struct QueueTotals(long Messages, long Bytes)
{
    public static QueueTotals operator +(QueueTotals a, QueueTotals b) => new(a.Messages + b.Messages, a.Bytes + b.Bytes);

    public static QueueTotals operator -(QueueTotals a, QueueTotals b) => new(a.Messages - b.Messages, a.Bytes - b.Bytes);
}

/// <summary>The counters that ride in every batch (rule 11).</summary>
public readonly record struct QueueCounters
{
    public QueueTotals Delivered { get; init; }

    public QueueTotals Parked { get; init; }

    public QueueTotals Discarded { get; init; }

    public QueueTotals Lost { get; init; }

    /// <summary>Messages sent again: not part of the ledger's equation.</summary>
    public long Repeated { get; init; }
}

/// <summary>"Life <paramref name="Life"/> begins at <paramref name="BeginsAt"/>, recovered up to <paramref name="RecoveredUpTo"/>" (rule
/// 7): it explains the gap between the two.</summary>
public readonly record struct LifeRecord(long Life, long BeginsAt, long RecoveredUpTo)
{
    public SequenceRange Gap => new(RecoveredUpTo + 1, BeginsAt - 1);
}

/// <param name="DiskBytes">What the store takes on the medium, ballast included.</param>
/// <param name="FreeBytes">What the medium has left.</param>
/// <param name="WrittenBytes">Bytes handed to the medium by this process for the store.</param>
/// <param name="Commits">Batches synced by this process.</param>
/// <param name="Failures">Commits or reopenings that failed.</param>
public sealed record StoreUsage(long DiskBytes, long FreeBytes, long WrittenBytes, long Commits, long Failures);
