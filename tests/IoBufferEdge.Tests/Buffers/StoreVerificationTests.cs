using IoBufferEdge.Buffers;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>Damage is planted in a store of two queues; the verification must find it, name it, and change nothing.</summary>
public sealed class StoreVerificationTests : IDisposable
{
    private const int Blocks = 60;
    private const int PerBlock = 10;
    private const int MessageBytes = 200;
    private const long Last = Blocks * PerBlock;
    private const long CursorOf2 = 55;

    private readonly string _root = Directory.CreateDirectory(
        Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath(), $"iobuffer-verify-{Guid.NewGuid():n}")).FullName;

    private int _copies;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_sound_store_is_sound_and_is_left_as_it_is(bool killed)
    {
        var data = await MakeStoreAsync(killed);
        var before = Listing(data);
        var seen = new List<double>();
        var report = StoreVerification.Verify(Options(data), seen.Add);
        Assert.True(report.IsSound, string.Join(' ', report.Damage));
        Assert.Equal(
            [
                new QueueReport("one", 1, Last, Last * MessageBytes, 0, 0, 0, [], []),
                new QueueReport("two", 2, Last - CursorOf2 - 2, (Last - CursorOf2) * MessageBytes, 1, MessageBytes, 0, [], []),
            ],
            report.Queues.Select(q => q with { Missing = [], KnownMissing = [] }));
        Assert.All(report.Queues, q => Assert.Empty(q.Missing));
        Assert.Equal(before, Listing(data));
        Assert.Equal(seen.Order(), seen);
        Assert.Equal(1, seen[^1]);
    }

    /// <summary>In the payload of a block: the block that it hit is named, and the others read.</summary>
    [Fact]
    public async Task A_bit_that_flips_inside_a_block_is_found_wherever_it_lies_and_salvaged()
    {
        var baseline = await MakeStoreAsync();
        var random = new Random(7);
        for (var sample = 0; sample < 40; sample++)
        {
            var data = Copy(baseline);
            var what = FlipInsideBlock(data, random);
            var report = Verify(data);
            Assert.False(report.IsSound, what);
            Assert.True(report.Queues.Sum(q => q.Waiting) >= (2 * Last) - CursorOf2 - 2 - PerBlock, $"{what}: {string.Join(' ', report.Damage)}");

            StoreVerification.SalvageNow(Options(data), string.Join(' ', report.Damage), random, TimeProvider.System);
            var after = Verify(data);
            Assert.True(after.IsSound, $"{what}: {string.Join(' ', after.Damage)}");
            // A log may still hold what a table has lost.
            for (var i = 0; i < 2; i++)
            {
                Assert.True(after.Queues[i].Waiting >= report.Queues[i].Waiting, what);
                Assert.Equal(i == 0 ? Last : Last - CursorOf2 - 2, after.Queues[i].Waiting + after.Queues[i].KnownMissing.Sum(Unsettled(i)));
            }

            await using (var store = Open(data)) Assert.Null((await store.OpenAsync()).Salvage);
            Directory.Delete(data, recursive: true);
        }
    }

    /// <summary>Any byte of any file: what is called sound opens without a salvage and reads whole.</summary>
    [Fact]
    public async Task What_is_called_sound_after_any_flipped_bit_reads_whole()
    {
        var baseline = await MakeStoreAsync();
        var random = new Random(8);
        var files = Directory.GetFiles(baseline, "*", SearchOption.AllDirectories).Where(f => new FileInfo(f).Length > 0).ToList();
        var found = 0;
        for (var sample = 0; sample < 150; sample++)
        {
            var data = Copy(baseline);
            var file = Path.Combine(data, Path.GetRelativePath(baseline, files[random.Next(files.Count)]));
            var what = Flip(file, random.NextInt64(new FileInfo(file).Length), random);
            var report = Verify(data);
            if (!report.IsSound)
            {
                found++;
            }
            else
            {
                await using var store = Open(data);
                Assert.True((await store.OpenAsync()).Salvage is null, what);
                foreach (var queue in (int[])[1, 2])
                    for (var next = queue == 1 ? 1 : CursorOf2 + 1; next <= Last;)
                    {
                        var visitor = new TestVisitor(queue);
                        Assert.True((await store.ReadAsync(queue, next, visitor)).Status == BlockReadingStatus.Found, what);
                        next = visitor.Seen.Single().Last + 1;
                    }
            }

            Directory.Delete(data, recursive: true);
        }

        Assert.InRange(found, 30, 150);
    }

    [Theory]
    [InlineData("*.sst")]
    [InlineData("*.log")]
    public async Task A_file_that_is_gone_is_told_as_missing_numbers_or_as_files(string pattern)
    {
        var baseline = await MakeStoreAsync();
        var found = 0;
        foreach (var name in Directory.GetFiles(Path.Combine(baseline, "store"), pattern).Select(Path.GetFileName))
        {
            var data = Copy(baseline);
            File.Delete(Path.Combine(data, "store", name!));
            var report = Verify(data);
            if (!report.IsSound) found++;
            else Assert.Equal((2 * Last) - CursorOf2 - 2, report.Queues.Sum(q => q.Waiting)); // nobody needed it
            Directory.Delete(data, recursive: true);
        }

        Assert.True(found > 0);
    }

    [Fact]
    public async Task A_store_that_is_older_than_its_mark_and_a_mark_that_does_not_read_are_told()
    {
        var older = await MakeStoreAsync(blocks: 20);
        var newer = await MakeStoreAsync();
        File.Copy(Path.Combine(newer, "high-water-mark"), Path.Combine(older, "high-water-mark"), overwrite: true);
        var report = Verify(older);
        Assert.Contains(report.Damage, d => d.Contains("one lacks 201..600", StringComparison.Ordinal));
        Assert.Equal([new SequenceRange(201, 600)], report.Queues[0].Missing);

        File.WriteAllBytes(Path.Combine(newer, "high-water-mark"), new byte[1000]);
        Assert.Contains("does not read", Assert.Single(Verify(newer).Damage), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_parked_message_that_is_gone_is_told_and_a_salvage_sets_the_ledger_right()
    {
        var data = await MakeStoreAsync(parkedInLedger: 3);
        Assert.Contains("two: its ledger says 3 parked, and 1 are there", Assert.Single(Verify(data).Damage), StringComparison.Ordinal);
        StoreVerification.SalvageNow(Options(data), "two parked messages are gone", new Random(1), TimeProvider.System);
        Assert.True(Verify(data).IsSound);
        await using var store = Open(data);
        var counters = (await store.OpenAsync()).Queues[1].Counters;
        Assert.Equal((1, 2), (counters.Parked.Messages, counters.Lost.Messages));
    }

    /// <summary>A crash between the batch that forgets a queue and the mark must not look like a store that lost it.</summary>
    [Fact]
    public async Task The_mark_forgets_a_queue_before_the_store_does()
    {
        var data = await MakeStoreAsync();
        await using (var store = Open(data))
        {
            await store.OpenAsync();
            await Assert.ThrowsAsync<ArgumentException>(() => store.CommitAsync(Batch(
                new QueueCommit { Queue = 2, Removes = true }, new QueueCommit { Queue = 7, Cursor = 1 })).AsTask()); // no such queue: it fails
            Assert.Equal([1], new HighWaterMark(Options(data).MarkPath).Read()!.Queues.Keys);
        }

        Assert.True(Verify(data).IsSound);
        await using (var store = Open(data))
        {
            Assert.Equal(["one", "two"], (await store.OpenAsync()).Queues.Select(q => q.Id));
            await store.CommitAsync(Batch(new QueueCommit { Queue = 2, Removes = true }));
        }

        var report = Verify(data);
        Assert.True(report.IsSound, string.Join(' ', report.Damage));
        Assert.Equal("one", Assert.Single(report.Queues).Id);
    }

    /// <summary>Numbers of a range that waited: not the one that was parked, nor the one that was discarded.</summary>
    private static Func<SequenceRange, long> Unsettled(int queue) =>
        range => range.Count - (queue == 1 && range.Contains(60) ? 1 : 0) - (queue == 1 && range.Contains(70) ? 1 : 0);

    private static StoreReport Verify(string data) => StoreVerification.Verify(Options(data), _ => { });

    private static RocksStoreOptions Options(string data) =>
        new() { Directory = Path.Combine(data, "store"), SegmentBytes = 64 << 10, BallastBytes = 64 << 10 };

    private static RocksBufferStore Open(string data) => new(Options(data), TimeProvider.System, new Random(1), NullLogger.Instance);

    /// <summary>The second queue has one message parked and one discarded above its cursor, which stands inside a block.</summary>
    private async Task<string> MakeStoreAsync(bool killed = false, int blocks = Blocks, int parkedInLedger = 1)
    {
        var data = Path.Combine(_root, $"made-{_copies++}");
        await using var store = Open(data);
        await store.OpenAsync();
        for (var block = 0; block < blocks; block++)
        {
            var (first, last) = (block * PerBlock + 1, (block + 1) * PerBlock);
            var cursor = Math.Min(first - 1, CursorOf2);
            await store.CommitAsync(Batch(
                new QueueCommit { Queue = 1, CreatesId = "one", ReservedUpTo = 1000, Blocks = [new TestBlock(1, first, last, MessageBytes)] },
                new QueueCommit
                {
                    Queue = 2,
                    CreatesId = "two",
                    Cursor = cursor,
                    TotalsAtCursor = new QueueTotals(cursor, cursor * MessageBytes),
                    Counters = new QueueCounters { Parked = block == blocks - 1 ? new QueueTotals(parkedInLedger, MessageBytes) : default },
                    ReservedUpTo = 1000,
                    Blocks = [new TestBlock(2, first, last, MessageBytes)],
                    Parks = block == blocks - 1 ? [new TestBlock(2, 60, 60, MessageBytes)] : [],
                    Discards = block == blocks - 1 ? [new SequenceRange(70, 70)] : [],
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

    private static string FlipInsideBlock(string data, Random random)
    {
        var tables = Directory.GetFiles(Path.Combine(data, "store"), "*.sst").Where(f => File.ReadAllBytes(f).AsSpan().IndexOf("IOBB"u8) >= 0).ToList();
        var table = tables[random.Next(tables.Count)];
        var bytes = File.ReadAllBytes(table);
        var starts = Enumerable.Range(0, bytes.Length - 4).Where(i => bytes.AsSpan(i, 4).SequenceEqual("IOBB"u8)).ToList();
        var size = BlockFormat.EncodedLength(PerBlock, PerBlock * MessageBytes);
        return Flip(table, starts[random.Next(starts.Count)] + random.Next(size), random);
    }

    private static string Flip(string file, long at, Random random)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.ReadWrite);
        var bit = random.Next(8);
        stream.Position = at;
        var value = stream.ReadByte();
        stream.Position = at;
        stream.WriteByte((byte)(value ^ (1 << bit)));
        return $"{Path.GetFileName(file)} byte {at} bit {bit}";
    }

    private static List<string> Listing(string data) =>
    [
        .. Directory.GetFiles(data, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Where(f => !Path.GetFileName(f).StartsWith("LOG", StringComparison.Ordinal))
            .Select(f => $"{f} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(f)))}"),
    ];
}
