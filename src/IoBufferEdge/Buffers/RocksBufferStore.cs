using System.Collections.Concurrent;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Interop.LibRocksDb;
using Microsoft.Extensions.Logging;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The device's store on RocksDB. One thread of its own opens, writes, deletes and closes, so that a caller never waits in the kernel
/// for a disk; it completes whoever awaits it. Reads run on the caller's thread; a gate keeps the engine open while one is under way.
/// After a failed write the engine is taken as suspect: reads go on, commits are refused until <see cref="ReopenAsync"/>.
/// What lies on disk: <see cref="StoreRecords"/>. What is kept in memory: <see cref="StoreContents"/>.
/// </summary>
public sealed class RocksBufferStore : IBufferStore
{
    private readonly RocksStoreOptions _options;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly ILogger _log;
    private readonly BlockingCollection<Action> _work = [];
    private readonly ReaderWriterLockSlim _gate = new();
    private readonly Lock _indexLock = new();
    private RocksEngine? _engine;
    private StoreContents? _contents;
    private BatchWriter? _writer;
    private bool _failed;
    private long _commits;
    private long _failures;

    public RocksBufferStore(RocksStoreOptions options, TimeProvider time, Random random, ILogger log)
    {
        (_options, _time, _random, _log) = (options, time, random, log);
        new Thread(RunWork) { Name = "store", IsBackground = true }.Start();
    }

    public StoreUsage Usage => new(0, 0, 0, Interlocked.Read(ref _commits), Interlocked.Read(ref _failures));

    public ValueTask<StoreOpening> OpenAsync() => OnThread(Open);

    public async ValueTask CommitAsync(CommitBatch batch) => await OnThread(() => Commit(batch));

    public async ValueTask ReopenAsync() => await OnThread(Reopen);

    public ValueTask<BlockReading> ReadAsync(int queue, long sequence, IBlockVisitor visitor)
    {
        _gate.EnterReadLock();
        try
        {
            var engine = RequireEngine();
            List<(uint, BlockSpan)> segments;
            lock (_indexLock) segments = _contents!.Index.From(queue, sequence);
            return new ValueTask<BlockReading>(BlockReader.Read(engine, segments, queue, sequence, visitor));
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

    public ValueTask ReadParkedAsync(int queue, IBlockVisitor visitor)
    {
        _gate.EnterReadLock();
        try
        {
            var lower = StoreRecords.NumberKey('P', queue, 0);
            using var iterator = RequireEngine().NewIterator(RecordsFamily, lower, StoreRecords.NumberKey('P', queue, long.MaxValue));
            for (iterator.Seek(lower); iterator.IsValid; iterator.Next())
                if (BlockFormat.TryRead(iterator.Value, out _))
                    visitor.Visit(iterator.Value);
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
        if (_work.IsAddingCompleted) return;
        var closed = OnThread(Close);
        _work.CompleteAdding();
        await closed;
    }

    private StoreOpening Open()
    {
        Directory.CreateDirectory(_options.Directory);
        SyncFiles();
        OpenEngine();
        var contents = _contents!;
        return new StoreOpening(contents.Generation, [.. contents.Queues.Select(q => Opening(q.Key, q.Value))], contents.RunningUs, null)
        {
            HighestQueue = contents.HighestQueue,
        };
    }

    private void OpenEngine()
    {
        try
        {
            var engine = RocksEngine.Open(_options.Directory, Database, Families);
            _contents = StoreContents.Load(engine) ?? CreateContents(engine);
            _writer = new BatchWriter(engine, _contents, _options);
            _engine = engine;
            _failed = false;
        }
        catch (RocksException failure)
        {
            throw ToStoreException("open", failure);
        }
    }

    private StoreContents CreateContents(RocksEngine engine)
    {
        var generation = _random.NextInt64(1, long.MaxValue);
        using var batch = engine.NewBatch();
        batch.Put(RecordsFamily, StoreRecords.Version, StoreRecords.VersionValue(generation));
        engine.WriteSynced(batch);
        return StoreContents.Create(generation);
    }

    private QueueOpening Opening(int number, QueueState queue)
    {
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
            Lives = [.. queue.Lives.Where(l => l.Gap.Last > queue.Cursor)],
            Discarded = [.. queue.Discards.Where(d => d.Last > queue.Cursor)],
        };
    }

    private void Commit(CommitBatch batch)
    {
        RequireEngine();
        if (_failed) throw new StoreException($"{_options.Directory}: the last write failed; the store must be reopened before the next.");
        try
        {
            if (_writer!.NeedsNewSegment(batch)) _writer.SwitchSegment();
            _writer.Write(batch);
            lock (_indexLock) _writer.Publish(batch);
            Interlocked.Increment(ref _commits);
        }
        catch (Exception failure)
        {
            _failed = true;
            Interlocked.Increment(ref _failures);
            if (failure is RocksException engine) throw ToStoreException("write", engine);
            throw;
        }
    }

    private void Reopen()
    {
        CloseEngine();
        try
        {
            SyncFiles();
            OpenEngine();
            // What reads back may be in the page cache only, and its log may have a hole: written anew, nobody needs that log.
            _engine!.Flush(wait: true);
            _writer!.SwitchSegment();
        }
        catch (Exception failure) when (failure is RocksException or StoreException or IOException)
        {
            CloseEngine();
            Interlocked.Increment(ref _failures);
            if (failure is RocksException engine) throw ToStoreException("reopen", engine);
            throw;
        }
    }

    private void Close() => CloseEngine();

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
        foreach (var file in Directory.EnumerateFiles(_options.Directory)) LinuxFiles.SyncData(file);
        LinuxFiles.SyncFolder(_options.Directory);
    }

    private RocksEngine RequireEngine() =>
        _engine ?? throw new StoreException($"{_options.Directory}: the store is not open.");

    private StoreException ToStoreException(string what, RocksException failure)
    {
        var full = failure.Message.Contains("No space left", StringComparison.Ordinal) ||
            failure.Message.Contains("quota exceeded", StringComparison.OrdinalIgnoreCase);
        return new StoreException($"{_options.Directory}: cannot {what} the store: {failure.Message}.", full, failure);
    }

    private ValueTask<bool> OnThread(Action action) => OnThread(() =>
    {
        action();
        return true;
    });

    private ValueTask<T> OnThread<T>(Func<T> function)
    {
        var done = new TaskCompletionSource<T>();
        _work.Add(() =>
        {
            T result;
            try
            {
                result = function();
            }
            catch (Exception failure)
            {
                done.SetException(failure);
                return;
            }

            done.SetResult(result);
        });
        return new ValueTask<T>(done.Task);
    }

    private void RunWork()
    {
        foreach (var action in _work.GetConsumingEnumerable()) action();
    }
}
