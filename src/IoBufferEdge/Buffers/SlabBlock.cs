namespace IoBufferEdge.Buffers;

/// <summary>A run of messages of one slab, or of several that follow each other, to be written as one block.</summary>
internal sealed class SlabBlock : PendingBlock
{
    private readonly List<(Slab Slab, int Index, int Count)> _parts = [];
    private readonly long _life;
    private readonly RunningClock _clock;
    private int _count;
    private int _payloadBytes;

    public SlabBlock(Slab slab, int index, int count, long life, RunningClock clock)
    {
        _life = life;
        _clock = clock;
        FirstSequence = slab.FirstSequence + index;
        Add(slab, index, count);
    }

    public int PayloadBytes => _payloadBytes;

    public int Count => _count;

    /// <summary>The queue's totals up to and including the block's last message.</summary>
    public QueueTotals TotalsAfter => _parts[^1].Slab.TotalsThrough(_parts[^1].Index + _parts[^1].Count - 1);

    public void Add(Slab slab, int index, int count)
    {
        _parts.Add((slab, index, count));
        _count += count;
        _payloadBytes += slab.EndOffset(index + count - 1) - slab.EndOffset(index - 1);
        LastSequence = FirstSequence + _count - 1;
        EncodedLength = BlockFormat.EncodedLength(_count, _payloadBytes);
    }

    public override void EncodeTo(Span<byte> destination)
    {
        var (firstSlab, firstIndex, _) = _parts[0];
        var oldestUs = firstSlab.ReceivedRunningUs(firstIndex);
        BlockFormat.WriteHeader(destination, new BlockHeader
        {
            FirstSequence = FirstSequence,
            Life = _life,
            TotalsBefore = firstSlab.TotalsThrough(firstIndex - 1),
            OldestRunningUs = oldestUs,
            BuiltAtUnixUs = _clock.UnixUs,
            BuiltAtRunningUs = _clock.NowUs,
            Count = _count,
            PayloadBytes = _payloadBytes,
        });

        var entry = 0;
        var payload = destination[(BlockFormat.HeaderBytes + _count * BlockFormat.PerMessageBytes)..];
        foreach (var (slab, index, count) in _parts)
        {
            for (var i = index; i < index + count; i++)
                BlockFormat.WriteEntry(destination, entry++, slab.Length(i), slab.Flags(i), slab.ReceivedRunningUs(i) - oldestUs);
            var bytes = slab.Payload(index, count).Span;
            bytes.CopyTo(payload);
            payload = payload[bytes.Length..];
        }

        BlockFormat.Seal(destination);
    }
}
