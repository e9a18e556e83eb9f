using IoBufferEdge.Interop.LibRocksDb;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Finds blocks of one queue. The block that contains a number may lie in any segment whose range covers it; blocks of different
/// segments may overlap and then hold the same messages, so the newest that reads is taken, and damage counts only when no other
/// copy reads. Where the engine refuses a table, because a checksum of its own fails, the files are scanned for the block: the
/// engine's checksums cover its neighbours, or the whole table.
/// </summary>
/// <param name="engine">The open engine.</param>
/// <param name="directory">The engine's folder.</param>
/// <param name="queue">The queue's number.</param>
/// <param name="segments">The queue's segments that hold a number at or above the one that is read, oldest first.</param>
internal readonly struct BlockReader(RocksEngine engine, string directory, int queue, List<(uint Segment, BlockSpan Span)> segments)
{
    /// <summary>Of the files, where some vanish meanwhile.</summary>
    private const int ScansMax = 3;

    private enum Look
    {
        Absent,
        Found,
        Damaged,
    }

    /// <summary>Shows the block that contains <paramref name="sequence"/>, or the next one above it.</summary>
    public BlockReading Read(long sequence, IBlockVisitor visitor)
    {
        var damaged = false;
        for (var i = segments.Count - 1; i >= 0; i--)
        {
            if (segments[i].Span.First > sequence) continue;
            var look = VisitContaining(segments[i].Segment, sequence, visitor);
            if (look == Look.Found) return new BlockReading(BlockReadingStatus.Found);
            damaged |= look == Look.Damaged;
        }

        for (var above = sequence; LowestAbove(above) is { } next; above = next.First)
        {
            if (!TryVisit(next.Segment, next.First, damaged ? null : visitor)) damaged = true;
            else if (damaged) return new BlockReading(BlockReadingStatus.Damaged, next.First);
            else return new BlockReading(BlockReadingStatus.Found);
        }

        return damaged ? new BlockReading(BlockReadingStatus.Damaged, long.MaxValue) : new BlockReading(BlockReadingStatus.End);
    }

    private Look VisitContaining(uint segment, long sequence, IBlockVisitor visitor)
    {
        try
        {
            using var iterator = OfSegment(segment);
            iterator.SeekForPrev(StoreRecords.BlockKey(segment, queue, sequence));
            iterator.ThrowIfFailed();
            if (!iterator.IsValid) return Look.Absent;
            if (!IsBlock(iterator.Value, StoreRecords.ReadBlockKey(iterator.Key).First, out var last)) return Look.Damaged;
            if (last < sequence) return Look.Absent;
            visitor.Visit(iterator.Value);
            return Look.Found;
        }
        catch (RocksException)
        {
            // Within a segment's range every number lies in some block, but for gaps between lives.
            if (ScanFiles(segment, h => h.FirstSequence <= sequence && h.LastSequence >= sequence) is not { } block) return Look.Damaged;
            visitor.Visit(block);
            return Look.Found;
        }
    }

    private bool TryVisit(uint segment, long first, IBlockVisitor? visitor)
    {
        try
        {
            using var iterator = OfSegment(segment);
            iterator.Seek(StoreRecords.BlockKey(segment, queue, first));
            iterator.ThrowIfFailed();
            if (!iterator.IsValid || !IsBlock(iterator.Value, first, out _)) return false;
            visitor?.Visit(iterator.Value);
            return true;
        }
        catch (RocksException)
        {
            if (ScanFiles(segment, header => header.FirstSequence == first) is not { } block) return false;
            visitor?.Visit(block);
            return true;
        }
    }

    /// <summary>The lowest first number above <paramref name="sequence"/>; the newest segment where several begin there.</summary>
    private (uint Segment, long First)? LowestAbove(long sequence)
    {
        (uint Segment, long First)? lowest = null;
        foreach (var (segment, span) in segments)
        {
            if (span.Last <= sequence || lowest is { } best && Math.Max(span.First, sequence + 1) > best.First) continue;
            if (FirstAbove(segment, sequence) is { } first && (lowest is null || first <= lowest.Value.First)) lowest = (segment, first);
        }

        return lowest;
    }

    private long? FirstAbove(uint segment, long sequence)
    {
        try
        {
            using var iterator = OfSegment(segment);
            iterator.Seek(StoreRecords.BlockKey(segment, queue, sequence + 1));
            iterator.ThrowIfFailed();
            return iterator.IsValid ? StoreRecords.ReadBlockKey(iterator.Key).First : null;
        }
        catch (RocksException)
        {
            return ScanFiles(segment, header => header.FirstSequence > sequence) is { } block && BlockFormat.TryRead(block, out var read)
                ? read.Header.FirstSequence
                : null;
        }
    }

    /// <summary>
    /// The lowest block of the segment that fits, from the files themselves: logs for what no table has yet, and tables. A log that the
    /// engine has written into a table meanwhile is gone, and what it held is looked for anew.
    /// </summary>
    private byte[]? ScanFiles(uint segment, Predicate<BlockHeader> fits)
    {
        for (var left = ScansMax; ; left--)
        {
            try
            {
                return ScanFilesOnce(segment, fits);
            }
            catch (FileNotFoundException) when (left > 1)
            {
            }
        }
    }

    private byte[]? ScanFilesOnce(uint segment, Predicate<BlockHeader> fits)
    {
        var (wanted, lowest, found) = (queue, long.MaxValue, default(byte[]));
        void Keep(ReadOnlySpan<byte> key, ReadOnlySpan<byte> block)
        {
            var at = StoreRecords.ReadBlockKey(key);
            if (at.Segment != segment || at.Queue != wanted || at.First >= lowest) return;
            if (!BlockFormat.TryReadHeader(block, out var header) || !fits(header)) return;
            (lowest, found) = (at.First, block.ToArray());
        }

        // In this order: what leaves the list of logs stands in the list of tables before.
        var logs = Directory.GetFiles(directory, "*.log");
        var tables = engine.TablesInRange(StoreRecords.BlockKey(segment, 0, 0), StoreRecords.BlockKey(segment + 1, 0, 0));
        foreach (var table in tables) LogScan.TableBlocks(Path.Combine(directory, table), Keep);
        foreach (var log in logs) LogScan.LogBlocks(log, Keep);
        return found;
    }

    private static bool IsBlock(ReadOnlySpan<byte> value, long first, out long last)
    {
        last = 0;
        if (!BlockFormat.TryRead(value, out var block) || block.Header.FirstSequence != first) return false;
        last = block.Header.LastSequence;
        return true;
    }

    private RocksIterator OfSegment(uint segment) =>
        engine.NewIterator(MessagesFamily, StoreRecords.BlockKey(segment, queue, 0), StoreRecords.BlockKeyEnd(segment, queue));
}
