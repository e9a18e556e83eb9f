using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Buffers;

/// <summary>
/// One channel's queue: the only place where its messages wait, so nothing can overtake. Numbers rise by one inside a life:
/// <code>
///   … on disk …│… tail in memory, newest at the end …
///   ───────────┼──────────────┬──────────────┬─────────────▶ sequence
///           cursor         handedOut      durable        last
/// </code>
/// <list type="bullet">
/// <item>cursor: everything up to it is done (confirmed, durably parked or durably discarded) (rule 2)</item>
/// <item>handedOut: what this link has been given; falls back to the cursor, or to what must be repeated, with every new link</item>
/// <item>durable: everything up to it is in a synced batch, or the cursor had passed it when that batch was taken (rules 1, 3)</item>
/// <item>secured = max(cursor, durable): may be acknowledged</item>
/// </list>
/// cursor, handedOut and durable move independently: in cut-through the cursor runs ahead of durable and what it has passed is never
/// written; during an outage durable runs ahead and slabs that are on disk leave memory when the share is short.
///
/// Three callers: sources append (any thread), one delivery loop takes and confirms, the committer takes batches. One lock guards
/// the positions; it is never held across a wait or an I/O. This file: numbers, appending, room, securing. Delivery and rule 14:
/// ChannelBuffer.Delivery.cs. Batches: ChannelBuffer.Commit.cs.
/// Limits: <c>ttl_s</c> and <c>drop_oldest</c> act when the head is about to be delivered, and when room is wanted.
/// </summary>
public sealed partial class ChannelBuffer : IMessageSink, ISenderQueue, IDisposable
{
    /// <summary>Numbers reserved at a time; a new block is asked for when half of one is used.</summary>
    public const long ReservationSize = 1 << 20;

    private readonly Lock _sync = new();
    private readonly IBufferStore _store;
    private readonly Committer _committer;
    private readonly MemoryAccount _memory;
    private readonly RunningClock _clock;
    private readonly Tail _tail;
    private readonly GapList _gaps = new();
    private readonly Func<Slab, bool> _mustStay;
    private readonly Func<Slab, bool> _mustStayOrWaits;
    private readonly List<TaskCompletionSource> _roomWaiters = [];
    private readonly List<(long Sequence, TaskCompletionSource Done)> _securedWaiters = [];
    private readonly List<SequenceRange> _lostRanges = [];
    private readonly LifeRecord _life;

    private QueueSettings _settings;
    private bool _created;
    private bool _closed;

    private long _last;
    private long _reservedUpTo;
    private long _cursor;
    private long _durable;
    private QueueTotals _lastTotals;
    private QueueTotals _cursorTotals;
    private QueueTotals _durableTotals;

    // The ledger. Received is counted by appending, delivered by confirming, buffered is a subtraction: three independent figures.
    private QueueTotals _receivedBase;
    private QueueTotals _appended;
    private QueueCounters _counters;
    private long _lastReceivedUs;
    private long _elidedMessages;
    private long _writtenMessages;

    /// <param name="opening">What the store holds of this queue; for a new queue: its id and number.</param>
    /// <param name="isNew">The queue does not exist in the store yet.</param>
    /// <param name="life">This process's life.</param>
    public ChannelBuffer(
        QueueOpening opening,
        bool isNew,
        long life,
        QueueSettings settings,
        IBufferStore store,
        Committer committer,
        MemoryAccount memory,
        RunningClock clock,
        TimeProvider time)
    {
        Id = opening.Id;
        Number = opening.Number;
        _settings = settings;
        _store = store;
        _committer = committer;
        _memory = memory;
        _clock = clock;
        _tail = new Tail(memory);
        _mustStay = MustStayInMemory;
        _mustStayOrWaits = slab => slab.LastSequence > _cursor || MustStayInMemory(slab);
        _deliverable = new AsyncSignal(time);
        _created = !isNew;

        foreach (var record in opening.Lives.Where(l => l.Gap.Last > opening.Cursor)) _gaps.Add(record.Gap, default);
        foreach (var range in opening.Discarded) _gaps.Add(range, new QueueTotals(range.Count, 0));
        _lostRanges.AddRange(opening.Lost);

        // A new life: its numbers begin above everything that was ever reserved; the gap below them is explained by its record (rule 7).
        var recoveredUpTo = Math.Max(opening.Cursor, opening.LastDurable);
        var beginsAt = Math.Max(opening.ReservedUpTo, recoveredUpTo) + 1;
        _life = new LifeRecord(life, beginsAt, LastSettled(opening, recoveredUpTo));
        _gaps.Add(_life.Gap, default);
        _lives = [.. opening.Lives.Where(l => l.BeginsAt < beginsAt), _life];
        _remote = new SenderMarks(opening);
        _receiver = _syncedReceiver = opening.Receiver;
        _retained = new RetainedPart(opening);

        _cursorTotals = opening.TotalsAtCursor;
        _lastTotals = _durableTotals = opening.LastDurable > opening.Cursor ? opening.TotalsAtEnd : opening.TotalsAtCursor;
        // What was discarded behind the last block is in no block's totals.
        foreach (var range in opening.Discarded)
            _lastTotals += new QueueTotals(Math.Max(0, range.Last - Math.Max(range.First - 1, recoveredUpTo)), 0);
        _durableTotals = _lastTotals;
        _last = _durable = beginsAt - 1;
        _counters = opening.Counters;
        (_cursor, var skipped) = _gaps.Pass(opening.Cursor);
        _cursorTotals += skipped;
        _syncedCursor = _committedCursor = _handedOut = _linkConfirmed = _highestHandedOut = _cursor;
        _kept.Delivered(_cursorTotals.Bytes);
        _kept.BeginLink(ResendBytesWithinShare);
        _lastReceivedUs = _oldestReceivedUs = clock.NowUs;

        // After a crash: received := delivered + buffered + parked + discarded (rule 11), and what damage took behind the last block: the
        // life record explains its numbers from now on, so that delivery never meets the hole and counts it.
        var lostAtEnd = LostAtEnd(opening, recoveredUpTo);
        _receivedBase = _counters.Delivered + Buffered + _counters.Parked + _counters.Discarded + lostAtEnd;
        _counters = _counters with { Lost = _counters.Lost + lostAtEnd };
        _committer.Add(this);
    }

    public string Id { get; }

    /// <summary>The queue's number in the store's keys.</summary>
    public int Number { get; }

    public QueueSettings Settings => _settings;

    public long LastSequence => Volatile.Read(ref _last);

    public long Cursor => Volatile.Read(ref _cursor);

    public long DurableSequence => Volatile.Read(ref _durable);

    public long SecuredSequence => Math.Max(Volatile.Read(ref _cursor), Volatile.Read(ref _durable));

    public long MemoryUsedBytes => _memory.UsedBytes;

    /// <summary>Since the last message came in, or since this life began.</summary>
    public TimeSpan SilentFor => TimeSpan.FromMicroseconds(_clock.NowUs - Volatile.Read(ref _lastReceivedUs));

    private QueueTotals SecuredTotals => _cursor > _durable ? _cursorTotals : _durableTotals;

    private QueueTotals Unsecured => _last > Math.Max(_cursor, _durable) ? _lastTotals - SecuredTotals : default;

    private QueueTotals Buffered => _durable > _cursor ? _durableTotals - _cursorTotals - _gaps.Totals : default;

    /// <summary>New settings for the same queue: Apply has replaced its endpoints.</summary>
    public void Configure(QueueSettings settings)
    {
        lock (_sync)
        {
            _settings = settings;
            WakeRoomWaiters();
        }

        Publish();
    }

    public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence) => TryAppend(payload, flags, default, out sequence);

    internal bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, in MessageOrigin origin, out long sequence)
    {
        lock (_sync)
        {
            sequence = 0;
            if (_closed || !_receives || _last >= _reservedUpTo) return false;
            if (!QuotaHasRoom(payload.Length))
            {
                if (_settings.Buffer.WhenFull != WhenFull.DropNewest) return false;
                var dropped = new QueueTotals(1, payload.Length);
                _receivedBase += dropped;
                _counters = _counters with { Discarded = _counters.Discarded + dropped };
                return true;
            }

            if (!UnsecuredHasRoom(payload.Length)) return false;
            var next = _last + 1;
            if (!_tail.OpenSlabHasRoom(next, payload.Length, origin.Route))
            {
                if (!MakeMemoryFit(Tail.SlabCapacityFor(payload.Length), ReadReserveBytes) && Unsecured.Messages > 0) return false;
                _tail.OpenSlab(next, payload.Length, _lastTotals, keepsOrigins: origin.Route is not null);
            }

            _lastReceivedUs = _clock.NowUs;
            _tail.Append(payload, flags, _lastReceivedUs, origin);
            var added = new QueueTotals(1, payload.Length);
            _lastTotals += added;
            _appended += added;
            Volatile.Write(ref _last, next);
            sequence = next;
            return true;
        }
    }

    public void Publish()
    {
        _deliverable.Set();
        _committer.WakeBy(NextCommit().DueUs);
    }

    public async ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel)
    {
        if (_settings.Buffer.WhenFull == WhenFull.DropOldest) await DropOldestForAsync(payloadBytes);
        TaskCompletionSource waiter;
        lock (_sync)
        {
            ThrowIfClosed();
            if (!_receives) throw new OperationCanceledException($"Channel {Id} stops, and has no room.");
            if (_last < _reservedUpTo && QuotaHasRoom(payloadBytes) && UnsecuredHasRoom(payloadBytes) && MemoryMayFit(payloadBytes)) return;
            waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _roomWaiters.Add(waiter);
        }

        Publish();
        await using var registration = cancel.UnsafeRegister(static (w, token) => ((TaskCompletionSource)w!).TrySetCanceled(token), waiter);
        await waiter.Task;
    }

    public async ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel)
    {
        TaskCompletionSource waiter;
        lock (_sync)
        {
            if (SecuredSequence >= sequence) return;
            ThrowIfClosed();
            waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _securedWaiters.Add((sequence, waiter));
        }

        await using var registration = cancel.UnsafeRegister(static (w, token) => ((TaskCompletionSource)w!).TrySetCanceled(token), waiter);
        await waiter.Task;
    }

    /// <summary>Ends every wait; what is in memory is given back. The queue in the store stays.</summary>
    public void Dispose()
    {
        // Before the lock: the committer asks its queues while it holds its own.
        _committer.Remove(this);
        lock (_sync)
        {
            if (_closed) return;
            _closed = true;
            foreach (var waiter in _roomWaiters) waiter.TrySetCanceled();
            foreach (var (_, waiter) in _securedWaiters) waiter.TrySetCanceled();
            _roomWaiters.Clear();
            _securedWaiters.Clear();
            EndOperators();
            _tail.Clear();
            _memory.Dispose();
        }

        _deliverable.Set();
    }

    /// <summary>The queue's part of the status.</summary>
    public ChannelStatus Describe(ChannelStatus status)
    {
        lock (_sync)
        {
            var unsecured = Unsecured;
            return status with
            {
                Ledger = LedgerNow(),
                UnsecuredMessages = unsecured.Messages,
                UnsecuredBytes = unsecured.Bytes,
                BufferedBytes = Buffered.Bytes,
                MaxBytes = _settings.Buffer.MaxBytes,
                RetainedBytes = RetainedBytes,
                RetainedFrom = RetainedBytes > 0 ? _retained.After.Sequence + 1 : null,
                MemoryUsedBytes = _memory.UsedBytes,
                OldestAge = OldestAge(),
                Delivery = _settings.Delivery == DeliveryMode.CutThrough ? "cut_through" : "durable_first",
                LostRanges = [.. _lostRanges],
                LastSequence = _last,
                SecuredSequence = SecuredSequence,
                Cursor = _cursor,
                ElidedMessages = _elidedMessages,
                WrittenMessages = _writtenMessages,
            };
        }
    }

    /// <summary>Payload that waits in the store.</summary>
    public long BufferedBytes
    {
        get
        {
            lock (_sync) return Buffered.Bytes;
        }
    }

    /// <summary>The ledger at this instant.</summary>
    public LedgerStatus Ledger
    {
        get
        {
            lock (_sync) return LedgerNow();
        }
    }

    /// <summary>What was discarded right behind the last block was recovered as well.</summary>
    private static long LastSettled(QueueOpening opening, long recoveredUpTo)
    {
        foreach (var range in opening.Discarded)
            if (range.First <= recoveredUpTo + 1) recoveredUpTo = Math.Max(recoveredUpTo, range.Last);
        return recoveredUpTo;
    }

    /// <summary>The numbers that are missing behind the last block and that no former life has counted.</summary>
    private static QueueTotals LostAtEnd(QueueOpening opening, long recoveredUpTo)
    {
        var messages = 0L;
        foreach (var range in opening.Lost)
        {
            var first = Math.Max(range.First, recoveredUpTo + 1);
            if (first <= range.Last && !opening.Lives.Any(life => life.Gap.Contains(first))) messages += range.Last - first + 1;
        }

        return new QueueTotals(messages, 0);
    }

    private LedgerStatus LedgerNow()
    {
        var received = _receivedBase + _appended - Unsecured;
        return new LedgerStatus
        {
            Received = received.Messages,
            ReceivedBytes = received.Bytes,
            Delivered = _counters.Delivered.Messages,
            DeliveredBytes = _counters.Delivered.Bytes,
            Buffered = Buffered.Messages,
            Parked = _counters.Parked.Messages,
            Discarded = _counters.Discarded.Messages,
            Repeated = _counters.Repeated,
            Lost = _counters.Lost.Messages,
        };
    }

    private TimeSpan? OldestAge()
    {
        var oldest = _gaps.Next(_cursor);
        if (oldest > _last) return null;
        if (_tail.Find(oldest) is { } slab) _oldestReceivedUs = slab.ReceivedRunningUs((int)(oldest - slab.FirstSequence));
        return TimeSpan.FromMicroseconds(Math.Max(0, _clock.NowUs - _oldestReceivedUs));
    }

    // Known from the last time the head was in memory; the start of this life for a backlog that nobody has looked at yet.
    private long _oldestReceivedUs;

    private bool QuotaHasRoom(int payloadBytes)
    {
        var used = _lastTotals.Bytes - _cursorTotals.Bytes - _gaps.Totals.Bytes - _pendingDiscardTotals.Bytes + _counters.Parked.Bytes;
        return (used + payloadBytes <= _settings.Buffer.MaxBytes && !_committer.DeviceIsFull) || _lastTotals.Messages == _cursorTotals.Messages;
    }

    private bool UnsecuredHasRoom(int payloadBytes)
    {
        var unsecured = Unsecured;
        if (unsecured.Messages == 0) return !_committer.StoreIsFailing || CursorMoves();
        return unsecured.Bytes + payloadBytes <= _settings.Buffer.MaxUnsecuredBytes && (!_committer.StoreIsFailing || CursorMoves());
    }

    // Part of the share that new messages leave to blocks read back from disk, so that delivery never waits for a commit.
    private long ReadReserveBytes => Math.Min(320 * 1024, _memory.ShareBytes / 2);

    private bool MakeMemoryFit(int capacityBytes, long spareBytes)
    {
        while (!_memory.Fits(capacityBytes, spareBytes))
            if (!_tail.EvictNewest(_mustStay)) return false;
        return true;
    }

    /// <summary>One message is always admitted: what is kept for a repeat would keep a large one out for ever.</summary>
    private bool MemoryMayFit(int payloadBytes) =>
        Unsecured.Messages == 0 || _tail.OpenSlabHasRoom(_last + 1, payloadBytes) ||
        MakeMemoryFit(Tail.SlabCapacityFor(payloadBytes), ReadReserveBytes);

    /// <summary>True when a slab's messages exist nowhere else, or are in use: in a batch under way, in flight, to be repeated, kept.</summary>
    private bool MustStayInMemory(Slab slab)
    {
        var (first, last) = (slab.FirstSequence, slab.LastSequence);
        if (last > Math.Max(_cursor, _durable)) return true;
        if (_committingLast > 0 && first <= _committingLast && last >= _committingFirst) return true;
        if (_linkUp && first <= _handedOut && last > _linkConfirmed) return true;
        foreach (var park in _pendingParks)
            if (park.FirstSequence >= first && park.FirstSequence <= last) return true;
        if (_repeat.Count > 0 && first <= _cursor && last >= _repeat.First) return true;
        if (_settings.ResendBytes is null || first > _cursor || slab.TotalsAfter.Bytes <= _kept.FromBytes) return false;
        return _gaps.Next(first - 1) <= Math.Min(last, _cursor); // else all of it was discarded, parked or lost
    }

    /// <summary>Gives back what nobody needs any more.</summary>
    private void ReleaseMemory()
    {
        _tail.Release(_mustStayOrWaits);
        _gaps.Forget(Math.Min(_cursor, _tail.FirstAtOrAbove(0)));
    }

    private void WakeRoomWaiters()
    {
        foreach (var waiter in _roomWaiters) waiter.TrySetResult();
        _roomWaiters.Clear();
    }

    private void WakeSecuredWaiters()
    {
        var secured = SecuredSequence;
        for (var i = _securedWaiters.Count - 1; i >= 0; i--)
        {
            if (_securedWaiters[i].Sequence > secured) continue;
            _securedWaiters[i].Done.TrySetResult();
            _securedWaiters.RemoveAt(i);
        }
    }

    private void ThrowIfClosed()
    {
        if (_closed) throw new OperationCanceledException($"Channel {Id} has ended.");
    }
}
