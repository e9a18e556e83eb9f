namespace IoBufferEdge.Buffers;

/// <summary>What a queue had taken, in payload bytes, up to a number.</summary>
public readonly record struct RetainMark(long Sequence, long Bytes);

/// <summary>
/// Which delivered messages stay on disk for a replay (<c>retain_bytes</c>): the newest ones, whole runs of them.
/// <code>
///   … may go …│… retained …│… waits …
///   ──────────┼────────────┼─────────▶ sequence
///           After        cursor
/// </code>
/// <see cref="After"/> follows the cursor at the distance, from mark to mark: there are about <see cref="Parts"/> of them, so that a
/// <see cref="Parts"/>th more than <c>retain_bytes</c> is kept, and after a start a segment of the store more. What lies in between and
/// was not delivered, but parked or discarded, is withheld: it is in the blocks, and no replay sends it.
/// Guarded by its owner's lock.
/// </summary>
internal sealed class RetainedPart
{
    private const int Parts = 64;

    private readonly Queue<RetainMark> _marks = new();
    private readonly RangeList _withheld = [];
    private readonly List<SequenceRange> _unwritten = [];
    private RetainMark _newest;
    private int _writing;

    public RetainedPart(QueueOpening opening)
    {
        _newest = new RetainMark(opening.Cursor, opening.TotalsAtCursor.Bytes);
        After = opening.RetainAfter is { } after && after.Sequence < opening.Cursor ? after : _newest;
        IsOn = opening.RetainAfter is not null;
        foreach (var range in opening.Withheld) _withheld.Merge(range);
        foreach (var mark in opening.RetainMarks.Where(m => m.Sequence > After.Sequence)) _marks.Enqueue(mark);
        _marks.Enqueue(_newest);
    }

    /// <summary>Everything up to here may go; never above the cursor.</summary>
    public RetainMark After { get; private set; }

    /// <summary>The queue retains what it delivers.</summary>
    public bool IsOn { get; private set; }

    /// <summary>Follows the cursor.</summary>
    /// <param name="cursor">What the queue had taken up to the cursor.</param>
    /// <param name="retainBytes">How much is to be kept; 0: nothing.</param>
    /// <returns>True: from here on something is kept.</returns>
    public bool Follow(RetainMark cursor, long retainBytes)
    {
        var begins = !IsOn && retainBytes > 0;
        IsOn = retainBytes > 0;
        if (begins || !IsOn)
        {
            GiveUp(cursor);
            return begins;
        }

        if (cursor.Sequence > _newest.Sequence && cursor.Bytes - _newest.Bytes >= retainBytes / Parts) _marks.Enqueue(_newest = cursor);
        while (_marks.TryPeek(out var oldest) && cursor.Bytes - oldest.Bytes >= retainBytes) ReleaseUpTo(_marks.Dequeue());
        return false;
    }

    /// <summary>The room is needed for what is not delivered yet.</summary>
    public void GiveUp(RetainMark cursor)
    {
        _marks.Clear();
        ReleaseUpTo(_newest = cursor);
    }

    /// <summary>These numbers are in blocks and were not delivered.</summary>
    public void Withhold(SequenceRange range)
    {
        if (_withheld.Merge(range)) _unwritten.Add(range);
    }

    /// <summary>What the next batch must say of them.</summary>
    public IReadOnlyList<SequenceRange> TakeWithheld()
    {
        _writing = _unwritten.Count;
        return _writing == 0 ? [] : [.. _unwritten];
    }

    /// <summary>The batch is durable.</summary>
    public void Settle()
    {
        _unwritten.RemoveRange(0, _writing);
        _writing = 0;
    }

    /// <summary>The first number at or above that a replay may send, if it is not above the cursor.</summary>
    public long Next(long from) => _withheld.NextOutside(Math.Max(from, After.Sequence + 1));

    private void ReleaseUpTo(RetainMark mark)
    {
        After = mark;
        _withheld.ForgetUpTo(mark.Sequence);
    }
}
