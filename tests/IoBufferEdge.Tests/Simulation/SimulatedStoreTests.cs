using IoBufferEdge.Buffers;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Buffers;

namespace IoBufferEdge.Tests.Simulation;

/// <summary>The twin keeps the same contract as the real store, and loses in a crash exactly what a real medium may lose.</summary>
public sealed class SimulatedStoreTests : BufferStoreContract
{
    private readonly Scheduler _scheduler = new(1);
    private readonly SimulatedDisk _disk;

    public SimulatedStoreTests() => _disk = NewDisk(_scheduler);

    protected override IBufferStore CreateStore() => new SimulatedStore(_disk, _scheduler.World);

    [Fact]
    public async Task A_power_cut_leaves_what_was_synced()
    {
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
        }

        _disk.PowerCut();
        await using var again = CreateStore();
        Assert.Equal(10, Assert.Single((await again.OpenAsync()).Queues).LastDurable);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_failed_batch_may_be_readable_and_gone_after_a_power_cut(bool presync)
    {
        var outcomes = new HashSet<long>();
        for (var seed = 0; seed < 40; seed++)
        {
            var disk = NewDisk(new Scheduler(seed));
            await using (var store = new SimulatedStore(disk, _scheduler.World))
            {
                await store.OpenAsync();
                await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
                disk.CommitFailureRate = 1;
                var batch = Batch(new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 11, 20)] });
                await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync(batch));
            }

            // A kill leaves it; the next process makes it durable before it opens the store (rule 7), or not.
            if (presync) await using (var store = new SimulatedStore(disk, _scheduler.World)) await store.OpenAsync();
            disk.PowerCut();
            await using var again = new SimulatedStore(disk, _scheduler.World);
            outcomes.Add(Assert.Single((await again.OpenAsync()).Queues).LastDurable);
        }

        Assert.Equal([10, 20], outcomes.Order());
    }

    [Fact]
    public async Task Without_presync_a_torn_old_log_takes_newer_synced_batches_with_it()
    {
        var lost = 0;
        for (var seed = 0; seed < 40; seed++)
        {
            var disk = NewDisk(new Scheduler(seed));
            disk.SkipPresync = true;
            await using (var store = new SimulatedStore(disk, _scheduler.World))
            {
                await store.OpenAsync();
                await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
                disk.CommitFailureRate = 1;
                var batch = Batch(new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 11, 20)] });
                await Assert.ThrowsAsync<StoreException>(async () => await store.CommitAsync(batch));
            }

            disk.CommitFailureRate = 0;
            await using (var store = new SimulatedStore(disk, _scheduler.World))
            {
                await store.OpenAsync();
                await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 21, 30)] }));
            }

            disk.PowerCut();
            await using var again = new SimulatedStore(disk, _scheduler.World);
            if (Assert.Single((await again.OpenAsync()).Queues).LastDurable < 30) lost++;
        }

        Assert.InRange(lost, 1, 39);
    }

    [Fact]
    public async Task A_flipped_bit_costs_its_block_and_is_told()
    {
        await using var store = CreateStore();
        await store.OpenAsync();
        await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10), new TestBlock(1, 11, 20))));
        Assert.True(_disk.FlipBit());
        Assert.Equal(new BlockReading(BlockReadingStatus.Damaged, 11), await store.ReadAsync(1, 3, new TestVisitor(1)));
        Assert.Equal((BlockReadingStatus.Found, new SequenceRange(11, 20)), await ReadOneAsync(store, 1, 11));
    }

    private static SimulatedDisk NewDisk(Scheduler scheduler) => new(scheduler)
    {
        WriteTimeMin = TimeSpan.Zero,
        WriteTimeMax = TimeSpan.Zero,
        SyncTimeMax = TimeSpan.Zero,
    };
}
