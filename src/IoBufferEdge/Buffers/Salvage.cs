using System.Globalization;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Interop.LibRocksDb;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Makes a store of a new generation from what reads of a damaged one. In this order, because it read the most of every kind of damage:
/// 1. the original is kept in the quarantine folder (hard links: no room, no time); it is never opened for writing again;
/// 2. records (cursors, lives, parks) come from the original, opened for reading with its damaged log records skipped;
/// 3. a copy is repaired: tables that read are kept, by link; the engine's list of files is made anew;
/// 4. logs, and tables that the repair gave up, are scanned for blocks whose own checksum holds;
/// 5. everything is checked block by block, what is missing is recorded, and the new store takes the old one's place in one step.
/// A crash on the way leaves the original where it was. It needs room for the logs and for what step 4 finds, and time to read all once.
/// </summary>
internal sealed class Salvage(RocksStoreOptions options, Mark? foundMark, Random random, TimeProvider time)
{
    private const int OriginalsKept = 2;
    private const int BatchBytes = 1 << 20;

    /// <summary>A new life's numbers begin above every number ever reserved, also those whose reservation was lost.</summary>
    private const long ReservationMargin = 1L << 32;

    // Tracking of logs stays on: switched off, 11.12 crashes where a folder opened for reading only has tracked logs.
    internal const string Lenient = Database + ";paranoid_checks=false;wal_recovery_mode=kSkipAnyCorruptedRecords";

    private readonly string _work = WorkPath(options);
    private Mark? _mark = foundMark;
    private int _scanned;

    /// <summary>Where the new store grows; what lies there at a start is the rest of an interrupted salvage.</summary>
    public static string WorkPath(RocksStoreOptions options) => options.Directory + ".salvage";

    /// <returns>One sentence: what was damaged, what was read, what is missing, where the original lies.</returns>
    /// <exception cref="StoreException">The new store could not be written.</exception>
    public string Run(string damage)
    {
        try
        {
            var original = Quarantine();
            CopyToWork(original);
            var scanTables = !TryRepair();
            string summary;
            using (var engine = RocksEngine.Open(_work, Database, Families))
            {
                AdoptRecords(engine, original);
                AdoptBlocks(engine, original, scanTables);
                summary = BeginGeneration(engine);
                engine.Flush(wait: true);
            }

            LinuxFiles.SyncFolder(_work);
            LinuxFiles.Exchange(_work, options.Directory);
            LinuxFiles.SyncFolder(options.DataDirectory);
            Directory.Delete(_work, recursive: true);
            return $"The store was damaged: {damage.TrimEnd('.')}; {summary}; the original lies in {original}.";
        }
        catch (IOException failure)
        {
            throw new StoreException(
                $"{options.Directory} is damaged ({damage}) and cannot be salvaged: {failure.Message}",
                LinuxFiles.IsOutOfSpace(failure),
                failure);
        }
        catch (RocksException failure)
        {
            throw new StoreException(
                $"{options.Directory} is damaged ({damage}) and cannot be salvaged: {failure.Message}.",
                StoreInspection.IsOutOfSpace(failure),
                failure);
        }
    }

    private string Quarantine()
    {
        var date = time.GetUtcNow().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture);
        var kept = Path.Combine(options.QuarantinePath, $"{date}-{_mark?.Generation ?? 0:x16}");
        var partial = kept + ".partial";
        if (Directory.Exists(partial)) Directory.Delete(partial, recursive: true);
        Directory.CreateDirectory(partial);
        foreach (var file in Directory.EnumerateFiles(options.Directory)) LinkOrCopy(file, Path.Combine(partial, Path.GetFileName(file)));
        LinuxFiles.SyncFolder(partial);
        if (Directory.Exists(kept)) Directory.Delete(kept, recursive: true);
        Directory.Move(partial, kept);
        LinuxFiles.SyncFolder(options.QuarantinePath);

        var older = Directory.GetDirectories(options.QuarantinePath).Where(d => d != kept).OrderDescending(StringComparer.Ordinal);
        foreach (var folder in older.Skip(OriginalsKept - 1)) Directory.Delete(folder, recursive: true);
        return kept;
    }

    private void CopyToWork(string original)
    {
        if (Directory.Exists(_work)) Directory.Delete(_work, recursive: true);
        Directory.CreateDirectory(_work);
        foreach (var file in Directory.EnumerateFiles(original))
        {
            var name = Path.GetFileName(file);
            if (name is "LOCK" || name.StartsWith("LOG", StringComparison.Ordinal)) continue;

            // The engine writes into logs that it recycles; tables it only ever reads or deletes.
            if (name.EndsWith(".sst", StringComparison.Ordinal)) LinkOrCopy(file, Path.Combine(_work, name));
            else CopyReadable(file, Path.Combine(_work, name));
        }
    }

    private bool TryRepair()
    {
        try
        {
            RocksEngine.Repair(_work, Database + ";" + Families[MessagesFamily].Options);
            using var engine = RocksEngine.Open(_work, Database, Families);
            return true;
        }
        catch (RocksException failure) when (StoreInspection.IsDamage(failure))
        {
            Directory.Delete(_work, recursive: true);
            Directory.CreateDirectory(_work);
            return false;
        }
    }

    /// <summary>Takes the records of the original, unless the repaired copy has newer ones.</summary>
    private void AdoptRecords(RocksEngine engine, string original)
    {
        try
        {
            using var source = RocksEngine.Open(original, Lenient, Families, readOnly: true);
            if (ClockOf(source) < ClockOf(engine)) return;
            using var batch = engine.NewBatch();
            batch.DeleteRange(RecordsFamily, [0], [byte.MaxValue]);
            var bytes = 0;
            using var records = source.NewIterator(RecordsFamily, [0], [byte.MaxValue], verifyChecksums: false);
            for (records.Seek([0]); records.IsValid; records.Next())
            {
                var isSound = records.Key[0] == 'P'
                    ? BlockFormat.TryRead(records.Value, out _)
                    : StoreRecords.TryOpen(records.Key, records.Value, out _);
                if (!isSound) continue;
                batch.Put(RecordsFamily, records.Key, records.Value);
                bytes += records.Value.Length;
                if (bytes < BatchBytes) continue;
                engine.WriteSynced(batch);
                batch.Clear();
                bytes = 0;
            }

            engine.WriteSynced(batch);
        }
        catch (RocksException failure) when (StoreInspection.IsDamage(failure))
        {
            // The original does not open in any way: the repaired copy's records stand.
        }
    }

    private static long ClockOf(RocksEngine engine) => Find(engine, StoreRecords.Clock) is { } clock ? StoreRecords.ReadI64(clock) : -1;

    /// <summary>A record's value; null where there is none or its checksum does not hold.</summary>
    private static byte[]? Find(RocksEngine engine, ReadOnlySpan<byte> key)
    {
        using var iterator = engine.NewIterator(RecordsFamily, key, [.. key, 0], verifyChecksums: false);
        iterator.Seek(key);
        return iterator.IsValid && StoreRecords.TryOpen(key, iterator.Value, out var value) ? value.ToArray() : null;
    }

    private void AdoptBlocks(RocksEngine engine, string original, bool scanTables)
    {
        var lost = Path.Combine(_work, "lost");
        string[] tables =
        [
            .. Directory.Exists(lost) ? Directory.GetFiles(lost, "*.sst") : [],
            .. scanTables ? Directory.GetFiles(original, "*.sst") : [],
        ];
        foreach (var log in Directory.GetFiles(original, "*.log"))
            TryScan(() => LogScan.LogBlocks(log, (key, block) => AdoptBlock(engine, key, block)));
        foreach (var table in tables)
            TryScan(() => LogScan.TableBlocks(table, (key, block) => AdoptBlock(engine, key, block)));
        if (Directory.Exists(lost)) Directory.Delete(lost, recursive: true);
    }

    private static void TryScan(Action scan)
    {
        try
        {
            scan();
        }
        catch (IOException)
        {
            // The medium does not give the file's bytes: what it held is told as missing.
        }
    }

    private void AdoptBlock(RocksEngine engine, ReadOnlySpan<byte> key, ReadOnlySpan<byte> block)
    {
        using (var there = engine.NewIterator(MessagesFamily, key, [.. key, 0], verifyChecksums: false))
        {
            there.Seek(key);
            if (there.IsValid && BlockFormat.TryRead(there.Value, out _)) return;
        }

        using var batch = engine.NewBatch();
        batch.Put(MessagesFamily, key, block);
        engine.WriteSynced(batch);
        _scanned++;
    }

    /// <summary>Checks all blocks, records what is missing, and makes the store one of a new generation.</summary>
    private string BeginGeneration(RocksEngine engine)
    {
        if (Find(engine, StoreRecords.Version) is { } version && StoreRecords.ReadI64(version.AsSpan(sizeof(uint))) != _mark?.Generation)
            _mark = null; // it tells of another store

        using var batch = engine.NewBatch();
        batch.DeleteRange(RecordsFamily, StoreRecords.SummaryKey(0), [(byte)'S' + 1]);
        batch.DeleteRange(RecordsFamily, "T"u8, "V"u8); // what was delivered is not retained over a salvage: it must not be taken for what waits
        Put(batch, StoreRecords.Version, StoreRecords.VersionValue(random.NextInt64(1, long.MaxValue)));
        foreach (var (number, entry) in _mark?.Queues ?? new Dictionary<int, MarkEntry>())
            AddQueueOfMark(engine, batch, number, entry);
        engine.WriteSynced(batch);
        batch.Clear();

        // No summary is left: this reads every block.
        var contents = StoreContents.Load(engine, verify: false)!;
        var missing = new List<string>();
        foreach (var (number, queue) in contents.Queues)
        {
            MarkEntry? entry = _mark is not null && _mark.Queues.TryGetValue(number, out var e) ? e : null;
            var lost = Settle(contents, number, queue, entry);
            foreach (var range in lost) Put(batch, StoreRecords.NumberKey('X', number, range.First), StoreRecords.I64(range.Last));
            CountParked(engine, number, queue);
            Put(batch, StoreRecords.QueueKey('K', number), StoreRecords.State(queue));
            if (lost.Count > 0) missing.Add($"{queue.Id} {string.Join(", ", lost)}");
        }

        foreach (var segment in contents.Index.Needed)
            Put(batch, StoreRecords.SummaryKey(segment), StoreRecords.Summary(contents.Index.In(segment)));
        Put(batch, StoreRecords.OpenSegment, StoreRecords.U32(contents.OpenSegment + 1));
        engine.WriteSynced(batch);
        var scanned = _scanned == 0 ? "" : $", {_scanned} blocks of them by scanning its files";
        var read = $"{contents.Queues.Count} queues were read{scanned}";
        return missing.Count == 0
            ? $"{read}, nothing that its mark knows is missing"
            : $"{read}; lost or already delivered: {string.Join("; ", missing)}";
    }

    private static void AddQueueOfMark(RocksEngine engine, RocksBatch batch, int number, MarkEntry entry)
    {
        var key = StoreRecords.QueueKey('K', number);
        if (Find(engine, key) is not null) return;
        Put(batch, key, StoreRecords.State(new QueueState { Id = entry.Id, Cursor = entry.Cursor, ReservedUpTo = entry.ReservedUpTo }));
    }

    /// <summary>Brings a queue's record in line with the blocks that are there; returns what is not.</summary>
    private static List<SequenceRange> Settle(StoreContents contents, int number, QueueState queue, MarkEntry? entry)
    {
        var spans = contents.Index.From(number, queue.Cursor + 1);
        var first = spans.Count == 0 ? long.MaxValue : spans.Min(s => s.Span.First);

        // What the mark knows to be done and no block holds is not lost.
        var settled = entry is { } known ? Math.Min(known.Cursor, first - 1) : queue.Cursor;
        queue.Cursor = Math.Max(queue.Cursor, settled);
        var lost = contents.Missing(number, entry, out _);
        var last = spans.Count == 0 ? default : spans.MaxBy(s => s.Span.Last).Span;
        if (last.Last > queue.Cursor) (queue.LastWritten, queue.TotalsAtLast) = (last.Last, last.TotalsAfter);
        else (queue.LastWritten, queue.TotalsAtLast) = (queue.Cursor, queue.TotalsAtCursor);
        queue.ReservedUpTo = Math.Max(Math.Max(queue.ReservedUpTo, entry?.ReservedUpTo ?? 0), queue.LastWritten) + ReservationMargin;
        return lost;
    }

    /// <summary>Parked messages whose records did not read are lost: the ledger goes on with those that are there.</summary>
    private static void CountParked(RocksEngine engine, int number, QueueState queue)
    {
        QueueTotals found = default;
        var lower = StoreRecords.NumberKey('P', number, 0);
        using var records = engine.NewIterator(RecordsFamily, lower, StoreRecords.NumberKey('P', number, long.MaxValue), verifyChecksums: false);
        for (records.Seek(lower); records.IsValid; records.Next())
            if (BlockFormat.TryRead(records.Value, out var block)) found += new QueueTotals(1, block.Header.PayloadBytes);
        var gone = queue.Counters.Parked - found;
        queue.Counters = queue.Counters with
        {
            Parked = found,
            Lost = gone.Messages > 0 ? queue.Counters.Lost + gone : queue.Counters.Lost,
        };
    }

    private static void Put(RocksBatch batch, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) =>
        batch.Put(RecordsFamily, key, StoreRecords.Seal(key, value));

    private static void LinkOrCopy(string file, string target)
    {
        try
        {
            LinuxFiles.Link(file, target);
        }
        catch (IOException failure) when (!LinuxFiles.IsOutOfSpace(failure))
        {
            CopyReadable(file, target); // a file system without hard links
        }
    }

    /// <summary>Copies a file as far as the medium gives it.</summary>
    private static void CopyReadable(string file, string target)
    {
        using var output = new FileStream(target, FileMode.Create, FileAccess.Write);
        using var input = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var buffer = new byte[64 << 10];
        while (TryRead(input, buffer, out var count) && count > 0) output.Write(buffer, 0, count);
        output.Flush(flushToDisk: true);
    }

    private static bool TryRead(FileStream input, byte[] buffer, out int count)
    {
        try
        {
            count = input.Read(buffer);
            return true;
        }
        catch (IOException)
        {
            count = 0;
            return false;
        }
    }
}
