using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The delivery side: runs of messages are taken from the tail, or read back from disk into it, in order, and the cursor follows
/// the confirmations. What an un-orderly end of a link leaves in doubt is repeated first on the next one (rule 14).
/// </summary>
public sealed partial class ChannelBuffer
{
    /// <summary>Longest run handed to a link at once; one message may be longer.</summary>
    private const int RunBytesMax = 64 * 1024;

    /// <summary>Rule 9: at least so many delivered messages may lie between the synced cursor and the cursor.</summary>
    private const long CursorLagMessages = 1024;

    /// <summary>How long delivery waits before it asks a store again that is being reopened.</summary>
    private static readonly TimeSpan StoreRetryDelay = TimeSpan.FromMilliseconds(100);

    private readonly AsyncSignal _deliverable;

    private bool _linkUp;
    private bool _taking;
    private bool _paused;
    private int _maxInFlightMessages = int.MaxValue;
    private long _linkFirst;
    private long _handedOut;
    private long _linkConfirmed;
    private long _highestHandedOut;
    private long _holdUntilUs;

    /// <summary>Delivered on an earlier link and in doubt: sent again before anything new. Empty while First is above Last.</summary>
    private SequenceRange _repeat = new(1, 0);

    private readonly KeptBound _kept = new();
    private bool _waitsForConfirm;

    private long _lastAdvanceUs;
    private long _rateWindowStartUs;
    private long _rateWindowMessages;
    private long _deliveredLastSecond;

    private long ResendBytesWithinShare => Math.Min(_settings.ResendBytes ?? 0, _memory.ShareBytes / 2);

    private long WindowBytesWithinShare => Math.Min(_settings.WindowBytes, _memory.ShareBytes / 5);

    /// <summary>
    /// A run is admitted whole, and behind it as much as the window may be asked with, and one message that goes beyond: what a dying peer
    /// leaves must not be more than what is kept (rule 14). A larger message is a run of its own: <see cref="KeptBound"/> knows of it.
    /// </summary>
    private long RunBytes => _settings.ResendBytes is null
        ? RunBytesMax
        : Math.Min(RunBytesMax, (ResendBytesWithinShare - (WindowBytesWithinShare * 2)) / 2);

    /// <summary>
    /// How much may be in flight. An answer or a hold may take long, and what is in flight stays in memory, though it may be on disk: so
    /// beside a source with an <c>ack</c> (<c>hold_ms</c>, a second) this bounds memory at four times the share, and the rate of delivery.
    /// </summary>
    private long InFlightBytesMax => _memory.ShareBytes * 3;

    /// <summary>A new link begins: delivery falls back to what must be repeated, or to the cursor.</summary>
    public void BeginLink(int maxInFlightMessages)
    {
        lock (_sync)
        {
            _maxInFlightMessages = maxInFlightMessages;
            _handedOut = _linkConfirmed = _repeat.Count > 0 ? Math.Min(_repeat.First - 1, _cursor) : _cursor;
            _linkFirst = _handedOut + 1;
            _kept.BeginLink(ResendBytesWithinShare);
            _linkUp = _taking = true;
            _holdUntilUs = 0;
            _lastAdvanceUs = _clock.NowUs;
            WakeRoomWaiters();
        }

        Publish();
    }

    /// <summary>No run is handed out any more on this link: a waiting <see cref="TakeRunAsync"/> returns an empty run.</summary>
    public void StopTaking()
    {
        lock (_sync) _taking = false;
        _deliverable.Set();
    }

    /// <summary>The link has ended, its last confirmations are in. Decides what the next one repeats.</summary>
    public void EndLink(LinkEnd end)
    {
        lock (_sync)
        {
            _linkUp = false;
            if (_settings.ResendBytes is not null)
            {
                // Left over from an earlier end and not confirmed on this link: survives every kind of end.
                var first = _repeat.Count > 0 ? _repeat.First : long.MaxValue;
                if (!end.Orderly && Math.Min(_linkConfirmed, _cursor) >= _linkFirst)
                {
                    var kept = Math.Max(Math.Max(_linkFirst, end.RepeatFrom), FirstKept());
                    if (kept <= Math.Min(_linkConfirmed, _cursor)) first = Math.Min(first, kept);
                }

                _repeat = first <= _cursor ? new SequenceRange(first, _cursor) : new SequenceRange(1, 0);
            }

            _handedOut = _linkConfirmed = _cursor;
            ReleaseMemory();
            WakeRoomWaiters();
        }

        Publish();
    }

    /// <summary>Holds delivery back or lets it go on. Reception goes on all the time.</summary>
    public bool Paused
    {
        get => _paused;
        set
        {
            lock (_sync) _paused = value;
            Publish();
        }
    }

    /// <summary>Waits for the next messages to deliver; an empty run: taking has been stopped.</summary>
    public async ValueTask<DeliveryRun> TakeRunAsync()
    {
        while (true)
        {
            long missing;
            TimeSpan wait;
            lock (_sync)
            {
                if (!_taking || _closed) return default;
                if (TryTake(out var run, out missing, out wait)) return run;
            }

            if (missing == 0) await _deliverable.WaitAsync(wait);
            else if (!await LoadAsync(missing)) await _deliverable.WaitAsync(StoreRetryDelay);
        }
    }

    /// <summary>
    /// Everything up to this number is confirmed on this link, holds included. True when a message was confirmed that never was before.
    /// </summary>
    public bool Confirm(long upTo)
    {
        bool advanced;
        lock (_sync)
        {
            if (!_linkUp || upTo <= _linkConfirmed) return false;
            _linkConfirmed = Math.Min(upTo, _handedOut);
            if (_repeat.Count > 0) _repeat = _repeat with { First = Math.Max(_repeat.First, _linkConfirmed + 1) };
            advanced = _linkConfirmed > _cursor;
            if (advanced) AdvanceCursor(_linkConfirmed);
            _lastAdvanceUs = _clock.NowUs;
            ReleaseMemory();
            WakeRoomWaiters();
            WakeSecuredWaiters();
        }

        if (_waitsForConfirm || _maxInFlightMessages != int.MaxValue) _deliverable.Set();
        _committer.WakeBy(NextCommit().DueUs);
        return advanced;
    }

    /// <summary>The message in flight was refused and blocks the head of the line: it is offered again on this link after the delay.</summary>
    public void RetryAfter(TimeSpan delay)
    {
        lock (_sync)
        {
            _handedOut = _linkConfirmed;
            _holdUntilUs = _clock.NowUs + (long)delay.TotalMicroseconds;
        }

        _deliverable.Set();
    }

    /// <summary>Cuts <see cref="RetryAfter"/> short.</summary>
    public void RetryNow()
    {
        lock (_sync) _holdUntilUs = 0;
        _deliverable.Set();
    }

    /// <summary>
    /// Keeps a refused message aside: with the next batch, its own copy in it. Nothing behind it is sent, and the cursor does not
    /// pass it, before that batch is synced (rule 8).
    /// </summary>
    public void Park(long sequence)
    {
        lock (_sync)
        {
            if (sequence <= _cursor || _tail.Find(sequence) is not { } slab) return;
            _pendingParks.Add(new SlabBlock(slab, (int)(sequence - slab.FirstSequence), 1, _life.Life, _clock));
            _handedOut = _linkConfirmed;
        }

        _committer.WakeBy(0);
    }

    /// <summary>
    /// The window for this queue now (rule 14), memory share considered; notes that only so much is outstanding. Window and what may be
    /// hidden fit together into what is kept, but a quarter of the window is always open: delivery must not stand still.
    /// </summary>
    public long WindowFor(long outstandingBytes, long hiddenBytes)
    {
        // Short of memory the window shrinks first; less is kept only once what may be unread fits the smaller bound.
        var resendBytes = ResendBytesWithinShare;
        if (outstandingBytes + hiddenBytes <= resendBytes && _kept.DiffersFrom(resendBytes))
            lock (_sync) _kept.Fits(resendBytes, _linkConfirmed);
        var windowBytes = WindowBytesWithinShare;
        return Math.Max(windowBytes / 4, Math.Min(windowBytes, (_kept.ResendBytes - hiddenBytes) / 2 - RunBytes));
    }

    private bool TryTake(out DeliveryRun run, out long missing, out TimeSpan wait)
    {
        run = default;
        missing = 0;
        wait = Timeout.InfiniteTimeSpan;
        if (!_linkUp || _paused || _pendingParks.Count > 0) return false;
        if (_handedOut > _linkConfirmed && _maxInFlightMessages == 1) return false;
        if (_holdUntilUs > 0)
        {
            var heldUs = _holdUntilUs - _clock.NowUs;
            if (heldUs > 0)
            {
                wait = TimeSpan.FromMicroseconds(heldUs);
                return false;
            }

            _holdUntilUs = 0;
        }

        var next = _gaps.Next(_handedOut);
        if (next > _last) return false;
        if (next > _cursor && CursorLag > CursorLagLimit) return false;
        var limit = Math.Min(_last, _gaps.RunEnd(next));
        if (_pendingDiscards.Count > 0) limit = Math.Min(limit, _pendingDiscards[0].Range.First - 1);
        if (_settings.Delivery == DeliveryMode.DurableFirst) limit = Math.Min(limit, Math.Max(_durable, _cursor));
        if (next > limit) return false;
        _waitsForConfirm = _handedOut > _linkConfirmed && InFlightBytes() >= InFlightBytesMax;
        if (_waitsForConfirm) return false;
        if (_tail.Find(next) is not { } slab)
        {
            missing = next;
            return false;
        }

        var index = (int)(next - slab.FirstSequence);
        if (DiscardExpired(slab, index)) return false;
        var count = (int)(Math.Min(slab.LastSequence, limit) - next + 1);
        count = _maxInFlightMessages == 1 ? 1 : Math.Max(1, slab.CountWithin(index, count, RunBytes));
        run = new DeliveryRun(slab, index, count);
        if (run.Payload.Length > RunBytes) _kept.NoteLarge(next, slab.TotalsThrough(index - 1).Bytes, run.Payload.Length);
        _handedOut = run.LastSequence;
        if (_highestHandedOut >= next) _counters = _counters with { Repeated = _counters.Repeated + Math.Min(_highestHandedOut, _handedOut) - next + 1 };
        _highestHandedOut = Math.Max(_highestHandedOut, _handedOut);
        return true;
    }

    /// <summary>Payload and what a slab needs beside it, of what is handed out and not confirmed on this link.</summary>
    private long InFlightBytes()
    {
        var first = _gaps.Next(_linkConfirmed);
        if (_tail.Find(first) is not { } oldest || _tail.Find(_handedOut) is not { } newest) return 0;
        var before = oldest.TotalsThrough((int)(first - oldest.FirstSequence) - 1);
        var through = newest.TotalsThrough((int)(_handedOut - newest.FirstSequence));
        return Slab.CapacityFor((int)(through.Messages - before.Messages), (int)(through.Bytes - before.Bytes), newest.KeepsOrigins);
    }

    /// <summary>Moves the cursor over delivered messages and over the gaps between and behind them.</summary>
    private void AdvanceCursor(long to)
    {
        var before = _cursor;
        while (true)
        {
            (_cursor, var skipped) = _gaps.Pass(_cursor);
            _kept.Passed(_cursorTotals.Bytes, skipped.Bytes);
            _cursorTotals += skipped;
            if (_cursor >= to) break;
            var end = Math.Min(to, _gaps.RunEnd(_cursor));
            var slab = _tail.Find(end) ?? throw new InvalidOperationException($"Confirmed message {end} of {Id} is not in memory.");
            var index = (int)(end - slab.FirstSequence);
            var totals = slab.TotalsThrough(index);
            var delivered = totals - _cursorTotals;
            _counters = _counters with { Delivered = _counters.Delivered + delivered };
            _elidedMessages += Math.Max(0, Math.Min(delivered.Messages, end - Math.Max(_durable, Math.Max(_committingLast, _cursor))));
            _rateWindowMessages += delivered.Messages;
            _cursorTotals = totals;
            _lastDelivered = end;
            _kept.Delivered(slab.TotalsThrough(index - 1).Bytes);
            Volatile.Write(ref _cursor, end);
        }

        // Whoever stood at the old cursor stands at the new one: what was jumped over is never sent.
        if (_handedOut >= before && _handedOut < _cursor) _handedOut = _cursor;
        if (_linkConfirmed >= before && _linkConfirmed < _cursor) _linkConfirmed = _cursor;
        NoteRate();
        NoteLag();
    }

    private void NoteRate()
    {
        var now = _clock.NowUs;
        if (now - _rateWindowStartUs < 1_000_000) return;
        _deliveredLastSecond = now - _rateWindowStartUs < 2_000_000 ? _rateWindowMessages : 0;
        _rateWindowStartUs = now;
        _rateWindowMessages = 0;
    }

    /// <summary>The first message from which on everything up to the cursor is kept in memory, by rule 14's bound.</summary>
    private long FirstKept()
    {
        var first = _cursor + 1;
        for (var i = _tail.Slabs.Count - 1; i >= 0; i--)
        {
            var slab = _tail.Slabs[i];
            if (slab.FirstSequence > _cursor) continue;
            if (slab.TotalsAfter.Bytes <= _kept.FromBytes) break;
            var index = Math.Min(slab.Count - 1, (int)(_cursor - slab.FirstSequence));
            while (index >= 0 && slab.TotalsThrough(index).Bytes > _kept.FromBytes) index--;
            first = slab.FirstSequence + index + 1;
            if (index >= 0) break;
        }

        return first;
    }
}
