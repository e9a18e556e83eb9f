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
    private readonly List<(string Queue, SequenceRange Range, long Ticks)> _discarded = [];
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

    /// <summary>What synced batches held, so that a script can show that it came to all of it.</summary>
    public StoreEvents Seen { get; } = new();

    /// <summary>Parked for good: the record is synced.</summary>
    public bool IsParked(string queue, long sequence) => _folded.Values.Any(q => q.Id == queue && q.Parks.ContainsKey(sequence));

    /// <summary>Discarded for good, now or at any time before.</summary>
    public bool IsDiscarded(string queue, long sequence) => DiscardedAtTicks(queue, sequence) is not null;

    /// <summary>When the record that discards it was synced; null: never.</summary>
    public long? DiscardedAtTicks(string queue, long sequence)
    {
        foreach (var discard in _discarded)
            if (discard.Queue == queue && discard.Range.Contains(sequence)) return discard.Ticks;
        return null;
    }

    /// <summary>The numbers that read back now: above the cursor, parked, discarded.</summary>
    public HashSet<long> Readable(string queue)
    {
        var numbers = new HashSet<long>();
        foreach (var stored in Written.Values.Where(q => q.Id == queue))
        {
            foreach (var block in stored.Blocks.Where(block => !block.Damaged))
            {
                for (var number = Math.Max(block.First, stored.Cursor + 1); number <= block.Last; number++) numbers.Add(number);
            }

            numbers.UnionWith(stored.Parks.Keys);
            numbers.UnionWith(stored.Discarded);
        }

        return numbers;
    }

    /// <summary>The highest number of a queue that reads back, or that its cursor has passed.</summary>
    public long LastDurableOf(string queue) => Written.Values.FirstOrDefault(q => q.Id == queue)?.ToOpening().LastDurable ?? 0;

    /// <summary>What a queue has written of its receiver.</summary>
    public ReceiverNote ReceiverOf(string queue) => Written.Values.FirstOrDefault(q => q.Id == queue)?.Receiver ?? ReceiverNote.None;

    /// <summary>The mark that a queue has written of a sender's life; 0: none.</summary>
    public long MarkOf(string queue, string sender, long life) =>
        Written.Values.FirstOrDefault(q => q.Id == queue)?.Held.GetValueOrDefault(sender)?.FirstOrDefault(m => m.Life == life).Sequence ?? 0;

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

    /// <summary>A copy of everything that is synced: what a backup tool takes of a machine that is switched off.</summary>
    public SimulatedDisk Copy() => new(scheduler)
    {
        _folded = Clone(_folded),
        Written = Clone(_folded),
        RunningUs = RunningUs,
        HighestQueue = HighestQueue,
    };

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

    /// <summary>Counts what a synced batch held.</summary>
    internal void Tally(StoredBatch batch)
    {
        Seen.Commits++;
        batch.CountInto(Seen);
    }

    internal void Write(StoredBatch batch)
    {
        _log.Add(new LogEntry(_currentLog, batch));
        Seen.WriteBacks += batch.CursorsThatFall(Written);
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
        foreach (var (queue, range) in entry.Batch.Discards) _discarded.Add((_folded[queue].Id, range, scheduler.NowTicks));
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
