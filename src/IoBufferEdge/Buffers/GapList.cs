namespace IoBufferEdge.Buffers;

/// <summary>
/// Numbers that hold nothing to deliver: the gap between two lives, what policy discarded or parked, what damage destroyed.
/// Ascending, without overlap. The cursor and the delivery position jump over them. Gaps that the cursor has passed are remembered
/// while messages before them are in memory: a repeat jumps over them again, and a stop may bring the cursor back before them.
/// </summary>
internal sealed class GapList
{
    private readonly List<Gap> _gaps = [];

    /// <summary>So many of the first ones lie behind the cursor.</summary>
    private int _passed;

    /// <summary>Messages and bytes that the gaps above the cursor stand for: they are not buffered.</summary>
    public QueueTotals Totals { get; private set; }

    public void Add(SequenceRange range, QueueTotals totals)
    {
        if (range.Count <= 0) return;
        var index = _gaps.FindIndex(_passed, g => g.Range.First > range.First);
        _gaps.Insert(index < 0 ? _gaps.Count : index, new Gap(range, totals));
        Totals += totals;
    }

    /// <summary>The number that follows <paramref name="sequence"/> and may hold a message.</summary>
    public long Next(long sequence)
    {
        var next = sequence + 1;
        foreach (var gap in _gaps)
        {
            if (gap.Range.First > next) break;
            if (gap.Range.Last >= next) next = gap.Range.Last + 1;
        }

        return next;
    }

    /// <summary>The last number before the gap that follows <paramref name="sequence"/>; long.MaxValue when none follows.</summary>
    public long RunEnd(long sequence)
    {
        foreach (var gap in _gaps)
            if (gap.Range.First > sequence) return gap.Range.First - 1;
        return long.MaxValue;
    }

    /// <summary>
    /// Passes the gaps that begin at or below <paramref name="cursor"/> + 1 and returns where that leaves the cursor, with the totals
    /// of the messages in them.
    /// </summary>
    public (long Cursor, QueueTotals Skipped) Pass(long cursor)
    {
        QueueTotals skipped = default;
        while (_passed < _gaps.Count && _gaps[_passed].Range.First <= cursor + 1)
        {
            cursor = Math.Max(cursor, _gaps[_passed].Range.Last);
            skipped += _gaps[_passed].Totals;
            Totals -= _gaps[_passed].Totals;
            _passed++;
        }

        return (cursor, skipped);
    }

    /// <summary>The cursor falls to <paramref name="cursor"/>: the gaps above it are to be passed again.</summary>
    public void Return(long cursor)
    {
        while (_passed > 0 && _gaps[_passed - 1].Range.First > cursor) Totals += _gaps[--_passed].Totals;
    }

    /// <summary>Forgets the passed gaps below <paramref name="sequence"/>: nothing before them can be sent again.</summary>
    public void Forget(long sequence)
    {
        var count = 0;
        while (count < _passed && _gaps[count].Range.Last < sequence) count++;
        if (count == 0) return;
        _gaps.RemoveRange(0, count);
        _passed -= count;
    }

    /// <summary>What the gaps that lie wholly between two numbers, and that the cursor has not passed, stand for.</summary>
    public QueueTotals TotalsBetween(long first, long last)
    {
        QueueTotals sum = default;
        for (var i = _passed; i < _gaps.Count && _gaps[i].Range.First <= last; i++)
            if (_gaps[i].Range.First >= first && _gaps[i].Range.Last <= last) sum += _gaps[i].Totals;
        return sum;
    }

    /// <summary>The gaps behind one number and up to another that stand for messages: parked, discarded, lost.</summary>
    public IEnumerable<SequenceRange> SettledBetween(long after, long last) =>
        _gaps.Where(g => g.Range.First > after && g.Range.Last <= last && g.Totals.Messages > 0).Select(g => g.Range);

    private readonly record struct Gap(SequenceRange Range, QueueTotals Totals);
}
