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
/// records, the summaries, and the segments that have none: it takes the same time whatever the backlog.
/// </summary>
internal sealed class StoreContents
{
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

    /// <summary>Blocks of a scanned segment that do not hold together.</summary>
    public int DamagedBlocks { get; private set; }

    /// <summary>Reads everything. Null for a store that nobody has written yet.</summary>
    /// <exception cref="RocksException">The engine cannot read one of its files.</exception>
    /// <exception cref="StoreException">The store was written by a newer version.</exception>
    public static StoreContents? Load(RocksEngine engine)
    {
        var contents = new StoreContents();
        if (!contents.LoadVersion(engine)) return null;
        contents.LoadQueues(engine);
        contents.LoadSegments(engine);
        return contents;
    }

    public static StoreContents Create(long generation) => new() { Generation = generation };

    public OpenQueue OpenOf(int queue)
    {
        if (!Open.TryGetValue(queue, out var open)) Open.Add(queue, open = new OpenQueue());
        return open;
    }

    private bool LoadVersion(RocksEngine engine)
    {
        byte[]? version = null;
        ForEach(engine, [0], [0xFF], (key, value) =>
        {
            if (key.SequenceEqual(StoreRecords.Version)) version = value.ToArray();
            if (key.SequenceEqual(StoreRecords.HighestQueue)) HighestQueue = (int)StoreRecords.ReadU32(value);
            if (key.SequenceEqual(StoreRecords.OpenSegment)) OpenSegment = StoreRecords.ReadU32(value);
            if (key.SequenceEqual(StoreRecords.Clock)) RunningUs = StoreRecords.ReadI64(value);
        }, skipNumbered: true);
        if (version is null) return false;
        var format = StoreRecords.ReadU32(version);
        if (format > StoreRecords.FormatVersion)
            throw new StoreException($"The store has format version {format}, this program knows up to {StoreRecords.FormatVersion}: start the newer program again.");
        Generation = StoreRecords.ReadI64(version.AsSpan(4));
        return true;
    }

    private void LoadQueues(RocksEngine engine)
    {
        ForEachOf(engine, 'Q', (key, value) => Queues.Add(StoreRecords.QueueOf(key), new QueueState { Id = System.Text.Encoding.UTF8.GetString(value) }));
        ForEachOf(engine, 'K', (key, value) =>
        {
            if (Queues.TryGetValue(StoreRecords.QueueOf(key), out var queue)) StoreRecords.TryReadState(value, queue);
        });
        ForEachOf(engine, 'L', (key, value) =>
        {
            if (Queues.TryGetValue(StoreRecords.QueueOf(key), out var queue))
                queue.Lives.Add(new LifeRecord(StoreRecords.ReadI64(value), StoreRecords.NumberOf(key), StoreRecords.ReadI64(value, 1)));
        });
        ForEachOf(engine, 'D', (key, value) =>
        {
            if (Queues.TryGetValue(StoreRecords.QueueOf(key), out var queue))
                queue.Discards.Add(new SequenceRange(StoreRecords.NumberOf(key), StoreRecords.ReadI64(value)));
        });
    }

    private void LoadSegments(RocksEngine engine)
    {
        ForEachOf(engine, 'S', (key, value) =>
        {
            var segment = StoreRecords.SegmentOf(key);
            Summarized.Add(segment);
            foreach (var (queue, span) in StoreRecords.ReadSummary(value.ToArray()))
                if (Queues.TryGetValue(queue, out var state) && span.Last > state.Cursor)
                    Index.Add(segment, queue, span);
        });

        // Whatever lies between the segments that are known to be needed: the open one, and files that wait for their deletion.
        foreach (var (from, to) in Index.Unneeded(uint.MaxValue)) Scan(engine, from, to);
    }

    private void Scan(RocksEngine engine, uint from, uint to)
    {
        using var iterator = engine.NewIterator(MessagesFamily, StoreRecords.BlockKey(from, 0, 0), StoreRecords.BlockKey(to, 0, 0));
        for (iterator.Seek(StoreRecords.BlockKey(from, 0, 0)); iterator.IsValid; iterator.Next())
        {
            var (segment, queue, first) = StoreRecords.ReadBlockKey(iterator.Key);
            if (segment > OpenSegment)
            {
                (OpenSegment, OpenBytes) = (segment, 0);
                Open.Clear();
            }

            if (!Queues.TryGetValue(queue, out var state)) continue;
            if (!BlockFormat.TryRead(iterator.Value, out var block) || block.Header.FirstSequence != first)
            {
                DamagedBlocks++;
                continue;
            }

            var last = block.Header.LastSequence;
            if (last > state.Cursor) Index.Add(segment, queue, new BlockSpan(first, last, block.Header.TotalsAfter));
            if (segment != OpenSegment) continue;
            OpenBytes += iterator.Value.Length;
            var open = OpenOf(queue);
            open.Blocks.Enqueue(new OpenBlock(last, iterator.Value.Length));
            open.Last = Math.Max(open.Last, last);
        }

        iterator.ThrowIfFailed();
    }

    private delegate void Record(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

    private static void ForEachOf(RocksEngine engine, char kind, Record visit) =>
        ForEach(engine, [(byte)kind], [(byte)(kind + 1)], visit);

    private static void ForEach(RocksEngine engine, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, Record visit, bool skipNumbered = false)
    {
        using var iterator = engine.NewIterator(RecordsFamily, lower, upper);
        for (iterator.Seek(lower); iterator.IsValid;)
        {
            var key = iterator.Key;
            if (skipNumbered && key.Length > 1)
            {
                iterator.Seek([(byte)(key[0] + 1)]);
                continue;
            }

            visit(key, iterator.Value);
            iterator.Next();
        }

        iterator.ThrowIfFailed();
    }
}
