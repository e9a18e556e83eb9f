using IoBufferEdge.Interop.LibRocksDb;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Reads every record and every block of a store that no gateway has open, and changes nothing: checksums, numbers, totals, parked messages,
/// the high-water mark. Beside it the salvage on demand, which a gateway does by itself at a start where it finds the store's files damaged.
/// </summary>
public sealed class StoreVerification
{
    private readonly RocksStoreOptions _options;
    private readonly Action<double> _progress;
    private readonly List<string> _damage = [];
    private readonly SortedDictionary<int, QueueCheck> _queues = [];
    private readonly long _totalBytes;
    private long _blocks;
    private long _blockBytes;
    private bool _engineFailed;

    private StoreVerification(RocksStoreOptions options, Action<double> progress)
    {
        (_options, _progress) = (options, progress);
        _totalBytes = new DirectoryInfo(options.Directory).EnumerateFiles().Where(f => f.Extension is ".sst" or ".log").Sum(f => f.Length);
    }

    /// <param name="options">Where the store lies; the caller holds the data folder.</param>
    /// <param name="progress">Told from 0 to 1.</param>
    /// <exception cref="StoreException">The store cannot be looked at: no permission, no room, or written by a newer version.</exception>
    public static StoreReport Verify(RocksStoreOptions options, Action<double> progress)
    {
        try
        {
            return new StoreVerification(options, progress).Run();
        }
        catch (RocksException failure)
        {
            throw new StoreException($"{options.Directory} cannot be looked at: {failure.Message}", outOfSpace: false, failure);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new StoreException($"{options.Directory} cannot be read: {failure.Message}", outOfSpace: false, failure);
        }
    }

    /// <summary>Makes a store of a new generation from what reads; the original is kept in the quarantine folder.</summary>
    /// <returns>One sentence: what was read, what is missing, where the original lies.</returns>
    /// <exception cref="StoreException">The new store could not be written; the old one is where it was.</exception>
    public static string SalvageNow(RocksStoreOptions options, string damage, Random random, TimeProvider time)
    {
        try
        {
            if (Directory.Exists(Salvage.WorkPath(options))) Directory.Delete(Salvage.WorkPath(options), recursive: true);
            foreach (var file in Directory.EnumerateFiles(options.Directory)) options.SyncFile(file);
            using var mark = new HighWaterMark(options.MarkPath);
            return new Salvage(options, mark.Read(), random, time).Run(damage);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new StoreException($"{options.Directory} cannot be salvaged: {failure.Message}", outOfSpace: false, failure);
        }
    }

    private StoreReport Run()
    {
        using var markFile = new HighWaterMark(_options.MarkPath);
        var mark = markFile.Read();
        if (mark is null && File.Exists(_options.MarkPath)) _damage.Add($"{_options.MarkPath}: the high-water mark does not read.");
        if (StoreInspection.FindDamage(_options, mark) is { } found) _damage.Add($"Its files: {found.TrimEnd('.')}.");
        var generation = 0L;
        try
        {
            using var engine = Open();
            if (StoreContents.Load(engine, verify: false) is { } contents)
            {
                generation = contents.Generation;
                Check(engine, contents, mark?.Generation == generation ? mark : null);
            }
        }
        catch (RocksException failure) when (StoreInspection.IsDamage(failure))
        {
            NoteEngine(failure);
        }

        _progress(1);
        return new StoreReport(generation, _damage, [.. _queues.Values.Select(q => q.Report())], _blocks, _blockBytes);
    }

    private RocksEngine Open()
    {
        try
        {
            return RocksEngine.Open(_options.Directory, Database, Families, readOnly: true);
        }
        catch (RocksException failure) when (StoreInspection.IsDamage(failure))
        {
            NoteEngine(failure);
            return RocksEngine.Open(_options.Directory, Salvage.Lenient, Families, readOnly: true);
        }
    }

    private void Check(RocksEngine engine, StoreContents contents, Mark? mark)
    {
        foreach (var (number, state) in contents.Queues)
        {
            MarkEntry? entry = mark is not null && mark.Queues.TryGetValue(number, out var known) ? known : null;
            _queues.Add(number, new QueueCheck(number, state, entry));
        }

        CheckParked(engine);
        CheckBlocks(engine, contents.OpenSegment);
        foreach (var queue in _queues.Values) _damage.AddRange(queue.Damage());
    }

    private void CheckParked(RocksEngine engine)
    {
        using var records = engine.NewIterator(RecordsFamily, "P"u8, "Q"u8, verifyChecksums: false);
        for (records.Seek("P"u8); records.IsValid; records.Next())
        {
            if (records.Key.Length < 11 || !_queues.TryGetValue(StoreRecords.QueueOf(records.Key), out var queue)) continue;
            var isSound = BlockFormat.TryRead(records.Value, out var block) && block.Header.FirstSequence == StoreRecords.NumberOf(records.Key);
            queue.AddParked(StoreRecords.NumberOf(records.Key), isSound ? block.Header.PayloadBytes : null);
        }

        records.ThrowIfFailed();
    }

    /// <summary>Where the engine's own checksums fail a segment is read without them: each block has one of its own.</summary>
    private void CheckBlocks(RocksEngine engine, uint openSegment)
    {
        var segment = 0u;
        var end = StoreRecords.BlockKey(StoreRecords.SegmentMax, 0, 0);
        while (segment <= openSegment)
        {
            var from = StoreRecords.BlockKey(segment, 0, 0);
            try
            {
                Walk(engine, from, end, verify: true, ref segment);
                return;
            }
            catch (RocksException failure) when (StoreInspection.IsDamage(failure))
            {
                NoteEngine(failure);
            }

            try
            {
                var damaged = segment;
                Walk(engine, StoreRecords.BlockKey(damaged, 0, 0), StoreRecords.BlockKey(damaged + 1, 0, 0), verify: false, ref segment);
            }
            catch (RocksException failure) when (StoreInspection.IsDamage(failure))
            {
                // What does not read at all is told as missing.
            }

            segment++;
        }
    }

    /// <param name="segment">The segment that is read: its blocks are taken once, when the whole of it has been read.</param>
    private void Walk(RocksEngine engine, byte[] from, byte[] end, bool verify, ref uint segment)
    {
        var unsettled = new List<(int Queue, BlockCheck Block)>();
        using var iterator = engine.NewIterator(MessagesFamily, from, end, verify);
        for (iterator.Seek(from); iterator.IsValid; iterator.Next())
        {
            if (iterator.Key.Length != StoreRecords.BlockKeyBytes) continue;
            var (at, number, first) = StoreRecords.ReadBlockKey(iterator.Key);
            if (at != segment) Settle(unsettled);
            segment = at;
            if (!_queues.TryGetValue(number, out var queue)) continue; // of a queue that is forgotten, in a file that waits for its deletion
            unsettled.Add((number, queue.Read(first, iterator.Value)));
        }

        iterator.ThrowIfFailed();
        Settle(unsettled);
    }

    private void Settle(List<(int Queue, BlockCheck Block)> blocks)
    {
        foreach (var (number, block) in blocks)
        {
            _queues[number].Add(block);
            if (block.IsSound) _blocks++;
            _blockBytes += block.Bytes;
        }

        foreach (var queue in _queues.Values) queue.EndSegment();
        blocks.Clear();
        _progress(Math.Min(0.99, _blockBytes / (double)Math.Max(1, _totalBytes)));
    }

    private void NoteEngine(RocksException failure)
    {
        if (_engineFailed) return;
        _engineFailed = true;
        var text = $"Its files: {failure.Message.TrimEnd('.')}.";
        if (!_damage.Contains(text)) _damage.Add(text);
    }
}
