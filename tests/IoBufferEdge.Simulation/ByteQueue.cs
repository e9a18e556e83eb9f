namespace IoBufferEdge.Simulation;

/// <summary>Bytes in order: appended at the end, taken from the front.</summary>
internal sealed class ByteQueue
{
    private byte[] _bytes = new byte[1024];
    private int _start;

    public int Count { get; private set; }

    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (_start + Count + bytes.Length > _bytes.Length)
        {
            var target = Count + bytes.Length > _bytes.Length ? new byte[Math.Max(Count + bytes.Length, 2 * _bytes.Length)] : _bytes;
            _bytes.AsSpan(_start, Count).CopyTo(target);
            (_bytes, _start) = (target, 0);
        }

        bytes.CopyTo(_bytes.AsSpan(_start + Count));
        Count += bytes.Length;
    }

    public void Peek(int offset, Span<byte> bytes) => _bytes.AsSpan(_start + offset, bytes.Length).CopyTo(bytes);

    public void Take(Span<byte> bytes)
    {
        Peek(0, bytes);
        Drop(bytes.Length);
    }

    public void Drop(int count)
    {
        Count -= count;
        _start = Count == 0 ? 0 : _start + count;
    }
}
