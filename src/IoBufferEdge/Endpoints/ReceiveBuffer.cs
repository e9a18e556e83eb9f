using IoBufferEdge.Buffers;
using IoBufferEdge.Interop;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// Bytes received and not yet made into messages, in one block outside the garbage collector's heap: ordinarily 64 KiB; grows while
/// a frame needs more, and shrinks as soon as what is left fits the ordinary block again.
/// </summary>
internal sealed class ReceiveBuffer : IDisposable
{
    private const int GrowthFactor = 4;

    private readonly MemoryBudget _memory;
    private readonly NativeMemoryBlock _ordinary;
    private readonly int _bytesMax;
    private NativeMemoryBlock _block;
    private int _start;
    private int _end;

    /// <param name="bytesMax">The largest buffer that the decoder can need.</param>
    public ReceiveBuffer(MemoryBudget memory, int bytesMax)
    {
        _memory = memory;
        _bytesMax = Math.Max(bytesMax, MemoryBudget.SlabBytes);
        _block = _ordinary = memory.Take(MemoryBudget.SlabBytes);
    }

    /// <summary>Received and not consumed.</summary>
    public ReadOnlySpan<byte> Bytes => _block.GetSpan()[_start.._end];

    /// <summary>Where the next read goes.</summary>
    public Memory<byte> Free => _block.Memory[_end..];

    public void Filled(int bytes) => _end += bytes;

    public void Consume(int bytes) => _start += bytes;

    /// <summary>Makes <see cref="Free"/> worth a read.</summary>
    public ValueTask MakeRoomAsync(CancellationToken hurry)
    {
        if (_block != _ordinary && _end - _start < _ordinary.Capacity / 2) Shrink();
        else if (_start == _end) (_start, _end) = (0, 0);
        else if (_block.Capacity - _end < _block.Capacity / 4 && _start > 0) MoveTo(_block);
        return _end < _block.Capacity ? ValueTask.CompletedTask : GrowAsync(hurry);
    }

    public void Dispose()
    {
        if (_block != _ordinary) _memory.ReturnGrown(_block);
        _memory.Return(_ordinary);
    }

    private async ValueTask GrowAsync(CancellationToken hurry)
    {
        var capacity = (int)Math.Min((long)_block.Capacity * GrowthFactor, _bytesMax);
        if (capacity <= _block.Capacity) throw new InvalidOperationException("The decoder needs more than it said it would.");
        var larger = await _memory.GrowAsync(capacity, hurry);
        var smaller = _block;
        MoveTo(larger);
        if (smaller != _ordinary) _memory.ReturnGrown(smaller);
    }

    private void Shrink()
    {
        var larger = _block;
        MoveTo(_ordinary);
        _memory.ReturnGrown(larger);
    }

    private void MoveTo(NativeMemoryBlock target)
    {
        var bytes = Bytes;
        bytes.CopyTo(target.GetSpan());
        (_block, _start, _end) = (target, 0, bytes.Length);
    }
}
