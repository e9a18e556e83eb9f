using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The one place that writes (rule 4). A loop: sleep until a queue is due, take one batch of all queues in one instant, write and
/// sync it, tell the queues. A batch that fails is of unknown outcome: the store is closed and opened again, and everything is
/// written again in a new segment (rule 6); delivery from the tail goes on meanwhile.
///
/// Rate: commits that only fight age (rule 1 a) are at most <c>max_syncs_per_s</c>; those that free memory or let a record pass are not held back.
/// </summary>
public sealed class Committer : IAsyncDisposable
{
    /// <summary>Bound on one batch over all queues; the rest waits for the next one.</summary>
    private const int BatchBytesMax = 4 << 20;

    private static readonly TimeSpan EmptyBatchDelay = TimeSpan.FromMilliseconds(1);

    private const long RoomCheckUs = 500_000;

    private static readonly TimeSpan ReopenDelayMin = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ReopenDelayMax = TimeSpan.FromSeconds(5);

    private readonly IBufferStore _store;
    private readonly RunningClock _clock;
    private readonly TimeProvider _time;
    private readonly long _life;
    private readonly ILogger _log;
    private readonly AsyncSignal _wake;
    private readonly Lock _sync = new();
    private readonly List<ChannelBuffer> _queues = [];
    private readonly List<ChannelBuffer> _inBatch = [];
    private readonly List<(int Queue, TaskCompletionSource Done)> _forgets = [];
    private int _forgetsInBatch;
    private long _plannedWakeUs = long.MaxValue;
    private long _nextRatedUs;
    private long _nextRoomCheckUs;
    private long _minIntervalUs;
    private long _deviceMaxBytes;
    private bool _stopping;
    private bool _newSegment;
    private int _failuresInARow;
    private int _turn;

    public Committer(IBufferStore store, RunningClock clock, long life, int maxSyncsPerS, long deviceMaxBytes, TimeProvider time, ILogger log)
    {
        _store = store;
        _clock = clock;
        _life = life;
        _time = time;
        _log = log;
        _wake = new AsyncSignal(time);
        Limit(maxSyncsPerS, deviceMaxBytes);
    }

    /// <summary>Why the last batch failed; null while the store works.</summary>
    public StoreException? Failure { get; private set; }

    public bool StoreIsFailing => Failure is not null;

    /// <summary>
    /// The medium is full: only cursors, parks and discards are written, into the room that the ballast gave; new blocks wait until the
    /// ballast is whole again.
    /// </summary>
    internal bool RecordsOnly { get; private set; }

    /// <summary>The device's quota is used up: queues take nothing new that would grow it.</summary>
    public bool DeviceIsFull { get; private set; }

    public TimeSpan LastCommitTook { get; private set; }

    public void Limit(int maxSyncsPerS, long deviceMaxBytes)
    {
        _minIntervalUs = 1_000_000 / Math.Max(1, maxSyncsPerS);
        _deviceMaxBytes = deviceMaxBytes;
    }

    /// <summary>Ends when the committer is disposed; fails when it met something it does not understand, and then nothing is written any more.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <param name="withoutReserve">A former life left the medium full: what little room there is belongs to records, and to the next start.</param>
    public void Start(bool withoutReserve = false)
    {
        if (withoutReserve)
        {
            RecordsOnly = true;
            Failure = new StoreException("The medium is nearly full: nothing new is taken until there is room.", outOfSpace: true);
        }

        Completion = RunAsync();
    }

    internal void Add(ChannelBuffer queue)
    {
        lock (_sync) _queues.Add(queue);
        WakeBy(0);
    }

    internal void Remove(ChannelBuffer queue)
    {
        lock (_sync) _queues.Remove(queue);
    }

    /// <summary>
    /// Forgets a queue that nobody works on, with everything in it; completes when that is durable. A queue made after this call may bear its
    /// name: it is written behind, or in the same batch.
    /// </summary>
    internal Task ForgetAsync(int queue)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_sync)
        {
            if (_stopping) throw new OperationCanceledException("The gateway stops: nothing was forgotten.");
            _forgets.Add((queue, done));
        }

        WakeBy(0);
        return done.Task;
    }

    /// <summary>A queue wants a commit by this running time. Cheap when the loop wakes earlier anyway.</summary>
    internal void WakeBy(long dueUs)
    {
        if (dueUs < Interlocked.Read(ref _plannedWakeUs)) _wake.Set();
    }

    /// <summary>Ends the loop; a batch under way is finished first.</summary>
    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        _wake.Set();
        await Task.WhenAny(Completion);
        _wake.Dispose();
        lock (_sync)
        {
            foreach (var (_, done) in _forgets) done.TrySetCanceled();
            _forgets.Clear();
        }
    }

    private async Task RunAsync()
    {
        while (!_stopping)
        {
            var dueUs = EarliestDue(out var rateLimited);
            var wakeUs = rateLimited ? Math.Max(dueUs, _nextRatedUs) : dueUs;
            if (RecordsOnly && await FindsRoomAsync()) continue;
            if (RecordsOnly) wakeUs = Math.Min(wakeUs, _nextRoomCheckUs);
            var waitUs = wakeUs - _clock.NowUs;
            if (waitUs > 0)
            {
                Interlocked.Exchange(ref _plannedWakeUs, wakeUs);
                await _wake.WaitAsync(wakeUs == long.MaxValue ? Timeout.InfiniteTimeSpan : TimeSpan.FromMicroseconds(Math.Min(waitUs, 3_600_000_000)));
                Interlocked.Exchange(ref _plannedWakeUs, long.MinValue);
                continue;
            }

            Interlocked.Exchange(ref _plannedWakeUs, long.MinValue);
            await CommitAsync();
        }
    }

    /// <summary>Asks every queue when it is due.</summary>
    /// <param name="rateLimited">Only commits that fight age are due by then: <c>max_syncs_per_s</c> holds for them.</param>
    internal long EarliestDue(out bool rateLimited)
    {
        // From here on every new need must wake the loop: it may come after its queue has been asked.
        Interlocked.Exchange(ref _plannedWakeUs, long.MaxValue);
        var (earliest, earliestRated) = (long.MaxValue, long.MaxValue);
        lock (_sync)
        {
            if (_forgets.Count > 0) earliest = 0;
            foreach (var queue in _queues)
            {
                var need = queue.NextCommit();
                if (need.RateLimited) earliestRated = Math.Min(earliestRated, need.DueUs);
                else earliest = Math.Min(earliest, need.DueUs);
            }
        }

        rateLimited = Math.Max(earliestRated, _nextRatedUs) < earliest;
        return rateLimited ? earliestRated : earliest;
    }

    private async Task CommitAsync()
    {
        var batch = TakeBatch();
        if (batch.Queues.Count == 0)
        {
            // A queue that calls itself due and has nothing to write must not keep a core busy.
            await _wake.WaitAsync(EmptyBatchDelay);
            return;
        }

        var began = _time.GetTimestamp();
        try
        {
            await _store.CommitAsync(batch);
        }
        catch (StoreException e)
        {
            await RecoverAsync(e);
            return;
        }

        LastCommitTook = _time.GetElapsedTime(began);
        _newSegment = false;
        _failuresInARow = 0;
        if (!RecordsOnly) NoteWorking();
        var wasFull = DeviceIsFull;
        DeviceIsFull = _store.Usage.DiskBytes >= _deviceMaxBytes;
        foreach (var queue in _inBatch) queue.Committed();
        EndForgets();
        if (wasFull && !DeviceIsFull) WakeSources();
    }

    private void EndForgets()
    {
        lock (_sync)
        {
            for (var i = 0; i < _forgetsInBatch; i++) _forgets[i].Done.TrySetResult();
            _forgets.RemoveRange(0, _forgetsInBatch);
        }
    }

    private void NoteWorking()
    {
        if (Failure is null) return;
        Log.StoreWorksAgain(_log);
        Failure = null;
        WakeSources();
    }

    /// <summary>What kept every source waiting is over, also for those that have nothing in this batch.</summary>
    private void WakeSources()
    {
        lock (_sync)
        {
            foreach (var queue in _queues) queue.StoreHasRoom();
        }
    }

    /// <summary>Every <see cref="RoomCheckUs"/>: blocks are written again when the ballast could be made whole.</summary>
    private async ValueTask<bool> FindsRoomAsync()
    {
        if (_clock.NowUs < _nextRoomCheckUs) return false;
        _nextRoomCheckUs = _clock.NowUs + RoomCheckUs;
        if (!await _store.ReserveAsync()) return false;
        RecordsOnly = false;
        NoteWorking();
        return true;
    }

    private CommitBatch TakeBatch()
    {
        var now = _clock.NowUs;
        _nextRatedUs = now + _minIntervalUs;
        _inBatch.Clear();
        var batch = new CommitBatch { Life = _life, RunningUs = now };
        var left = BatchBytesMax;
        lock (_sync)
        {
            _forgetsInBatch = _forgets.Count;
            foreach (var (queue, _) in _forgets) batch.Queues.Add(new QueueCommit { Queue = queue, Removes = true });

            // Each batch begins with another queue, so that the bound on its size starves none.
            for (var i = 0; i < _queues.Count; i++)
            {
                var queue = _queues[(i + _turn) % _queues.Count];
                var writesBack = queue.HasWriteBack;
                if (queue.TakeCommit(now + _minIntervalUs / 2, left) is not { } part) continue;
                batch.Queues.Add(part);
                batch.BeginSegment |= writesBack;
                _inBatch.Add(queue);
                foreach (var block in part.Blocks) left -= block.EncodedLength;
                if (left <= 0) break;
            }

            _turn++;
        }

        batch.BeginSegment |= _newSegment;
        return batch;
    }

    private async Task RecoverAsync(StoreException failure)
    {
        if (Failure is null) Log.StoreFailing(_log, failure.Message);
        Failure = failure;
        RecordsOnly |= failure.OutOfSpace;
        foreach (var queue in _inBatch) queue.CommitFailed();
        _newSegment = true;
        for (var reopened = false; !reopened && !_stopping;)
        {
            // The first failure is answered at once; a medium that stays full or broken is asked ever more rarely.
            var delay = ReopenDelayMin * Math.Pow(2, Math.Min(_failuresInARow, 10));
            if (_failuresInARow++ > 0) await _wake.WaitAsync(delay < ReopenDelayMax ? delay : ReopenDelayMax);
            try
            {
                await _store.ReopenAsync();
                reopened = true;
            }
            catch (StoreException e)
            {
                Failure = e;
                RecordsOnly |= e.OutOfSpace;
            }
        }
    }
}
