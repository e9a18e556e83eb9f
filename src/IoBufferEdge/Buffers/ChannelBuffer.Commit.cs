using IoBufferEdge.Configuration;

namespace IoBufferEdge.Buffers;

/// <summary>When the committer should write something of this queue, and whether the sync rate limit holds for it.</summary>
/// <param name="DueUs">Running time; long.MaxValue: nothing to write.</param>
/// <param name="RateLimited">Rule 1 (a): counts against <c>max_syncs_per_s</c>.</param>
internal readonly record struct CommitNeed(long DueUs, bool RateLimited);

/// <summary>
/// The committer's side: when a commit is due (rules 1 and 9), what belongs to the batch (rule 4), and what its outcome means
/// (rules 1, 6 and 8).
/// </summary>
public sealed partial class ChannelBuffer
{
    /// <summary>Rule 9: a cursor that has passed something on disk is synced at the latest after this.</summary>
    private const long CursorLagUs = 200_000;

    private const int BlockBytesMax = 256 * 1024;

    /// <summary>A channel's share of one batch.</summary>
    private const int BatchBytesMax = 1 << 20;

    private readonly List<SlabBlock> _pendingParks = [];
    private readonly List<(SequenceRange Range, QueueTotals Totals)> _pendingDiscards = [];
    private readonly List<PendingUnpark> _pendingUnparks = [];
    private readonly List<TaskCompletionSource<bool>> _flushWaiters = [];
    private QueueTotals _pendingDiscardTotals;

    /// <summary>The cursor of the last synced batch, and of the one under way.</summary>
    private long _syncedCursor;
    private long _committedCursor;

    private long _committingFirst;
    private long _committingLast;
    private QueueTotals _committingTotals;
    private long _committingMessages;
    private long _committingReservation;
    private int _committingParks;
    private (SequenceRange Range, QueueTotals Size)[] _committingDiscards = [];
    private int _committingUnparks;
    private bool _flushing;
    private bool _begun;
    private long _lagSinceUs;

    /// <summary>Delivered messages that a crash now would repeat because their cursor is not synced.</summary>
    private long CursorLag => Math.Max(0, Math.Min(_cursor, Math.Max(_durable, _committingLast)) - _syncedCursor);

    private long CursorLagLimit => Math.Max(CursorLagMessages, _deliveredLastSecond);

    /// <summary>While set, everything that is not secured is committed at once, and the cursor with it (rule 10).</summary>
    public void Flush(bool on)
    {
        lock (_sync) _flushing = on;
        _committer.WakeBy(0);
    }

    /// <summary>Completes when everything received is secured and a restart would find the present cursor; false: not in time.</summary>
    public async Task<bool> WaitFlushedAsync(TimeSpan timeout, TimeProvider time)
    {
        TaskCompletionSource<bool> waiter;
        lock (_sync)
        {
            if (IsFlushed) return true;
            waiter = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            _flushWaiters.Add(waiter);
        }

        using var late = new CancellationTokenSource(timeout, time);
        await using var registration = late.Token.UnsafeRegister(static w => ((TaskCompletionSource<bool>)w!).TrySetResult(false), waiter);
        return await waiter.Task;
    }

    private bool IsFlushed => _last <= Math.Max(_cursor, _durable) && _syncedCursor == _cursor && NothingPending;

    private void WakeFlushWaiters()
    {
        if (_flushWaiters.Count == 0 || !IsFlushed) return;
        foreach (var waiter in _flushWaiters) waiter.TrySetResult(true);
        _flushWaiters.Clear();
    }

    public long UnsecuredMessages
    {
        get
        {
            lock (_sync) return Unsecured.Messages;
        }
    }

    private bool NothingPending =>
        _pendingParks.Count == 0 && _pendingDiscards.Count == 0 && _pendingUnparks.Count == 0 && _writeBack.Count <= 0 && !RemoteIsDue;

    /// <summary>On a full medium a discard waits while messages before it are neither written nor confirmed.</summary>
    private bool RecordsMayGo => _committer.RecordsOnly && _pendingDiscards.Count > 0 && _pendingDiscards[0].Range.First > _gaps.Next(SecuredSequence)
        ? RemoteIsDue || _pendingParks.Count > 0 || _pendingUnparks.Count > 0 || _writeBack.Count > 0
        : !NothingPending;

    internal CommitNeed NextCommit()
    {
        lock (_sync) return NextCommitLocked();
    }

    private CommitNeed NextCommitLocked()
    {
        if (_closed) return new CommitNeed(long.MaxValue, false);
        if (!_begun || RecordsMayGo || _purge is { IsPlanned: false } || _last > _reservedUpTo - ReservationSize / 2) return new CommitNeed(0, false);
        if ((_flushing && _cursor != _syncedCursor) || MustGiveUpRetained) return new CommitNeed(0, false);

        var due = long.MaxValue;
        if (CursorLag > 0)
        {
            if (CursorLag >= CursorLagLimit / 2) return new CommitNeed(0, false);
            due = _lagSinceUs + CursorLagUs;
        }

        var messages = MessagesDue();
        return messages.DueUs < due ? messages : new CommitNeed(due, false);
    }

    /// <summary>When the unsecured messages must be written if nothing confirms them before (rule 1).</summary>
    private CommitNeed MessagesDue()
    {
        var unsecured = Unsecured;
        if (unsecured.Messages == 0 || _committer.RecordsOnly) return new CommitNeed(long.MaxValue, false);
        var moves = CursorMoves();
        if (_flushing || (!moves && _roomWaiters.Count > 0)) return new CommitNeed(0, false);
        if (unsecured.Bytes >= _settings.Buffer.CommitBytes && (_settings.Delivery == DeliveryMode.DurableFirst || !moves)) return new CommitNeed(0, false);
        var delayMs = _settings.SourceAcknowledges || moves ? _settings.Buffer.MaxDelayMs : _settings.Buffer.OfflineDelayMs;
        return new CommitNeed(OldestUnsecuredUs() + delayMs * 1000L, true);
    }

    /// <summary>The destination confirms, or has nothing to confirm.</summary>
    private bool CursorMoves()
    {
        if (!_linkUp || _paused || _holdUntilUs > 0 || _pendingParks.Count > 0) return false;
        return _handedOut <= _linkConfirmed || _clock.NowUs - _lastAdvanceUs <= Math.Max(_settings.Buffer.MaxDelayMs, 20) * 1000L;
    }

    private long OldestUnsecuredUs()
    {
        var first = _gaps.Next(Math.Max(_cursor, _durable));
        return _tail.Find(first) is { } slab ? slab.ReceivedRunningUs((int)(first - slab.FirstSequence)) : 0;
    }

    /// <summary>This queue's part of a batch, taken in one instant; null when there is nothing to write.</summary>
    /// <param name="dueByUs">Messages whose commit is due by then belong to it; younger ones of a healthy cut-through channel may still be elided.</param>
    internal QueueCommit? TakeCommit(long dueByUs, int bytesMax)
    {
        lock (_sync)
        {
            if (_closed) return null;
            if (HasWriteBackLocked) return TakeWriteBack();
            PlanPurge();
            // A discard is not written ahead of the messages before it: nothing unsecured may lie below what is settled.
            var takesMessages = !NothingPending || MessagesDue().DueUs <= dueByUs || !CursorMoves() || _settings.Delivery == DeliveryMode.DurableFirst;
            // What is parked and discarded by this very batch lies behind its cursor.
            var (cursor, cursorTotals) = CursorWithPending();
            var blocks = takesMessages ? TakeBlocks(Math.Max(cursor, _durable), _committer.RecordsOnly ? 0 : Math.Min(bytesMax, BatchBytesMax)) : [];
            _committingReservation = _last > _reservedUpTo - ReservationSize / 2 || !_begun
                ? Math.Max(_reservedUpTo, _life.BeginsAt - 1) + ReservationSize
                : _reservedUpTo;
            _committingParks = _pendingParks.Count;
            _committingUnparks = _pendingUnparks.Count;
            var settled = Math.Max(Math.Max(cursor, _durable), _committingLast);
            _committingDiscards = [.. _pendingDiscards.Where(d => d.Range.Last <= settled)];
            var records = _committingParks + _committingUnparks + _committingDiscards.Length;
            var givesUpRetained = MustGiveUpRetained;
            if (blocks.Count == 0 && cursor == _syncedCursor && _committingReservation == _reservedUpTo && records == 0 && !RemoteIsDue
                && !givesUpRetained) return null;

            _committedCursor = cursor;
            NoteLag();
            FollowRetained(new RetainMark(cursor, cursorTotals.Bytes));
            return new QueueCommit
            {
                Queue = Number,
                CreatesId = _created ? null : Id,
                Cursor = cursor,
                TotalsAtCursor = cursorTotals,
                Counters = CountersWithPending(),
                ReservedUpTo = _committingReservation,
                BeginsLife = _begun ? null : _life,
                Blocks = blocks,
                Parks = [.. _pendingParks],
                Discards = [.. _committingDiscards.Select(d => d.Range)],
                Unparks = [.. _pendingUnparks.Select(u => u.Sequence)],
                RenamesLives = _renamedLives,
                Held = _remote.TakeHeld(settled),
                Keys = _remote.TakeKeys(settled),
                ForgetsKeys = _remote.TakeForgotten(),
                Receiver = TakeReceiver(),
                RetainAfter = RetainAfter,
                GivesUpRetained = givesUpRetained,
                Withholds = _retained.TakeWithheld(),
            };
        }
    }

    /// <summary>The batch is durable.</summary>
    internal void Committed()
    {
        lock (_sync)
        {
            _created = _begun = true;
            _reservedUpTo = Math.Max(_reservedUpTo, _committingReservation);
            _writtenMessages += _committingMessages;
            if (_committingLast > _durable)
            {
                _durableTotals = _committingTotals;
                Volatile.Write(ref _durable, _committingLast);
            }

            SettlePending();
            SettleRemote();
            _retained.Settle();
            ReachOverGaps();
            _committingFirst = _committingLast = _committingMessages = 0;
            _syncedCursor = _committedCursor;
            if (_writeBackUnderWay) (_writeBack, _writeBackUnderWay) = (new SequenceRange(1, 0), false);
            _lagSinceUs = 0;
            NoteLag();
            ReleaseMemory();
            WakeRoomWaiters();
            WakeSecuredWaiters();
            WakeFlushWaiters();
        }

        _deliverable.Set();
    }

    /// <summary>The store works or has room again: a source that waits may have nothing in the tail whose commit would wake it.</summary>
    internal void StoreHasRoom()
    {
        lock (_sync) WakeRoomWaiters();
    }

    /// <summary>The batch's outcome is unknown: all of it stays unsecured and is written again (rule 6).</summary>
    internal void CommitFailed()
    {
        lock (_sync)
        {
            _committingFirst = _committingLast = _committingMessages = 0;
            _committingParks = _committingUnparks = 0;
            _committingDiscards = [];
            _committingReservation = _reservedUpTo;
            RemoteFailed();
            _writeBackUnderWay = false;
        }
    }

    private (long Cursor, QueueTotals Totals) CursorWithPending()
    {
        var (cursor, totals) = (_cursor, _cursorTotals);
        foreach (var park in _pendingParks)
            if (park.FirstSequence == cursor + 1) (cursor, totals) = (park.LastSequence, totals + new QueueTotals(1, park.PayloadBytes));
        foreach (var (range, size) in _pendingDiscards)
            if (range.First == _gaps.Next(cursor)) (cursor, totals) = (range.Last, totals + _gaps.TotalsBetween(cursor + 1, range.First - 1) + size);
        return (cursor, totals);
    }

    private QueueCounters CountersWithPending()
    {
        var counters = _counters;
        foreach (var park in _pendingParks) counters = counters with { Parked = counters.Parked + new QueueTotals(1, park.PayloadBytes) };
        foreach (var (_, size) in _committingDiscards) counters = counters with { Discarded = counters.Discarded + size };
        foreach (var unpark in _pendingUnparks) counters = unpark.Count(counters);
        return counters;
    }

    /// <summary>The unbroken run behind <paramref name="after"/>, in blocks; numbers that this batch discards or parks are left out.</summary>
    private List<PendingBlock> TakeBlocks(long after, int bytesMax)
    {
        var blocks = new List<PendingBlock>();
        SlabBlock? open = null;
        var next = NextToWrite(after);
        _committingFirst = next;
        _committingLast = _committingMessages = 0;
        long taken = 0;
        while (taken < bytesMax && next <= _last && _tail.Find(next) is { } slab)
        {
            var index = (int)(next - slab.FirstSequence);
            var end = Math.Min(slab.LastSequence, EndBeforePending(next));
            var room = (open is null || open.LastSequence + 1 != next ? BlockBytesMax : BlockBytesMax - open.PayloadBytes);
            var count = slab.CountWithin(index, (int)(end - next + 1), Math.Min(room, bytesMax - taken));
            if (count == 0 && open is not null && open.LastSequence + 1 == next && taken < bytesMax)
            {
                open = null;
                continue;
            }

            if (count == 0 && blocks.Count == 0) count = 1;
            if (count == 0) break;
            if (open is not null && open.LastSequence + 1 == next && open.HasRoomForRoutes(slab)) open.Add(slab, index, count);
            else blocks.Add(open = new SlabBlock(slab, index, count, _life.Life, _clock));
            taken += slab.EndOffset(index + count - 1) - slab.EndOffset(index - 1);
            _committingLast = next + count - 1;
            _committingMessages += count;
            _committingTotals = slab.TotalsThrough(index + count - 1);
            next = NextToWrite(_committingLast);
        }

        ReachOverPending(after);
        return blocks;
    }

    /// <summary>Discarded or parked numbers right behind the run are settled by the same batch: durable reaches over them.</summary>
    private void ReachOverPending(long after)
    {
        var (last, totals) = _committingLast > 0 ? (_committingLast, _committingTotals) : (after, SecuredTotals);
        var reached = last;
        foreach (var park in _pendingParks)
            if (park.FirstSequence == _gaps.Next(reached)) (reached, totals) = (park.LastSequence, totals + new QueueTotals(1, park.PayloadBytes));
        foreach (var (range, size) in _pendingDiscards)
            if (range.First == _gaps.Next(reached)) (reached, totals) = (range.Last, totals + size);
        if (reached > last) (_committingLast, _committingTotals) = (reached, totals);
        else if (_committingLast == 0) _committingFirst = 0;
    }

    /// <summary>Gaps right behind what is durable hold nothing that could still be written: durable reaches over them.</summary>
    private void ReachOverGaps()
    {
        var last = Math.Min(_gaps.Next(_durable) - 1, _last);
        if (last <= _durable || _tail.Find(last) is not { } slab) return;
        _durableTotals = slab.TotalsThrough((int)(last - slab.FirstSequence));
        Volatile.Write(ref _durable, last);
    }

    private long NextToWrite(long after)
    {
        var next = _gaps.Next(after);
        foreach (var park in _pendingParks)
            if (park.FirstSequence == next) next = _gaps.Next(next);
        foreach (var (range, _) in _pendingDiscards)
            if (range.Contains(next)) next = _gaps.Next(range.Last);
        return next;
    }

    private long EndBeforePending(long first)
    {
        var end = _gaps.RunEnd(first);
        foreach (var park in _pendingParks)
            if (park.FirstSequence > first) end = Math.Min(end, park.FirstSequence - 1);
        foreach (var (range, _) in _pendingDiscards)
            if (range.First > first) end = Math.Min(end, range.First - 1);
        return end;
    }

    /// <summary>What this batch parked and discarded is durable: the cursor may pass it, and what lies behind may be sent.</summary>
    private void SettlePending()
    {
        for (var i = 0; i < _committingParks; i++)
        {
            var park = _pendingParks[i];
            var parked = new QueueTotals(1, park.PayloadBytes);
            _counters = _counters with { Parked = _counters.Parked + parked };
            _gaps.Add(new SequenceRange(park.FirstSequence, park.LastSequence), parked);
        }

        foreach (var (range, totals) in _committingDiscards)
        {
            _pendingDiscards.Remove((range, totals));
            _counters = _counters with { Discarded = _counters.Discarded + totals };
            _gaps.Add(range, totals);
            _pendingDiscardTotals -= totals;
        }

        SettleUnparks();
        _pendingParks.RemoveRange(0, _committingParks);
        _committingParks = _committingUnparks = 0;
        _committingDiscards = [];
        AdvanceCursor(_cursor);
        NotePurged();
    }

    private void NoteLag()
    {
        if (CursorLag == 0) _lagSinceUs = 0;
        else if (_lagSinceUs == 0) _lagSinceUs = _clock.NowUs;
    }
}
