namespace IoBufferEdge.Buffers;

/// <summary>
/// What is delivered and not in memory is read back from disk, a block at a time; what is not there either is told and passed. And what
/// waits can be looked at (<see cref="QueueReader"/>).
/// </summary>
public sealed partial class ChannelBuffer
{
    /// <summary>Brings the block that holds a number into memory, or learns that the number is lost.</summary>
    /// <returns>False when the store cannot be read now.</returns>
    private async ValueTask<bool> LoadAsync(long sequence)
    {
        var loader = new BlockLoader(this, sequence);
        BlockReading reading;
        try
        {
            reading = await _store.ReadAsync(Number, sequence, loader);
        }
        catch (StoreException)
        {
            return false;
        }

        lock (_sync)
        {
            var resumeAt = reading.Status switch
            {
                BlockReadingStatus.Found => loader.FirstFound,
                BlockReadingStatus.Damaged => Math.Min(reading.ResumeAt, _durable + 1),
                _ => _durable + 1,
            };
            resumeAt = Math.Min(resumeAt, _tail.FirstAtOrAbove(sequence));
            if (resumeAt > sequence && _gaps.Next(_handedOut) == sequence) RecordLoss(sequence, resumeAt - 1, loader.TotalsBefore);
        }

        // Jumping over a loss, and the gap of a life behind it, is a lag too: delivery may wait for a commit of the cursor.
        _committer.WakeBy(NextCommit().DueUs);
        return true;
    }

    /// <summary>The first number at or above <paramref name="from"/> that waits, as far as can be known without reading; null: none does.</summary>
    internal long? NextWaiting(long from)
    {
        lock (_sync)
        {
            var next = _gaps.Next(Math.Max(from - 1, _cursor));
            return next <= _last ? next : null;
        }
    }

    /// <summary>Copies what is in memory from this number on, up to the next gap. False: it is not in memory.</summary>
    internal bool CopyFromMemory(long sequence, QueueReader.Page page)
    {
        lock (_sync)
        {
            if (_closed || _tail.Find(sequence) is not { } slab) return false;
            var (unixUs, nowUs, end) = (_clock.UnixUs, _clock.NowUs, Math.Min(slab.LastSequence, _gaps.RunEnd(sequence)));
            for (var next = sequence; next <= end && !page.IsFull; next++)
            {
                var i = (int)(next - slab.FirstSequence);
                page.Add(next, QueueReader.At(unixUs, nowUs - slab.ReceivedRunningUs(i)), slab.Flags(i), slab.Payload(i, 1).Span, slab.Origin(i));
            }

            return true;
        }
    }

    /// <summary>The first number in memory at or above; long.MaxValue: none.</summary>
    internal long FirstInMemory(long sequence)
    {
        lock (_sync) return _tail.FirstAtOrAbove(sequence);
    }

    /// <summary>Takes the messages from <paramref name="from"/> on out of a block and puts them into the tail.</summary>
    private sealed class BlockLoader(ChannelBuffer buffer, long from) : IBlockVisitor
    {
        /// <summary>The first number at or above the one wanted that the block holds; long.MaxValue while no block was seen.</summary>
        public long FirstFound { get; private set; } = long.MaxValue;

        public QueueTotals? TotalsBefore { get; private set; }

        public void Visit(ReadOnlySpan<byte> block)
        {
            if (!BlockFormat.TryRead(block, out var read) || read.Header.LastSequence < from) return;
            FirstFound = Math.Max(from, read.Header.FirstSequence);
            if (read.Header.FirstSequence >= from) TotalsBefore = read.Header.TotalsBefore;
            lock (buffer._sync)
            {
                var inMemory = buffer._tail.FirstAtOrAbove(FirstFound);
                if (buffer._closed || inMemory <= FirstFound || FirstFound > buffer._durable) return;
                var keepsOrigins = read.Header.RoutesBytes is not null;
                buffer.MakeMemoryFit(Slab.CapacityFor(read.Header.Count, read.Header.PayloadBytes, keepsOrigins), 0);
                buffer._tail.Insert(read, from, Math.Min(inMemory - 1, buffer._durable));
            }
        }
    }

    /// <summary>A hole that no life record explains: reported, counted, jumped over.</summary>
    private void RecordLoss(long first, long last, QueueTotals? totalsBehind)
    {
        var range = new SequenceRange(first, Math.Min(last, _gaps.RunEnd(first)));
        var bytes = 0L;
        if (totalsBehind is { } behind && range.Last == last && _tail.Find(first - 1) is { } slab)
            bytes = Math.Max(0, behind.Bytes - slab.TotalsThrough((int)(first - 1 - slab.FirstSequence)).Bytes);
        var totals = new QueueTotals(range.Count, bytes);
        _gaps.Add(range, totals);
        if (!_lostRanges.Exists(r => r.First <= range.First && r.Last >= range.Last)) _lostRanges.Add(range);
        _counters = _counters with { Lost = _counters.Lost + totals };
        if (_linkConfirmed <= _cursor) AdvanceCursor(_cursor);
        _lossReported?.Invoke(range);
    }

    private Action<SequenceRange>? _lossReported;

    /// <summary>Told once per range that is found to be missing.</summary>
    public void OnLoss(Action<SequenceRange> report) => _lossReported = report;
}
