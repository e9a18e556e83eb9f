using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Interop.LibRocksDb;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Where the store lies and how the engine is set up. The engine's options are pinned by name: a default that changes with a version
/// of the library must not change what survives a power cut, or how often a byte is written.
/// </summary>
public sealed record RocksStoreOptions
{
    /// <summary>The engine's folder. Its parent is the data folder: high-water mark, ballast and quarantine lie beside it.</summary>
    public required string Directory { get; init; }

    /// <summary>A segment is closed at so many bytes of blocks: below the memtable, so that the engine never cuts one itself.</summary>
    public int SegmentBytes { get; init; } = 6 << 20;

    /// <summary>Consumed blocks of the open segment are deleted in ranges of at least so many bytes per queue.</summary>
    public int TrimBytes { get; init; } = 256 << 10;

    /// <summary>
    /// Room kept for a full medium. The engine needs most of it to begin again: what is in its logs, up to two memtables and a batch,
    /// becomes tables before the logs go. The rest is for park, discard and cursor records.
    /// </summary>
    public long BallastBytes { get; init; } = 24 << 20;

    /// <summary>Replaced only by a test that cuts the power: it must know what was synced before the engine was opened.</summary>
    internal Action<string> SyncFile { get; init; } = LinuxFiles.SyncData;

    internal string LockPath => Path.Combine(DataDirectory, "store.lock");

    internal string DataDirectory => Path.GetDirectoryName(Path.GetFullPath(Directory))!;

    internal string MarkPath => Path.Combine(DataDirectory, "high-water-mark");

    internal string BallastPath => Path.Combine(DataDirectory, "store.ballast");

    internal string QuarantinePath => Path.Combine(DataDirectory, "quarantine");

    /// <summary>
    /// Removes a store that is closed, with all that lies beside it. The mark goes first: a store that is gone is no loss then. Interrupted, it is
    /// called again.
    /// </summary>
    public void Erase()
    {
        File.Delete(MarkPath);
        LinuxFiles.SyncFolder(DataDirectory);
        File.Delete(BallastPath);
        foreach (var folder in new[] { QuarantinePath, Directory })
            if (System.IO.Directory.Exists(folder)) System.IO.Directory.Delete(folder, recursive: true);
        LinuxFiles.SyncFolder(DataDirectory);
    }

    // Point-in-time recovery with tracked logs: what is missing in the middle refuses to open instead of vanishing. Recycled logs
    // save the file system's journal. Nothing is flushed at the end or at the start: the log is the truth, and each flush is wear.
    internal const string Database =
        "create_if_missing=true;create_missing_column_families=true;max_background_jobs=2;max_open_files=64;" +
        "avoid_flush_during_shutdown=true;avoid_flush_during_recovery=true;max_total_wal_size=67108864;recycle_log_file_num=2;" +
        "wal_compression=kNoCompression;wal_recovery_mode=kPointInTimeRecovery;track_and_verify_wals_in_manifest=true;" +
        "keep_log_file_num=2;max_log_file_size=1048576;stats_dump_period_sec=0;stats_persist_period_sec=0;" +
        "skip_stats_update_on_db_open=true;level_compaction_dynamic_level_bytes=false";

    // No compression and a restart point at every key: a flipped bit then costs the one block that it hit, and a raw scan of a file
    // whose index is gone still finds the others. Channels that want compression compress their blocks.
    private const string Messages =
        "write_buffer_size=8388608;max_write_buffer_number=2;arena_block_size=262144;num_levels=2;compaction_style=kCompactionStyleLevel;" +
        "level0_file_num_compaction_trigger=1;level0_slowdown_writes_trigger=1000;level0_stop_writes_trigger=2000;" +
        "max_bytes_for_level_base=1099511627776;soft_pending_compaction_bytes_limit=0;hard_pending_compaction_bytes_limit=0;" +
        "ttl=0;periodic_compaction_seconds=0;level_compaction_dynamic_level_bytes=false;compression=kNoCompression;" +
        "block_based_table_factory={block_cache=2097152;block_size=16384;block_restart_interval=1;format_version=5;" +
        "cache_index_and_filter_blocks=true}";

    private const string Records =
        "write_buffer_size=262144;max_write_buffer_number=2;arena_block_size=32768;ttl=0;periodic_compaction_seconds=0;" +
        "level_compaction_dynamic_level_bytes=false;compression=kNoCompression;" +
        "block_based_table_factory={block_cache=524288;block_size=4096;format_version=5;cache_index_and_filter_blocks=true}";

    internal const int RecordsFamily = 0;
    internal const int MessagesFamily = 1;

    internal static readonly RocksFamily[] Families = [new("default", Records), new("messages", Messages)];
}
