using IoBufferEdge.Buffers;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>
/// Damages the store's files and looks at what is left. Each test starts from the same small store: two queues, 60 blocks each, in
/// several segments, the cursor of the second queue inside a block.
/// </summary>
public sealed class RocksBufferStoreDamageTests : IDisposable
{
    private const int Blocks = 60;
    private const int PerBlock = 10;
    private const int MessageBytes = 200;
    private const long Last = Blocks * PerBlock;
    private const long CursorOf2 = 55;

    // Hundreds of starts, each with some syncs: in memory where there is such a folder, so that a slow disk does not decide.
    private readonly string _root = Directory.CreateDirectory(
        Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath(), $"iobuffer-damage-{Guid.NewGuid():n}")).FullName;

    private int _copies;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public async Task An_undamaged_store_is_not_salvaged()
    {
        var data = await MakeStoreAsync();
        var harvest = await HarvestAsync(data);
        Assert.Null(harvest.Salvage);
        Assert.Equal((Last, Last - CursorOf2, 0L), (harvest.Read1, harvest.Read2, harvest.Reported));
    }

    [Fact]
    public async Task A_process_that_was_killed_leaves_nothing_to_salvage()
    {
        var data = await MakeStoreAsync(killed: true);
        var harvest = await HarvestAsync(data);
        Assert.Null(harvest.Salvage);
        Assert.Equal((Last, Last - CursorOf2, 0L), (harvest.Read1, harvest.Read2, harvest.Reported));
    }

    [Theory]
    [InlineData("CURRENT")]
    [InlineData("MANIFEST-*")]
    [InlineData("CURRENT|MANIFEST-*|OPTIONS-*")]
    public async Task A_missing_list_of_files_costs_nothing(string pattern)
    {
        var data = await MakeStoreAsync();
        foreach (var part in pattern.Split('|'))
            foreach (var file in Directory.GetFiles(Path.Combine(data, "store"), part))
                File.Delete(file);
        var harvest = await HarvestAsync(data);
        Assert.NotNull(harvest.Salvage);
        Assert.Equal((Last, Last - CursorOf2, 0L), (harvest.Read1, harvest.Read2, harvest.Reported));
        Assert.Single(Directory.GetDirectories(Path.Combine(data, "quarantine")));
        Assert.Null((await HarvestAsync(data)).Salvage);
    }

    [Fact]
    public async Task A_list_of_files_that_was_cut_costs_nothing()
    {
        var baseline = await MakeStoreAsync();
        for (var part = 0; part < 40; part++)
        {
            var data = Copy(baseline);
            var manifest = Directory.GetFiles(Path.Combine(data, "store"), "MANIFEST-*").Single();
            using (var file = File.OpenWrite(manifest)) file.SetLength(file.Length * part / 40);
            var harvest = await HarvestAsync(data);
            Assert.True((harvest.Read1, harvest.Read2) == (Last, Last - CursorOf2), $"{part}/40: {harvest}");
            Directory.Delete(data, recursive: true);
        }
    }

    [Theory]
    [InlineData("*.log")]
    [InlineData("*.sst")]
    public async Task A_file_that_is_gone_is_reported_and_the_rest_reads(string pattern)
    {
        var baseline = await MakeStoreAsync();
        foreach (var name in Directory.GetFiles(Path.Combine(baseline, "store"), pattern).Select(Path.GetFileName))
        {
            var data = Copy(baseline);
            File.Delete(Path.Combine(data, "store", name!));
            var harvest = await HarvestAsync(data);
            Assert.Equal(Last + Last - CursorOf2, harvest.Read1 + harvest.Read2 + harvest.Reported);
            if (harvest.Reported > 0) Assert.NotNull(harvest.Salvage);
            Assert.True(harvest.Read1 > 0 || harvest.Read2 > 0, $"{name}: nothing was read");
            var again = await HarvestAsync(data);
            Assert.Null(again.Salvage);
            Assert.Equal(harvest with { Salvage = null }, again);
        }
    }

    [Fact]
    public async Task A_folder_that_is_gone_is_reported_by_name()
    {
        var data = await MakeStoreAsync();
        Directory.Delete(Path.Combine(data, "store"), recursive: true);
        await using var store = Open(data);
        var opening = await store.OpenAsync();
        Assert.NotNull(opening.Salvage);
        Assert.Equal(["one", "two"], opening.Queues.Select(q => q.Id));
        Assert.Equal([new SequenceRange(1, Last)], opening.Queues[0].Lost);
        Assert.Equal([new SequenceRange(CursorOf2 + 1, Last)], opening.Queues[1].Lost);
        Assert.All(opening.Queues, q => Assert.True(q.ReservedUpTo > 1000));
    }

    [Fact]
    public async Task One_flipped_bit_costs_at_most_one_block_of_a_queue_and_is_reported()
    {
        var baseline = await MakeStoreAsync();
        var random = new Random(20);
        var files = Directory.GetFiles(baseline, "*", SearchOption.AllDirectories).Where(f => new FileInfo(f).Length > 0).ToList();
        var total = files.Sum(f => new FileInfo(f).Length);
        for (var sample = 0; sample < 200; sample++)
        {
            var at = sample % 4 == 0 ? -1 : random.NextInt64(total);
            var file = at < 0 ? files[random.Next(files.Count)] : files.First(f => (at -= new FileInfo(f).Length) < 0);
            var data = Copy(baseline);
            var what = FlipBit(Path.Combine(data, Path.GetRelativePath(baseline, file)), random);

            var harvest = await HarvestAsync(data);
            Assert.True(harvest.Read1 >= Last - PerBlock, $"{what}: {harvest}");
            Assert.True(harvest.Read2 >= Last - CursorOf2 - PerBlock, $"{what}: {harvest}");
            Assert.True(harvest.Read1 + harvest.Read2 + harvest.Reported == Last + Last - CursorOf2, $"{what}: {harvest}");
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task Only_the_newest_originals_are_kept()
    {
        var data = await MakeStoreAsync();
        for (var i = 0; i < 4; i++)
        {
            Directory.CreateDirectory(Path.Combine(data, "quarantine", $"2001010{i}T000000Z-0"));
        }

        File.Delete(Path.Combine(data, "store", "CURRENT"));
        await HarvestAsync(data);
        var kept = Directory.GetDirectories(Path.Combine(data, "quarantine")).Select(Path.GetFileName).Order().ToList();
        Assert.Equal(2, kept.Count);
        Assert.Equal("20010103T000000Z-0", kept[0]);
    }

    private static string FlipBit(string file, Random random)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.ReadWrite);
        var (at, bit) = (random.NextInt64(stream.Length), random.Next(8));
        stream.Position = at;
        var value = stream.ReadByte();
        stream.Position = at;
        stream.WriteByte((byte)(value ^ (1 << bit)));
        return $"{Path.GetFileName(file)} byte {at} bit {bit}";
    }

    private static RocksBufferStore Open(string data) =>
        new(new RocksStoreOptions { Directory = Path.Combine(data, "store"), SegmentBytes = 64 << 10, BallastBytes = 64 << 10 },
            TimeProvider.System, new Random(1), NullLogger.Instance);

    /// <summary>The folder of a small store, closed in order, or copied while it is open, which is what a killed process leaves.</summary>
    private async Task<string> MakeStoreAsync(bool killed = false)
    {
        var data = Path.Combine(_root, $"made-{_copies++}");
        await using var store = Open(data);
        await store.OpenAsync();
        for (var block = 0; block < Blocks; block++)
        {
            var (first, last) = (block * PerBlock + 1, (block + 1) * PerBlock);
            PendingBlock[] blocks = [new TestBlock(1, first, last, MessageBytes)];
            await store.CommitAsync(Batch(
                new QueueCommit { Queue = 1, CreatesId = "one", ReservedUpTo = 1000, Blocks = blocks },
                new QueueCommit
                {
                    Queue = 2,
                    CreatesId = "two",
                    Cursor = Math.Min(first - 1, CursorOf2),
                    TotalsAtCursor = new QueueTotals(Math.Min(first - 1, CursorOf2), Math.Min(first - 1, CursorOf2) * MessageBytes),
                    ReservedUpTo = 1000,
                    Blocks = [new TestBlock(2, first, last, MessageBytes)],
                }));
        }

        return killed ? Copy(data) : data;
    }

    private static CommitBatch Batch(params QueueCommit[] queues)
    {
        var batch = new CommitBatch { Life = 5 };
        batch.Queues.AddRange(queues);
        return batch;
    }

    private string Copy(string data)
    {
        var copy = Path.Combine(_root, $"copy-{_copies++}");
        OpenFolder.Copy(data, copy);
        return copy;
    }

    private sealed record Harvest(string? Salvage, long Read1, long Read2, long Reported);

    /// <summary>Reads both queues as delivery does; what does not read must be reported, at the start or by the reading.</summary>
    private static async Task<Harvest> HarvestAsync(string data)
    {
        await using var store = Open(data);
        var opening = await store.OpenAsync();
        Assert.Equal(["one", "two"], opening.Queues.Select(q => q.Id));
        long reported = 0;
        var read = new long[3];
        foreach (var queue in opening.Queues)
        {
            var missing = queue.Lost.SelectMany(r => Enumerable.Range((int)r.First, (int)r.Count)).Select(n => (long)n).ToHashSet();
            for (var next = queue.Cursor + 1; next <= Last;)
            {
                var visitor = new TestVisitor(queue.Number);
                var reading = await store.ReadAsync(queue.Number, next, visitor);
                var found = reading.Status == BlockReadingStatus.Found ? visitor.Seen.Single() : default;
                var until = reading.Status switch
                {
                    BlockReadingStatus.Found => Math.Max(found.First, next),
                    BlockReadingStatus.Damaged => Math.Min(reading.ResumeAt, Last + 1),
                    _ => Last + 1,
                };
                if (reading.Status == BlockReadingStatus.Damaged)
                    for (var n = next; n < until; n++)
                        missing.Add(n);
                if (reading.Status == BlockReadingStatus.Found) read[queue.Number] += found.Last - until + 1;
                next = reading.Status == BlockReadingStatus.Found ? found.Last + 1 : until;
            }

            reported += missing.Count;
        }

        return new Harvest(opening.Salvage, read[1], read[2], reported);
    }
}
