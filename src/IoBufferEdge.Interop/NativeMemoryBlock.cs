using System.Buffers;
using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop;

/// <summary>
/// A block of memory outside the garbage collector's heap, usable as <see cref="Memory{T}"/> in socket calls.
/// Not cleared when allocated. Disposing frees it: nobody may use its memory afterwards.
/// </summary>
public sealed unsafe class NativeMemoryBlock : MemoryManager<byte>
{
    [ThreadStatic]
    private static ICollection<NativeMemoryBlock>? _collector;

    private byte* _address;

    public NativeMemoryBlock(int capacityBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacityBytes);
        Capacity = capacityBytes;
        _address = (byte*)NativeMemory.Alloc((nuint)capacityBytes);
        _collector?.Add(this);
    }

    /// <summary>
    /// Notes every block that this thread takes. For the simulation: the processes that it kills give nothing back, and it frees for them.
    /// </summary>
    public static ICollection<NativeMemoryBlock>? Collector
    {
        get => _collector;
        set => _collector = value;
    }

    /// <summary>Bytes in the block.</summary>
    public int Capacity { get; }

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_address == null, this);
        return new Span<byte>(_address, Capacity);
    }

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ObjectDisposedException.ThrowIf(_address == null, this);
        return new MemoryHandle(_address + elementIndex);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        NativeMemory.Free(_address);
        _address = null;
    }
}
