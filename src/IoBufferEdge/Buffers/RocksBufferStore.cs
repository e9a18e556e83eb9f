using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Interop.LibRocksDb;
using Microsoft.Extensions.Logging;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The device's store on RocksDB. One thread of its own opens, writes, deletes and closes, so that a caller never waits in the kernel
/// for a disk; it completes whoever awaits it. Reads run on the caller's thread; a gate keeps the engine open while one is under way.
/// After a failed write the engine is taken as suspect: reads go on, commits are refused until <see cref="ReopenAsync"/>.
/// What lies on disk: <see cref="StoreRecords"/>, <see cref="HighWaterMark"/>, <see cref="Ballast"/>. What is kept in memory:
/// <see cref="StoreContents"/>. Damage: <see cref="StoreInspection"/>, <see cref="Salvage"/>.
/// </summary>
public sealed class RocksBufferStore : IBufferStore
{
    private static readonly TimeSpan MarkEvery = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ReserveRetryEvery = TimeSpan.FromSeconds(1);

    /// <summary>On a fuller medium the old log stays as it is: what little room there is belongs to records.</summary>
    private const long RoomToWriteAnew = 16 << 20;

    private readonly RocksStoreOptions _options;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly ILogger _log;
    private readonly StoreThread _thread = new();
    private readonly ReaderWriterLockSlim _gate = new();
    private readonly Lock _indexLock = new();
    private readonly StoreUsageMeter _usage;
    private readonly HighWaterMark _mark;
    private readonly Ballast _ballast;
    private readonly ITimer _markTimer;
    private FileStream? _lock;
    private RocksEngine? _engine;
    private StoreContents? _contents;
    private BatchWriter? _writer;
    private bool _failed;
    private bool _markIsDue;
    private bool _markFails;
    private long _markWrittenAt;
    private long _reserveTriedAt;
    private long _life;

    public RocksBufferStore(RocksStoreOptions options, TimeProvider time, Random random, ILogger log)
    {
        (_options, _time, _random, _log) = (options, time, random, log);
        _usage = new StoreUsageMeter(options, time);
        _mark = new HighWaterMark(options.MarkPath);
        _ballast = new Ballast(options.BallastPath, options.BallastBytes);
        _markTimer = time.CreateTimer(_ => _thread.Post(WriteDueMark), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public StoreUsage Usage => _usage.Read();

    public ValueTask<StoreOpening> OpenAsync() => _thread.RunAsync(Open);

    public async ValueTask CommitAsync(CommitBatch batch) => await _thread.RunAsync(() => Commit(batch));

    public async ValueTask ReopenAsync() => await _thread.RunAsync(Reopen);

    public ValueTask<bool> ReserveAsync() => _thread.RunAsync(Reserve);

    public ValueTask<BlockReading> ReadAsync(int queue, long sequence, IBlockVisitor visitor)
    {
        _gate.EnterReadLock();
        try
        {
            var engine = RequireEngine();
            List<(uint, BlockSpan)> segments;
            lock (_indexLock) segments = _contents!.Index.From(queue, sequence);
            return new ValueTask<BlockReading>(new BlockReader(engine, _options.Directory, queue, segments).Read(sequence, visitor));
        }
        catch (RocksException failure)
        {
            throw ToStoreException("read", failure);
        }
        catch (IOException failure)
        {
            throw new StoreException($"{_options.Directory}: cannot read the store: {failure.Message}", outOfSpace: false, failure);
        }
        finally
        {
            _gate.ExitReadLock();
        }
    }

    public ValueTask ReadParkedAsync(int queue, long from, IBlockVisitor visitor)
    {
        _gate.EnterReadLock();
        try
        {
            var lower = StoreRecords.NumberKey('P', queue, from);
            using var iterator = RequireEngine().NewIterator(RecordsFamily, lower, StoreRecords.NumberKey('P', queue, long.MaxValue));
            iterator.Seek(lower);
            while (iterator.IsValid && !BlockFormat.TryRead(iterator.Value, out _)) iterator.Next();
            if (iterator.IsValid) visitor.Visit(iterator.Value);
            iterator.ThrowIfFailed();
            return ValueTask.CompletedTask;
        }
        catch (RocksException failure)
        {
            throw ToStoreException("read", failure);
        }
        finally
        {
            _gate.ExitReadLock();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _thread.EndAsync(Close);
    }

    private StoreOpening Open()
    {
        _ballast.Adopt();
        var hadBallast = _ballast.HeldBytes > 0;
        try
        {
            return OpenWithRoom();
        }
        catch (StoreException failure) when (hadBallast && OutOfSpace(failure.OutOfSpace))
        {
            return OpenWithRoom();
        }
    }

    private StoreOpening OpenWithRoom()
    {
        var mark = PrepareFolder();
        string? salvage = null;
        if (Inspect(mark) is { } damage)
            salvage = new Salvage(_options, mark, _random, _time).Run(damage);

        var logBytes = LogBytes();
        OpenEngine();
        if (logBytes > 0 && StoreUsageMeter.FreeBytes(_options) >= RoomToWriteAnew) WriteLogAnew();
        var contents = _contents!;
        if (mark?.Generation != contents.Generation) WriteMark();
        var reserved = Reserve();
        if (!reserved) Log.StoreWithoutBallast(_log, _options.BallastPath, _ballast.RoomNeeded);
        return new StoreOpening(
            contents.Generation, [.. contents.Queues.Select(q => Opening(q.Key, q.Value, mark))], contents.RunningUs, salvage)
        {
            HighestQueue = contents.HighestQueue,
            WithoutReserve = !reserved,
        };
    }

    private string? Inspect(Mark? mark)
    {
        try
        {
            return StoreInspection.FindDamage(_options, mark);
        }
        catch (RocksException failure)
        {
            throw ToStoreException("look at", failure);
        }
        catch (UnauthorizedAccessException failure)
        {
            throw new StoreException($"{_options.Directory} cannot be read: {failure.Message}", outOfSpace: false, failure);
        }
    }

    /// <summary>Takes the store for this process, removes what an interrupted start left, and syncs what the former one wrote.</summary>
    private Mark? PrepareFolder()
    {
        try
        {
            Directory.CreateDirectory(_options.Directory);
            _lock ??= new FileStream(_options.LockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            if (Directory.Exists(Salvage.WorkPath(_options))) Directory.Delete(Salvage.WorkPath(_options), recursive: true);
            SyncFiles();
            return _mark.Read();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new StoreException(
                $"{_options.Directory} cannot be opened, or another process uses it: {failure.Message}",
                failure is IOException io && LinuxFiles.IsOutOfSpace(io),
                failure);
        }
    }

    private void OpenEngine()
    {
        RocksEngine? engine = null;
        try
        {
            engine = RocksEngine.Open(_options.Directory, Database, Families);
            _contents = StoreContents.Load(engine) ?? CreateContents(engine);
            _writer = new BatchWriter(engine, _contents, _options);
            (_engine, _failed) = (engine, false);
        }
        catch (RocksException failure)
        {
            engine?.Dispose();
            throw ToStoreException("open", failure);
        }
    }

    private StoreContents CreateContents(RocksEngine engine)
    {
        var generation = _random.NextInt64(1, long.MaxValue);
        using var batch = engine.NewBatch();
        batch.Put(RecordsFamily, StoreRecords.Version, StoreRecords.Seal(StoreRecords.Version, StoreRecords.VersionValue(generation)));
        engine.WriteSynced(batch);
        return StoreContents.Create(generation);
    }

    private QueueOpening Opening(int number, QueueState queue, Mark? mark)
    {
        MarkEntry? entry = mark?.Generation == _contents!.Generation && mark.Queues.TryGetValue(number, out var e) ? e : null;
        var spans = _contents!.Index.From(number, queue.Cursor + 1);
        var last = spans.Count == 0 ? default : spans.MaxBy(s => s.Span.Last).Span;
        return new QueueOpening
        {
            Id = queue.Id,
            Number = number,
            Cursor = queue.Cursor,
            ReservedUpTo = queue.ReservedUpTo,
            LastDurable = Math.Max(queue.Cursor, last.Last),
            TotalsAtCursor = queue.TotalsAtCursor,
            TotalsAtEnd = last.Last > queue.Cursor ? last.TotalsAfter : queue.TotalsAtCursor,
            Counters = queue.Counters,
            Lives = [.. queue.Lives],
            Discarded = [.. queue.Discards.Where(d => d.Last > queue.Cursor)],
            Lost = [.. _contents.Lost(number, entry)],
            Held = [.. queue.Held.Select(h => (h.Key, h.Value))],
            Keys = [.. queue.Keys.OrderBy(k => k.Value).Select(k => (k.Key, k.Value))],
            Receiver = queue.Receiver,
            RetainAfter = queue.RetainAfter,
            RetainMarks = [.. _contents.Index.From(number, queue.NeededAfter + 1).Select(s => s.Span).Where(s => s.Last < queue.Cursor)
                .OrderBy(s => s.Last).Select(s => new RetainMark(s.Last, s.TotalsAfter.Bytes))],
            Withheld = [.. queue.Withheld],
        };
    }

    private void Commit(CommitBatch batch)
    {
        RequireEngine();
        if (_failed) throw new StoreException($"{_options.Directory}: the last write failed; the store must be reopened before the next.");
        var hasBlocks = batch.Queues.Exists(q => q.Blocks.Count > 0);
        try
        {
            if (hasBlocks && _ballast.HeldBytes == 0) RequireRoom();
            var setsBack = batch.Queues.Exists(SetsBack);
            if (setsBack) WriteMark(batch);
            var switches = _writer!.NeedsNewSegment(batch);
            if (switches) _writer.SwitchSegment();
            _writer.Write(batch);
            lock (_indexLock) _writer.Publish(batch);
            _usage.CountCommit();
            FollowUp(batch, hasBlocks, markNow: switches || setsBack);
        }
        catch (Exception failure)
        {
            _failed = true;
            _usage.CountFailure();
            if (failure is not RocksException engine) throw;
            throw ToStoreException("write", engine);
        }
    }

    private bool SetsBack(QueueCommit commit) =>
        commit.Removes || _contents!.Queues.TryGetValue(commit.Queue, out var known) && commit.Cursor < known.Cursor;

    private void FollowUp(CommitBatch batch, bool hasBlocks, bool markNow)
    {
        _life = batch.Life;
        _markIsDue |= hasBlocks;
        if (markNow || _markIsDue && _time.GetElapsedTime(_markWrittenAt) >= MarkEvery) WriteMark();
        else if (_markIsDue) _markTimer.Change(MarkEvery, Timeout.InfiniteTimeSpan); // for the last commit before a rest
        // What was purged gives its room back at once, and not with the next segment.
        if (!hasBlocks && _ballast.HeldBytes > 0 && batch.Queues.Exists(q => q.Removes || q.Discards.Count > 0 || q.GivesUpRetained)) _writer!.DeleteUnneeded();
        if (_ballast.HeldBytes > 0) return;
        // On a full medium only records are written, and no segment is switched: what was delivered gives its room back here.
        if (!hasBlocks) _writer!.DeleteUnneeded();
        if (_time.GetElapsedTime(_reserveTriedAt) >= ReserveRetryEvery) Reserve();
    }

    private void Reopen()
    {
        CloseEngine();
        try
        {
            SyncFiles();
            OpenEngine();
            WriteLogAnew();
        }
        catch (Exception failure) when (failure is RocksException or StoreException or IOException)
        {
            CloseEngine();
            _usage.CountFailure();
            throw failure switch
            {
                RocksException engine => ToStoreException("reopen", engine),
                IOException io => new StoreException(
                    $"{_options.Directory}: cannot reopen the store: {io.Message}", OutOfSpace(LinuxFiles.IsOutOfSpace(io)), io),
                _ => failure,
            };
        }
    }

    /// <summary>
    /// What reads back from a log whose sync failed, in this process or in one before it, may be in the page cache only, no later sync
    /// of it means anything, and it may have a hole (rule 6): written anew, nobody needs that log.
    /// </summary>
    private void WriteLogAnew()
    {
        try
        {
            _engine!.Flush(wait: true);
            _writer!.SwitchSegment();
        }
        catch (RocksException failure)
        {
            CloseEngine();
            throw ToStoreException("write anew what was in the log of", failure);
        }
    }

    private long LogBytes() => new DirectoryInfo(_options.Directory).EnumerateFiles("*.log").Sum(log => log.Length);

    private void Close()
    {
        _markTimer.Dispose();
        WriteDueMark();
        CloseEngine();
        _mark.Dispose();
        _lock?.Dispose();
    }

    private void CloseEngine()
    {
        _gate.EnterWriteLock();
        try
        {
            _writer?.Dispose();
            _engine?.Dispose();
            (_writer, _engine, _contents) = (null, null, null);
        }
        finally
        {
            _gate.ExitWriteLock();
        }
    }

    /// <summary>Rule 7: what the former process wrote and did not sync must not be torn by a later power cut.</summary>
    private void SyncFiles()
    {
        // Not tables: the engine synced each before its list of files named it, and 700 syncs take a second.
        foreach (var file in Directory.EnumerateFiles(_options.Directory))
            if (!file.EndsWith(".sst", StringComparison.Ordinal))
                _options.SyncFile(file);
        LinuxFiles.SyncFolder(_options.Directory);
    }

    private RocksEngine RequireEngine() =>
        _engine ?? throw new StoreException($"{_options.Directory}: the store is not open.");

    private void WriteDueMark()
    {
        if (_markIsDue && !_failed && _contents is not null) WriteMark();
    }

    /// <param name="ahead">
    /// The next batch, where it forgets a queue or sets a cursor back: the mark says so before, or a crash between the two would look like a
    /// store that is older than its mark.
    /// </param>
    private void WriteMark(CommitBatch? ahead = null)
    {
        var entries = _contents!.Queues.ToDictionary(
            q => q.Key,
            q => new MarkEntry(q.Value.Id, Math.Max(q.Value.Cursor, q.Value.LastWritten), q.Value.Cursor, q.Value.ReservedUpTo));
        foreach (var commit in ahead?.Queues ?? [])
        {
            if (commit.Removes) entries.Remove(commit.Queue);
            else if (entries.TryGetValue(commit.Queue, out var entry)) entries[commit.Queue] = entry with { Cursor = Math.Min(entry.Cursor, commit.Cursor) };
        }

        try
        {
            _mark.Write(new Mark(_contents.Generation, _life, entries));
            (_markIsDue, _markFails) = (false, false);
        }
        catch (IOException failure)
        {
            if (!_markFails) Log.StoreMarkNotWritten(_log, failure.Message); // the batch is durable all the same; the mark may lag
            _markFails = true;
        }

        _markWrittenAt = _time.GetTimestamp();
    }

    /// <summary>True, too, on a medium that has the room and does not let it be set aside.</summary>
    private bool Reserve()
    {
        _reserveTriedAt = _time.GetTimestamp();
        return _ballast.TryMake(StoreUsageMeter.FreeBytes(_options)) || StoreUsageMeter.FreeBytes(_options) >= _ballast.RoomNeeded;
    }

    private void RequireRoom()
    {
        if (StoreUsageMeter.FreeBytes(_options) >= _ballast.RoomNeeded) return;
        throw new StoreException(
            $"{_options.Directory}: the medium is nearly full and {_options.BallastPath} could not be made: {_ballast.RoomNeeded} bytes must be free",
            outOfSpace: true);
    }

    private StoreException ToStoreException(string what, RocksException failure) =>
        new($"{_options.Directory}: cannot {what} the store: {failure.Message}",
            OutOfSpace(StoreInspection.IsOutOfSpace(failure)),
            failure);

    /// <summary>At the first sign of a full medium the ballast makes room for what must still be written.</summary>
    private bool OutOfSpace(bool isFull)
    {
        if (isFull && _ballast.Release()) Log.StoreBallastReleased(_log, $"{_options.Directory}: the medium is full.");
        return isFull;
    }
}
