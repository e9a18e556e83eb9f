using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace IoBufferEdge.Buffers;

/// <summary>
/// A block record: one commit's messages of one queue. Little-endian. Version 1, or 2 where its messages have origins.
/// <code>
/// offset size
///      0    4  magic "IOBB"
///      4    1  version (1, 2)
///      5    1  0
///      6    2  version 2: bytes of the routes; else 0
///      8    8  first sequence number; the others follow without a gap
///     16    8  life
///     24    8  messages of this queue before this block, since the queue was made
///     32    8  payload bytes of this queue before this block
///     40    8  running time at the oldest message, µs: counts only while the gateway runs, never jumps
///     48    8  wall clock (Unix time, µs) when the block was built; with the running time beside it, every message's date follows
///     56    8  running time when the block was built, µs
///     64    4  count of messages
///     68    4  payload bytes
///     72  8·n  per message: u32 length (low 28 bits) and flags (high 4), u32 µs since the running time at offset 40 (saturating)
///       32·n  version 2, per message: i64 when it was received at its origin (Unix time, µs), u64 life and i64 sequence number there, u32 route + 1
///             (0: it came in here), u32 0
///          …  version 2: the routes, each u16 bytes and as many of UTF-8
///          …  payload, the messages one after the other
///   last    4  CRC32C of everything before it
/// </code>
/// Limits: a message has at most 2^28 − 1 bytes.
/// </summary>
public static class BlockFormat
{
    public const int HeaderBytes = 72;
    public const int PerMessageBytes = 8;
    public const int PerOriginBytes = 32;
    public const int RoutesBytesMax = ushort.MaxValue;
    public const int TrailerBytes = 4;
    public const int MaxMessageBytes = (1 << 28) - 1;
    private const uint Magic = 0x42424F49;
    private const byte PlainVersion = 1;
    private const byte OriginsVersion = 2;

    /// <summary>Size of a block with so many messages and payload bytes, and with so many bytes of routes (null: without origins).</summary>
    public static int EncodedLength(int count, int payloadBytes, int? routesBytes = null) =>
        HeaderBytes + count * (PerMessageBytes + (routesBytes is null ? 0 : PerOriginBytes)) + (routesBytes ?? 0) + payloadBytes + TrailerBytes;

    public static void WriteHeader(Span<byte> block, in BlockHeader header)
    {
        block[..HeaderBytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(block, Magic);
        block[4] = header.RoutesBytes is null ? PlainVersion : OriginsVersion;
        BinaryPrimitives.WriteUInt16LittleEndian(block[6..], (ushort)(header.RoutesBytes ?? 0));
        BinaryPrimitives.WriteInt64LittleEndian(block[8..], header.FirstSequence);
        BinaryPrimitives.WriteInt64LittleEndian(block[16..], header.Life);
        BinaryPrimitives.WriteInt64LittleEndian(block[24..], header.TotalsBefore.Messages);
        BinaryPrimitives.WriteInt64LittleEndian(block[32..], header.TotalsBefore.Bytes);
        BinaryPrimitives.WriteInt64LittleEndian(block[40..], header.OldestRunningUs);
        BinaryPrimitives.WriteInt64LittleEndian(block[48..], header.BuiltAtUnixUs);
        BinaryPrimitives.WriteInt64LittleEndian(block[56..], header.BuiltAtRunningUs);
        BinaryPrimitives.WriteInt32LittleEndian(block[64..], header.Count);
        BinaryPrimitives.WriteInt32LittleEndian(block[68..], header.PayloadBytes);
    }

    public static void WriteEntry(Span<byte> block, int index, int length, MessageFlags flags, long sinceOldestUs)
    {
        var entry = block[(HeaderBytes + index * PerMessageBytes)..];
        BinaryPrimitives.WriteUInt32LittleEndian(entry, (uint)length | ((uint)flags << 28));
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], (uint)Math.Clamp(sinceOldestUs, 0, uint.MaxValue));
    }

    /// <summary>Writes a message's 32 bytes of origin.</summary>
    /// <param name="route">Its place among the routes; −1: it came in here.</param>
    public static void WriteOrigin(Span<byte> entry, in MessageOrigin origin, int route)
    {
        BinaryPrimitives.WriteInt64LittleEndian(entry, origin.ReceivedUnixUs);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], origin.Life);
        BinaryPrimitives.WriteInt64LittleEndian(entry[16..], origin.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(entry[24..], route + 1);
    }

    public static MessageOrigin ReadOrigin(ReadOnlySpan<byte> entry, IReadOnlyList<string> routes)
    {
        var route = BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]);
        if (route == 0 || route > routes.Count) return default;
        return new MessageOrigin(
            routes[(int)route - 1], BinaryPrimitives.ReadInt64LittleEndian(entry[8..]), BinaryPrimitives.ReadInt64LittleEndian(entry[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(entry));
    }

    /// <summary>Bytes that a route takes in a block.</summary>
    public static int RouteBytes(string route) => sizeof(ushort) + Encoding.UTF8.GetByteCount(route);

    public static void WriteRoutes(Span<byte> destination, IEnumerable<string> routes)
    {
        foreach (var route in routes)
        {
            var bytes = Encoding.UTF8.GetBytes(route, destination[sizeof(ushort)..]);
            BinaryPrimitives.WriteUInt16LittleEndian(destination, (ushort)bytes);
            destination = destination[(sizeof(ushort) + bytes)..];
        }
    }

    /// <summary>Writes the checksum; everything else must be in place.</summary>
    public static void Seal(Span<byte> block) =>
        BinaryPrimitives.WriteUInt32LittleEndian(block[^TrailerBytes..], Checksum(block[..^TrailerBytes]));

    /// <summary>Reads a block. False when it is not one, or when its checksum, its lengths or its numbers do not hold together.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out Block block)
    {
        block = default;
        if (!TryReadHeader(bytes, out var header)) return false;
        if (header.EncodedLength != bytes.Length) return false;
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[^TrailerBytes..]) != Checksum(bytes[..^TrailerBytes])) return false;

        long sum = 0;
        for (var i = 0; i < header.Count; i++)
            sum += BinaryPrimitives.ReadUInt32LittleEndian(bytes[(HeaderBytes + i * PerMessageBytes)..]) & MaxMessageBytes;
        if (sum != header.PayloadBytes) return false;

        block = new Block(header, bytes);
        return true;
    }

    /// <summary>Reads what stands at a block's front, whose rest may be missing or damaged. False when no block begins here.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> bytes, out BlockHeader header)
    {
        header = default;
        if (bytes.Length < HeaderBytes + TrailerBytes) return false;
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic || bytes[4] is not (PlainVersion or OriginsVersion)) return false;
        header = new BlockHeader
        {
            FirstSequence = BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            Life = BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
            TotalsBefore = new QueueTotals(
                BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[32..])),
            OldestRunningUs = BinaryPrimitives.ReadInt64LittleEndian(bytes[40..]),
            BuiltAtUnixUs = BinaryPrimitives.ReadInt64LittleEndian(bytes[48..]),
            BuiltAtRunningUs = BinaryPrimitives.ReadInt64LittleEndian(bytes[56..]),
            Count = BinaryPrimitives.ReadInt32LittleEndian(bytes[64..]),
            PayloadBytes = BinaryPrimitives.ReadInt32LittleEndian(bytes[68..]),
            RoutesBytes = bytes[4] == OriginsVersion ? BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]) : null,
        };
        return header.Count > 0 && header.PayloadBytes >= 0 && header.FirstSequence > 0;
    }

    /// <summary>CRC32C (Castagnoli).</summary>
    internal static uint Checksum(ReadOnlySpan<byte> bytes) => ExtendChecksum(0, bytes);

    /// <summary>CRC32C of bytes that lie in pieces: from that of the pieces before, 0 where there are none.</summary>
    internal static uint ExtendChecksum(uint checksum, ReadOnlySpan<byte> bytes)
    {
        var crc = ~checksum;
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (var word in words) crc = BitOperations.Crc32C(crc, word);
        foreach (var b in bytes[(words.Length * sizeof(ulong))..]) crc = BitOperations.Crc32C(crc, b);
        return ~crc;
    }
}

/// <summary>A block's header; see <see cref="BlockFormat"/>.</summary>
public readonly record struct BlockHeader
{
    public long FirstSequence { get; init; }

    public long Life { get; init; }

    public QueueTotals TotalsBefore { get; init; }

    public long OldestRunningUs { get; init; }

    public long BuiltAtUnixUs { get; init; }

    public long BuiltAtRunningUs { get; init; }

    public int Count { get; init; }

    public int PayloadBytes { get; init; }

    /// <summary>Null: its messages have no origins.</summary>
    public int? RoutesBytes { get; init; }

    public long LastSequence => FirstSequence + Count - 1;

    /// <summary>Size of the whole block in bytes.</summary>
    public long EncodedLength => PayloadOffset + PayloadBytes + BlockFormat.TrailerBytes;

    /// <summary>Where the payload begins.</summary>
    internal long PayloadOffset =>
        BlockFormat.HeaderBytes + (long)Count * (BlockFormat.PerMessageBytes + (RoutesBytes is null ? 0 : BlockFormat.PerOriginBytes)) + (RoutesBytes ?? 0);

    /// <summary>The queue's totals behind the block's last message.</summary>
    public QueueTotals TotalsAfter => TotalsBefore + new QueueTotals(Count, PayloadBytes);
}

/// <summary>A block whose checksum holds.</summary>
public readonly ref struct Block(BlockHeader header, ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;

    public BlockHeader Header { get; } = header;

    public ReadOnlySpan<byte> Payload => _bytes.Slice((int)Header.PayloadOffset, Header.PayloadBytes);

    /// <summary>The routes of its messages' origins.</summary>
    public List<string> ReadRoutes()
    {
        var routes = new List<string>();
        if (Header.RoutesBytes is not { } length) return routes;
        var rest = _bytes.Slice((int)Header.PayloadOffset - length, length);
        while (rest.Length >= sizeof(ushort) && BinaryPrimitives.ReadUInt16LittleEndian(rest) is var bytes && bytes + sizeof(ushort) <= rest.Length)
        {
            routes.Add(Encoding.UTF8.GetString(rest.Slice(sizeof(ushort), bytes)));
            rest = rest[(sizeof(ushort) + bytes)..];
        }

        return routes;
    }

    /// <param name="index">Of the message.</param>
    /// <param name="routes">What <see cref="ReadRoutes"/> gave.</param>
    public MessageOrigin Origin(int index, IReadOnlyList<string> routes) => Header.RoutesBytes is null
        ? default
        : BlockFormat.ReadOrigin(_bytes[(BlockFormat.HeaderBytes + Header.Count * BlockFormat.PerMessageBytes + index * BlockFormat.PerOriginBytes)..], routes);

    public int Length(int index) => (int)(Entry(index) & BlockFormat.MaxMessageBytes);

    public MessageFlags Flags(int index) => (MessageFlags)(Entry(index) >> 28);

    /// <summary>When the message was received, in running time (µs).</summary>
    public long ReceivedRunningUs(int index) =>
        Header.OldestRunningUs + BinaryPrimitives.ReadUInt32LittleEndian(_bytes[(EntryOffset(index) + 4)..]);

    private uint Entry(int index) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[EntryOffset(index)..]);

    private static int EntryOffset(int index) => BlockFormat.HeaderBytes + index * BlockFormat.PerMessageBytes;
}
