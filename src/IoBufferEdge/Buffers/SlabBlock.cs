namespace IoBufferEdge.Buffers;

/// <summary>A run of messages of one slab, or of several that follow each other, to be written as one block.</summary>
internal sealed class SlabBlock : PendingBlock
{
    private readonly List<(Slab Slab, int Index, int Count)> _parts = [];
    private readonly long _life;
    private readonly RunningClock _clock;
    private List<string>? _routes;
    private int _routesBytes;
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

    /// <summary>A block has room for so many routes only.</summary>
    public bool HasRoomForRoutes(Slab slab) => !slab.KeepsOrigins || _routesBytes + slab.Routes.Sum(BlockFormat.RouteBytes) <= BlockFormat.RoutesBytesMax;

    public void Add(Slab slab, int index, int count)
    {
        if (slab.KeepsOrigins) AddRoutes(slab);
        _parts.Add((slab, index, count));
        _count += count;
        _payloadBytes += slab.EndOffset(index + count - 1) - slab.EndOffset(index - 1);
        LastSequence = FirstSequence + _count - 1;
        EncodedLength = BlockFormat.EncodedLength(_count, _payloadBytes, RoutesBytes);
    }

    private int? RoutesBytes => _routes is null ? null : _routesBytes;

    private void AddRoutes(Slab slab)
    {
        _routes ??= [];
        foreach (var route in slab.Routes)
        {
            if (_routes.Contains(route)) continue;
            _routes.Add(route);
            _routesBytes += BlockFormat.RouteBytes(route);
        }
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
            RoutesBytes = RoutesBytes,
        });

        var entry = 0;
        var origins = destination[(BlockFormat.HeaderBytes + _count * BlockFormat.PerMessageBytes)..];
        var payload = destination[(EncodedLength - BlockFormat.TrailerBytes - _payloadBytes)..];
        if (_routes is not null) BlockFormat.WriteRoutes(origins[(_count * BlockFormat.PerOriginBytes)..], _routes);
        foreach (var (slab, index, count) in _parts)
        {
            for (var i = index; i < index + count; i++)
            {
                if (_routes is not null) WriteOrigin(origins[(entry * BlockFormat.PerOriginBytes)..], slab.Origin(i));
                BlockFormat.WriteEntry(destination, entry++, slab.Length(i), slab.Flags(i), slab.ReceivedRunningUs(i) - oldestUs);
            }

            var bytes = slab.Payload(index, count).Span;
            bytes.CopyTo(payload);
            payload = payload[bytes.Length..];
        }

        BlockFormat.Seal(destination);
    }

    private void WriteOrigin(Span<byte> entry, in MessageOrigin origin) =>
        BlockFormat.WriteOrigin(entry, origin, origin.Route is { } route ? _routes!.IndexOf(route) : -1);
}
