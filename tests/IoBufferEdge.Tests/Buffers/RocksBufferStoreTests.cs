using System.Reflection;
using System.Runtime.InteropServices;
using IoBufferEdge.Buffers;
using IoBufferEdge.Interop.LibRocksDb;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Buffers;

public sealed class RocksBufferStoreTests : BufferStoreContract, IDisposable
{
    private readonly string _data = Directory.CreateTempSubdirectory("iobuffer-store-").FullName;

    private string StorePath => Path.Combine(_data, "store");

    public void Dispose() => Directory.Delete(_data, recursive: true);

    [Fact]
    public void Every_function_of_the_binding_is_in_the_library()
    {
        var library = NativeLibrary.Load(RocksNative.Library, typeof(RocksNative).Assembly, null);
        var names = typeof(RocksNative).GetMethods(BindingFlags.Static | BindingFlags.NonPublic)
            .Select(m => m.Name)
            .Where(name => name.StartsWith("rocksdb_", StringComparison.Ordinal))
            .ToList();
        Assert.True(names.Count > 30);
        Assert.All(names, name => NativeLibrary.GetExport(library, name));
    }

    [Fact]
    public async Task The_engine_runs_with_exactly_the_options_that_were_asked_for()
    {
        await using (var store = CreateStore()) await store.OpenAsync();
        var file = Directory.GetFiles(StorePath, "OPTIONS-*").Order(StringComparer.Ordinal).Last();
        var sections = new Dictionary<string, HashSet<string>>();
        var section = "";
        foreach (var line in File.ReadLines(file).Select(l => l.Trim()))
            if (line.StartsWith('[')) sections[section = line] = [];
            else if (line.Length > 0 && section.Length > 0) sections[section].Add(line);

        Assert.Empty(RocksStoreOptions.Database.Split(';').Where(o => !o.StartsWith("create_", StringComparison.Ordinal) &&
            !o.StartsWith("level_", StringComparison.Ordinal)).Except(sections["[DBOptions]"]));
        foreach (var family in RocksStoreOptions.Families)
        {
            var (options, table) = (family.Options.Split(";block_based_table_factory={")[0], family.Options.Split("={")[1].TrimEnd('}'));
            Assert.Empty(options.Split(';').Except(sections[$"[CFOptions \"{family.Name}\"]"]));
            var written = sections[$"[TableOptions/BlockBasedTable \"{family.Name}\"]"];
            Assert.Empty(table.Split(';').Where(o => !o.StartsWith("block_cache", StringComparison.Ordinal)).Except(written));
        }
    }

    [Fact]
    public async Task Consumed_blocks_leave_the_disk_and_the_others_stay_over_many_segments()
    {
        const int Blocks = 400;
        var options = new RocksStoreOptions { Directory = StorePath, SegmentBytes = 128 << 10, TrimBytes = 16 << 10, BallastBytes = 4096 };
        await using (var store = CreateStore(options))
        {
            await store.OpenAsync();
            await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 8)), Create(2, new TestBlock(2, 1, 8, 1000))));
            for (var block = 1; block < Blocks; block++)
            {
                var (first, last) = (block * 8 + 1, block * 8 + 8);
                await store.CommitAsync(Batch(
                    new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, first, last)] },
                    new QueueCommit { Queue = 2, Cursor = first - 1, Blocks = [new TestBlock(2, first, last, 1000)] }));
            }

            Assert.Equal(8, Numbers(await ReadAllAsync(store, 2, (Blocks - 1) * 8 + 1)));
        }

        var tables = Directory.GetFiles(StorePath, "*.sst").Sum(f => new FileInfo(f).Length);
        Assert.InRange(tables, 1, 1_200_000); // of 3.2 MB that went through and 0.2 MB that stay
        await using var again = CreateStore(options);
        var opening = await again.OpenAsync();
        Assert.Null(opening.Salvage);
        Assert.All(opening.Queues, q => Assert.Empty(q.Lost));
        Assert.Equal(Blocks * 8, Numbers(await ReadAllAsync(again, 1, 1)));
    }

    [Fact]
    public async Task After_a_failed_batch_nothing_is_written_until_the_store_was_reopened()
    {
        await using var store = CreateStore();
        await store.OpenAsync();
        await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
        var broken = Batch(new QueueCommit { Queue = 1, Blocks = [new BrokenBlock()] });
        await Assert.ThrowsAsync<IOException>(() => store.CommitAsync(broken).AsTask());
        var next = Batch(new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 11, 20)] }, beginSegment: true);
        await Assert.ThrowsAsync<StoreException>(() => store.CommitAsync(next).AsTask());
        Assert.Equal(10, Numbers(await ReadAllAsync(store, 1, 1)));

        await store.ReopenAsync();
        await store.CommitAsync(next);
        Assert.Equal(20, Numbers(await ReadAllAsync(store, 1, 1)));
        Assert.Equal((2, 1), (store.Usage.Commits, store.Usage.Failures));
    }

    [Fact]
    public async Task A_store_of_a_newer_version_is_refused_with_one_sentence()
    {
        await using (var store = CreateStore()) await store.OpenAsync();
        using (var engine = RocksEngine.Open(StorePath, RocksStoreOptions.Database, RocksStoreOptions.Families))
        {
            using var batch = engine.NewBatch();
            byte[] value = [.. StoreRecords.U32(StoreRecords.FormatVersion + 1), .. StoreRecords.I64(1)];
            batch.Put(RocksStoreOptions.RecordsFamily, StoreRecords.Version, StoreRecords.Seal(StoreRecords.Version, value));
            engine.WriteSynced(batch);
        }

        await using var again = CreateStore();
        var refusal = await Assert.ThrowsAsync<StoreException>(() => again.OpenAsync().AsTask());
        Assert.Contains("format version 2", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_process_on_the_same_store_is_refused()
    {
        await using var store = CreateStore();
        await store.OpenAsync();
        await using var second = CreateStore();
        await Assert.ThrowsAsync<StoreException>(() => second.OpenAsync().AsTask());
    }

    /// <summary>Killed, started again, then a power cut that takes back what the first life wrote and did not sync.</summary>
    [Fact]
    public async Task What_the_former_life_left_unsynced_is_synced_before_the_engine_opens()
    {
        var killed = Path.Combine(_data, "killed");
        var syncedLength = new Dictionary<string, long>();
        await using (var first = CreateStore())
        {
            await first.OpenAsync();
            await first.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 10))));
            foreach (var log in Directory.GetFiles(StorePath, "*.log")) syncedLength[Path.GetFileName(log)] = UsedLength(log);
            var unsynced = Batch(new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 11, 20)] }); // stands for one
            await first.CommitAsync(unsynced);
            CopyStore(killed);
        }

        var synced = new HashSet<string>();
        var options = new RocksStoreOptions
        {
            Directory = Path.Combine(killed, "store"),
            SyncFile = path => synced.Add(Path.GetFileName(path)),
        };
        var cut = Path.Combine(_data, "cut");
        await using (var second = CreateStore(options))
        {
            await second.OpenAsync();
            await second.CommitAsync(Batch(new QueueCommit
            {
                Queue = 1,
                BeginsLife = new LifeRecord(2, 101, 20),
                Blocks = [new TestBlock(1, 101, 110)],
            }));
            CopyStore(cut, killed);
        }

        Assert.NotEmpty(syncedLength);
        Assert.Subset(synced, syncedLength.Keys.ToHashSet());
        foreach (var (name, length) in syncedLength)
        {
            if (synced.Contains(name)) continue;
            using var log = File.OpenWrite(Path.Combine(cut, "store", name));
            log.SetLength(length + 100);
        }

        await using var third = CreateStore(new RocksStoreOptions { Directory = Path.Combine(cut, "store") });
        var queue = Assert.Single((await third.OpenAsync()).Queues);
        Assert.Empty(queue.Lost);
        Assert.Equal(30, Numbers(await ReadAllAsync(third, 1, 1)));
    }

    /// <summary>A store that rests after a burst: damage to its newest block must be provable, and no commit follows that would bring the
    /// mark up.</summary>
    [Fact]
    public async Task The_mark_catches_up_with_the_last_commit_before_a_rest()
    {
        var time = new FakeTimeProvider();
        await using var store = new RocksBufferStore(new RocksStoreOptions { Directory = StorePath }, time, new Random(1), NullLogger.Instance);
        await store.OpenAsync();
        time.Advance(TimeSpan.FromSeconds(2));
        await store.CommitAsync(Batch(Create(1, new TestBlock(1, 1, 8))));
        Assert.Equal(8, MarkedLast());
        await store.CommitAsync(Batch(new QueueCommit { Queue = 1, Blocks = [new TestBlock(1, 9, 16)] }));
        Assert.Equal(8, MarkedLast());
        time.Advance(TimeSpan.FromSeconds(1));
        await store.ReserveAsync(); // its turn comes behind what the timer has asked for
        Assert.Equal(16, MarkedLast());

        long MarkedLast() => new HighWaterMark(Path.Combine(_data, "high-water-mark")).Read()!.Queues[1].LastDurable;
    }

    [Fact]
    public void The_newest_mark_that_reads_wins()
    {
        var path = Path.Combine(_data, "mark");
        using (var mark = new HighWaterMark(path))
        {
            for (var n = 1; n <= 3; n++)
                mark.Write(new Mark(7, n, new Dictionary<int, MarkEntry> { [1] = new MarkEntry("one", 10 * n, n, 100 * n) }));
        }

        var newest = new HighWaterMark(path).Read();
        Assert.Equal(new MarkEntry("one", 30, 3, 300), newest!.Queues[1]);
        Assert.Equal((7, 3), (newest.Generation, newest.Life));

        var bytes = File.ReadAllBytes(path);
        Array.Clear(bytes, (64 << 10) + 40, 8); // the third write lies in the second slot: torn
        File.WriteAllBytes(path, bytes);
        Assert.Equal(20, new HighWaterMark(path).Read()!.Queues[1].LastDurable);
        File.WriteAllBytes(path, bytes[..10]);
        Assert.Null(new HighWaterMark(path).Read());
    }

    [Fact]
    public void The_ballast_is_taken_only_where_as_much_again_stays_free()
    {
        var path = Path.Combine(_data, "ballast");
        var ballast = new Ballast(path, 64 << 10);
        Assert.False(ballast.TryMake(100 << 10));
        Assert.True(ballast.TryMake(1 << 20));
        Assert.Equal(64 << 10, new FileInfo(path).Length);
        Assert.True(ballast.Release());
        Assert.False(File.Exists(path));
        Assert.False(ballast.Release());
    }

    protected override IBufferStore CreateStore() => CreateStore(new RocksStoreOptions { Directory = StorePath });

    private static RocksBufferStore CreateStore(RocksStoreOptions options) =>
        new(options, TimeProvider.System, new Random(1), NullLogger.Instance);

    /// <summary>Copies the data folder while its store is open: what a killed process leaves.</summary>
    private void CopyStore(string target, string? source = null) =>
        OpenFolder.Copy(Path.Combine(source ?? _data, "store"), Path.Combine(target, "store"));

    /// <summary>Length without the zeros that the engine takes ahead.</summary>
    private static long UsedLength(string log)
    {
        var bytes = File.ReadAllBytes(log);
        return Array.FindLastIndex(bytes, b => b != 0) + 1;
    }

    private sealed class BrokenBlock : PendingBlock
    {
        public BrokenBlock() => (FirstSequence, LastSequence, EncodedLength) = (11, 11, 100);

        public override void EncodeTo(Span<byte> destination) => throw new IOException("no such message");
    }
}
