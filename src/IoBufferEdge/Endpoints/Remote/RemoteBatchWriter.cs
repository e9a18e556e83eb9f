using System.Buffers.Binary;
using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Interop;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// Puts a batch together without copying payloads: header, names and entries are written here, the payloads stay where they lie. May be
/// used again and again; one batch at a time. Not thread-safe.
/// <code>Begin, then TryAdd for each message and AddPayload for their bytes (several messages that lie together: once), then Finish.</code>
/// </summary>
public sealed class RemoteBatchWriter(MemoryBudget memory) : IDisposable
{
    private readonly List<string> _routes = [];
    private readonly Dictionary<string, int> _routeIndexes = new(StringComparer.Ordinal);
    private readonly List<ReadOnlyMemory<byte>> _parts = [];
    private readonly byte[] _trailer = new byte[RemoteBatch.TrailerBytes];
    private NativeMemoryBlock? _entries;
    private byte[] _head = new byte[512];
    private string _sender = "";
    private (string Text, int Index)? _lastRoute;
    private MessageIdentity _after;
    private long _life;
    private long _claimed;
    private long _lastSequence;
    private long _declaredBytes;
    private long _payloadBytes;
    private int _routeBytes;

    /// <summary>How many messages were added.</summary>
    public int Count { get; private set; }

    /// <summary>Size of the batch with what was added to it so far.</summary>
    public long LengthBytes =>
        RemoteBatch.HeaderBytes + _sender.Length + _routeBytes + (long)Count * RemoteBatch.EntryBytes + _declaredBytes + RemoteBatch.TrailerBytes;

    /// <summary>Begins a batch; what was written before may not be used any more.</summary>
    /// <param name="sender">"device/channel".</param>
    /// <param name="life">Of all messages.</param>
    /// <param name="after">The message that the receiver must have taken last.</param>
    /// <param name="claimed">The highest number of this life that is held durably; 0: none.</param>
    public void Begin(string sender, long life, MessageIdentity after, long claimed)
    {
        if (!RemoteName.IsName(sender)) throw new ArgumentException($"A sender is called device/channel, not '{sender}'.", nameof(sender));
        (_sender, _life, _after, _claimed) = (sender, life, after, claimed);
        (Count, _lastSequence, _declaredBytes, _payloadBytes, _routeBytes, _lastRoute) = (0, after.Life == life ? after.Sequence : 0, 0, 0, 0, null);
        _routes.Clear();
        _routeIndexes.Clear();
        _parts.Clear();
        // Their places until Finish.
        _parts.Add(default);
        _parts.Add(default);
    }

    /// <summary>
    /// Adds a message whose bytes <see cref="AddPayload"/> brings. False: it is not in the batch, which has as many routes as it may have;
    /// send what is there and begin another.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The sequence number does not rise, or the length is not 0 to 2^28 − 1.</exception>
    public bool TryAdd(long sequence, int length, MessageFlags flags, in MessageOrigin origin)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(sequence, _lastSequence);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, BlockFormat.MaxMessageBytes);
        var route = IndexOf(origin.Route);
        if (route == RemoteBatch.RoutesMax) return false;

        var entry = NextEntry();
        entry.Clear();
        BinaryPrimitives.WriteInt64LittleEndian(entry, sequence);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], origin.ReceivedUnixUs);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[16..], (uint)length | ((uint)flags << 28));
        BinaryPrimitives.WriteUInt16LittleEndian(entry[20..], (ushort)(route + 1));
        if (route >= 0)
        {
            BinaryPrimitives.WriteInt64LittleEndian(entry[24..], origin.Life);
            BinaryPrimitives.WriteInt64LittleEndian(entry[32..], origin.Sequence);
        }

        _lastSequence = sequence;
        _declaredBytes += length;
        Count++;
        return true;
    }

    /// <summary>The bytes of one message, or of several that lie one after the other. They must stay as they are while the batch is used.</summary>
    public void AddPayload(ReadOnlyMemory<byte> payload)
    {
        _payloadBytes += payload.Length;
        if (!payload.IsEmpty) _parts.Add(payload);
    }

    /// <summary>The batch in pieces, in order; valid until <see cref="Begin"/> or <see cref="Dispose"/>.</summary>
    /// <exception cref="InvalidOperationException">No message was added, or the payloads are not as long as the messages.</exception>
    public IReadOnlyList<ReadOnlyMemory<byte>> Finish()
    {
        if (Count == 0 || _payloadBytes != _declaredBytes)
            throw new InvalidOperationException($"{Count} messages of {_declaredBytes} bytes in all have {_payloadBytes} bytes of payload.");
        _parts[0] = WriteHead();
        _parts[1] = _entries!.Memory[..(Count * RemoteBatch.EntryBytes)];
        var checksum = 0u;
        foreach (var part in _parts) checksum = BlockFormat.ExtendChecksum(checksum, part.Span);
        BinaryPrimitives.WriteUInt32LittleEndian(_trailer, checksum);
        _parts.Add(_trailer);
        return _parts;
    }

    public void Dispose()
    {
        if (_entries is not null) memory.Return(_entries);
        _entries = null;
    }

    /// <summary>-1: it has no route. <see cref="RemoteBatch.RoutesMax"/>: there is no place for it.</summary>
    private int IndexOf(string? route)
    {
        if (route is null) return -1;
        if (_lastRoute is { } last && ReferenceEquals(last.Text, route)) return last.Index;
        if (!_routeIndexes.TryGetValue(route, out var index))
        {
            index = _routes.Count;
            if (index == RemoteBatch.RoutesMax) return index;
            _routes.Add(route);
            _routeIndexes.Add(route, index);
            _routeBytes += sizeof(ushort) + route.Length;
        }

        _lastRoute = (route, index);
        return index;
    }

    private Span<byte> NextEntry()
    {
        _entries ??= memory.Take(MemoryBudget.SlabBytes);
        var at = Count * RemoteBatch.EntryBytes;
        if (at + RemoteBatch.EntryBytes > _entries.Capacity)
        {
            var larger = memory.Take(_entries.Capacity * 2);
            _entries.GetSpan()[..at].CopyTo(larger.GetSpan());
            memory.Return(_entries);
            _entries = larger;
        }

        return _entries.GetSpan().Slice(at, RemoteBatch.EntryBytes);
    }

    private ReadOnlyMemory<byte> WriteHead()
    {
        var length = RemoteBatch.HeaderBytes + _sender.Length + _routeBytes;
        if (_head.Length < length) _head = new byte[length * 2];
        var head = _head.AsSpan(0, length);
        BinaryPrimitives.WriteUInt32LittleEndian(head, RemoteBatch.Magic);
        head[4] = RemoteBatch.Version;
        head[5] = 0;
        BinaryPrimitives.WriteUInt16LittleEndian(head[6..], (ushort)_routes.Count);
        BinaryPrimitives.WriteInt64LittleEndian(head[8..], _life);
        BinaryPrimitives.WriteInt64LittleEndian(head[16..], _after.IsNone ? 0 : _after.Life);
        BinaryPrimitives.WriteInt64LittleEndian(head[24..], _after.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(head[32..], _claimed);
        BinaryPrimitives.WriteInt32LittleEndian(head[40..], Count);
        BinaryPrimitives.WriteInt32LittleEndian(head[44..], _sender.Length);
        var at = RemoteBatch.HeaderBytes + Encoding.ASCII.GetBytes(_sender, head[RemoteBatch.HeaderBytes..]);
        foreach (var route in _routes)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(head[at..], (ushort)route.Length);
            at += sizeof(ushort) + Encoding.ASCII.GetBytes(route, head[(at + sizeof(ushort))..]);
        }

        return _head.AsMemory(0, length);
    }
}
