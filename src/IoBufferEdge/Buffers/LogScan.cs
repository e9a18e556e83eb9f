using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using IoBufferEdge.Interop;

namespace IoBufferEdge.Buffers;

/// <summary>Receives a block that a scan found, with the key that stands before it.</summary>
internal delegate void BlockFound(ReadOnlySpan<byte> key, ReadOnlySpan<byte> block);

/// <summary>
/// Reads the engine's own files without the engine, which stops a log at its first bad record and gives up a table whose index is
/// damaged. Format of a log (rocksdb db/log_format.h): pages of 32 KiB; in a page fragments, each
/// <c>masked CRC32C u32, length u16, type u8 (1 whole, 2 first, 3 middle, 4 last; 5…8 the same with log number u32), payload</c>.
/// The payload of a record is a write batch, in which a key and its value stand one behind the other, as they do in a table without
/// compression whose restart interval is 1. So blocks can be found by their magic and told from chance by key, length and checksum.
/// </summary>
internal static class LogScan
{
    private const int PageBytes = 32 << 10;
    private const int HeaderBytes = 7;
    private const int NumberedHeaderBytes = 11;
    private const int InternalKeySuffixBytes = 8;

    private delegate void FragmentVisitor(int type, bool valid, ReadOnlySpan<byte> payload);

    /// <summary>
    /// True when a whole good record stands behind a bad one. Every write is synced before the next begins, so what is bad there was
    /// durable once: that is damage. A bad end alone is what a crash leaves.
    /// </summary>
    public static bool IsDamaged(string path)
    {
        bool bad = false, damaged = false, inRecord = false;
        Fragments(path, (type, valid, _) =>
        {
            if (!valid)
            {
                (bad, inRecord) = (true, false);
                return;
            }

            switch (((type - 1) % 4) + 1)
            {
                case 1:
                    damaged |= bad;
                    inRecord = false;
                    break;
                case 2:
                    inRecord = true;
                    break;
                case 4:
                    damaged |= bad && inRecord;
                    bad |= !inRecord;
                    inRecord = false;
                    break;
                default:
                    bad |= !inRecord;
                    break;
            }
        });
        return damaged;
    }

    /// <summary>Shows every block of a log whose checksum holds, whatever is damaged around it.</summary>
    public static void LogBlocks(string path, BlockFound found)
    {
        var length = new FileInfo(path).Length;
        if (length is 0 or > int.MaxValue) return;
        using IDisposable memory = new NativeMemoryBlock((int)length);
        var stream = ((NativeMemoryBlock)memory).GetSpan();
        var used = 0;
        Fragments(path, (_, _, payload) =>
        {
            payload.CopyTo(((NativeMemoryBlock)memory).GetSpan()[used..]);
            used += payload.Length;
        });
        Blocks(stream[..used], found, inTable: false);
    }

    /// <summary>Shows every block of a table file whose checksum holds.</summary>
    public static void TableBlocks(string path, BlockFound found)
    {
        var length = new FileInfo(path).Length;
        if (length is 0 or > int.MaxValue) return;
        using IDisposable memory = new NativeMemoryBlock((int)length);
        var bytes = ((NativeMemoryBlock)memory).GetSpan();
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        Blocks(bytes[..file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)], found, inTable: true);
    }

    private static void Blocks(ReadOnlySpan<byte> bytes, BlockFound found, bool inTable)
    {
        for (var at = 0; bytes[at..].IndexOf("IOBB"u8) is var next and >= 0; at++)
        {
            at += next;
            if (!BlockFormat.TryReadHeader(bytes[at..], out var header)) continue;
            var length = header.EncodedLength;
            if (length > bytes.Length - at) continue;
            var keyAt = at - StoreRecords.BlockKeyBytes - (inTable ? InternalKeySuffixBytes : VarintBytes((int)length));
            if (keyAt < 0) continue;
            var key = bytes.Slice(keyAt, StoreRecords.BlockKeyBytes);
            var block = bytes.Slice(at, (int)length);
            if (StoreRecords.ReadBlockKey(key).First != header.FirstSequence || !BlockFormat.TryRead(block, out _)) continue;
            found(key, block);
            at += (int)length - 1;
        }
    }

    private static void Fragments(string path, FragmentVisitor visit)
    {
        var name = Path.GetFileNameWithoutExtension(path);
        var number = uint.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var parsed) ? parsed : 0;
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        var page = new byte[PageBytes];
        for (int length; (length = file.ReadAtLeast(page, PageBytes, throwOnEndOfStream: false)) > 0;)
            if (!PageFragments(page.AsSpan(0, length), number, visit))
                return;
    }

    /// <summary>False at the end of what this log wrote: behind it lies what the file held in a former use.</summary>
    private static bool PageFragments(ReadOnlySpan<byte> page, uint number, FragmentVisitor visit)
    {
        for (var at = 0; page.Length - at >= HeaderBytes;)
        {
            var type = page[at + 6];
            var payloadBytes = BinaryPrimitives.ReadUInt16LittleEndian(page[(at + 4)..]);
            if (page.Slice(at, HeaderBytes).IndexOfAnyExcept((byte)0) < 0) return true;
            var headerBytes = type is >= 5 and <= 8 or 11 or 131 ? NumberedHeaderBytes : HeaderBytes;
            var fits = type is >= 1 and <= 11 or 130 or 131 && headerBytes + payloadBytes <= page.Length - at;
            var valid = fits && HasChecksum(page.Slice(at, headerBytes + payloadBytes));
            var isNumbered = headerBytes == NumberedHeaderBytes;
            if (valid && isNumbered && BinaryPrimitives.ReadUInt32LittleEndian(page[(at + 7)..]) != number) return false;
            if (valid)
            {
                if (type is >= 1 and <= 8) visit(type, true, page.Slice(at + headerBytes, payloadBytes));
                at += headerBytes + payloadBytes;
                continue;
            }

            // A damaged payload under a header that still fits is passed on: only the block it hit is lost. Otherwise look for the
            // next fragment that is whole.
            var next = NextValid(page, at + 1);
            var end = at + headerBytes + payloadBytes;
            var isPlausible = fits && (end == next || next < 0 && end == page.Length);
            visit(1, false, isPlausible ? page.Slice(at + headerBytes, payloadBytes) : []);
            if (next < 0) return true;
            at = next;
        }

        return true;
    }

    private static int NextValid(ReadOnlySpan<byte> page, int from)
    {
        for (var at = from; page.Length - at >= HeaderBytes; at++)
        {
            var type = page[at + 6];
            if (type is < 1 or > 8) continue;
            var bytes = (type >= 5 ? NumberedHeaderBytes : HeaderBytes) + BinaryPrimitives.ReadUInt16LittleEndian(page[(at + 4)..]);
            if (bytes <= page.Length - at && HasChecksum(page.Slice(at, bytes))) return at;
        }

        return -1;
    }

    private static bool HasChecksum(ReadOnlySpan<byte> fragment)
    {
        var crc = BlockFormat.Checksum(fragment[6..]);
        return BinaryPrimitives.ReadUInt32LittleEndian(fragment) == BitOperations.RotateRight(crc, 15) + 0xA282EAD8;
    }

    private static int VarintBytes(int value) => (BitOperations.Log2((uint)value) / 7) + 1;
}
