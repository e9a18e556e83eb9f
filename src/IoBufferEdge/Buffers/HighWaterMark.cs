using System.Buffers.Binary;
using System.Text;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Buffers;

/// <summary>What the mark says of one queue.</summary>
internal readonly record struct MarkEntry(string Id, long LastDurable, long Cursor, long ReservedUpTo);

/// <summary>What the store had reached when the mark was written.</summary>
internal sealed record Mark(long Generation, long Life, IReadOnlyDictionary<int, MarkEntry> Queues);

/// <summary>
/// The high-water mark: a small file outside the store that proves what the store once held (rule 13). The engine recovers to some
/// point of its log and cannot tell whether there was more. The mark may lag: it proves loss, never its absence.
/// <code>
/// two slots of 64 KiB, written in turn; the valid one with the higher count wins, so a torn write leaves the one before
/// slot:  magic u32 "IOHW", version u32 (1), body length u32, CRC32C of the body u32, body; little-endian
/// body:  count u64, generation i64, life i64, queues u32,
///        per queue: number u16, last durable i64, cursor i64, reserved up to i64, id length u8, id (UTF-8)
/// </code>
/// Limits: what does not fit into a slot (about 700 queues with the longest ids) is left out. Used by one thread.
/// </summary>
internal sealed class HighWaterMark(string path) : IDisposable
{
    private const int SlotBytes = 64 << 10;
    private const int HeaderBytes = 16;
    private const int EntryHeadBytes = 2 + 3 * sizeof(long) + 1;
    private const int EntryBytesMax = EntryHeadBytes + byte.MaxValue;
    private const uint Magic = 0x57484F49;
    private const uint Version = 1;

    private readonly byte[] _slot = new byte[SlotBytes];
    private FileStream? _file;
    private ulong _count;

    /// <summary>The newest mark that reads; null where there is none.</summary>
    public Mark? Read()
    {
        if (!File.Exists(path)) return null;
        Mark? newest = null;
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        for (var slot = 0; slot < 2; slot++)
        {
            file.Position = slot * SlotBytes;
            var length = file.ReadAtLeast(_slot, SlotBytes, throwOnEndOfStream: false);
            if (!TryDecode(_slot.AsSpan(0, length), out var count, out var mark) || count <= _count) continue;
            (newest, _count) = (mark, count);
        }

        return newest;
    }

    /// <summary>Writes the mark over the older slot and syncs it.</summary>
    /// <exception cref="IOException">The medium did not take it; the other slot still stands.</exception>
    public void Write(Mark mark)
    {
        var isNew = _file is null && !File.Exists(path);
        _file ??= new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        var length = Encode(_count + 1, mark);
        _file.Position = (long)((_count + 1) % 2) * SlotBytes;
        _file.Write(_slot, 0, length);
        LinuxFiles.SyncData(path);
        if (isNew) LinuxFiles.SyncFolder(Path.GetDirectoryName(path)!);
        _count++;
    }

    public void Dispose() => _file?.Dispose();

    private int Encode(ulong count, Mark mark)
    {
        var body = _slot.AsSpan(HeaderBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(body, count);
        BinaryPrimitives.WriteInt64LittleEndian(body[8..], mark.Generation);
        BinaryPrimitives.WriteInt64LittleEndian(body[16..], mark.Life);
        var (at, queues) = (28, 0u);
        foreach (var (number, entry) in mark.Queues)
        {
            if (at + EntryBytesMax > body.Length) break;
            BinaryPrimitives.WriteUInt16LittleEndian(body[at..], (ushort)number);
            BinaryPrimitives.WriteInt64LittleEndian(body[(at + 2)..], entry.LastDurable);
            BinaryPrimitives.WriteInt64LittleEndian(body[(at + 10)..], entry.Cursor);
            BinaryPrimitives.WriteInt64LittleEndian(body[(at + 18)..], entry.ReservedUpTo);
            body[at + 26] = (byte)Encoding.UTF8.GetBytes(entry.Id, body.Slice(at + 27, byte.MaxValue));
            at += 27 + body[at + 26];
            queues++;
        }

        BinaryPrimitives.WriteUInt32LittleEndian(body[24..], queues);
        BinaryPrimitives.WriteUInt32LittleEndian(_slot, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(_slot.AsSpan(4), Version);
        BinaryPrimitives.WriteInt32LittleEndian(_slot.AsSpan(8), at);
        BinaryPrimitives.WriteUInt32LittleEndian(_slot.AsSpan(12), BlockFormat.Checksum(body[..at]));
        return HeaderBytes + at;
    }

    private static bool TryDecode(ReadOnlySpan<byte> slot, out ulong count, out Mark? mark)
    {
        (count, mark) = (0, null);
        if (slot.Length < HeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(slot) != Magic) return false;
        var length = BinaryPrimitives.ReadInt32LittleEndian(slot[8..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(slot[4..]) != Version) return false;
        if (length < 28 || length > slot.Length - HeaderBytes) return false;
        var body = slot.Slice(HeaderBytes, length);
        if (BinaryPrimitives.ReadUInt32LittleEndian(slot[12..]) != BlockFormat.Checksum(body)) return false;

        count = BinaryPrimitives.ReadUInt64LittleEndian(body);
        var queues = new Dictionary<int, MarkEntry>();
        var at = 28;
        for (var i = BinaryPrimitives.ReadUInt32LittleEndian(body[24..]); i > 0; i--)
        {
            if (at + EntryHeadBytes > length || at + EntryHeadBytes + body[at + 26] > length) return false;
            queues[BinaryPrimitives.ReadUInt16LittleEndian(body[at..])] = new MarkEntry(
                Encoding.UTF8.GetString(body.Slice(at + 27, body[at + 26])),
                BinaryPrimitives.ReadInt64LittleEndian(body[(at + 2)..]),
                BinaryPrimitives.ReadInt64LittleEndian(body[(at + 10)..]),
                BinaryPrimitives.ReadInt64LittleEndian(body[(at + 18)..]));
            at += 27 + body[at + 26];
        }

        mark = new Mark(BinaryPrimitives.ReadInt64LittleEndian(body[8..]), BinaryPrimitives.ReadInt64LittleEndian(body[16..]), queues);
        return true;
    }
}
