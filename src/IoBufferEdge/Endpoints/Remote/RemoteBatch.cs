using System.Buffers.Binary;
using System.Text;
using IoBufferEdge.Buffers;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// Messages of one life of one sender, as they go from one instance to another: format version 1, little-endian. This is a view: its
/// memory must stay as it is while it is used.
/// <code>
/// offset size
///      0    4  magic "IOBM"
///      4    1  version (1)
///      5    1  reserved (0)
///      6    2  count of routes R
///      8    8  life of the messages
///     16    8  life of the message before them, 0: none
///     24    8  its sequence number, 0: none
///     32    8  the highest number of this life that the sender holds durably, 0: none
///     40    4  count of messages N
///     44    4  bytes of the sender's name
///          …   the sender's name, "device/channel"
///          …   R routes: u16 bytes, then "device/channel>device/channel"
///     40·N     entries: i64 sequence, i64 first received (Unix time, µs), u32 length (low 28 bits) and flags (high 4),
///              u16 route's index + 1 (0: it came in at the sender), u16 reserved (0), u64 first life, i64 first sequence
///          …   payloads, one after the other
///   last    4  CRC32C of everything before it
/// </code>
/// Limits: at most <see cref="RoutesMax"/> routes, and no more than messages; a route has at most 16 names.
/// </summary>
public readonly struct RemoteBatch
{
    public const string ContentType = "application/vnd.iobuffer.batch";
    public const byte Version = 1;
    public const int HeaderBytes = 48;
    public const int EntryBytes = 40;
    public const int TrailerBytes = 4;
    public const int RoutesMax = 256;

    /// <summary>What a batch may have in all, and be taken by every receiver; one with a single message may have more.</summary>
    public const int OrdinaryBytesMax = 1 << 20;

    internal const uint Magic = 0x4D424F49;
    private const MessageFlags KnownFlags = MessageFlags.Partial | MessageFlags.Split | MessageFlags.Damaged;

    private readonly ReadOnlyMemory<byte> _bytes;
    private readonly int _senderBytes;
    private readonly int _entriesAt;

    private RemoteBatch(ReadOnlyMemory<byte> bytes, int senderBytes, int entriesAt, int count) =>
        (_bytes, _senderBytes, _entriesAt, Count) = (bytes, senderBytes, entriesAt, count);

    /// <summary>How many messages; at least one.</summary>
    public int Count { get; }

    public long Life => BinaryPrimitives.ReadInt64LittleEndian(Bytes[8..]);

    /// <summary>The message that the receiver must have taken last.</summary>
    public MessageIdentity After => new(BinaryPrimitives.ReadInt64LittleEndian(Bytes[16..]), BinaryPrimitives.ReadInt64LittleEndian(Bytes[24..]));

    /// <summary>The highest number of this life that the sender holds durably; 0: none.</summary>
    public long Claimed => BinaryPrimitives.ReadInt64LittleEndian(Bytes[32..]);

    public int RouteCount => BinaryPrimitives.ReadUInt16LittleEndian(Bytes[6..]);

    /// <summary>The sender's name, ASCII.</summary>
    public ReadOnlySpan<byte> Sender => Bytes.Slice(HeaderBytes, _senderBytes);

    public long FirstSequence => SequenceAt(0);

    public long LastSequence => SequenceAt(Count - 1);

    private ReadOnlySpan<byte> Bytes => _bytes.Span;

    /// <summary>Reads a batch. False when it is not one, or when anything about it does not hold together.</summary>
    /// <param name="error">Why not: one sentence.</param>
    public static bool TryRead(ReadOnlyMemory<byte> memory, out RemoteBatch batch, out string error)
    {
        batch = default;
        error = ProblemOf(memory.Span, out var senderBytes, out var entriesAt, out var count) ?? "";
        if (error.Length > 0) return false;
        batch = new RemoteBatch(memory, senderBytes, entriesAt, count);
        return true;
    }

    /// <summary>Whether these bytes are a batch of a version that this one does not know.</summary>
    public static bool IsNewer(ReadOnlySpan<byte> bytes) =>
        bytes.Length > 4 && BinaryPrimitives.ReadUInt32LittleEndian(bytes) == Magic && bytes[4] > Version;

    /// <summary>The routes, in order.</summary>
    public RouteEnumerator Routes => new(this);

    /// <summary>The messages, in order.</summary>
    public MessageEnumerator GetEnumerator() => new(this);

    private long SequenceAt(int index) => BinaryPrimitives.ReadInt64LittleEndian(Bytes[(_entriesAt + index * EntryBytes)..]);

    /// <summary>Null: the bytes are a batch.</summary>
    private static string? ProblemOf(ReadOnlySpan<byte> bytes, out int senderBytes, out int entriesAt, out int count)
    {
        (senderBytes, entriesAt, count) = (0, 0, 0);
        if (bytes.Length < HeaderBytes + TrailerBytes) return $"A batch has at least {HeaderBytes + TrailerBytes} bytes, this one has {bytes.Length}.";
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic) return "A batch begins with IOBM; this is none.";
        if (bytes[4] != Version) return $"The batch has version {bytes[4]}; version {Version} is known here.";
        if (bytes[5] != 0) return "Byte 5 of the header is reserved and must be 0.";
        if (HeaderProblem(bytes) is { } problem) return problem;

        var name = BinaryPrimitives.ReadUInt32LittleEndian(bytes[44..]);
        if (name > RemoteName.NameBytesMax || HeaderBytes + name + TrailerBytes > bytes.Length)
            return $"The sender's name has {name} bytes; it must lie inside the batch and have at most {RemoteName.NameBytesMax}.";
        senderBytes = (int)name;
        if (!RemoteName.IsName(bytes.Slice(HeaderBytes, senderBytes))) return "The sender's name must be device/channel: two ids with one / between them.";

        var messages = BinaryPrimitives.ReadUInt32LittleEndian(bytes[40..]);
        var routes = BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]);
        if (routes > RoutesMax || routes > messages) return $"The batch has {routes} routes; it may have {RoutesMax}, and no more than messages ({messages}).";
        var body = bytes[..^TrailerBytes];
        entriesAt = HeaderBytes + senderBytes;
        for (var i = 0; i < routes; i++)
        {
            if (!TrySkipRoute(body, ref entriesAt))
                return $"Route {i} must be 1 to {RemoteName.HopsMax} names device/channel with > between them, inside the batch.";
        }

        if (messages == 0) return "A batch has at least one message.";
        if (messages * (long)EntryBytes > body.Length - entriesAt) return $"The batch ends inside its {messages} entries.";
        count = (int)messages;
        return EntriesProblem(body, entriesAt, count, routes) ?? ChecksumProblem(bytes);
    }

    private static string? HeaderProblem(ReadOnlySpan<byte> bytes)
    {
        var life = BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]);
        var afterLife = BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]);
        var after = BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]);
        if (life == 0) return "The life must not be 0.";
        if (after < 0 || after == 0 != (afterLife == 0)) return "The message before the first has a life and a sequence number above 0, or neither.";
        return BinaryPrimitives.ReadInt64LittleEndian(bytes[32..]) < 0 ? "The claimed sequence number must not be negative." : null;
    }

    private static bool TrySkipRoute(ReadOnlySpan<byte> body, ref int at)
    {
        if (body.Length - at < sizeof(ushort)) return false;
        var length = BinaryPrimitives.ReadUInt16LittleEndian(body[at..]);
        at += sizeof(ushort);
        if (length > body.Length - at || RemoteName.HopsOf(body.Slice(at, length)) == 0) return false;
        at += length;
        return true;
    }

    private static string? EntriesProblem(ReadOnlySpan<byte> body, int entriesAt, int count, int routes)
    {
        var life = BinaryPrimitives.ReadInt64LittleEndian(body[8..]);
        var before = life == BinaryPrimitives.ReadInt64LittleEndian(body[16..]) ? BinaryPrimitives.ReadInt64LittleEndian(body[24..]) : 0;
        var payloadBytes = 0L;
        for (var i = 0; i < count; i++)
        {
            var entry = body.Slice(entriesAt + i * EntryBytes, EntryBytes);
            var sequence = BinaryPrimitives.ReadInt64LittleEndian(entry);
            if (sequence <= before) return $"Message {i} has the sequence number {sequence}; it must be above {before}, which comes before it.";
            before = sequence;
            var lengthAndFlags = BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]);
            payloadBytes += lengthAndFlags & BlockFormat.MaxMessageBytes;
            if (((MessageFlags)(lengthAndFlags >> 28) & ~KnownFlags) != MessageFlags.None)
                return $"Message {i} has a flag that version {Version} does not know.";
            var route = BinaryPrimitives.ReadUInt16LittleEndian(entry[20..]);
            if (route > routes) return $"Message {i} names route {route - 1}; there are {routes}, from 0 on.";
            if (BinaryPrimitives.ReadUInt16LittleEndian(entry[22..]) != 0) return $"Bytes 22 and 23 of entry {i} are reserved and must be 0.";
        }

        var there = body.Length - entriesAt - count * EntryBytes;
        return payloadBytes == there ? null : $"The entries' lengths add up to {payloadBytes} bytes; {there} follow before the checksum.";
    }

    private static string? ChecksumProblem(ReadOnlySpan<byte> bytes) =>
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[^TrailerBytes..]) == BlockFormat.Checksum(bytes[..^TrailerBytes])
            ? null
            : "The checksum does not fit: the batch was damaged on its way.";

    /// <summary>Goes through the routes.</summary>
    public ref struct RouteEnumerator
    {
        private readonly ReadOnlySpan<byte> _bytes;
        private int _left;
        private int _at;

        internal RouteEnumerator(RemoteBatch batch)
        {
            _bytes = batch.Bytes;
            (_left, _at) = (batch.RouteCount, HeaderBytes + batch._senderBytes);
        }

        /// <summary>ASCII.</summary>
        public ReadOnlySpan<byte> Current { get; private set; }

        public readonly RouteEnumerator GetEnumerator() => this;

        public bool MoveNext()
        {
            if (_left-- <= 0) return false;
            Current = _bytes.Slice(_at + sizeof(ushort), BinaryPrimitives.ReadUInt16LittleEndian(_bytes[_at..]));
            _at += sizeof(ushort) + Current.Length;
            return true;
        }
    }

    /// <summary>Goes through the messages.</summary>
    public struct MessageEnumerator
    {
        private readonly RemoteBatch _batch;
        private int _next;
        private int _payloadAt;

        internal MessageEnumerator(RemoteBatch batch) => (_batch, _payloadAt) = (batch, batch._entriesAt + batch.Count * EntryBytes);

        public RemoteMessage Current { get; private set; }

        public bool MoveNext()
        {
            if (_next == _batch.Count) return false;
            var entry = _batch.Bytes.Slice(_batch._entriesAt + _next++ * EntryBytes, EntryBytes);
            var lengthAndFlags = BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]);
            var length = (int)(lengthAndFlags & BlockFormat.MaxMessageBytes);
            Current = new RemoteMessage
            {
                Sequence = BinaryPrimitives.ReadInt64LittleEndian(entry),
                ReceivedUnixUs = BinaryPrimitives.ReadInt64LittleEndian(entry[8..]),
                Flags = (MessageFlags)(lengthAndFlags >> 28),
                Route = BinaryPrimitives.ReadUInt16LittleEndian(entry[20..]) - 1,
                FirstLife = BinaryPrimitives.ReadInt64LittleEndian(entry[24..]),
                FirstSequence = BinaryPrimitives.ReadInt64LittleEndian(entry[32..]),
                Payload = _batch._bytes.Slice(_payloadAt, length),
            };
            _payloadAt += length;
            return true;
        }
    }

    public override string ToString() => $"{Encoding.ASCII.GetString(Sender)} {Life:x16}:{FirstSequence}..{LastSequence} after {After}";
}

/// <summary>One message of a batch.</summary>
public readonly record struct RemoteMessage
{
    public long Sequence { get; init; }

    /// <summary>When the first instance received it: Unix time, µs.</summary>
    public long ReceivedUnixUs { get; init; }

    public MessageFlags Flags { get; init; }

    /// <summary>Index of its route; -1: it came in at the sender, and the two below mean nothing.</summary>
    public int Route { get; init; }

    public long FirstLife { get; init; }

    public long FirstSequence { get; init; }

    public ReadOnlyMemory<byte> Payload { get; init; }
}
