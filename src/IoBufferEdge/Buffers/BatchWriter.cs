using IoBufferEdge.Interop;
using IoBufferEdge.Interop.LibRocksDb;
using static IoBufferEdge.Buffers.RocksStoreOptions;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Turns a <see cref="CommitBatch"/> into the engine's changes and follows them in <see cref="StoreContents"/>. The queues' records
/// change at once, because after a failed write everything is loaded anew; the index, which readers see, when the write is synced.
/// </summary>
internal sealed class BatchWriter(RocksEngine engine, StoreContents contents, RocksStoreOptions options) : IDisposable
{
    private readonly RocksBatch _changes = engine.NewBatch();
    private readonly List<(uint Segment, int Queue, BlockSpan Span)> _written = [];
    private readonly List<int> _removed = [];
    private NativeMemoryBlock _scratch = new(256 << 10);

    public bool NeedsNewSegment(CommitBatch batch)
    {
        if (contents.OpenBytes == 0) return false;
        if (batch.BeginSegment || contents.OpenBytes >= options.SegmentBytes) return true;
        foreach (var commit in batch.Queues)
        {
            if (commit.Blocks.Count == 0 || !contents.Open.TryGetValue(commit.Queue, out var open)) continue;
            if (commit.Blocks[0].FirstSequence <= open.Last) return true;
        }

        return false;
    }

    /// <summary>Closes the open segment: what is consumed in it is deleted before the engine writes it into a file.</summary>
    public void SwitchSegment()
    {
        _changes.Clear();
        foreach (var (queue, open) in contents.Open) DeleteConsumed(queue, open);
        var needed = contents.Index.In(contents.OpenSegment).ToList();
        if (needed.Count > 0)
        {
            PutRecord(StoreRecords.SummaryKey(contents.OpenSegment), StoreRecords.Summary(needed));
            contents.Summarized.Add(contents.OpenSegment);
        }

        foreach (var segment in contents.Summarized.Where(s => !contents.Index.IsNeeded(s)).ToList())
        {
            _changes.Delete(RecordsFamily, StoreRecords.SummaryKey(segment));
            contents.Summarized.Remove(segment);
        }

        contents.OpenSegment++;
        contents.OpenBytes = 0;
        contents.Open.Clear();
        PutRecord(StoreRecords.OpenSegment, StoreRecords.U32(contents.OpenSegment));
        engine.WriteSynced(_changes);
        engine.Flush(wait: false);
        DeleteUnneeded();
    }

    /// <summary>Deletes the tables of closed segments that no queue needs any more.</summary>
    public void DeleteUnneeded()
    {
        foreach (var (from, to) in contents.Index.Unneeded(contents.OpenSegment))
            engine.DeleteFilesInRange(MessagesFamily, StoreRecords.BlockKey(from, 0, 0), StoreRecords.BlockKey(to, 0, 0));
    }

    /// <summary>Writes the batch with one sync. The index is changed by <see cref="Publish"/>.</summary>
    public void Write(CommitBatch batch)
    {
        _changes.Clear();
        _written.Clear();
        _removed.Clear();
        foreach (var commit in batch.Queues)
        {
            if (commit.Removes) Remove(commit.Queue);
            else Add(commit);
        }

        contents.RunningUs = batch.RunningUs;
        PutRecord(StoreRecords.Clock, StoreRecords.I64(batch.RunningUs));
        engine.WriteSynced(_changes);
    }

    /// <summary>Shows readers what the last <see cref="Write"/> made durable.</summary>
    public void Publish(CommitBatch batch)
    {
        foreach (var (segment, queue, span) in _written) contents.Index.Add(segment, queue, span);
        foreach (var commit in batch.Queues)
            if (!commit.Removes)
                contents.Index.Trim(commit.Queue, contents.Queues[commit.Queue].NeededAfter);
        foreach (var queue in _removed) contents.Index.Remove(queue);
    }

    public void Dispose()
    {
        _changes.Dispose();
        ((IDisposable)_scratch).Dispose();
    }

    private void Add(QueueCommit commit)
    {
        var queue = QueueFor(commit);
        (queue.Cursor, queue.TotalsAtCursor, queue.Counters) = (commit.Cursor, commit.TotalsAtCursor, commit.Counters);
        queue.ReservedUpTo = Math.Max(queue.ReservedUpTo, commit.ReservedUpTo);

        foreach (var block in commit.Blocks) AddBlock(commit.Queue, queue, block);
        foreach (var park in commit.Parks)
            _changes.Put(RecordsFamily, StoreRecords.NumberKey('P', commit.Queue, park.FirstSequence), Encode(park));
        foreach (var number in commit.Unparks) _changes.Delete(RecordsFamily, StoreRecords.NumberKey('P', commit.Queue, number));
        if (commit.BeginsLife is { } life) AddLife(commit.Queue, queue, life);
        foreach (var renamed in commit.RenamesLives) AddLife(commit.Queue, queue, renamed);
        AddRemote(commit, queue);
        foreach (var discard in commit.Discards) AddRange(commit.Queue, 'D', queue.Discards, discard);
        AddRetained(commit, queue);
        ForgetPassed(commit.Queue, queue);

        PutRecord(StoreRecords.QueueKey('K', commit.Queue), StoreRecords.State(queue));
        if (contents.Open.TryGetValue(commit.Queue, out var open)) TrimOpen(commit.Queue, open, queue.NeededAfter);
    }

    private QueueState QueueFor(QueueCommit commit)
    {
        if (contents.Queues.TryGetValue(commit.Queue, out var queue)) return queue;
        if (commit.CreatesId is null)
            throw new ArgumentException($"Queue {commit.Queue} does not exist and the batch does not create it.");
        if (commit.Queue is <= 0 or > ushort.MaxValue || commit.Queue <= contents.HighestQueue)
            throw new ArgumentException($"Queue number {commit.Queue} was given before: the next one is {contents.HighestQueue + 1}.");
        contents.Queues.Add(commit.Queue, queue = new QueueState { Id = commit.CreatesId });
        contents.HighestQueue = commit.Queue;
        PutRecord(StoreRecords.HighestQueue, StoreRecords.U32((uint)commit.Queue));
        return queue;
    }

    private void AddBlock(int number, QueueState queue, PendingBlock block)
    {
        var bytes = Encode(block);
        if (!BlockFormat.TryReadHeader(bytes, out var header)) throw new ArgumentException($"Queue {number}: not a block.");
        _changes.Put(MessagesFamily, StoreRecords.BlockKey(contents.OpenSegment, number, header.FirstSequence), bytes);
        _written.Add((contents.OpenSegment, number, new BlockSpan(header.FirstSequence, header.LastSequence, header.TotalsAfter)));
        contents.OpenBytes += bytes.Length;
        var open = contents.OpenOf(number);
        open.Blocks.Enqueue(new OpenBlock(header.LastSequence, bytes.Length));
        open.Last = header.LastSequence;
        if (header.LastSequence <= queue.LastWritten) return;
        (queue.LastWritten, queue.TotalsAtLast) = (header.LastSequence, header.TotalsAfter);
    }

    private void AddLife(int number, QueueState queue, LifeRecord life)
    {
        queue.Lives.RemoveAll(l => l.BeginsAt == life.BeginsAt);
        var index = queue.Lives.FindIndex(l => l.BeginsAt > life.BeginsAt);
        queue.Lives.Insert(index < 0 ? queue.Lives.Count : index, life);
        PutRecord(StoreRecords.NumberKey('L', number, life.BeginsAt), StoreRecords.I64(life.Life, life.RecoveredUpTo));
    }

    /// <summary>What belongs to other instances: marks and keys of what came from them, and what the one behind the destination confirmed.</summary>
    private void AddRemote(QueueCommit commit, QueueState queue)
    {
        foreach (var (sender, lives) in commit.Held)
        {
            queue.Held[sender] = lives;
            PutRecord(StoreRecords.SenderKey(commit.Queue, sender), StoreRecords.Marks(lives));
        }

        foreach (var (key, number) in commit.Keys)
        {
            queue.Keys[key] = number;
            PutRecord(StoreRecords.IdempotencyKey(commit.Queue, key), StoreRecords.I64(number));
        }

        foreach (var key in commit.ForgetsKeys)
        {
            queue.Keys.Remove(key);
            _changes.Delete(RecordsFamily, StoreRecords.IdempotencyKey(commit.Queue, key));
        }

        if (commit.Receiver is not { } receiver) return;
        queue.Receiver = receiver;
        PutRecord(StoreRecords.QueueKey('R', commit.Queue), StoreRecords.Receiver(receiver));
    }

    /// <summary>A range that goes on where the last one ends becomes one with it.</summary>
    private void AddRange(int number, char kind, List<SequenceRange> ranges, SequenceRange range)
    {
        if (ranges.Count > 0 && ranges[^1] is var last && range.First >= last.First && range.First <= last.Last + 1)
        {
            ranges.RemoveAt(ranges.Count - 1);
            range = new SequenceRange(last.First, Math.Max(last.Last, range.Last));
        }

        ranges.Add(range);
        PutRecord(StoreRecords.NumberKey(kind, number, range.First), StoreRecords.I64(range.Last));
    }

    private void AddRetained(QueueCommit commit, QueueState queue)
    {
        foreach (var range in commit.Withholds) AddRange(commit.Queue, 'U', queue.Withheld, range);
        if (commit.RetainAfter == queue.RetainAfter) return;
        queue.RetainAfter = commit.RetainAfter;
        var key = StoreRecords.QueueKey('T', commit.Queue);
        if (commit.RetainAfter is { } after) PutRecord(key, StoreRecords.I64(after.Sequence, after.Bytes));
        else _changes.Delete(RecordsFamily, key);
    }

    private void ForgetPassed(int number, QueueState queue)
    {
        ForgetPassed(number, 'L', queue.Lives, life => life.Gap.Last <= queue.Cursor, life => life.BeginsAt);
        ForgetPassed(number, 'D', queue.Discards, discard => discard.Last <= queue.Cursor, discard => discard.First);
        ForgetPassed(number, 'X', queue.Missed, missed => missed.Last <= queue.Cursor, missed => missed.First);
        ForgetPassed(number, 'U', queue.Withheld, withheld => withheld.Last <= queue.NeededAfter, withheld => withheld.First, kept: 0);
    }

    private void ForgetPassed<T>(
        int number, char kind, List<T> records, Predicate<T> isPassed, Func<T, long> key, int kept = StoreRecords.PassedKept)
    {
        while (records.Count > kept && isPassed(records[kept]))
        {
            _changes.Delete(RecordsFamily, StoreRecords.NumberKey(kind, number, key(records[0])));
            records.RemoveAt(0);
        }
    }

    private void TrimOpen(int number, OpenQueue open, long cursor)
    {
        while (open.Blocks.TryPeek(out var block) && block.Last <= cursor)
        {
            open.Blocks.Dequeue();
            open.ConsumedBytes += block.Bytes;
            open.ConsumedLast = block.Last;
        }

        if (open.ConsumedBytes >= options.TrimBytes) DeleteConsumed(number, open);
    }

    private void DeleteConsumed(int number, OpenQueue open)
    {
        if (open.ConsumedLast <= open.DeletedLast) return;
        _changes.DeleteRange(
            MessagesFamily,
            StoreRecords.BlockKey(contents.OpenSegment, number, open.DeletedLast + 1),
            StoreRecords.BlockKey(contents.OpenSegment, number, open.ConsumedLast + 1));
        (open.DeletedLast, open.ConsumedBytes) = (open.ConsumedLast, 0);
    }

    private void Remove(int number)
    {
        if (!contents.Queues.Remove(number)) return;
        _removed.Add(number);
        contents.Open.Remove(number);
        _changes.DeleteRange(
            MessagesFamily, StoreRecords.BlockKey(contents.OpenSegment, number, 0), StoreRecords.BlockKeyEnd(contents.OpenSegment, number));
        _changes.Delete(RecordsFamily, StoreRecords.QueueKey('K', number));
        foreach (var kind in "LDPXMIRTU")
            _changes.DeleteRange(RecordsFamily, StoreRecords.QueueKey(kind, number), StoreRecords.QueueKeyEnd(kind, number));
    }

    private void PutRecord(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) =>
        _changes.Put(RecordsFamily, key, StoreRecords.Seal(key, value));

    private Span<byte> Encode(PendingBlock block)
    {
        if (block.EncodedLength > _scratch.Capacity)
        {
            ((IDisposable)_scratch).Dispose();
            _scratch = new NativeMemoryBlock(block.EncodedLength);
        }

        var bytes = _scratch.GetSpan()[..block.EncodedLength];
        block.EncodeTo(bytes);
        return bytes;
    }
}
