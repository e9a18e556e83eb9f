namespace IoBufferEdge.Buffers;

/// <summary>
/// What an operator takes out of a queue: parked messages, for a replay or for good, and all that waits. Each is a record in the next batch
/// with the counters of the same instant, so that a crash leaves every message in one column of the ledger (rules 8 and 11).
/// </summary>
public sealed partial class ChannelBuffer
{
    private readonly HashSet<long> _claimedParks = [];
    private readonly List<(long Settled, TaskCompletionSource Done)> _unparkWaiters = [];
    private long _unparksAsked;
    private long _unparksSettled;
    private Purge? _purge;

    /// <summary>
    /// A parked message belongs to one command at a time. False: another one has it. Who has it looks again whether it is still there: what
    /// was read before may have been settled meanwhile.
    /// </summary>
    internal bool TryClaimParked(long sequence)
    {
        lock (_sync) return _claimedParks.Add(sequence);
    }

    internal void ReleaseParked(long sequence)
    {
        lock (_sync) _claimedParks.Remove(sequence);
    }

    /// <summary>A claimed message has been given a new number at the tail: its record goes with the next batch (rule 8).</summary>
    internal void Unpark(long sequence, int bytes)
    {
        lock (_sync) AddUnpark(new PendingUnpark(sequence, bytes, Drops: false));
        _committer.WakeBy(0);
    }

    /// <summary>Claimed messages are forgotten and counted as discarded, all in one batch; completes when it is durable.</summary>
    internal async Task DropParkedAsync(IReadOnlyList<(long Sequence, int Bytes)> messages, CancellationToken cancel)
    {
        var waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_sync)
        {
            ThrowIfClosed();
            foreach (var (sequence, bytes) in messages) AddUnpark(new PendingUnpark(sequence, bytes, Drops: true));
            _unparkWaiters.Add((_unparksAsked, waiter));
        }

        _committer.WakeBy(0);
        await using var registration = cancel.UnsafeRegister(static (w, token) => ((TaskCompletionSource)w!).TrySetCanceled(token), waiter);
        await waiter.Task;
    }

    /// <summary>
    /// Discards what waits now and is not in flight, up to the newest number; completes when that is durable, with what it was. Its size is
    /// known without reading it, from the totals at both ends: however much waits, it is one record per unbroken run of numbers.
    /// </summary>
    /// <exception cref="InvalidOperationException">One is under way.</exception>
    internal async Task<QueueTotals> PurgeAsync(CancellationToken cancel)
    {
        Purge purge;
        lock (_sync)
        {
            ThrowIfClosed();
            if (_purge is not null) throw new InvalidOperationException($"{Id} is being purged already.");
            _purge = purge = new Purge(_last, _lastTotals);
        }

        _committer.WakeBy(0);
        await using var registration =
            cancel.UnsafeRegister(static (d, token) => ((TaskCompletionSource<QueueTotals>)d!).TrySetCanceled(token), purge.Done);
        return await purge.Done.Task;
    }

    private void AddUnpark(PendingUnpark unpark)
    {
        _pendingUnparks.Add(unpark);
        _unparksAsked++;
    }

    /// <summary>What the batch forgot of the parked messages: a replayed one was counted anew at the tail, a dropped one stays received.</summary>
    private void SettleUnparks()
    {
        for (var i = 0; i < _committingUnparks; i++)
        {
            var unpark = _pendingUnparks[i];
            _counters = unpark.Count(_counters);
            if (!unpark.Drops) _receivedBase -= unpark.Size;
            _claimedParks.Remove(unpark.Sequence);
        }

        _pendingUnparks.RemoveRange(0, _committingUnparks);
        _unparksSettled += _committingUnparks;
        foreach (var (settled, done) in _unparkWaiters)
            if (settled <= _unparksSettled) done.TrySetResult();
        _unparkWaiters.RemoveAll(w => w.Settled <= _unparksSettled);
    }

    /// <summary>
    /// While no batch is under way: what a purge discards becomes pending. Where the durable part ends a record ends, as
    /// <see cref="ReachOverPending"/> needs it.
    /// </summary>
    private void PlanPurge()
    {
        if (_purge is not { IsPlanned: false } purge) return;
        purge.IsPlanned = true;
        var (after, totals) = (_cursor, _cursorTotals);
        if (_linkUp && _handedOut > _cursor && _tail.Find(_handedOut) is { } slab)
            (after, totals) = (_handedOut, slab.TotalsThrough((int)(_handedOut - slab.FirstSequence)));
        var secured = SecuredSequence;
        var runs = new List<(SequenceRange Range, QueueTotals Size)>();
        if (after < secured && secured < purge.UpTo)
        {
            AddRuns(runs, after, secured, SecuredTotals - totals);
            AddRuns(runs, secured, purge.UpTo, purge.TotalsAtEnd - SecuredTotals);
        }
        else
        {
            AddRuns(runs, after, purge.UpTo, purge.TotalsAtEnd - totals);
        }

        foreach (var (range, size) in runs)
        {
            AddDiscard(range, size);
            purge.Size += size;
        }

        if (runs.Count == 0) NotePurged();
    }

    /// <summary>
    /// The unbroken runs of waiting numbers behind one number and up to another. How the bytes fall on them is not known, and does not
    /// matter: with nothing but gaps between them the cursor passes all of them in one step.
    /// </summary>
    private void AddRuns(List<(SequenceRange Range, QueueTotals Size)> runs, long after, long upTo, QueueTotals total)
    {
        if (after >= upTo) return;
        total -= _gaps.TotalsBetween(after + 1, upTo);
        foreach (var park in _pendingParks)
            if (park.FirstSequence > after && park.FirstSequence <= upTo) total -= new QueueTotals(1, park.PayloadBytes);
        foreach (var (range, size) in _pendingDiscards)
            if (range.First > after && range.Last <= upTo) total -= size;
        for (var next = NextToWrite(after); next <= upTo;)
        {
            var end = Math.Min(upTo, EndBeforePending(next));
            var following = NextToWrite(end);
            var size = following > upTo ? total : new QueueTotals(end - next + 1, 0);
            runs.Add((new SequenceRange(next, end), size));
            total -= size;
            next = following;
        }
    }

    private void NotePurged()
    {
        if (_purge is not { IsPlanned: true } purge || _pendingDiscards.Exists(d => d.Range.First <= purge.UpTo)) return;
        _purge = null;
        purge.Done.TrySetResult(purge.Size);
    }

    /// <summary>The queue ends: whoever waits is told, and what was asked for and is not durable has not happened.</summary>
    private void EndOperators()
    {
        foreach (var (_, done) in _unparkWaiters) done.TrySetCanceled();
        _unparkWaiters.Clear();
        _purge?.Done.TrySetCanceled();
        _purge = null;
    }

    /// <summary>A parked message whose record goes with the next batch.</summary>
    private readonly record struct PendingUnpark(long Sequence, int Bytes, bool Drops)
    {
        public QueueTotals Size => new(1, Bytes);

        public QueueCounters Count(QueueCounters counters) =>
            counters with { Parked = counters.Parked - Size, Discarded = Drops ? counters.Discarded + Size : counters.Discarded };
    }

    private sealed class Purge(long upTo, QueueTotals totalsAtEnd)
    {
        public long UpTo { get; } = upTo;

        public QueueTotals TotalsAtEnd { get; } = totalsAtEnd;

        public TaskCompletionSource<QueueTotals> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool IsPlanned { get; set; }

        public QueueTotals Size { get; set; }
    }
}
