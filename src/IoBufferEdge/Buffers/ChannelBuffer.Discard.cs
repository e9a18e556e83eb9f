namespace IoBufferEdge.Buffers;

/// <summary>
/// What the operator opted to lose: <c>ttl_s</c> and <c>drop_oldest</c>. A discard is a record in the next batch; until that is synced
/// the cursor does not pass it and nothing behind it is sent (rule 8).
/// </summary>
public sealed partial class ChannelBuffer
{
    /// <summary>ttl_s: the messages at the head that are too old are discarded with the next batch.</summary>
    private bool DiscardExpired(Slab slab, int index)
    {
        if (_settings.Buffer.TtlS <= 0 || slab.FirstSequence + index <= _cursor) return false;
        var oldestAllowedUs = _clock.NowUs - _settings.Buffer.TtlS * 1_000_000L;
        var end = index;
        while (end < slab.Count && slab.ReceivedRunningUs(end) < oldestAllowedUs && slab.FirstSequence + end < _gaps.RunEnd(slab.FirstSequence + index)) end++;
        if (end == index) return false;
        var totals = slab.TotalsThrough(end - 1) - slab.TotalsThrough(index - 1);
        AddDiscard(new SequenceRange(slab.FirstSequence + index, slab.FirstSequence + end - 1), totals);
        return true;
    }

    /// <summary>drop_oldest: discards the oldest messages that are neither in flight nor in a batch under way, until so many bytes fit.</summary>
    private async ValueTask DropOldestForAsync(int payloadBytes)
    {
        var wanted = Math.Max(payloadBytes, Math.Min(64 * 1024, _settings.Buffer.MaxBytes / 64));
        while (true)
        {
            long first;
            lock (_sync)
            {
                if (_closed || QuotaHasRoom(payloadBytes)) return;
                first = FirstDroppable();
                if (first > _last || (_committingLast >= first && _committingFirst <= _last)) return;
                if (_tail.Find(first) is { } slab)
                {
                    DropFrom(slab, first, wanted);
                    _committer.WakeBy(0);
                    continue;
                }
            }

            if (!await LoadAsync(first)) return;
            lock (_sync)
            {
                if (_tail.Find(first) is null && FirstDroppable() == first) return;
            }
        }
    }

    private long FirstDroppable()
    {
        var first = _gaps.Next(_linkUp ? Math.Max(_handedOut, _cursor) : _cursor);
        foreach (var park in _pendingParks)
            if (park.FirstSequence <= first && first <= park.LastSequence) first = _gaps.Next(park.LastSequence);
        foreach (var (range, _) in _pendingDiscards)
            if (range.Contains(first)) first = _gaps.Next(range.Last);
        return first;
    }

    private void DropFrom(Slab slab, long first, long wantedBytes)
    {
        var index = (int)(first - slab.FirstSequence);
        var available = (int)(Math.Min(slab.LastSequence, _gaps.RunEnd(first)) - first) + 1;
        foreach (var park in _pendingParks)
            if (park.FirstSequence > first) available = (int)Math.Min(available, park.FirstSequence - first);
        foreach (var (range, _) in _pendingDiscards)
            if (range.First > first) available = (int)Math.Min(available, range.First - first);
        var count = Math.Min(available, slab.CountWithin(index, available, wantedBytes) + 1);
        AddDiscard(new SequenceRange(first, first + count - 1), slab.TotalsThrough(index + count - 1) - slab.TotalsThrough(index - 1));
    }

    private void AddDiscard(SequenceRange range, QueueTotals totals)
    {
        _pendingDiscards.Add((range, totals));
        _pendingDiscards.Sort(static (a, b) => a.Range.First.CompareTo(b.Range.First));
        _pendingDiscardTotals += totals;
        _committer.WakeBy(0);
    }
}
