namespace IoBufferEdge.Buffers;

/// <summary>Ranges of numbers, ascending, none touching the next: those that do are one.</summary>
internal sealed class RangeList : List<SequenceRange>
{
    /// <summary>False: all of it was there.</summary>
    public bool Merge(SequenceRange range)
    {
        var at = FindIndex(known => known.Last + 1 >= range.First);
        if (at < 0) at = Count;
        else if (this[at].First <= range.First && this[at].Last >= range.Last) return false;
        while (at < Count && this[at].First <= range.Last + 1)
        {
            range = new SequenceRange(Math.Min(range.First, this[at].First), Math.Max(range.Last, this[at].Last));
            RemoveAt(at);
        }

        Insert(at, range);
        return true;
    }

    /// <summary>The first number at or above that lies in no range.</summary>
    public long NextOutside(long sequence)
    {
        foreach (var range in this)
        {
            if (range.First > sequence) break;
            if (range.Last >= sequence) sequence = range.Last + 1;
        }

        return sequence;
    }

    public void ForgetUpTo(long sequence) => RemoveAll(range => range.Last <= sequence);
}
