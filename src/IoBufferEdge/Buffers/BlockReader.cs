using IoBufferEdge.Interop.LibRocksDb;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Finds blocks. The block that contains a number may lie in any segment whose range covers it; blocks of different segments may
/// overlap and then hold the same messages, so the newest that reads is taken, and damage counts only when no other copy reads.
/// </summary>
internal static class BlockReader
{
    private enum Look
    {
        Absent,
        Found,
        Damaged,
    }

    /// <param name="engine">The open engine.</param>
    /// <param name="segments">The queue's segments that hold a number at or above <paramref name="sequence"/>, oldest first.</param>
    /// <param name="queue">The queue's number.</param>
    /// <param name="sequence">The number that is looked for.</param>
    /// <param name="visitor">Sees the block.</param>
    public static BlockReading Read(
        RocksEngine engine, List<(uint Segment, BlockSpan Span)> segments, int queue, long sequence, IBlockVisitor visitor)
    {
        var damaged = false;
        for (var i = segments.Count - 1; i >= 0; i--)
        {
            if (segments[i].Span.First > sequence) continue;
            var look = VisitContaining(engine, segments[i].Segment, queue, sequence, visitor);
            if (look == Look.Found) return new BlockReading(BlockReadingStatus.Found);
            damaged |= look == Look.Damaged;
        }

        for (var above = sequence; LowestAbove(engine, segments, queue, above) is { } next; above = next.First)
        {
            if (!TryVisit(engine, next.Segment, queue, next.First, damaged ? null : visitor))
            {
                damaged = true;
                continue;
            }

            return damaged
                ? new BlockReading(BlockReadingStatus.Damaged, next.First)
                : new BlockReading(BlockReadingStatus.Found);
        }

        return damaged ? new BlockReading(BlockReadingStatus.Damaged, long.MaxValue) : new BlockReading(BlockReadingStatus.End);
    }

    private static Look VisitContaining(RocksEngine engine, uint segment, int queue, long sequence, IBlockVisitor visitor)
    {
        using var iterator = OfQueue(engine, segment, queue);
        iterator.SeekForPrev(StoreRecords.BlockKey(segment, queue, sequence));
        iterator.ThrowIfFailed();
        if (!iterator.IsValid) return Look.Absent;
        var first = StoreRecords.ReadBlockKey(iterator.Key).First;
        if (!IsBlock(iterator.Value, first, out var last)) return Look.Damaged;
        if (last < sequence) return Look.Absent;
        visitor.Visit(iterator.Value);
        return Look.Found;
    }

    private static bool TryVisit(RocksEngine engine, uint segment, int queue, long first, IBlockVisitor? visitor)
    {
        using var iterator = OfQueue(engine, segment, queue);
        iterator.Seek(StoreRecords.BlockKey(segment, queue, first));
        if (!iterator.IsValid || !IsBlock(iterator.Value, first, out _)) return false;
        visitor?.Visit(iterator.Value);
        return true;
    }

    /// <summary>The lowest first number above <paramref name="sequence"/>; the newest segment where several begin there.</summary>
    private static (uint Segment, long First)? LowestAbove(
        RocksEngine engine, List<(uint Segment, BlockSpan Span)> segments, int queue, long sequence)
    {
        (uint Segment, long First)? lowest = null;
        foreach (var (segment, span) in segments)
        {
            if (span.Last <= sequence || lowest is { } best && Math.Max(span.First, sequence + 1) > best.First) continue;
            using var iterator = OfQueue(engine, segment, queue);
            iterator.Seek(StoreRecords.BlockKey(segment, queue, sequence + 1));
            iterator.ThrowIfFailed();
            if (!iterator.IsValid) continue;
            var first = StoreRecords.ReadBlockKey(iterator.Key).First;
            if (lowest is null || first <= lowest.Value.First) lowest = (segment, first);
        }

        return lowest;
    }

    private static bool IsBlock(ReadOnlySpan<byte> value, long first, out long last)
    {
        last = 0;
        if (!BlockFormat.TryRead(value, out var block) || block.Header.FirstSequence != first) return false;
        last = block.Header.LastSequence;
        return true;
    }

    // The blocks' own checksums decide: the engine's would lose the neighbours of a damaged block with it.
    private static RocksIterator OfQueue(RocksEngine engine, uint segment, int queue) =>
        engine.NewIterator(MessagesFamily, StoreRecords.BlockKey(segment, queue, 0), StoreRecords.BlockKeyEnd(segment, queue), verifyChecksums: false);
}
