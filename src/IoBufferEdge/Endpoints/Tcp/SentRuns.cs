namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// What one connection has been given and its peer has not acknowledged to the end, oldest first: tells which message a byte offset of
/// the connection's output belongs to. A ring that grows to what was in flight at most and is used again. Not thread-safe.
/// </summary>
/// <param name="overheadBytes">What the framing adds to each message.</param>
internal sealed class SentRuns(int overheadBytes)
{
    private const long Unknown = long.MaxValue;

    private Entry[] _ring = new Entry[16];
    private int _head;
    private int _count;
    private long _acknowledged;

    public bool IsEmpty => _count == 0;

    /// <summary>Before a run is written: where it begins.</summary>
    /// <param name="startOffset">Bytes that the connection had sent before it.</param>
    /// <param name="exact">The bytes go out as they are. Else (TLS) the end is unknown until <see cref="EndLast"/>, and messages inside the
    /// run cannot be told apart.</param>
    public void Add(in DeliveryRun run, long startOffset, bool exact)
    {
        if (_count == _ring.Length) Grow();
        var end = exact ? startOffset + run.Payload.Length + (long)run.Count * overheadBytes : Unknown;
        _ring[(_head + _count++) & (_ring.Length - 1)] = new Entry(run, startOffset, end, exact);
    }

    /// <summary>The newest run is written; the connection has sent so many bytes.</summary>
    public void EndLast(long endOffset)
    {
        if (_count == 0) return;
        ref var last = ref _ring[(_head + _count - 1) & (_ring.Length - 1)];
        if (!last.Exact) last = last with { End = endOffset };
    }

    /// <summary>The highest number whose last byte the peer has acknowledged, or 0: no message more than at the last call.</summary>
    /// <param name="offset">Bytes of the connection's output that are acknowledged.</param>
    public long Acknowledge(long offset)
    {
        var before = _acknowledged;
        while (_count > 0)
        {
            ref var head = ref _ring[_head];
            if (offset < head.End)
            {
                var within = head.Exact ? head.Run.CountWithin(offset - head.Start, overheadBytes) : 0;
                if (within > 0) _acknowledged = head.Run.FirstSequence + within - 1;
                break;
            }

            _acknowledged = head.Run.LastSequence;
            head = default;
            _head = (_head + 1) & (_ring.Length - 1);
            _count--;
        }

        return _acknowledged > before ? _acknowledged : 0;
    }

    private void Grow()
    {
        var larger = new Entry[_ring.Length * 2];
        for (var i = 0; i < _count; i++) larger[i] = _ring[(_head + i) & (_ring.Length - 1)];
        (_ring, _head) = (larger, 0);
    }

    private readonly record struct Entry(DeliveryRun Run, long Start, long End, bool Exact);
}
