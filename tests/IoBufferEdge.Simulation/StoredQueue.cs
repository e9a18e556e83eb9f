using IoBufferEdge.Buffers;

namespace IoBufferEdge.Simulation;

/// <summary>How often the medium saw what.</summary>
public sealed class StoreEvents
{
    public int Commits { get; set; }

    public int Blocks { get; set; }

    public int Parks { get; set; }

    public int Discards { get; set; }

    public int Reservations { get; set; }

    public int FailedBatches { get; set; }

    /// <summary>Batches whose cursor lies below the one before: rule 10.</summary>
    public int WriteBacks { get; set; }
}

/// <summary>A batch as it was written: blocks encoded, nothing shared with the committer any more.</summary>
internal sealed class StoredBatch(CommitBatch batch)
{
    private readonly List<(QueueCommit Commit, List<StoredBlock> Blocks, List<StoredBlock> Parks)> _queues =
        [.. batch.Queues.Select(q => (Copy(q), q.Blocks.Select(StoredBlock.Encode).ToList(), q.Parks.Select(StoredBlock.Encode).ToList()))];

    public long RunningUs => batch.RunningUs;

    public int HighestQueue => _queues.Max(q => q.Commit.Queue);

    public bool HasBlocks => _queues.Exists(q => q.Blocks.Count > 0);

    public IEnumerable<(int Queue, SequenceRange Range)> Discards => _queues.SelectMany(q => q.Commit.Discards.Select(d => (q.Commit.Queue, d)));

    public long Bytes => _queues.Sum(q => q.Blocks.Sum(b => (long)b.Bytes.Length) + q.Parks.Sum(b => (long)b.Bytes.Length) + 100);

    public void ApplyTo(Dictionary<int, StoredQueue> image)
    {
        foreach (var (commit, blocks, parks) in _queues)
        {
            if (commit.Removes)
            {
                image.Remove(commit.Queue);
                continue;
            }

            if (commit.CreatesId is { } id) image.TryAdd(commit.Queue, new StoredQueue { Number = commit.Queue, Id = id });
            image[commit.Queue].Apply(commit, blocks, parks);
        }
    }

    public int CursorsThatFall(Dictionary<int, StoredQueue> image) =>
        _queues.Count(q => image.TryGetValue(q.Commit.Queue, out var queue) && q.Commit.Cursor < queue.Cursor);

    public void CountInto(StoreEvents seen)
    {
        foreach (var (commit, blocks, parks) in _queues)
        {
            seen.Blocks += blocks.Count;
            seen.Parks += parks.Count;
            seen.Discards += commit.Discards.Count;
            if (commit.BeginsLife is not null) seen.Reservations++;
        }
    }

    private static QueueCommit Copy(QueueCommit q) => new()
    {
        Queue = q.Queue,
        CreatesId = q.CreatesId,
        Removes = q.Removes,
        Cursor = q.Cursor,
        TotalsAtCursor = q.TotalsAtCursor,
        Counters = q.Counters,
        ReservedUpTo = q.ReservedUpTo,
        BeginsLife = q.BeginsLife,
        RenamesLives = [.. q.RenamesLives],
        Held = [.. q.Held],
        Keys = [.. q.Keys],
        ForgetsKeys = [.. q.ForgetsKeys],
        Receiver = q.Receiver,
        Unparks = [.. q.Unparks],
        RetainAfter = q.RetainAfter,
        Withholds = [.. q.Withholds],
        Discards = [.. q.Discards],
    };
}

internal sealed class StoredBlock
{
    public required byte[] Bytes { get; init; }

    public required long First { get; init; }

    public required long Last { get; init; }

    public bool Damaged { get; set; }

    /// <summary>Encodes the block and reads it back: what a queue hands to the store must be a block that says what it was announced as.</summary>
    public static StoredBlock Encode(PendingBlock pending)
    {
        var bytes = new byte[pending.EncodedLength];
        pending.EncodeTo(bytes);
        if (!BlockFormat.TryRead(bytes, out var block) || block.Header.FirstSequence != pending.FirstSequence ||
            block.Header.LastSequence != pending.LastSequence)
        {
            throw new InvalidOperationException($"Block {pending.FirstSequence}..{pending.LastSequence} is not what it was announced as.");
        }

        return new StoredBlock { Bytes = bytes, First = pending.FirstSequence, Last = pending.LastSequence };
    }

    public QueueTotals TotalsAfter()
    {
        BlockFormat.TryRead(Bytes, out var block);
        return block.Header.TotalsBefore + new QueueTotals(block.Header.Count, block.Header.PayloadBytes);
    }
}

/// <summary>One queue's records.</summary>
internal sealed class StoredQueue
{
    public required int Number { get; init; }

    private const int PassedKept = 64;

    public required string Id { get; init; }

    public long Cursor { get; private set; }

    public QueueTotals TotalsAtCursor { get; private set; }

    public QueueCounters Counters { get; private set; }

    public long ReservedUpTo { get; private set; }

    public List<LifeRecord> Lives { get; private init; } = [];

    /// <summary>By first number; of two that overlap, the later one in the list was written later.</summary>
    public List<StoredBlock> Blocks { get; private init; } = [];

    public SortedList<long, StoredBlock> Parks { get; private init; } = [];

    public List<SequenceRange> Discards { get; private init; } = [];

    /// <summary>Every number that was ever discarded.</summary>
    public HashSet<long> Discarded { get; private init; } = [];

    public Dictionary<string, IReadOnlyList<LifeMark>> Held { get; private init; } = [];

    public Dictionary<UInt128, long> Keys { get; private init; } = [];

    public ReceiverNote Receiver { get; private set; } = ReceiverNote.None;

    public RetainMark? RetainAfter { get; private set; }

    public List<SequenceRange> Withheld { get; private init; } = [];

    /// <summary>Blocks up to here may go.</summary>
    private long NeededAfter => Math.Min(Cursor, RetainAfter?.Sequence ?? Cursor);

    public long Bytes => Blocks.Sum(block => (long)block.Bytes.Length) + Parks.Values.Sum(block => (long)block.Bytes.Length);

    public StoredQueue Clone() => new()
    {
        Number = Number,
        Id = Id,
        Cursor = Cursor,
        TotalsAtCursor = TotalsAtCursor,
        Counters = Counters,
        ReservedUpTo = ReservedUpTo,
        Lives = [.. Lives],
        Blocks = [.. Blocks],
        Parks = new SortedList<long, StoredBlock>(Parks),
        Discards = [.. Discards],
        Discarded = [.. Discarded],
        Held = new Dictionary<string, IReadOnlyList<LifeMark>>(Held),
        Keys = new Dictionary<UInt128, long>(Keys),
        Receiver = Receiver,
        RetainAfter = RetainAfter,
        Withheld = [.. Withheld],
    };

    public void Apply(QueueCommit commit, List<StoredBlock> blocks, List<StoredBlock> parks)
    {
        Cursor = commit.Cursor;
        TotalsAtCursor = commit.TotalsAtCursor;
        Counters = commit.Counters;
        ReservedUpTo = Math.Max(ReservedUpTo, commit.ReservedUpTo);
        if (commit.BeginsLife is { } life) Lives.Add(life);
        foreach (var renamed in commit.RenamesLives)
        {
            Lives.RemoveAll(l => l.BeginsAt == renamed.BeginsAt);
            Lives.Add(renamed);
            Lives.Sort((a, b) => a.BeginsAt.CompareTo(b.BeginsAt));
        }

        foreach (var (sender, marks) in commit.Held) Held[sender] = marks;
        foreach (var (key, number) in commit.Keys) Keys[key] = number;
        foreach (var key in commit.ForgetsKeys) Keys.Remove(key);
        if (commit.Receiver is { } receiver) Receiver = receiver;
        RetainAfter = commit.RetainAfter;
        Withheld.AddRange(commit.Withholds);
        foreach (var block in blocks) Insert(block);
        foreach (var park in parks) Parks[park.First] = park;
        foreach (var number in commit.Unparks) Parks.Remove(number);
        Discards.AddRange(commit.Discards);
        foreach (var range in commit.Discards)
        {
            for (var number = range.First; number <= range.Last; number++) Discarded.Add(number);
        }

        // Records that the cursor has passed stay for a while, as on the real engine: a stop may set the cursor back.
        Blocks.RemoveAll(block => block.Last <= NeededAfter);
        Withheld.RemoveAll(range => range.Last <= NeededAfter);
        while (Lives.Count > PassedKept && Lives[PassedKept].Gap.Last <= Cursor) Lives.RemoveAt(0);
        while (Discards.Count > PassedKept && Discards[PassedKept].Last <= Cursor) Discards.RemoveAt(0);
    }

    /// <summary>The block that contains the number, the one written last if several do; else the lowest one above it.</summary>
    public StoredBlock? Find(long sequence)
    {
        StoredBlock? found = null;
        foreach (var block in Blocks)
        {
            if (block.First <= sequence && block.Last >= sequence && !block.Damaged) found = block;
        }

        if (found is not null) return found;
        return Blocks.Find(block => block.Last >= sequence);
    }

    /// <summary>The lowest number above <paramref name="damaged"/>'s first unread one that some whole block holds.</summary>
    public long ResumeAfter(StoredBlock damaged, long sequence)
    {
        var resume = long.MaxValue;
        foreach (var block in Blocks)
        {
            if (!block.Damaged && block.Last > sequence) resume = Math.Min(resume, Math.Max(block.First, sequence + 1));
        }

        return resume;
    }

    public QueueOpening ToOpening()
    {
        var whole = Blocks.Where(block => !block.Damaged).ToList();
        var end = whole.MaxBy(block => block.Last);
        return new QueueOpening
        {
            Id = Id,
            Number = Number,
            Cursor = Cursor,
            ReservedUpTo = ReservedUpTo,
            LastDurable = Math.Max(Cursor, end?.Last ?? 0),
            TotalsAtCursor = TotalsAtCursor,
            TotalsAtEnd = end is not null && end.Last > Cursor ? end.TotalsAfter() : TotalsAtCursor,
            Counters = Counters,
            Lives = [.. Lives.OrderBy(life => life.BeginsAt)],
            Held = [.. Held.Select(h => (h.Key, h.Value))],
            Keys = [.. Keys.OrderBy(k => k.Value).Select(k => (k.Key, k.Value))],
            Receiver = Receiver,
            RetainAfter = RetainAfter,
            RetainMarks = [.. whole.Where(block => block.Last < Cursor).Select(block => new RetainMark(block.Last, block.TotalsAfter().Bytes))],
            Withheld = [.. Withheld],
            Discarded = [.. Discards.Where(range => range.Last > Cursor).Distinct().OrderBy(range => range.First)],
            Lost = Holes(whole),
        };
    }

    /// <summary>Numbers between the cursor and the last block that no block, discard or life record accounts for.</summary>
    private List<SequenceRange> Holes(List<StoredBlock> whole)
    {
        var known = whole.Select(block => new SequenceRange(block.First, block.Last)).Concat(Discards).Concat(Lives.Select(life => life.Gap))
            .Concat(Parks.Keys.Select(number => new SequenceRange(number, number)))
            .Where(range => range.Count > 0 && range.Last > Cursor).OrderBy(range => range.First);
        var holes = new List<SequenceRange>();
        var next = Cursor + 1;
        var end = whole.Count == 0 ? Cursor : whole.Max(block => block.Last);
        foreach (var range in known)
        {
            if (range.First > end) break;
            if (range.First > next) holes.Add(new SequenceRange(next, range.First - 1));
            next = Math.Max(next, range.Last + 1);
        }

        return holes;
    }

    private void Insert(StoredBlock block)
    {
        var at = Blocks.FindLastIndex(other => other.First <= block.First) + 1;
        Blocks.Insert(at, block);
    }
}
