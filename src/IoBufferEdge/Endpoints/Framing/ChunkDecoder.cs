namespace IoBufferEdge.Endpoints.Framing;

/// <summary>
/// What was read is the frame. raw: byte-exact chunks of a stream, cut at <c>max_message_bytes</c>, neither split nor partial: a
/// stream has no frames to be split. datagram: the caller offers one datagram, and what is left of it, at a time.
/// </summary>
internal sealed class ChunkDecoder(int maxBytes, bool datagrams, bool split) : FrameDecoder
{
    private const int RawChunkBytes = 64 * 1024;
    private const int DatagramBytesMax = 65_535;

    private bool _cut;

    public override int BufferBytesNeeded => datagrams ? DatagramBytesMax : Math.Min(maxBytes, RawChunkBytes);

    public override void Reset() => _cut = false;

    public override FrameResult Next(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        if (bytes.IsEmpty) return NeedMore(0);
        if (!datagrams)
        {
            var length = Math.Min(bytes.Length, maxBytes);
            return Frame(length, 0, length, split: false);
        }

        if (bytes.Length > maxBytes)
        {
            if (!split) return Oversize(bytes.Length);
            _cut = true;
            return Frame(maxBytes, 0, maxBytes, split: true, moreFollows: true);
        }

        var later = _cut;
        _cut = false;
        return Frame(bytes.Length, 0, bytes.Length, later);
    }
}
