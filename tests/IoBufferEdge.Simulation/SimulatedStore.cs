using IoBufferEdge.Buffers;

namespace IoBufferEdge.Simulation;

/// <summary>
/// The simulation's <see cref="IBufferStore"/>: one process's open handle on a <see cref="SimulatedDisk"/>. Commits take virtual
/// time, first the write, then the sync; every fault of the disk shows here as the real store would show it. It also holds its
/// caller to the contract: one commit at a time, no commit after a failure before a reopening, blocks in order above the cursor.
/// </summary>
public sealed class SimulatedStore(SimulatedDisk disk, SimulatedProcess process) : IBufferStore
{
    private const int ReadsAtOneTimeMax = 20_000;

    private bool _open;
    private bool _busy;
    private bool _failed;
    private bool _disposed;
    private int _readsNow;
    private long _readAtTicks;
    private long _written;
    private long _commits;
    private long _failures;

    public StoreUsage Usage => new(disk.BlockBytes, disk.Full ? 0 : 1L << 40, _written, _commits, _failures);

    public async ValueTask<StoreOpening> OpenAsync()
    {
        await process.OperateAsync();
        await Pause(disk.WriteTimeMax);
        disk.BeginLog();
        await process.OperateAsync();
        _open = true;
        disk.Scheduler.Trace.Add(disk.Scheduler, "store.open", process.Name);
        var queues = disk.Written.Values.OrderBy(queue => queue.Number).Select(queue => queue.ToOpening()).ToList();
        return new StoreOpening(disk.Generation, queues, disk.RunningUs, null) { HighestQueue = disk.HighestQueue };
    }

    public async ValueTask CommitAsync(CommitBatch batch)
    {
        Demand(_open && !_disposed, "a commit on a store that is not open");
        Demand(!_busy, "two commits or reopenings at a time");
        Demand(!_failed, "a commit after a failed one without a reopening");
        Check(batch);
        _busy = true;
        var stored = new StoredBatch(batch);
        await process.OperateAsync();
        await Pause(disk.WriteTimeMax, disk.WriteTimeMin);

        var noSpace = disk.Full && stored.HasBlocks;
        var fails = noSpace || disk.Random.NextDouble() < disk.CommitFailureRate;
        var written = !fails || (!noSpace && disk.Random.Next(2) == 0);
        if (written)
        {
            disk.Write(stored);
            _written += stored.Bytes;
            disk.Scheduler.Trace.Add(disk.Scheduler, "store.written", process.Name, stored.Bytes);
            await process.OperateAsync();
            await Pause(disk.SyncTimeMax);
        }

        _busy = false;
        if (fails)
        {
            _failed = true;
            _failures++;
            disk.Seen.FailedBatches++;
            disk.Scheduler.Trace.Add(disk.Scheduler, noSpace ? "store.no_space" : "store.failed", process.Name, written ? 1 : 0);
            throw new StoreException(noSpace ? "The simulated disk is full." : "The simulated disk failed a write.", noSpace);
        }

        disk.Sync();
        _commits++;
        disk.Scheduler.Trace.Add(disk.Scheduler, "store.synced", process.Name, _commits);
        disk.Tally(stored);
        await process.OperateAsync();
    }

    public async ValueTask ReopenAsync()
    {
        Demand(!_busy, "two commits or reopenings at a time");
        _busy = true;
        await process.OperateAsync();
        await Pause(disk.WriteTimeMax, disk.WriteTimeMin);
        _busy = false;
        if (disk.Random.NextDouble() < disk.ReopenFailureRate)
        {
            _open = false;
            _failures++;
            throw new StoreException("The simulated disk could not be opened again.");
        }

        disk.Reopen();
        _open = true;
        _failed = false;
        disk.Scheduler.Trace.Add(disk.Scheduler, "store.reopened", process.Name);
        await process.OperateAsync();
    }

    public ValueTask<bool> ReserveAsync()
    {
        Demand(!_busy, "room set aside during a commit or reopening");
        return ValueTask.FromResult(!disk.Full);
    }

    public async ValueTask<BlockReading> ReadAsync(int queue, long sequence, IBlockVisitor visitor)
    {
        await process.OperateAsync();
        if (disk.ReadTimeMax > TimeSpan.Zero && disk.Random.Next(2) == 0) await Pause(disk.ReadTimeMax);
        if (!_open || _disposed) throw new StoreException("The simulated store is not open.");
        (_readsNow, _readAtTicks) = (disk.Scheduler.NowTicks == _readAtTicks ? _readsNow + 1 : 0, disk.Scheduler.NowTicks);
        Demand(_readsNow < ReadsAtOneTimeMax, $"{ReadsAtOneTimeMax} reads without time passing, now for {sequence} of queue {queue}");
        if (!disk.Written.TryGetValue(queue, out var stored) || stored.Find(sequence) is not { } block)
            return new BlockReading(BlockReadingStatus.End);
        if (block.Damaged) return new BlockReading(BlockReadingStatus.Damaged, stored.ResumeAfter(block, sequence));

        visitor.Visit(block.Bytes);
        return new BlockReading(BlockReadingStatus.Found);
    }

    public async ValueTask ReadParkedAsync(int queue, long from, IBlockVisitor visitor)
    {
        if (disk.ReadTimeMax > TimeSpan.Zero && disk.Random.Next(2) == 0) await Pause(disk.ReadTimeMax);
        if (!_open || _disposed) throw new StoreException("The simulated store is not open.");
        if (!disk.Written.TryGetValue(queue, out var stored)) return;
        if (stored.Parks.FirstOrDefault(park => park.Key >= from).Value is { } first) visitor.Visit(first.Bytes);
    }

    public ValueTask DisposeAsync()
    {
        _disposed = true;
        return default;
    }

    private Task Pause(TimeSpan max, TimeSpan min = default)
    {
        var time = min + TimeSpan.FromTicks(disk.Random.NextInt64((max - min).Ticks + 1));
        return time > TimeSpan.Zero ? process.Delay(time) : Task.CompletedTask;
    }

    private void Check(CommitBatch batch)
    {
        Demand(batch.Queues.Select(q => q.Queue).Distinct().Count() == batch.Queues.Count, "a batch that names a queue twice");
        foreach (var q in batch.Queues)
        {
            if (q.Removes) continue;
            Demand(q.CreatesId is not null || disk.Written.ContainsKey(q.Queue), $"a batch for queue {q.Queue}, which was never made");
            var (last, reserved) = (q.Cursor, Math.Max(q.ReservedUpTo, disk.Written.GetValueOrDefault(q.Queue)?.ReservedUpTo ?? 0));
            foreach (var block in q.Blocks)
            {
                Demand(block.FirstSequence > last, $"a block that begins at {block.FirstSequence}, not above {last}");
                Demand(block.LastSequence <= reserved, $"a block that ends at {block.LastSequence}, above what is reserved ({reserved})");
                last = block.LastSequence;
            }
        }
    }

    private void Demand(bool holds, string sentence)
    {
        if (holds) return;
        disk.Scheduler.Violate($"The store was asked for {sentence}.");
        throw new InvalidOperationException(sentence);
    }
}
