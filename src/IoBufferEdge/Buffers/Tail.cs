namespace IoBufferEdge.Buffers;

/// <summary>
/// The part of a queue that is in memory: slabs in sequence order. Between two slabs numbers may be missing: those lie on disk.
/// Newest messages are appended at the end; blocks read back from disk are put in their place; slabs that nothing needs any more
/// are given back. Not thread-safe: the <see cref="ChannelBuffer"/>'s lock guards it.
/// </summary>
internal sealed class Tail(MemoryAccount memory)
{
    private readonly List<Slab> _slabs = [];

    /// <summary>The slab that takes new messages; null until the first one.</summary>
    private Slab? _open;

    public IReadOnlyList<Slab> Slabs => _slabs;

    /// <summary>True when a message of so many bytes, that came this way (null: it came in here), needs no new slab.</summary>
    public bool OpenSlabHasRoom(long sequence, int payloadBytes, string? route = null) =>
        _open is { } slab && slab.LastSequence + 1 == sequence && slab.HasRoomFor(payloadBytes, route);

    /// <summary>Size of the slab that a message of so many bytes begins.</summary>
    public static int SlabCapacityFor(int payloadBytes) => Math.Max(MemoryBudget.SlabBytes, Slab.CapacityFor(1, payloadBytes, keepsOrigins: true));

    /// <summary>Opens a slab whose first message is <paramref name="sequence"/>.</summary>
    public void OpenSlab(long sequence, int payloadBytes, QueueTotals totalsBefore, bool keepsOrigins = false)
    {
        _open = new Slab(memory.Take(SlabCapacityFor(payloadBytes)), sequence, totalsBefore, keepsOrigins);
        _slabs.Add(_open);
    }

    public void Append(ReadOnlySpan<byte> payload, MessageFlags flags, long receivedRunningUs, in MessageOrigin origin = default) =>
        _open!.Append(payload, flags, receivedRunningUs, origin);

    /// <summary>The slab that holds a number, or null.</summary>
    public Slab? Find(long sequence)
    {
        var index = IndexAtOrBelow(sequence);
        return index >= 0 && _slabs[index].LastSequence >= sequence ? _slabs[index] : null;
    }

    /// <summary>The lowest number in memory at or above <paramref name="sequence"/>; long.MaxValue when there is none.</summary>
    public long FirstAtOrAbove(long sequence)
    {
        var index = IndexAtOrBelow(sequence);
        if (index >= 0 && _slabs[index].LastSequence >= sequence) return sequence;
        for (index++; index < _slabs.Count; index++)
            if (_slabs[index].Count > 0) return _slabs[index].FirstSequence;
        return long.MaxValue;
    }

    /// <summary>
    /// Puts the messages of a block that lie between <paramref name="from"/> and <paramref name="to"/> in their place.
    /// </summary>
    public void Insert(in Block block, long from, long to)
    {
        var header = block.Header;
        var firstIndex = (int)(Math.Max(from, header.FirstSequence) - header.FirstSequence);
        var lastIndex = (int)(Math.Min(to, header.LastSequence) - header.FirstSequence);
        int skipped = 0, bytes = 0;
        for (var i = 0; i < firstIndex; i++) skipped += block.Length(i);
        for (var i = firstIndex; i <= lastIndex; i++) bytes += block.Length(i);

        var before = header.TotalsBefore + new QueueTotals(firstIndex, skipped);
        var keepsOrigins = header.RoutesBytes is not null;
        var capacity = Slab.CapacityFor(lastIndex - firstIndex + 1, bytes, keepsOrigins);
        var slab = new Slab(memory.Take(Math.Max(1, capacity)), header.FirstSequence + firstIndex, before, keepsOrigins)
        {
            UnixLessRunningUs = header.BuiltAtUnixUs - header.BuiltAtRunningUs,
        };
        var payload = block.Payload[skipped..];
        var routes = block.ReadRoutes();
        for (var i = firstIndex; i <= lastIndex; i++)
        {
            var length = block.Length(i);
            slab.Append(payload[..length], block.Flags(i), block.ReceivedRunningUs(i), block.Origin(i, routes));
            payload = payload[length..];
        }

        _slabs.Insert(IndexAtOrBelow(slab.FirstSequence) + 1, slab);
    }

    /// <summary>Gives back the slabs that <paramref name="needed"/> does not name. The slab that takes new messages stays.</summary>
    public void Release(Func<Slab, bool> needed)
    {
        var kept = 0;
        for (var i = 0; i < _slabs.Count; i++)
        {
            var slab = _slabs[i];
            if (slab == _open || needed(slab)) _slabs[kept++] = slab;
            else memory.Return(slab.Memory);
        }

        _slabs.RemoveRange(kept, _slabs.Count - kept);
    }

    /// <summary>Gives back the newest slab that <paramref name="needed"/> does not name; false when every one is needed.</summary>
    public bool EvictNewest(Func<Slab, bool> needed)
    {
        for (var i = _slabs.Count - 1; i >= 0; i--)
        {
            var slab = _slabs[i];
            if (needed(slab)) continue;
            if (slab == _open) _open = null;
            _slabs.RemoveAt(i);
            memory.Return(slab.Memory);
            return true;
        }

        return false;
    }

    /// <summary>Gives everything back.</summary>
    public void Clear()
    {
        foreach (var slab in _slabs) memory.Return(slab.Memory);
        _slabs.Clear();
        _open = null;
    }

    private int IndexAtOrBelow(long sequence)
    {
        int low = 0, high = _slabs.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_slabs[middle].FirstSequence <= sequence) low = middle + 1;
            else high = middle;
        }

        return low - 1;
    }
}
