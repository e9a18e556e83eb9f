namespace IoBufferEdge.Buffers;

/// <summary>
/// The end of a planned stop (rule 10): what the peer may not have read, or what waits to be repeated, is only in memory; it goes
/// back into the store in one batch whose cursor lies before its first message. The only time that a cursor falls.
/// </summary>
public sealed partial class ChannelBuffer
{
    private SequenceRange _writeBack = new(1, 0);
    private bool _writeBackUnderWay;
    private bool _receives = true;

    /// <summary>Whether messages are taken. Once they are not, who waits for room is told that the channel gave up.</summary>
    public void Receive(bool on)
    {
        lock (_sync)
        {
            _receives = on;
            if (on) return;
            foreach (var waiter in _roomWaiters) waiter.TrySetCanceled();
            _roomWaiters.Clear();
        }
    }

    /// <summary>Asks for the batch, if there is anything to write back. The link has ended, the source is stopped, everything is flushed.</summary>
    public void WriteBackKept()
    {
        lock (_sync)
        {
            if (_repeat.Count <= 0) return;
            _writeBack = _repeat;
            _repeat = new SequenceRange(1, 0);
        }

        _committer.WakeBy(0);
    }

    private QueueCommit? TakeWriteBack()
    {
        var blocks = BlocksBetween(_writeBack.First, _writeBack.Last);
        if (blocks.Count == 0)
        {
            // Nothing but numbers that were parked or discarded.
            _writeBack = new SequenceRange(1, 0);
            WakeFlushWaiters();
            return null;
        }

        var first = blocks[0].FirstSequence;
        var totalsBefore = _tail.Find(first)!.TotalsThrough((int)(first - _tail.Find(first)!.FirstSequence) - 1);
        if (!_writeBackUnderWay && _cursor >= first)
        {
            // These messages count as buffered again; what was discarded or parked up to here stays what it is, and needs a record of its own,
            // because the cursor no longer says so. A life's record is still there.
            _writeBack = _writeBack with { Last = Math.Max(_writeBack.Last, _cursor) };
            var messages = blocks.Sum(b => (long)b.Count);
            var bytes = blocks.Sum(b => (long)b.PayloadBytes);
            _counters = _counters with { Delivered = _counters.Delivered - new QueueTotals(messages, bytes) };
            if (_durable < _cursor) (_durable, _durableTotals) = (_cursor, _cursorTotals);
            _gaps.Return(first - 1);
            _cursorTotals = totalsBefore;
            Volatile.Write(ref _cursor, first - 1);
        }

        _writeBackUnderWay = true;
        _committingFirst = first;
        _committingLast = blocks[^1].LastSequence;
        _committingTotals = _durableTotals;
        _committingReservation = _reservedUpTo;
        _committedCursor = first - 1;
        return new QueueCommit
        {
            Queue = Number,
            Cursor = first - 1,
            TotalsAtCursor = totalsBefore,
            Counters = _counters,
            ReservedUpTo = _reservedUpTo,
            Blocks = blocks,
            Discards = [.. _gaps.SettledBetween(first, _writeBack.Last)],
            RetainAfter = RetainAfter,
            Withholds = _retained.TakeWithheld(),
        };
    }

    internal bool HasWriteBack
    {
        get
        {
            lock (_sync) return HasWriteBackLocked;
        }
    }

    /// <summary>A life that has not begun begins with an ordinary batch; what is written back follows it.</summary>
    private bool HasWriteBackLocked => _begun && _writeBack.Count > 0;

    /// <summary>Blocks of what is in memory between two numbers; what was discarded or parked is left out.</summary>
    private List<SlabBlock> BlocksBetween(long first, long last)
    {
        var blocks = new List<SlabBlock>();
        foreach (var slab in _tail.Slabs)
        {
            if (slab.Count == 0) continue;
            var next = _gaps.Next(Math.Max(first, slab.FirstSequence) - 1);
            var end = Math.Min(last, slab.LastSequence);
            while (next <= end)
            {
                var index = (int)(next - slab.FirstSequence);
                var count = Math.Max(1, slab.CountWithin(index, (int)(Math.Min(end, _gaps.RunEnd(next)) - next + 1), BlockBytesMax));
                blocks.Add(new SlabBlock(slab, index, count, _life.Life, _clock));
                next = _gaps.Next(next + count - 1);
            }
        }

        return blocks;
    }
}
