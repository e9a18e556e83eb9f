namespace IoBufferEdge.Buffers;

/// <summary>What a verification read of one block.</summary>
/// <param name="WaitingBytes">Payload of its messages above the cursor.</param>
/// <param name="Bytes">Its size.</param>
internal readonly record struct BlockCheck(bool IsSound, long First, long Last, QueueTotals Before, QueueTotals After, long WaitingBytes, int Bytes);

/// <summary>One queue as a verification reads it: its blocks come by segment, ascending in each.</summary>
internal sealed class QueueCheck(int number, QueueState state, MarkEntry? mark)
{
    private readonly RangeList _held = [];
    private readonly SortedSet<long> _parkedAbove = [];
    private readonly List<string> _damage = [];
    private BlockCheck? _before;
    private int _damagedBlocks;
    private int _damagedParks;
    private long _parked;
    private long _parkedBytes;
    private long _waitingBytes;

    /// <param name="bytes">Null: its checksum or number does not hold.</param>
    public void AddParked(long sequence, int? bytes)
    {
        if (bytes is null) _damagedParks++;
        else (_parked, _parkedBytes) = (_parked + 1, _parkedBytes + bytes.Value);
        if (sequence > state.Cursor) _parkedAbove.Add(sequence);
    }

    public BlockCheck Read(long first, ReadOnlySpan<byte> value)
    {
        if (!BlockFormat.TryRead(value, out var block) || block.Header.FirstSequence != first)
            return new BlockCheck(false, first, first, default, default, 0, value.Length);
        var header = block.Header;
        var passed = 0L;
        for (var i = 0; i < header.Count && first + i <= state.Cursor; i++) passed += block.Length(i);
        return new BlockCheck(true, first, header.LastSequence, header.TotalsBefore, header.TotalsAfter, header.PayloadBytes - passed, value.Length);
    }

    public void Add(BlockCheck block)
    {
        if (!block.IsSound)
        {
            if (!state.Missed.Exists(m => m.Contains(block.First))) _damagedBlocks++;
            return;
        }

        if (_before is { } before)
        {
            if (block.First <= before.Last) _damage.Add($"{state.Id}: two blocks of one segment hold {block.First}.");
            if (block.First == before.Last + 1 && block.Before != before.After) _damage.Add($"{state.Id}: the totals break at {block.First}.");
        }

        if (block.First <= state.Cursor && state.Cursor < block.Last
            && block.Before.Messages + state.Cursor - block.First + 1 != state.TotalsAtCursor.Messages)
            _damage.Add($"{state.Id}: the totals at its cursor {state.Cursor} are not those of the block around it.");
        _before = block;
        if (block.Last <= state.Cursor) return;
        // A batch that failed was written again: the same messages twice.
        if (!_held.Exists(h => h.Contains(block.Last))) _waitingBytes += block.WaitingBytes;
        _held.Merge(new SequenceRange(Math.Max(block.First, state.Cursor + 1), block.Last));
    }

    public void EndSegment() => _before = null;

    public IEnumerable<string> Damage()
    {
        foreach (var sentence in _damage) yield return sentence;
        if (_damagedBlocks > 0) yield return $"{state.Id}: {_damagedBlocks} blocks are damaged.";
        if (_damagedParks > 0) yield return $"{state.Id}: {_damagedParks} parked messages are damaged.";
        else if (_parked != state.Counters.Parked.Messages)
            yield return $"{state.Id}: its ledger says {state.Counters.Parked.Messages} parked, and {_parked} are there.";
        if (Missing() is { Count: > 0 } missing) yield return $"{state.Id} lacks {string.Join(", ", missing)}: lost or already delivered.";
        if (mark is { } known && known.Cursor > state.Cursor)
            yield return $"{state.Id}: its high-water mark knows the cursor {known.Cursor}, and it stands at {state.Cursor}.";
    }

    public QueueReport Report()
    {
        var settled = _parkedAbove.Select(n => new SequenceRange(n, n)).Concat(state.Discards).ToList();
        var waiting = _held.Sum(h => StoreContents.Subtract(h, settled).Sum(r => r.Count));
        return new QueueReport(
            state.Id, number, waiting, _waitingBytes, _parked, _parkedBytes, _damagedBlocks, Missing(), [.. state.Missed.Where(m => m.Last > state.Cursor)]);
    }

    private List<SequenceRange> Missing() => StoreContents.Subtract(
        new SequenceRange(state.Cursor + 1, Math.Max(state.LastWritten, mark?.LastDurable ?? 0)),
        [.. _held, .. state.Lives.Select(l => l.Gap), .. state.Discards, .. state.Missed, .. _parkedAbove.Select(n => new SequenceRange(n, n))]);
}
