using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace IoBufferEdge.Buffers;

/// <summary>
/// A block record: one commit's messages of one queue, version 1. Little-endian.
/// <code>
/// offset size
///      0    4  magic "IOBB"
///      4    1  version (1)
///      5    1  block flags (0)
///      6    2  reserved (0)
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
///          …   payload, the messages one after the other
///   last    4  CRC32C of everything before it
/// </code>
/// Limits: a message has at most 2^28 − 1 bytes.
/// </summary>
public static class BlockFormat
{
    public const int HeaderBytes = 72;
    public const int PerMessageBytes = 8;
    public const int TrailerBytes = 4;
    public const int MaxMessageBytes = (1 << 28) - 1;
    private const uint Magic = 0x42424F49;
    private const byte Version = 1;

    /// <summary>Size of a block with so many messages and payload bytes.</summary>
    public static int EncodedLength(int count, int payloadBytes) => HeaderBytes + count * PerMessageBytes + payloadBytes + TrailerBytes;

    public static void WriteHeader(Span<byte> block, in BlockHeader header)
    {
        block[..HeaderBytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(block, Magic);
        block[4] = Version;
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
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic || bytes[4] != Version) return false;
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

    public long LastSequence => FirstSequence + Count - 1;

    /// <summary>Size of the whole block in bytes.</summary>
    public long EncodedLength =>
        BlockFormat.HeaderBytes + (long)Count * BlockFormat.PerMessageBytes + PayloadBytes + BlockFormat.TrailerBytes;

    /// <summary>The queue's totals behind the block's last message.</summary>
    public QueueTotals TotalsAfter => TotalsBefore + new QueueTotals(Count, PayloadBytes);
}

/// <summary>A block whose checksum holds.</summary>
public readonly ref struct Block(BlockHeader header, ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;

    public BlockHeader Header { get; } = header;

    public ReadOnlySpan<byte> Payload =>
        _bytes.Slice(BlockFormat.HeaderBytes + Header.Count * BlockFormat.PerMessageBytes, Header.PayloadBytes);

    public int Length(int index) => (int)(Entry(index) & BlockFormat.MaxMessageBytes);

    public MessageFlags Flags(int index) => (MessageFlags)(Entry(index) >> 28);

    /// <summary>When the message was received, in running time (µs).</summary>
    public long ReceivedRunningUs(int index) =>
        Header.OldestRunningUs + BinaryPrimitives.ReadUInt32LittleEndian(_bytes[(EntryOffset(index) + 4)..]);

    private uint Entry(int index) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[EntryOffset(index)..]);

    private static int EntryOffset(int index) => BlockFormat.HeaderBytes + index * BlockFormat.PerMessageBytes;
}
