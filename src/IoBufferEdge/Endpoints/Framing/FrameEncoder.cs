using System.Buffers.Binary;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Framing;

/// <summary>Adds a destination's own framing to payloads that the source has stripped of theirs.</summary>
public sealed class FrameEncoder
{
    private readonly byte[] _start;
    private readonly byte[] _end;
    private readonly int _prefixBytes;
    private readonly bool _bigEndian;

    private FrameEncoder(byte[] start, byte[] end, int prefixBytes, bool bigEndian) =>
        (_start, _end, _prefixBytes, _bigEndian) = (start, end, prefixBytes, bigEndian);

    /// <summary>Null where the payload goes out as it is: no framing, or one that adds no bytes.</summary>
    /// <exception cref="ArgumentException">The framing lacks a value.</exception>
    public static FrameEncoder? Create(FramingConfig? framing) => framing?.Type switch
    {
        null or FramingType.Raw or FramingType.Fixed or FramingType.Datagram or FramingType.IdleGap => null,
        FramingType.LengthPrefix => new FrameEncoder([], [], FrameBytes.PrefixBytes(framing), FrameBytes.BigEndian(framing)),
        _ => new FrameEncoder(FrameBytes.Start(framing), FrameBytes.End(framing), 0, false),
    };

    /// <summary>Bytes that every message grows by.</summary>
    public int OverheadBytes => _start.Length + _prefixBytes + _end.Length;

    /// <summary>The longest payload that the framing can carry: a length prefix has its limit.</summary>
    public int MaxPayloadBytes => _prefixBytes switch
    {
        1 => byte.MaxValue,
        2 => ushort.MaxValue,
        _ => int.MaxValue - OverheadBytes,
    };

    /// <summary>Writes the framed payload and returns its length: <see cref="OverheadBytes"/> more than the payload's.</summary>
    /// <exception cref="ArgumentException">The destination is too short, or the payload longer than
    /// <see cref="MaxPayloadBytes"/>.</exception>
    public int Encode(ReadOnlySpan<byte> payload, Span<byte> destination)
    {
        if (payload.Length > MaxPayloadBytes)
            throw new ArgumentException($"A payload of {payload.Length} bytes does not fit a length prefix of {_prefixBytes} bytes.");
        _start.CopyTo(destination);
        WritePrefix(payload.Length, destination);
        var at = _start.Length + _prefixBytes;
        payload.CopyTo(destination[at..]);
        _end.CopyTo(destination[(at + payload.Length)..]);
        return payload.Length + OverheadBytes;
    }

    private void WritePrefix(int length, Span<byte> destination)
    {
        switch (_prefixBytes)
        {
            case 1:
                destination[0] = (byte)length;
                break;
            case 2 when _bigEndian:
                BinaryPrimitives.WriteUInt16BigEndian(destination, (ushort)length);
                break;
            case 2:
                BinaryPrimitives.WriteUInt16LittleEndian(destination, (ushort)length);
                break;
            case 4 when _bigEndian:
                BinaryPrimitives.WriteInt32BigEndian(destination, length);
                break;
            case 4:
                BinaryPrimitives.WriteInt32LittleEndian(destination, length);
                break;
        }
    }
}
