using System.Buffers.Binary;
using IoBufferEdge.Interop;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Messages with consecutive numbers in one block of native memory, a slotted page: payloads grow from the front without a gap,
/// so that a run of messages is one span to send; entries of 16 bytes grow from the back. What is written never changes, so
/// readers of earlier messages need no lock while the newest are appended.
/// <code>entry: u32 end offset of the payload, u32 flags, i64 running time of receipt (µs)</code>
/// </summary>
public sealed class Slab
{
    public const int EntryBytes = 16;
    private readonly NativeMemoryBlock _memory;
    private int _count;
    private int _payloadBytes;

    public Slab(NativeMemoryBlock memory, long firstSequence, QueueTotals totalsBefore)
    {
        _memory = memory;
        FirstSequence = firstSequence;
        TotalsBefore = totalsBefore;
    }

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
    public static int CapacityFor(int count, int payloadBytes) => payloadBytes + count * EntryBytes;

    public bool HasRoomFor(int payloadBytes) => _payloadBytes + payloadBytes + (_count + 1) * EntryBytes <= _memory.Capacity;

    public void Append(ReadOnlySpan<byte> payload, MessageFlags flags, long receivedRunningUs)
    {
        var span = _memory.GetSpan();
        payload.CopyTo(span[_payloadBytes..]);
        _payloadBytes += payload.Length;
        var entry = span[(_memory.Capacity - (_count + 1) * EntryBytes)..];
        BinaryPrimitives.WriteInt32LittleEndian(entry, _payloadBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], (uint)flags);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], receivedRunningUs);
        Volatile.Write(ref _count, _count + 1);
    }

    /// <summary>Offset behind the payload of message <paramref name="index"/>; 0 for −1.</summary>
    public int EndOffset(int index) => index < 0 ? 0 : BinaryPrimitives.ReadInt32LittleEndian(Entry(index));

    public int Length(int index) => EndOffset(index) - EndOffset(index - 1);

    public MessageFlags Flags(int index) => (MessageFlags)BinaryPrimitives.ReadUInt32LittleEndian(Entry(index)[4..]);

    public long ReceivedRunningUs(int index) => BinaryPrimitives.ReadInt64LittleEndian(Entry(index)[8..]);

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

    private ReadOnlySpan<byte> Entry(int index) => _memory.GetSpan().Slice(_memory.Capacity - (index + 1) * EntryBytes, EntryBytes);
}
