namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// What has arrived on a line and was not taken yet: bytes in a ring, with one mark per arrival. One writer, one reader, from different
/// threads. When it is full the writer stops reading the port: the kernel's buffer fills, and flow control holds the device back.
/// </summary>
internal sealed class ArrivalQueue
{
    private const int Capacity = 16 * 1024;
    private const int MarksMax = 1024;

    private readonly Lock _lock = new();
    private readonly byte[] _bytes = new byte[Capacity];
    private readonly SerialArrival[] _marks = new SerialArrival[MarksMax];
    private int _firstByte;
    private int _byteCount;
    private int _firstMark;
    private int _markCount;

    /// <summary>Room for an arrival of so many bytes, however it falls apart into marks.</summary>
    public bool HasRoomFor(int bytes)
    {
        lock (_lock) return Capacity - _byteCount >= bytes && MarksMax - _markCount >= bytes;
    }

    public void Add(ReadOnlySpan<byte> bytes, long at, ArrivalKind kind, int together)
    {
        lock (_lock)
        {
            var end = (_firstByte + _byteCount) % Capacity;
            var upper = Math.Min(bytes.Length, Capacity - end);
            bytes[..upper].CopyTo(_bytes.AsSpan(end));
            bytes[upper..].CopyTo(_bytes);
            _byteCount += bytes.Length;
            _marks[(_firstMark + _markCount++) % MarksMax] = new SerialArrival(bytes.Length, at, kind, together);
        }
    }

    /// <summary>The oldest arrival, or as much of it as fits.</summary>
    public SerialArrival Take(Span<byte> target)
    {
        lock (_lock)
        {
            if (_markCount == 0) return default;
            ref var mark = ref _marks[_firstMark];
            var count = Math.Min(mark.Count, target.Length);
            var upper = Math.Min(count, Capacity - _firstByte);
            _bytes.AsSpan(_firstByte, upper).CopyTo(target);
            _bytes.AsSpan(0, count - upper).CopyTo(target[upper..]);
            _firstByte = (_firstByte + count) % Capacity;
            _byteCount -= count;
            var taken = mark with { Count = count };
            mark = mark with { Count = mark.Count - count };
            if (mark.Count > 0) return taken;
            _firstMark = (_firstMark + 1) % MarksMax;
            _markCount--;
            return taken;
        }
    }

    public bool IsEmpty
    {
        get
        {
            lock (_lock) return _markCount == 0;
        }
    }
}
