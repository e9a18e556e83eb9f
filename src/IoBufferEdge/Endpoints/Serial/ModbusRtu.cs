using System.Buffers.Binary;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>Modbus RTU as far as polling needs it: the checksum, and whether a reply can belong to a request. MODBUS over serial line
/// V1.02, 2.5.1 and 6.2.2; Application Protocol V1.1b3, 6.</summary>
internal static class ModbusRtu
{
    private const int CrcBytes = 2;

    public static byte[] WithCrc(ReadOnlySpan<byte> frame)
    {
        var whole = new byte[frame.Length + CrcBytes];
        frame.CopyTo(whole);
        BinaryPrimitives.WriteUInt16LittleEndian(whole.AsSpan(frame.Length), Crc(frame));
        return whole;
    }

    /// <summary>The frame ends with the checksum of what stands before it.</summary>
    public static bool HasValidCrc(ReadOnlySpan<byte> frame) =>
        frame.Length > CrcBytes + 1 && BinaryPrimitives.ReadUInt16LittleEndian(frame[^CrcBytes..]) == Crc(frame[..^CrcBytes]);

    /// <summary>
    /// The reply names the request's device and function, and is as long as the request's count of registers or bits asks for: a reply
    /// that comes too late for an earlier request differs at least where it matters. Both with their checksums.
    /// </summary>
    public static bool Answers(ReadOnlySpan<byte> reply, ReadOnlySpan<byte> request)
    {
        if (reply.Length < 4 || request.Length < 4 || reply[0] != request[0]) return false;
        if (reply[1] == (request[1] | 0x80)) return true;
        if (reply[1] != request[1]) return false;
        if (request.Length != 8) return true;
        var count = BinaryPrimitives.ReadUInt16BigEndian(request[4..]);
        return request[1] switch
        {
            1 or 2 => reply[2] == (byte)((count + 7) / 8),
            3 or 4 => reply[2] == (byte)(count * 2),
            5 or 6 => reply.Length == request.Length && reply[2..6].SequenceEqual(request[2..6]),
            _ => true,
        };
    }

    private static ushort Crc(ReadOnlySpan<byte> bytes)
    {
        var crc = 0xFFFF;
        foreach (var value in bytes)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xA001 : crc >> 1;
        }

        return (ushort)crc;
    }
}
