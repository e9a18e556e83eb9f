using IoBufferEdge.Buffers;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>What every <see cref="IBufferStore"/> does, whatever it lies on.</summary>
public abstract class BufferStoreContract
{
    protected const int MessageBytes = 32;

    /// <summary>A store on the medium of this test; the former one, if any, was disposed.</summary>
    protected abstract IBufferStore CreateStore();

    [Fact]
    public async Task A_new_store_is_empty_and_has_a_generation()
    {
        await using var store = CreateStore();
        var opening = await store.OpenAsync();
        Assert.Empty(opening.Queues);
        Assert.Null(opening.Salvage);
        Assert.NotEqual(0, opening.Generation);
        Assert.Equal(0, opening.HighestQueue);
    }

    [Fact]
    public async Task What_was_committed_is_there_after_a_restart()
    {
        long generation;
        await using (var store = CreateStore())
        {
            generation = (await store.OpenAsync()).Generation;
            await store.CommitAsync(Batch(new QueueCommit
            {
                Queue = 1,
                CreatesId = "channel-001",
                Cursor = 0,
                ReservedUpTo = 1000,
                BeginsLife = new LifeRecord(77, 1, 0),
                Blocks = [new TestBlock(1, 1, 10), new TestBlock(1, 11, 20)],
            }));
            await store.CommitAsync(Batch(new QueueCommit
            {
                Queue = 1,
                Cursor = 12,
                TotalsAtCursor = new QueueTotals(12, 12 * MessageBytes),
                ReservedUpTo = 1000,
                Counters = new QueueCounters { Delivered = new QueueTotals(12, 384), Repeated = 3 },
            }, runningUs: 123));
        }

        await using var again = CreateStore();
        var opening = await again.OpenAsync();
        Assert.Equal(generation, opening.Generation);
        Assert.Equal(123, opening.RunningUs);
        Assert.Equal(1, opening.HighestQueue);
        Assert.Null(opening.Salvage);
        var queue = Assert.Single(opening.Queues);
        Assert.Equal(("channel-001", 1, 12L, 1000L, 20L), (queue.Id, queue.Number, queue.Cursor, queue.ReservedUpTo, queue.LastDurable));
        Assert.Equal(new QueueTotals(12, 12 * MessageBytes), queue.TotalsAtCursor);
        Assert.Equal(new QueueTotals(20, 20 * MessageBytes), queue.TotalsAtEnd);
        Assert.Equal(new QueueCounters { Delivered = new QueueTotals(12, 384), Repeated = 3 }, queue.Counters);
        Assert.Empty(queue.Lost);
        Assert.Equal([new SequenceRange(13, 20)], await ReadAllAsync(again, 1, 13));
    }

    [Fact]
    public async Task Reading_shows_the_block_that_contains_the_number_or_the_next_above()
    {
        await using var store = CreateStore();
        await store.OpenAsync();
        await store.CommitAsync(Batch(Create(1, new TestBlock(1, 5, 9), new TestBlock(1, 20, 29))));
        await store.CommitAsync(Batch(Create(2, new TestBlock(2, 1, 3))));

        Assert.Equal((BlockReadingStatus.Found, new SequenceRange(5, 9)), await ReadOneAsync(store, 1, 1));
        Assert.Equal((BlockReadingStatus.Found, new SequenceRange(5, 9)), await ReadOneAsync(store, 1, 9));
        Assert.Equal((BlockReadingStatus.Found, new SequenceRange(20, 29)), await ReadOneAsync(store, 1, 10));
        Assert.Equal((BlockReadingStatus.Found, new SequenceRange(20, 29)), await ReadOneAsync(store, 1, 25));
        Assert.Equal((BlockReadingStatus.End, default), await ReadOneAsync(store, 1, 30));
        Assert.Equal((BlockReadingStatus.Found, new SequenceRange(1, 3)), await ReadOneAsync(store, 2, 2));
        Assert.Equal((BlockReadingStatus.End, default), await ReadOneAsync(store, 3, 1));
    }

    [Fact]
    public async Task A_batch_that_is_written_again_in_other_blocks_overlaps_without_harm()
    {
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10), new TestBlock(1, 11, 20))));
            var again = new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 6, 25), new TestBlock(1, 26, 30)] };
            await store.CommitAsync(Batch(again, beginSegment: true));
            Assert.Equal(30, Numbers(await ReadAllAsync(store, 1, 1)));
        }

        await using var reopened = CreateStore();
        Assert.Equal(30, Assert.Single((await reopened.OpenAsync()).Queues).LastDurable);
        for (var from = 1; from <= 30; from++) Assert.Equal(31 - from, Numbers(await ReadAllAsync(reopened, 1, from)));
    }

    [Fact]
    public async Task What_is_retained_stays_readable_behind_the_cursor_and_over_a_restart_until_it_is_let_go()
    {
        QueueCommit Commit(long cursor, long? retainAfter, params SequenceRange[] withholds) => new()
        {
            Queue = 1,
            Cursor = cursor,
            TotalsAtCursor = new QueueTotals(cursor, cursor * MessageBytes),
            ReservedUpTo = 1000,
            RetainAfter = retainAfter is { } after ? new RetainMark(after, after * MessageBytes) : null,
            Withholds = withholds,
        };
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10), new TestBlock(1, 11, 20), new TestBlock(1, 21, 30))));
            await store.CommitAsync(Batch(Commit(25, 12, new SequenceRange(14, 15), new SequenceRange(16, 16))));
        }

        await using (var store = CreateStore())
        {
            var queue = Assert.Single((await store.OpenAsync()).Queues);
            Assert.Equal((25L, 30L, new RetainMark(12, 12 * MessageBytes)), (queue.Cursor, queue.LastDurable, queue.RetainAfter));
            Assert.Equal([14, 15, 16], queue.Withheld.SelectMany(r => Enumerable.Range((int)r.First, (int)r.Count)));
            Assert.All(queue.RetainMarks, mark => Assert.Equal(mark.Sequence * MessageBytes, mark.Bytes));
            Assert.Empty(queue.Lost);
            Assert.Equal([new SequenceRange(13, 20), new SequenceRange(21, 30)], await ReadAllAsync(store, 1, 13));
            await store.CommitAsync(Batch(Commit(30, 20)));
        }

        await using (var store = CreateStore())
        {
            var queue = Assert.Single((await store.OpenAsync()).Queues);
            Assert.Equal((30L, 30L, 20L), (queue.Cursor, queue.LastDurable, queue.RetainAfter?.Sequence));
            Assert.Empty(queue.Withheld);
            Assert.Equal([new SequenceRange(21, 30)], await ReadAllAsync(store, 1, 21));
            await store.CommitAsync(Batch(Commit(30, null)));
        }

        await using var last = CreateStore();
        Assert.Null(Assert.Single((await last.OpenAsync()).Queues).RetainAfter);
        Assert.Empty(await ReadAllAsync(last, 1, 21));
    }

    [Fact]
    public async Task A_cursor_that_falls_brings_its_messages_along()
    {
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10), new TestBlock(1, 11, 20))));
            var totals = new QueueTotals(20, 20 * MessageBytes);
            await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Cursor = 20, TotalsAtCursor = totals }));
            await store.CommitAsync(Batch(new QueueCommit
            {
                Queue = 1,
                Cursor = 7,
                TotalsAtCursor = new QueueTotals(7, 7 * MessageBytes),
                Blocks = [new TestBlock(1, 8, 15), new TestBlock(1, 16, 22)],
            }, beginSegment: true));
        }

        await using var again = CreateStore();
        var queue = Assert.Single((await again.OpenAsync()).Queues);
        Assert.Equal((7L, 22L), (queue.Cursor, queue.LastDurable));
        Assert.Empty(queue.Lost);
        Assert.Equal([new SequenceRange(8, 15), new SequenceRange(16, 22)], await ReadAllAsync(again, 1, 8));
    }

    [Fact]
    public async Task Parked_messages_stay_in_order_until_they_are_unparked()
    {
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
            PendingBlock[] parks = [new TestBlock(1, 3, 3), new TestBlock(1, 4, 4)];
            await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Cursor = 4, Parks = parks }));
            parks = [new TestBlock(1, 9, 9), new TestBlock(1, 4, 4)];
            await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Cursor = 9, Parks = parks }));
        }

        await using var again = CreateStore();
        await again.OpenAsync();
        Assert.Equal([new(3, 3), new(4, 4), new(9, 9)], await ParkedAsync(again, 1));
        await again.CommitAsync(Batch(new QueueCommit { Queue = 1, Cursor = 9, Unparks = [4], Blocks = [new TestBlock(1, 11, 11)] }));
        Assert.Equal([new(3, 3), new(9, 9)], await ParkedAsync(again, 1));
        Assert.Empty(await ParkedAsync(again, 2));
    }

    [Fact]
    public async Task Lives_and_discards_are_told_until_the_cursor_has_passed_them()
    {
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
            await store.CommitAsync(Batch(new QueueCommit
            {
                Queue = 1,
                Cursor = 5,
                BeginsLife = new LifeRecord(9, 101, 10),
                Discards = [new SequenceRange(7, 8)],
                Blocks = [new TestBlock(1, 101, 110)],
            }));
        }

        await using (var store = CreateStore())
        {
            var queue = Assert.Single((await store.OpenAsync()).Queues);
            Assert.Equal([new LifeRecord(9, 101, 10)], queue.Lives);
            Assert.Equal([new SequenceRange(7, 8)], queue.Discarded);
            Assert.Empty(queue.Lost);
            await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Cursor = 103 }));
        }

        await using var again = CreateStore();
        var passed = Assert.Single((await again.OpenAsync()).Queues);
        Assert.Equal([new LifeRecord(9, 101, 10)], passed.Lives);
        Assert.Empty(passed.Discarded);
    }

    [Fact]
    public async Task What_is_known_of_other_instances_is_there_after_a_restart_and_goes_with_its_queue()
    {
        var receiver = new ReceiverNote("site/in", new MessageIdentity(7, 5), "restored: ü");
        LifeMark[] marks = [new(1, 2, 3), new(long.MaxValue, 5, 6)];
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(
                new QueueCommit
                {
                    Queue = 1, CreatesId = "a", ReservedUpTo = 100, BeginsLife = new LifeRecord(7, 1, 0), Blocks = [new TestBlock(1, 1, 10)],
                    Held = [("gw-1/a", marks), ("gw-2/a", [new LifeMark(9, 9, 9)])], Keys = [(UInt128.MaxValue, 3), (4, 4), (5, 5)], Receiver = receiver,
                },
                new QueueCommit { Queue = 2, CreatesId = "b", ReservedUpTo = 100, Held = [("gw-1/a", [marks[0]])], Keys = [(4, 1)] }));
            await store.CommitAsync(Batch(new QueueCommit
            {
                Queue = 1, Cursor = 5, ReservedUpTo = 100, Held = [("gw-2/a", [marks[1]])], ForgetsKeys = [UInt128.MaxValue],
                RenamesLives = [new LifeRecord(8, 4, 3)],
            }));
        }

        await using (var store = CreateStore())
        {
            var queues = (await store.OpenAsync()).Queues;
            Assert.Equal([("gw-1/a", marks), ("gw-2/a", [marks[1]])], queues[0].Held.OrderBy(h => h.Sender).Select(h => (h.Sender, h.Lives.ToArray())));
            Assert.Equal([(4, 4), (5, 5)], queues[0].Keys);
            Assert.Equal(receiver, queues[0].Receiver);
            Assert.Equal([new LifeRecord(7, 1, 0), new LifeRecord(8, 4, 3)], queues[0].Lives);
            Assert.Equal(("gw-1/a", ReceiverNote.None), (Assert.Single(queues[1].Held).Sender, queues[1].Receiver));
            await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Removes = true }));
            await store.CommitAsync(Batch(new QueueCommit { Queue = 3, CreatesId = "a", ReservedUpTo = 100 }));
        }

        await using var again = CreateStore();
        var left = (await again.OpenAsync()).Queues.OrderBy(q => q.Number).ToList();
        Assert.Equal((1, 1), (left[0].Held.Count, left[0].Keys.Count));
        Assert.Equal((0, 0, ReceiverNote.None), (left[1].Held.Count, left[1].Keys.Count, left[1].Receiver));
    }

    [Fact]
    public async Task A_removed_queue_is_forgotten_and_its_number_is_not()
    {
        await using (var store = CreateStore())
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10)), Create(2, new TestBlock(2, 1, 5))));
            await store.CommitAsync(Batch(new QueueCommit { Queue = 2, Removes = true }));
            Assert.Empty(await ReadAllAsync(store, 2, 1));
            Assert.Equal(10, Numbers(await ReadAllAsync(store, 1, 1)));
        }

        await using var again = CreateStore();
        var opening = await again.OpenAsync();
        Assert.Equal([1], opening.Queues.Select(q => q.Number));
        Assert.Equal(2, opening.HighestQueue);
        await again.CommitAsync(Batch(Create(3, new TestBlock(3, 1, 2))));
        Assert.Equal(2, Numbers(await ReadAllAsync(again, 3, 1)));
    }

    [Fact]
    public async Task Reopening_keeps_what_was_committed_and_goes_on()
    {
        await using var store = CreateStore();
        await store.OpenAsync();
        await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
        await store.ReopenAsync();
        Assert.Equal(10, Numbers(await ReadAllAsync(store, 1, 1)));
        await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Cursor = 3, Blocks = [new TestBlock(1, 11, 20)] }));
        Assert.Equal(20, Numbers(await ReadAllAsync(store, 1, 1)));
        Assert.Equal(2, store.Usage.Commits);
    }

    protected static CommitBatch Batch(params QueueCommit[] queues) => Batch(queues, beginSegment: false, runningUs: 0);

    protected static CommitBatch Batch(QueueCommit queue, bool beginSegment = false, long runningUs = 0) =>
        Batch([queue], beginSegment, runningUs);

    protected static QueueCommit Create(int queue, params PendingBlock[] blocks) =>
        new() { Queue = queue, CreatesId = $"channel-{queue:000}", ReservedUpTo = 100_000, Blocks = blocks };

    /// <summary>Follows the queue from a number to its end, as a delivery loop does: numbers already handed out are left out.</summary>
    protected static async Task<List<SequenceRange>> ReadAllAsync(IBufferStore store, int queue, long from)
    {
        var numbers = new List<SequenceRange>();
        for (var next = from; ; next = numbers[^1].Last + 1)
        {
            var (status, range) = await ReadOneAsync(store, queue, next);
            Assert.NotEqual(BlockReadingStatus.Damaged, status);
            if (status == BlockReadingStatus.End) return numbers;
            Assert.True(range.Last >= next, $"asked for {next}, got {range}");
            numbers.Add(range with { First = Math.Max(range.First, next) });
        }
    }

    protected static async Task<(BlockReadingStatus Status, SequenceRange Range)> ReadOneAsync(IBufferStore store, int queue, long sequence)
    {
        var visitor = new TestVisitor(queue);
        var reading = await store.ReadAsync(queue, sequence, visitor);
        Assert.Equal(reading.Status == BlockReadingStatus.Found ? 1 : 0, visitor.Seen.Count);
        return (reading.Status, visitor.Seen.SingleOrDefault());
    }

    protected static long Numbers(List<SequenceRange> ranges) => ranges.Sum(r => r.Count);

    private static CommitBatch Batch(QueueCommit[] queues, bool beginSegment, long runningUs)
    {
        var batch = new CommitBatch { BeginSegment = beginSegment, Life = 77, RunningUs = runningUs };
        batch.Queues.AddRange(queues);
        return batch;
    }

    private static async Task<List<SequenceRange>> ParkedAsync(IBufferStore store, int queue)
    {
        var visitor = new TestVisitor(queue);
        for (int seen = -1, from = 0; seen < visitor.Seen.Count; from = visitor.Seen.Count == 0 ? 0 : (int)visitor.Seen[^1].Last + 1)
        {
            seen = visitor.Seen.Count;
            await store.ReadParkedAsync(queue, from, visitor);
        }

        return visitor.Seen;
    }
}
