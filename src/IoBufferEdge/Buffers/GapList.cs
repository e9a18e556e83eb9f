namespace IoBufferEdge.Buffers;

/// <summary>
/// Numbers above the cursor that hold nothing to deliver: the gap between two lives, what policy discarded, what damage destroyed.
/// Ascending, without overlap. The cursor and the delivery position jump over them.
/// </summary>
internal sealed class GapList
{
    private readonly List<Gap> _gaps = [];

    /// <summary>Messages and bytes that the gaps above the cursor stand for: they are not buffered.</summary>
    public QueueTotals Totals { get; private set; }

    public void Add(SequenceRange range, QueueTotals totals)
    {
        if (range.Count <= 0) return;
        var index = _gaps.FindIndex(g => g.Range.First > range.First);
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
    /// Removes the gaps that begin at or below <paramref name="cursor"/> + 1 and returns where that leaves the cursor, with the totals
    /// of the messages in them.
    /// </summary>
    public (long Cursor, QueueTotals Skipped) Pass(long cursor)
    {
        QueueTotals skipped = default;
        while (_gaps.Count > 0 && _gaps[0].Range.First <= cursor + 1)
        {
            cursor = Math.Max(cursor, _gaps[0].Range.Last);
            skipped += _gaps[0].Totals;
            Totals -= _gaps[0].Totals;
            _gaps.RemoveAt(0);
        }

        return (cursor, skipped);
    }

    private readonly record struct Gap(SequenceRange Range, QueueTotals Totals);
}
