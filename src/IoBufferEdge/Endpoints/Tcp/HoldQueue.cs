namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// <c>hold_ms</c> of rule 1: what the peer's kernel has acknowledged counts only when it has been so for that long. Acknowledgements
/// within a thirty-second of the hold share a mark, so each is released by so much late and never early. Not thread-safe.
/// </summary>
internal sealed class HoldQueue
{
    private const int MarksMax = 64;
    private readonly TimeProvider _time;
    private readonly long _holdTicks;
    private readonly (long OpenedAt, long UpTo)[] _marks = new (long, long)[MarksMax];
    private int _head;
    private int _count;

    public HoldQueue(TimeSpan hold, TimeProvider time)
    {
        _time = time;
        _holdTicks = (long)(hold.TotalSeconds * time.TimestampFrequency);
    }

    public bool IsEmpty => _count == 0;

    /// <summary>Acknowledged now, up to this number.</summary>
    public void Add(long upTo)
    {
        var now = _time.GetTimestamp();
        if (_count > 0)
        {
            ref var last = ref _marks[(_head + _count - 1) % MarksMax];
            if (now - last.OpenedAt <= GrainTicks || _count == MarksMax)
            {
                // A full ring opens its last mark anew: late, not early.
                last = (_count == MarksMax ? now : last.OpenedAt, upTo);
                return;
            }
        }

        _marks[(_head + _count++) % MarksMax] = (now, upTo);
    }

    /// <summary>The highest number held long enough, or 0: none more.</summary>
    public long Release()
    {
        var now = _time.GetTimestamp();
        long upTo = 0;
        while (_count > 0 && now - _marks[_head].OpenedAt >= _holdTicks + GrainTicks) upTo = Take();
        return upTo;
    }

    /// <summary>The highest number held, whether long enough or not, or 0: the peer has closed in order.</summary>
    public long ReleaseAll()
    {
        long upTo = 0;
        while (_count > 0) upTo = Take();
        return upTo;
    }

    private long GrainTicks => _holdTicks / 32;

    private long Take()
    {
        var upTo = _marks[_head].UpTo;
        _head = (_head + 1) % MarksMax;
        _count--;
        return upTo;
    }
}
