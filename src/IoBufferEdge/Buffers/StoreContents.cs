using IoBufferEdge.Interop.LibRocksDb;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>A block of the open segment: kept to know what a range delete may take.</summary>
internal readonly record struct OpenBlock(long Last, int Bytes);

/// <summary>A queue's blocks in the open segment.</summary>
internal sealed class OpenQueue
{
    public Queue<OpenBlock> Blocks { get; } = new();

    /// <summary>Highest number written in this segment.</summary>
    public long Last { get; set; }

    /// <summary>Consumed and not yet deleted: bytes, and the last number of them.</summary>
    public long ConsumedBytes { get; set; }

    public long ConsumedLast { get; set; }

    /// <summary>Everything up to here is deleted.</summary>
    public long DeletedLast { get; set; }
}

/// <summary>
/// What the engine holds, in memory: the queues' records, the index of segments, the blocks of the open segment. Loading reads the
/// records, the summaries, and the segments that have none: it takes the same time whatever the backlog. What it cannot read it
/// leaves out and tells: <see cref="DamagedRecords"/>, and <see cref="Missing"/> for the numbers.
/// </summary>
internal sealed class StoreContents
{
    private readonly bool _verify;
    private readonly Dictionary<int, List<SequenceRange>> _accountedFor = [];
    private readonly List<(int Queue, long First)> _damagedBlocks = [];

    private StoreContents(bool verify) => _verify = verify;

    public long Generation { get; private set; }

    public long RunningUs { get; set; }

    public int HighestQueue { get; set; }

    public uint OpenSegment { get; set; } = 1;

    /// <summary>Bytes of blocks in the open segment.</summary>
    public long OpenBytes { get; set; }

    public SortedDictionary<int, QueueState> Queues { get; } = [];

    public SegmentIndex Index { get; } = new();

    public Dictionary<int, OpenQueue> Open { get; } = [];

    /// <summary>Segments that have a summary record.</summary>
    public HashSet<uint> Summarized { get; } = [];

    /// <summary>Records whose checksum does not hold.</summary>
    public int DamagedRecords { get; private set; }

    /// <summary>Reads everything. Null for a store that nobody has written yet.</summary>
    /// <exception cref="RocksException">The engine cannot read one of its files.</exception>
    /// <exception cref="StoreException">The store was written by a newer version.</exception>
    /// <param name="engine">Open, for reading at least.</param>
    /// <param name="verify">False: reads on through what the engine's checksums refuse; records and blocks carry their own.</param>
    public static StoreContents? Load(RocksEngine engine, bool verify = true)
    {
        var contents = new StoreContents(verify);
        contents.LoadQueues(engine);
        if (contents.Generation == 0 && contents.DamagedRecords == 0) return null;
        contents.LoadSegments(engine);
        return contents;
    }

    public static StoreContents Create(long generation) => new(verify: true) { Generation = generation };

    public OpenQueue OpenOf(int queue)
    {
        if (!Open.TryGetValue(queue, out var open)) Open.Add(queue, open = new OpenQueue());
        return open;
    }

    /// <summary>Numbers between cursor and end that should be here, are not, and that nothing explains, as of the load.</summary>
    /// <param name="number">The queue's number.</param>
    /// <param name="mark">What the high-water mark says of it, if anything.</param>
    /// <param name="damage">True when the hole is more than blocks whose own checksum failed: the store's files lost something.</param>
    public List<SequenceRange> Missing(int number, MarkEntry? mark, out bool damage)
    {
        var queue = Queues[number];
        List<SequenceRange> accountedFor =
            [.. _accountedFor.GetValueOrDefault(number, []), .. queue.Lives.Select(l => l.Gap), .. queue.Discards];
        var whole = new SequenceRange(queue.Cursor + 1, Math.Max(queue.LastWritten, mark?.LastDurable ?? 0));
        var missing = Subtract(whole, accountedFor);
        damage = Subtract(whole, [.. accountedFor, .. queue.Missed])
            .Exists(hole => !_damagedBlocks.Exists(b => b.Queue == number && hole.Contains(b.First)));
        return missing;
    }

    /// <summary>All numbers above the cursor that are missing: what the load found, and what an earlier salvage did not find.</summary>
    public IEnumerable<SequenceRange> Lost(int number, MarkEntry? mark)
    {
        var cursor = Queues[number].Cursor;
        return Missing(number, mark, out _).Union(Queues[number].Missed.Where(m => m.Last > cursor)).OrderBy(m => m.First);
    }

    /// <summary>What the high-water mark knows and this store does not: it lost something.</summary>
    public bool IsBehind(Mark mark) =>
        mark.Generation == Generation && mark.Queues.Any(m =>
            !Queues.TryGetValue(m.Key, out var queue) || queue.Cursor < m.Value.Cursor || queue.ReservedUpTo < m.Value.ReservedUpTo);

    internal static List<SequenceRange> Subtract(SequenceRange whole, List<SequenceRange> parts)
    {
        var rest = new List<SequenceRange>();
        var next = whole.First;
        foreach (var part in parts.OrderBy(p => p.First))
        {
            if (part.First > next && next <= whole.Last) rest.Add(new SequenceRange(next, Math.Min(part.First - 1, whole.Last)));
            next = Math.Max(next, part.Last + 1);
        }

        if (next <= whole.Last) rest.Add(new SequenceRange(next, whole.Last));
        return rest;
    }

    private void LoadQueues(RocksEngine engine)
    {
        ForEach(engine, 'V', (_, value) =>
        {
            var format = StoreRecords.ReadU32(value);
            if (format > StoreRecords.FormatVersion)
            {
                throw new StoreException(
                    $"The store has format version {format}, this program knows up to {StoreRecords.FormatVersion}: " +
                    "start the newer program again.");
            }

            Generation = StoreRecords.ReadI64(value[sizeof(uint)..]);
        });
        ForEach(engine, 'N', (_, value) => HighestQueue = (int)StoreRecords.ReadU32(value));
        ForEach(engine, 'O', (_, value) => OpenSegment = StoreRecords.ReadU32(value));
        ForEach(engine, 'C', (_, value) => RunningUs = StoreRecords.ReadI64(value));
        ForEach(engine, 'K', (key, value) =>
        {
            var number = StoreRecords.QueueOf(key);
            Queues.Add(number, StoreRecords.ReadState(value));
            HighestQueue = Math.Max(HighestQueue, number);
        });
        ForEachNumber(engine, 'L', (queue, begin, value) =>
            queue.Lives.Add(new LifeRecord(StoreRecords.ReadI64(value), begin, StoreRecords.ReadI64(value, 1))));
        ForEachNumber(engine, 'D', (queue, first, value) => queue.Discards.Add(new SequenceRange(first, StoreRecords.ReadI64(value))));
        ForEachNumber(engine, 'X', (queue, first, value) => queue.Missed.Add(new SequenceRange(first, StoreRecords.ReadI64(value))));
        ForEachQueue(engine, 'T', (queue, _, value) => queue.RetainAfter = new RetainMark(StoreRecords.ReadI64(value), StoreRecords.ReadI64(value, 1)));
        ForEachNumber(engine, 'U', (queue, first, value) => queue.Withheld.Add(new SequenceRange(first, StoreRecords.ReadI64(value))));
        ForEachQueue(engine, 'M', (queue, key, value) => queue.Held[StoreRecords.SenderOf(key)] = StoreRecords.ReadMarks(value));
        ForEachQueue(engine, 'I', (queue, key, value) => queue.Keys[StoreRecords.IdempotencyHashOf(key)] = StoreRecords.ReadI64(value));
        ForEachQueue(engine, 'R', (queue, _, value) => queue.Receiver = StoreRecords.ReadReceiver(value));
        foreach (var (number, queue) in Queues) LoadParkedAbove(engine, number, queue.Cursor);
    }

    private void LoadParkedAbove(RocksEngine engine, int queue, long cursor)
    {
        var lower = StoreRecords.NumberKey('P', queue, cursor + 1);
        using var iterator = engine.NewIterator(RecordsFamily, lower, StoreRecords.NumberKey('P', queue, long.MaxValue));
        for (iterator.Seek(lower); iterator.IsValid; iterator.Next())
            Account(queue, StoreRecords.NumberOf(iterator.Key), StoreRecords.NumberOf(iterator.Key));
        iterator.ThrowIfFailed();
    }

    private void LoadSegments(RocksEngine engine)
    {
        ForEach(engine, 'S', (key, value) =>
        {
            var segment = StoreRecords.SegmentOf(key);
            Summarized.Add(segment);
            foreach (var (queue, span) in StoreRecords.ReadSummary(value.ToArray()))
            {
                if (!Queues.TryGetValue(queue, out var state) || span.Last <= state.NeededAfter) continue;
                Index.Add(segment, queue, span);
                Account(queue, span.First, span.Last);
            }
        });

        // Whatever lies between the segments that are known to be needed: the open one, and files that wait for their deletion.
        foreach (var (from, to) in Index.Unneeded(uint.MaxValue)) Scan(engine, from, to);
    }

    private void Scan(RocksEngine engine, uint from, uint to)
    {
        var lower = StoreRecords.BlockKey(from, 0, 0);
        using var iterator = engine.NewIterator(MessagesFamily, lower, StoreRecords.BlockKey(to, 0, 0), _verify);
        for (iterator.Seek(lower); iterator.IsValid; iterator.Next())
        {
            if (iterator.Key.Length != StoreRecords.BlockKeyBytes) continue;
            var (segment, queue, first) = StoreRecords.ReadBlockKey(iterator.Key);
            if (segment > StoreRecords.SegmentMax) continue; // a damaged key: no store ever gets there
            if (!Queues.TryGetValue(queue, out var state)) continue;
            if (segment > OpenSegment)
            {
                (OpenSegment, OpenBytes) = (segment, 0);
                Open.Clear();
            }

            if (!BlockFormat.TryRead(iterator.Value, out var block) || block.Header.FirstSequence != first)
            {
                _damagedBlocks.Add((queue, first));
                continue;
            }

            AddScanned(segment, queue, state.NeededAfter, block.Header, iterator.Value.Length);
        }

        iterator.ThrowIfFailed();
    }

    private void AddScanned(uint segment, int queue, long neededAfter, in BlockHeader header, int bytes)
    {
        if (header.LastSequence > neededAfter)
        {
            Index.Add(segment, queue, new BlockSpan(header.FirstSequence, header.LastSequence, header.TotalsAfter));
            Account(queue, header.FirstSequence, header.LastSequence);
        }

        if (segment != OpenSegment) return;
        OpenBytes += bytes;
        var open = OpenOf(queue);
        open.Blocks.Enqueue(new OpenBlock(header.LastSequence, bytes));
        open.Last = Math.Max(open.Last, header.LastSequence);
    }

    private void Account(int queue, long first, long last)
    {
        if (!_accountedFor.TryGetValue(queue, out var ranges)) _accountedFor.Add(queue, ranges = []);
        ranges.Add(new SequenceRange(first, last));
    }

    private delegate void Record(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

    private delegate void NumberRecord(QueueState queue, long number, ReadOnlySpan<byte> value);

    private delegate void QueueRecord(QueueState queue, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

    private void ForEachNumber(RocksEngine engine, char kind, NumberRecord visit) =>
        ForEachQueue(engine, kind, (queue, key, value) => visit(queue, StoreRecords.NumberOf(key), value));

    private void ForEachQueue(RocksEngine engine, char kind, QueueRecord visit) => ForEach(engine, kind, (key, value) =>
    {
        if (Queues.TryGetValue(StoreRecords.QueueOf(key), out var queue)) visit(queue, key, value);
    });

    private void ForEach(RocksEngine engine, char kind, Record visit)
    {
        using var iterator = engine.NewIterator(RecordsFamily, [(byte)kind], [(byte)(kind + 1)], _verify);
        for (iterator.Seek([(byte)kind]); iterator.IsValid; iterator.Next())
        {
            if (StoreRecords.TryOpen(iterator.Key, iterator.Value, out var value)) visit(iterator.Key, value);
            else DamagedRecords++;
        }

        iterator.ThrowIfFailed();
    }
}
