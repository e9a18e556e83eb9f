namespace IoBufferEdge.Buffers;

/// <summary>
/// Which segments hold blocks that a queue still needs: per queue and segment the lowest first and the highest last number, in
/// memory (about 50 bytes a pair, so a few hundred KB for a full device). It answers where to look for a number without touching
/// the disk, and which segments nobody needs any more. Guarded by its owner's lock.
/// </summary>
internal sealed class SegmentIndex
{
    private readonly Dictionary<int, SortedList<uint, BlockSpan>> _queues = [];
    private readonly SortedDictionary<uint, int> _users = [];

    /// <summary>Notes a block. Blocks of one queue and segment come in ascending order.</summary>
    public void Add(uint segment, int queue, BlockSpan span)
    {
        if (!_queues.TryGetValue(queue, out var segments)) _queues.Add(queue, segments = []);
        if (segments.TryGetValue(segment, out var known))
        {
            segments[segment] = span with { First = Math.Min(known.First, span.First) };
            return;
        }

        segments.Add(segment, span);
        _users[segment] = _users.GetValueOrDefault(segment) + 1;
    }

    /// <summary>The queue's segments, oldest first, that hold a number at or above <paramref name="sequence"/>.</summary>
    public List<(uint Segment, BlockSpan Span)> From(int queue, long sequence)
    {
        var found = new List<(uint, BlockSpan)>();
        if (!_queues.TryGetValue(queue, out var segments)) return found;
        foreach (var (segment, span) in segments)
            if (span.Last >= sequence)
                found.Add((segment, span));
        return found;
    }

    /// <summary>Forgets segments in which a queue's last number is not above <paramref name="cursor"/>.</summary>
    public void Trim(int queue, long cursor)
    {
        if (!_queues.TryGetValue(queue, out var segments)) return;
        for (var i = segments.Count - 1; i >= 0; i--)
        {
            if (segments.GetValueAtIndex(i).Last > cursor) continue;
            Release(segments.GetKeyAtIndex(i));
            segments.RemoveAt(i);
        }
    }

    public void Remove(int queue)
    {
        Trim(queue, long.MaxValue);
        _queues.Remove(queue);
    }

    /// <summary>What a segment holds that is still needed.</summary>
    public IEnumerable<(int Queue, BlockSpan Span)> In(uint segment)
    {
        foreach (var (queue, segments) in _queues)
            if (segments.TryGetValue(segment, out var span))
                yield return (queue, span);
    }

    /// <summary>All segments that somebody needs, ascending.</summary>
    public IReadOnlyCollection<uint> Needed => _users.Keys;

    public bool IsNeeded(uint segment) => _users.ContainsKey(segment);

    /// <summary>The runs of segments below <paramref name="limit"/> that nobody needs, as [From, To).</summary>
    public List<(uint From, uint To)> Unneeded(uint limit)
    {
        var runs = new List<(uint, uint)>();
        var from = 0u;
        foreach (var segment in _users.Keys)
        {
            if (segment >= limit) break;
            if (segment > from) runs.Add((from, segment));
            from = segment + 1;
        }

        if (from < limit) runs.Add((from, limit));
        return runs;
    }

    private void Release(uint segment)
    {
        if (--_users[segment] == 0) _users.Remove(segment);
    }
}
