using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// A stream from a broker that refuses packets larger than agreed before anybody makes room for them: the client would take the memory that
/// five bytes of a header claim, 256 MB at most. It follows the fixed headers of what is read; what is written passes untouched.
/// </summary>
internal sealed class PacketGuard(Stream inner, int maxPacketBytes) : WireStream
{
    private const int LengthBytesMax = 4;

    private int _lengthBytes;
    private int _left;
    private Part _at;

    private enum Part
    {
        Type,
        Length,
        Body,
    }

    /// <exception cref="BadPacketException">A packet is larger than agreed, or its length is no length.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await inner.ReadAsync(buffer, cancellationToken);
        Follow(buffer.Span[..read]);
        return read;
    }

    public override async Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        await ReadAsync(buffer.AsMemory(offset, count), cancellationToken);

    public override int Read(byte[] buffer, int offset, int count)
    {
        var read = inner.Read(buffer, offset, count);
        Follow(buffer.AsSpan(offset, read));
        return read;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        inner.WriteAsync(buffer, cancellationToken);

    public override async Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        await inner.WriteAsync(buffer.AsMemory(offset, count), cancellationToken);

    public override void Write(byte[] buffer, int offset, int count) => inner.Write(buffer, offset, count);

    public override void Flush() => inner.Flush();

    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
        base.Dispose(disposing);
    }

    private void Follow(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var used = 1;
            switch (_at)
            {
                case Part.Type:
                    (_at, _left, _lengthBytes) = (Part.Length, 0, 0);
                    break;
                case Part.Length:
                    _left |= (bytes[0] & 0x7F) << (7 * _lengthBytes++);
                    if ((bytes[0] & 0x80) == 0) _at = CheckedLength() > 0 ? Part.Body : Part.Type;
                    else if (_lengthBytes == LengthBytesMax) throw new BadPacketException("The broker sends a packet whose length is malformed.");
                    break;
                case Part.Body:
                    used = Math.Min(_left, bytes.Length);
                    _left -= used;
                    if (_left == 0) _at = Part.Type;
                    break;
            }

            bytes = bytes[used..];
        }
    }

    private int CheckedLength() => _left <= maxPacketBytes
        ? _left
        : throw new BadPacketException($"The broker sends a packet of {_left} bytes; at most {maxPacketBytes} are read.");
}

/// <summary>The broker sends what no broker should.</summary>
internal sealed class BadPacketException(string message) : IOException(message);
