using System.Buffers.Binary;
using System.Text;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The store's format on disk, version 1. It is a RocksDB with two column families. Integers in keys are big-endian, so that the
/// engine's order is the numbers' order; integers in values are little-endian. A totals pair is i64 messages, i64 payload bytes.
/// <code>
/// family "messages"
///   segment u32, queue u16, first sequence u64        a block (BlockFormat)
///     Segments count up and are closed at ~6 MB. A segment holds each queue's blocks in ascending order without overlap; blocks of
///     different segments may overlap: a batch that failed is written again in a new segment, with the same messages.
///
/// family "default"
///   'V'                       u32 format version, i64 generation
///   'N'                       u32 highest queue number ever given: numbers are never given twice, also after a purge
///   'O'                       u32 number of the open segment
///   'C'                       i64 running time of the gateway over all its lives, µs
///   'K' queue u16             i64 cursor, i64 reserved up to, i64 last written, totals at cursor, totals at last written,
///                             counters: delivered, parked, discarded, lost (totals each), i64 repeated; then the queue's
///                             name (channel id), UTF-8
///   'L' queue u16, begin u64  i64 life, i64 recovered up to: "this life begins here"; explains the gap between the two
///   'D' queue u16, first u64  i64 last: numbers discarded by policy
///   'X' queue u16, first u64  i64 last: numbers that a salvage could not find
///   'T' queue u16             i64 number, i64 payload bytes taken up to it: what was delivered above it is retained for a replay
///   'U' queue u16, first u64  i64 last: numbers that lie there and were not delivered, but discarded or parked
///   'P' queue u16, number u64 a block of the one parked message
///   'M' queue u16, sender     per life, oldest first: i64 life, i64 mark, i64 claimed: what came from another instance's queue, whose name
///                             ("device/channel", UTF-8) the key ends with
///   'I' queue u16, key u128   i64 number of the message that was taken with this idempotency key
///   'R' queue u16             i64 life, i64 number of the newest message that the instance behind the destination confirmed, u16 bytes of
///                             its name, the name, and an alarm that nobody has answered yet, UTF-8
///   'S' segment u32           summary of a closed segment, per queue that still needs it: u16 queue, i64 first, i64 last,
///                             totals behind the last. A start reads these and scans only what has none.
///   Every value but those of 'P' ends with a CRC32C over the key and the CRC32C of the value: a flipped bit costs one record
///   where the engine's own checksum covers several.
/// </code>
/// Records of kind L, D and X are forgotten some time after the cursor has passed them: the newest <see cref="PassedKept"/> stay,
/// because a stop may set the cursor back. Those of kind U go with the blocks that they speak of.
/// </summary>
internal static class StoreRecords
{
    public const uint FormatVersion = 1;
    public const int PassedKept = 64;
    public const int BlockKeyBytes = 14;
    public const uint SegmentMax = int.MaxValue;
    private const int StateBytes = 16 * sizeof(long);
    private const int SummaryEntryBytes = 2 + 4 * sizeof(long);

    public static ReadOnlySpan<byte> Version => "V"u8;

    public static ReadOnlySpan<byte> HighestQueue => "N"u8;

    public static ReadOnlySpan<byte> OpenSegment => "O"u8;

    public static ReadOnlySpan<byte> Clock => "C"u8;

    public static byte[] BlockKey(uint segment, int queue, long first)
    {
        var key = new byte[BlockKeyBytes];
        BinaryPrimitives.WriteUInt32BigEndian(key, segment);
        BinaryPrimitives.WriteUInt16BigEndian(key.AsSpan(4), (ushort)queue);
        BinaryPrimitives.WriteInt64BigEndian(key.AsSpan(6), first);
        return key;
    }

    /// <summary>The first key behind a queue's blocks in a segment.</summary>
    public static byte[] BlockKeyEnd(uint segment, int queue) =>
        queue < ushort.MaxValue ? BlockKey(segment, queue + 1, 0) : BlockKey(segment + 1, 0, 0);

    public static (uint Segment, int Queue, long First) ReadBlockKey(ReadOnlySpan<byte> key) => (
        BinaryPrimitives.ReadUInt32BigEndian(key),
        BinaryPrimitives.ReadUInt16BigEndian(key[4..]),
        BinaryPrimitives.ReadInt64BigEndian(key[6..]));

    /// <summary>Key of a record that a queue has once.</summary>
    public static byte[] QueueKey(char kind, int queue)
    {
        var key = new byte[3];
        key[0] = (byte)kind;
        BinaryPrimitives.WriteUInt16BigEndian(key.AsSpan(1), (ushort)queue);
        return key;
    }

    /// <summary>Key of a record that a queue has per sequence number.</summary>
    public static byte[] NumberKey(char kind, int queue, long number)
    {
        var key = new byte[11];
        key[0] = (byte)kind;
        BinaryPrimitives.WriteUInt16BigEndian(key.AsSpan(1), (ushort)queue);
        BinaryPrimitives.WriteInt64BigEndian(key.AsSpan(3), number);
        return key;
    }

    /// <summary>Key of what a queue holds from a sender.</summary>
    public static byte[] SenderKey(int queue, string sender) => [.. QueueKey('M', queue), .. Encoding.UTF8.GetBytes(sender)];

    public static string SenderOf(ReadOnlySpan<byte> key) => Encoding.UTF8.GetString(key[3..]);

    /// <summary>Key of an idempotency key of a queue.</summary>
    public static byte[] IdempotencyKey(int queue, UInt128 hash)
    {
        var key = new byte[3 + 16];
        QueueKey('I', queue).CopyTo(key, 0);
        BinaryPrimitives.WriteUInt128BigEndian(key.AsSpan(3), hash);
        return key;
    }

    public static UInt128 IdempotencyHashOf(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadUInt128BigEndian(key[3..]);

    /// <summary>The first key behind all of one kind that a queue has.</summary>
    public static byte[] QueueKeyEnd(char kind, int queue) => queue < ushort.MaxValue ? QueueKey(kind, queue + 1) : [(byte)(kind + 1)];

    public static byte[] SummaryKey(uint segment)
    {
        var key = new byte[5];
        key[0] = (byte)'S';
        BinaryPrimitives.WriteUInt32BigEndian(key.AsSpan(1), segment);
        return key;
    }

    public static int QueueOf(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadUInt16BigEndian(key[1..]);

    public static long NumberOf(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadInt64BigEndian(key[3..]);

    public static uint SegmentOf(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadUInt32BigEndian(key[1..]);

    public static byte[] U32(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return bytes;
    }

    public static byte[] I64(params ReadOnlySpan<long> values)
    {
        var bytes = new byte[values.Length * 8];
        for (var i = 0; i < values.Length; i++) BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(i * 8), values[i]);
        return bytes;
    }

    public static long ReadI64(ReadOnlySpan<byte> bytes, int index = 0) => BinaryPrimitives.ReadInt64LittleEndian(bytes[(index * 8)..]);

    public static uint ReadU32(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes);

    public static byte[] VersionValue(long generation) => [.. U32(FormatVersion), .. I64(generation)];

    /// <summary>The value as it is written: with its checksum.</summary>
    public static byte[] Seal(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => [.. value, .. U32(Checksum(key, value))];

    /// <summary>False when the record's checksum does not hold.</summary>
    public static bool TryOpen(ReadOnlySpan<byte> key, ReadOnlySpan<byte> written, out ReadOnlySpan<byte> value)
    {
        value = written.Length < sizeof(uint) ? default : written[..^sizeof(uint)];
        return written.Length >= sizeof(uint) && ReadU32(written[^sizeof(uint)..]) == Checksum(key, value);
    }

    public static byte[] State(QueueState q) => [.. I64(
        q.Cursor, q.ReservedUpTo, q.LastWritten,
        q.TotalsAtCursor.Messages, q.TotalsAtCursor.Bytes, q.TotalsAtLast.Messages, q.TotalsAtLast.Bytes,
        q.Counters.Delivered.Messages, q.Counters.Delivered.Bytes, q.Counters.Parked.Messages, q.Counters.Parked.Bytes,
        q.Counters.Discarded.Messages, q.Counters.Discarded.Bytes, q.Counters.Lost.Messages, q.Counters.Lost.Bytes,
        q.Counters.Repeated), .. Encoding.UTF8.GetBytes(q.Id)];

    public static QueueState ReadState(ReadOnlySpan<byte> bytes) => new()
    {
        Id = Encoding.UTF8.GetString(bytes[StateBytes..]),
        Cursor = ReadI64(bytes),
        ReservedUpTo = ReadI64(bytes, 1),
        LastWritten = ReadI64(bytes, 2),
        TotalsAtCursor = Totals(bytes, 3),
        TotalsAtLast = Totals(bytes, 5),
        Counters = new QueueCounters
        {
            Delivered = Totals(bytes, 7),
            Parked = Totals(bytes, 9),
            Discarded = Totals(bytes, 11),
            Lost = Totals(bytes, 13),
            Repeated = ReadI64(bytes, 15),
        },
    };

    public static byte[] Marks(IReadOnlyList<LifeMark> lives) => [.. lives.SelectMany(l => I64(l.Life, l.Sequence, l.Claimed))];

    public static List<LifeMark> ReadMarks(ReadOnlySpan<byte> bytes)
    {
        var lives = new List<LifeMark>();
        for (; bytes.Length >= 3 * sizeof(long); bytes = bytes[(3 * sizeof(long))..])
            lives.Add(new LifeMark(ReadI64(bytes), ReadI64(bytes, 1), ReadI64(bytes, 2)));
        return lives;
    }

    public static byte[] Receiver(ReceiverNote note)
    {
        var name = Encoding.UTF8.GetBytes(note.Name);
        return
        [
            .. I64(note.LastDelivered.Life, note.LastDelivered.Sequence), (byte)name.Length, (byte)(name.Length >> 8), .. name,
            .. Encoding.UTF8.GetBytes(note.Alarm ?? ""),
        ];
    }

    public static ReceiverNote ReadReceiver(ReadOnlySpan<byte> bytes)
    {
        const int FixedBytes = 2 * sizeof(long) + sizeof(ushort);
        var name = bytes.Slice(FixedBytes, BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * sizeof(long))..]));
        var alarm = Encoding.UTF8.GetString(bytes[(FixedBytes + name.Length)..]);
        return new ReceiverNote(
            Encoding.UTF8.GetString(name), new MessageIdentity(ReadI64(bytes), ReadI64(bytes, 1)), alarm.Length == 0 ? null : alarm);
    }

    public static byte[] Summary(IEnumerable<(int Queue, BlockSpan Span)> entries)
    {
        var bytes = new List<byte>();
        foreach (var (queue, span) in entries)
        {
            bytes.Add((byte)queue);
            bytes.Add((byte)(queue >> 8));
            bytes.AddRange(I64(span.First, span.Last, span.TotalsAfter.Messages, span.TotalsAfter.Bytes));
        }

        return [.. bytes];
    }

    public static IEnumerable<(int Queue, BlockSpan Span)> ReadSummary(byte[] bytes)
    {
        for (var at = 0; at + SummaryEntryBytes <= bytes.Length; at += SummaryEntryBytes)
        {
            var entry = bytes.AsSpan(at + 2, SummaryEntryBytes - 2);
            yield return (bytes[at] | (bytes[at + 1] << 8), new BlockSpan(ReadI64(entry), ReadI64(entry, 1), Totals(entry, 2)));
        }
    }

    private static uint Checksum(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Span<byte> both = stackalloc byte[key.Length + sizeof(uint)];
        key.CopyTo(both);
        BinaryPrimitives.WriteUInt32LittleEndian(both[key.Length..], BlockFormat.Checksum(value));
        return BlockFormat.Checksum(both);
    }

    private static QueueTotals Totals(ReadOnlySpan<byte> bytes, int index) => new(ReadI64(bytes, index), ReadI64(bytes, index + 1));
}

/// <summary>Numbers that lie in blocks, and the queue's totals behind the last of them.</summary>
internal readonly record struct BlockSpan(long First, long Last, QueueTotals TotalsAfter);

/// <summary>What the store knows of one queue, as of the last batch that was synced.</summary>
internal sealed class QueueState
{
    public required string Id { get; init; }

    public long Cursor { get; set; }

    public long ReservedUpTo { get; set; }

    /// <summary>Highest number ever written in a block; it may be below the cursor.</summary>
    public long LastWritten { get; set; }

    public QueueTotals TotalsAtCursor { get; set; }

    public QueueTotals TotalsAtLast { get; set; }

    public QueueCounters Counters { get; set; }

    /// <summary>Ascending.</summary>
    public List<LifeRecord> Lives { get; } = [];

    /// <summary>Ascending, without neighbours that touch.</summary>
    public List<SequenceRange> Discards { get; } = [];

    /// <summary>What a salvage could not find, ascending.</summary>
    public List<SequenceRange> Missed { get; } = [];

    /// <summary>Delivered messages above it are retained; null: none are.</summary>
    public RetainMark? RetainAfter { get; set; }

    /// <summary>Numbers of the retained part that were not delivered.</summary>
    public List<SequenceRange> Withheld { get; } = [];

    /// <summary>Blocks up to here may go.</summary>
    public long NeededAfter => Math.Min(Cursor, RetainAfter?.Sequence ?? Cursor);

    public Dictionary<string, IReadOnlyList<LifeMark>> Held { get; } = new(StringComparer.Ordinal);

    public Dictionary<UInt128, long> Keys { get; } = [];

    public ReceiverNote Receiver { get; set; } = ReceiverNote.None;
}
