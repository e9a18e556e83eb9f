using System.Buffers.Binary;

namespace IoBufferEdge.Endpoints.Framing;

/// <summary>Frames whose length is known beforehand: length_prefix (1, 2 or 4 bytes that count the payload) and fixed.</summary>
internal sealed class CountedDecoder(int prefixBytes, bool bigEndian, int fixedBytes, int maxBytes, bool split, bool strip) : FrameDecoder
{
    /// <summary>Bytes of the present frame that are still to come out, all of them stored; 0: between two frames.</summary>
    private long _pieceBytesLeft;

    /// <summary>Bytes of a dropped frame that are still to be skipped.</summary>
    private long _dropBytesLeft;

    public override int BufferBytesNeeded => checked(maxBytes + prefixBytes);

    public override void Reset() => (_pieceBytesLeft, _dropBytesLeft) = (0, 0);

    public override FrameResult Next(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        var skipped = (int)Math.Min(_dropBytesLeft, bytes.Length);
        _dropBytesLeft -= skipped;
        var result = _pieceBytesLeft > 0 ? NextPiece(bytes, endOfInput) : NextFrame(bytes[skipped..], endOfInput);
        return result with { Consumed = result.Consumed + skipped, Start = result.Start + skipped };
    }

    private FrameResult NextFrame(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        if (bytes.Length < prefixBytes || bytes.IsEmpty) return endOfInput ? Rest(bytes, split: false) : NeedMore(0);
        var payloadBytes = PayloadBytes(bytes);
        var from = strip ? prefixBytes : 0;
        var stored = prefixBytes + payloadBytes - from;
        if (stored <= maxBytes)
        {
            if (bytes.Length - from >= stored) return Frame((int)(from + stored), from, (int)stored, split: false);
            return endOfInput ? Rest(bytes, split: false) : NeedMore(0);
        }

        if (split)
        {
            if (bytes.Length - from < maxBytes) return endOfInput ? Rest(bytes, split: true) : NeedMore(0);
            _pieceBytesLeft = stored - maxBytes;
            return Frame(from + maxBytes, from, maxBytes, split: true, moreFollows: true);
        }

        var consumed = (int)Math.Min(prefixBytes + payloadBytes, bytes.Length);
        _dropBytesLeft = prefixBytes + payloadBytes - consumed;
        return Oversize(consumed);
    }

    private FrameResult NextPiece(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        var length = (int)Math.Min(_pieceBytesLeft, maxBytes);
        if (bytes.Length >= length)
        {
            _pieceBytesLeft -= length;
            return Frame(length, 0, length, split: true, moreFollows: _pieceBytesLeft > 0);
        }

        if (!endOfInput || bytes.IsEmpty) return NeedMore(0);
        _pieceBytesLeft = 0;
        return Frame(bytes.Length, 0, bytes.Length, split: true, partial: true);
    }

    /// <summary>The input ended inside a frame. Of a stripped frame only the payload is kept, and none of a prefix that is not
    /// whole.</summary>
    private FrameResult Rest(ReadOnlySpan<byte> bytes, bool split)
    {
        var from = strip ? Math.Min(prefixBytes, bytes.Length) : 0;
        return bytes.Length > from ? Frame(bytes.Length, from, bytes.Length - from, split, partial: true) : NeedMore(bytes.Length);
    }

    private long PayloadBytes(ReadOnlySpan<byte> bytes) => prefixBytes switch
    {
        0 => fixedBytes,
        1 => bytes[0],
        2 => bigEndian ? BinaryPrimitives.ReadUInt16BigEndian(bytes) : BinaryPrimitives.ReadUInt16LittleEndian(bytes),
        _ => bigEndian ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt32LittleEndian(bytes),
    };
}
