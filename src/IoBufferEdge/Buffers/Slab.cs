using System.Buffers.Binary;
using IoBufferEdge.Interop;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Messages with consecutive numbers in one block of native memory, a slotted page: payloads grow from the front without a gap,
/// so that a run of messages is one span to send; entries of 16 bytes grow from the back. What is written never changes, so
/// readers of earlier messages need no lock while the newest are appended.
/// <code>
/// entry: u32 end offset of the payload, u32 flags, i64 running time of receipt (µs);
/// in a slab that keeps origins also: i64 received there (Unix time, µs), i64 life, i64 sequence, u32 route + 1 (0: none), u32 0
/// </code>
/// </summary>
public sealed class Slab
{
    private const int PlainEntryBytes = 16;
    private const int OriginEntryBytes = 48;

    /// <summary>Routes of one slab, and their characters: what brings more begins another slab, so that memory is bounded by slabs alone.</summary>
    private const int RoutesMax = 64;
    private const int RouteCharactersMax = 8192;

    private readonly NativeMemoryBlock _memory;
    private readonly List<string>? _routes;
    private readonly int _entryBytes;
    private int _count;
    private int _payloadBytes;
    private int _routeCharacters;

    public Slab(NativeMemoryBlock memory, long firstSequence, QueueTotals totalsBefore, bool keepsOrigins = false)
    {
        _memory = memory;
        _routes = keepsOrigins ? [] : null;
        _entryBytes = keepsOrigins ? OriginEntryBytes : PlainEntryBytes;
        FirstSequence = firstSequence;
        TotalsBefore = totalsBefore;
    }

    public bool KeepsOrigins => _routes is not null;

    /// <summary>The instances that its messages came through.</summary>
    public IReadOnlyList<string> Routes => _routes ?? [];

    /// <summary>Wall clock less running time when these messages were written, µs; null: they are of this life, and the clock tells.</summary>
    public long? UnixLessRunningUs { get; init; }

    public NativeMemoryBlock Memory => _memory;

    public long FirstSequence { get; }

    /// <summary>The queue's totals before this slab's first message.</summary>
    public QueueTotals TotalsBefore { get; }

    public int Count => Volatile.Read(ref _count);

    public int PayloadBytes => _payloadBytes;

    /// <summary>Highest number in here; below <see cref="FirstSequence"/> while empty.</summary>
    public long LastSequence => FirstSequence + Count - 1;

    public QueueTotals TotalsAfter => TotalsThrough(Count - 1);

    /// <summary>Size of a slab that holds so many messages.</summary>
    public static int CapacityFor(int count, int payloadBytes, bool keepsOrigins = false) =>
        payloadBytes + count * (keepsOrigins ? OriginEntryBytes : PlainEntryBytes);

    /// <param name="route">Of the message's origin; null: it has none.</param>
    public bool HasRoomFor(int payloadBytes, string? route = null) =>
        _payloadBytes + payloadBytes + (_count + 1) * _entryBytes <= _memory.Capacity && (route is null || HasRoomFor(route));

    public void Append(ReadOnlySpan<byte> payload, MessageFlags flags, long receivedRunningUs, in MessageOrigin origin = default)
    {
        var span = _memory.GetSpan();
        payload.CopyTo(span[_payloadBytes..]);
        _payloadBytes += payload.Length;
        var entry = span.Slice(_memory.Capacity - (_count + 1) * _entryBytes, _entryBytes);
        BinaryPrimitives.WriteInt32LittleEndian(entry, _payloadBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], (uint)flags);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], receivedRunningUs);
        if (KeepsOrigins) BlockFormat.WriteOrigin(entry[PlainEntryBytes..], origin, RouteIndex(origin.Route));
        Volatile.Write(ref _count, _count + 1);
    }

    /// <summary>Offset behind the payload of message <paramref name="index"/>; 0 for −1.</summary>
    public int EndOffset(int index) => index < 0 ? 0 : BinaryPrimitives.ReadInt32LittleEndian(Entry(index));

    public int Length(int index) => EndOffset(index) - EndOffset(index - 1);

    public MessageFlags Flags(int index) => (MessageFlags)BinaryPrimitives.ReadUInt32LittleEndian(Entry(index)[4..]);

    public long ReceivedRunningUs(int index) => BinaryPrimitives.ReadInt64LittleEndian(Entry(index)[8..]);

    /// <summary>Where a message came from; no route: it came in here.</summary>
    public MessageOrigin Origin(int index) => KeepsOrigins ? BlockFormat.ReadOrigin(Entry(index)[PlainEntryBytes..], _routes!) : default;

    /// <summary>The queue's totals up to and including message <paramref name="index"/>.</summary>
    public QueueTotals TotalsThrough(int index) => TotalsBefore + new QueueTotals(index + 1, EndOffset(index));

    /// <summary>Payload of the messages <paramref name="index"/> … <paramref name="index"/> + <paramref name="count"/> − 1, as it
    /// lies.</summary>
    public ReadOnlyMemory<byte> Payload(int index, int count)
    {
        var start = EndOffset(index - 1);
        return _memory.Memory[start..EndOffset(index + count - 1)];
    }

    /// <summary>How many of the messages from <paramref name="index"/> on (at most <paramref name="count"/>) end within
    /// <paramref name="bytes"/> bytes behind the start of the first, when each is followed by <paramref name="overheadBytes"/> of framing.</summary>
    public int CountWithin(int index, int count, long bytes, int overheadBytes = 0)
    {
        var start = EndOffset(index - 1);
        int low = 0, high = count;
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            if (EndOffset(index + middle - 1) - start + (long)middle * overheadBytes <= bytes) low = middle;
            else high = middle - 1;
        }

        return low;
    }

    private ReadOnlySpan<byte> Entry(int index) => _memory.GetSpan().Slice(_memory.Capacity - (index + 1) * _entryBytes, _entryBytes);

    private bool HasRoomFor(string route)
    {
        if (_routes is null) return false;
        var fits = _routes.Count < RoutesMax && _routeCharacters + route.Length <= RouteCharactersMax;
        return fits || _routes.Count == 0 || _routes.Contains(route);
    }

    private int RouteIndex(string? route)
    {
        if (route is null) return -1;
        var known = _routes!.LastIndexOf(route);
        if (known >= 0) return known;
        _routes.Add(route);
        _routeCharacters += route.Length;
        return _routes.Count - 1;
    }
}
