using IoBufferEdge.Buffers;

namespace IoBufferEdge.Simulation;

/// <summary>
/// What a store has on its medium: survives the process. Two states are kept apart, as in every real file system: what is written
/// (page cache: every process on this machine reads it) and what is synced (a power cut leaves it).
///
/// The fault model. A batch is atomic. A killed process leaves everything written. A power cut leaves everything synced and a random
/// prefix of the rest. Unsynced batches belong to the log of the process that wrote them; a power cut that tears an old log drops
/// every later log with it, synced or not, as the real engine does: unless the next process made the old log durable before it
/// opened the store (rule 7), which <see cref="SimulatedStore"/> does.
/// </summary>
public sealed class SimulatedDisk(Scheduler scheduler)
{
    private readonly Random _random = scheduler.Derive("disk");
    private readonly List<LogEntry> _log = [];
    private Dictionary<int, StoredQueue> _folded = [];
    private readonly List<(string Queue, SequenceRange Range)> _discarded = [];
    private int _currentLog;

    /// <summary>What reads back now.</summary>
    internal Dictionary<int, StoredQueue> Written { get; private set; } = [];

    internal long Generation { get; } = scheduler.Derive("generation").NextInt64(1, long.MaxValue);

    internal long RunningUs { get; private set; }

    internal int HighestQueue { get; private set; }

    internal Scheduler Scheduler => scheduler;

    internal Random Random => _random;

    /// <summary>Time that writing takes, and the sync after it.</summary>
    public TimeSpan WriteTimeMin { get; set; } = TimeSpan.FromMilliseconds(0.1);

    public TimeSpan WriteTimeMax { get; set; } = TimeSpan.FromMilliseconds(4);

    public TimeSpan SyncTimeMax { get; set; } = TimeSpan.FromMilliseconds(8);

    /// <summary>Reads take up to this long; zero: they complete at once.</summary>
    public TimeSpan ReadTimeMax { get; set; }

    /// <summary>ENOSPC: batches with blocks fail; what the ballast is for (cursor, park, discard) passes.</summary>
    public bool Full { get; set; }

    /// <summary>The share of commits that fail, half of them although written.</summary>
    public double CommitFailureRate { get; set; }

    /// <summary>The share of reopenings that fail.</summary>
    public double ReopenFailureRate { get; set; }

    /// <summary>Plants the bug that rule 7 forbids: a start does not make the former process's log durable.</summary>
    public bool SkipPresync { get; set; }

    /// <summary>Bytes that blocks and parked messages take, as written.</summary>
    public long BlockBytes => Written.Values.Sum(queue => queue.Bytes);

    /// <summary>Ranges of sequence numbers that <see cref="FlipBit"/> has damaged, per queue's id.</summary>
    public List<(string Queue, SequenceRange Range)> Damage { get; } = [];

    /// <summary>Parked for good: the record is synced.</summary>
    public bool IsParked(string queue, long sequence) => _folded.Values.Any(q => q.Id == queue && q.Parks.ContainsKey(sequence));

    /// <summary>Discarded for good, now or at any time before.</summary>
    public bool IsDiscarded(string queue, long sequence) => _discarded.Exists(d => d.Queue == queue && d.Range.Contains(sequence));

    /// <summary>The numbers above the cursor that read back now.</summary>
    public HashSet<long> Readable(string queue)
    {
        var numbers = new HashSet<long>();
        foreach (var stored in Written.Values.Where(q => q.Id == queue))
        {
            foreach (var block in stored.Blocks.Where(block => !block.Damaged))
            {
                for (var number = Math.Max(block.First, stored.Cursor + 1); number <= block.Last; number++) numbers.Add(number);
            }
        }

        return numbers;
    }

    /// <summary>The machine loses power: call after the processes on it are gone.</summary>
    public void PowerCut()
    {
        var logs = _log.Select(entry => entry.Log).Distinct().ToList();
        var kept = new List<LogEntry>();
        foreach (var log in logs)
        {
            var entries = _log.Where(entry => entry.Log == log).ToList();
            var synced = entries.Count(entry => entry.Synced);
            var survive = synced + _random.Next(entries.Count - synced + 1);
            kept.AddRange(entries.Take(survive));
            if (survive < entries.Count) break;
        }

        scheduler.Trace.Add(scheduler, "disk.power_cut", null, _log.Count, kept.Count);
        _log.Clear();
        foreach (var entry in kept) Fold(entry);
        Written = Clone(_folded);
    }

    /// <summary>Damages one stored block of some queue for good. False when there is none that a later one follows.</summary>
    public bool FlipBit()
    {
        var candidates = Written.Values.OrderBy(queue => queue.Number).Where(queue => queue.Blocks.Count > 1).ToList();
        if (candidates.Count == 0) return false;
        var queue = candidates[_random.Next(candidates.Count)];
        var block = queue.Blocks[_random.Next(queue.Blocks.Count - 1)];
        if (block.Damaged) return false;
        block.Bytes[BlockFormat.HeaderBytes + _random.Next(block.Bytes.Length - BlockFormat.HeaderBytes)] ^= (byte)(1 << _random.Next(8));
        block.Damaged = true;
        Damage.Add((queue.Id, new SequenceRange(block.First, block.Last)));
        scheduler.Trace.Add(scheduler, "disk.bit_flip", queue.Id, block.First, block.Last);
        return true;
    }

    /// <summary>A process opens the store.</summary>
    internal void BeginLog()
    {
        if (!SkipPresync) Sync();
        _currentLog++;
    }

    internal void Write(StoredBatch batch)
    {
        _log.Add(new LogEntry(_currentLog, batch));
        batch.ApplyTo(Written);
        RunningUs = Math.Max(RunningUs, batch.RunningUs);
        HighestQueue = Math.Max(HighestQueue, batch.HighestQueue);
    }

    /// <summary>Makes what this process has written durable, and, but for the planted bug, everything before it.</summary>
    internal void Sync()
    {
        foreach (var entry in _log)
        {
            if (!SkipPresync || entry.Log == _currentLog) entry.Synced = true;
        }

        while (_log.Count > 0 && _log[0].Synced)
        {
            Fold(_log[0]);
            _log.RemoveAt(0);
        }
    }

    /// <summary>The engine is opened again after a failed batch: what was not synced may be gone.</summary>
    internal void Reopen()
    {
        var unsynced = _log.FindIndex(entry => entry.Log == _currentLog && !entry.Synced);
        if (unsynced < 0 || _random.Next(2) == 0) return;
        scheduler.Trace.Add(scheduler, "disk.unsynced_gone", null, _log.Count - unsynced);
        _log.RemoveRange(unsynced, _log.Count - unsynced);
        Written = Clone(_folded);
        foreach (var entry in _log) entry.Batch.ApplyTo(Written);
    }

    private void Fold(LogEntry entry)
    {
        entry.Batch.ApplyTo(_folded);
        foreach (var (queue, range) in entry.Batch.Discards) _discarded.Add((_folded[queue].Id, range));
    }

    private static Dictionary<int, StoredQueue> Clone(Dictionary<int, StoredQueue> image) =>
        image.ToDictionary(pair => pair.Key, pair => pair.Value.Clone());

    private sealed class LogEntry(int log, StoredBatch batch)
    {
        public int Log => log;

        public StoredBatch Batch => batch;

        public bool Synced { get; set; }
    }
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
        Unparks = [.. q.Unparks],
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
    };

    public void Apply(QueueCommit commit, List<StoredBlock> blocks, List<StoredBlock> parks)
    {
        Cursor = commit.Cursor;
        TotalsAtCursor = commit.TotalsAtCursor;
        Counters = commit.Counters;
        ReservedUpTo = Math.Max(ReservedUpTo, commit.ReservedUpTo);
        if (commit.BeginsLife is { } life) Lives.Add(life);
        foreach (var block in blocks) Insert(block);
        foreach (var park in parks) Parks[park.First] = park;
        foreach (var number in commit.Unparks) Parks.Remove(number);
        Discards.AddRange(commit.Discards);

        Blocks.RemoveAll(block => block.Last <= Cursor);
        Lives.RemoveAll(record => record.Gap.Last <= Cursor);
        Discards.RemoveAll(range => range.Last <= Cursor);
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
            Discarded = [.. Discards.OrderBy(range => range.First)],
            Lost = Holes(whole),
        };
    }

    /// <summary>Numbers between the cursor and the last block that no block, discard or life record accounts for.</summary>
    private List<SequenceRange> Holes(List<StoredBlock> whole)
    {
        var known = whole.Select(block => new SequenceRange(block.First, block.Last)).Concat(Discards).Concat(Lives.Select(life => life.Gap))
            .Concat(Parks.Keys.Select(number => new SequenceRange(number, number)))
            .Where(range => range.Count > 0).OrderBy(range => range.First);
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
