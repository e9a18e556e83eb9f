using System.Globalization;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Sizes and counters of the store. Sizes are looked up at most once a second, by whoever asks. Bytes written are the kernel's
/// figure for this process since the store was made: the gateway writes next to nothing else. Thread-safe.
/// </summary>
internal sealed class StoreUsageMeter(RocksStoreOptions options, TimeProvider time)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly long _writtenBefore = ProcessWrittenBytes();
    private StoreUsage? _last;
    private long _lookedAt;
    private long _commits;
    private long _failures;

    public void CountCommit() => Interlocked.Increment(ref _commits);

    public void CountFailure() => Interlocked.Increment(ref _failures);

    public StoreUsage Read()
    {
        lock (_lock)
        {
            if (_last is null || time.GetElapsedTime(_lookedAt) >= LookEvery) Look();
            return _last! with { Commits = Interlocked.Read(ref _commits), Failures = Interlocked.Read(ref _failures) };
        }
    }

    /// <summary>What the medium has left; nothing where it cannot be asked.</summary>
    public static long FreeBytes(RocksStoreOptions options)
    {
        try
        {
            return new DriveInfo(options.DataDirectory).AvailableFreeSpace;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    private void Look()
    {
        _lookedAt = time.GetTimestamp();
        _last = new StoreUsage(DiskBytes(), FreeBytes(options), ProcessWrittenBytes() - _writtenBefore, 0, 0);
    }

    private long DiskBytes()
    {
        try
        {
            var folder = new DirectoryInfo(options.Directory);
            var ballast = new FileInfo(options.BallastPath);
            return (folder.Exists ? folder.EnumerateFiles().Sum(f => f.Length) : 0) + (ballast.Exists ? ballast.Length : 0);
        }
        catch (IOException)
        {
            return _last?.DiskBytes ?? 0; // a file went while it was looked at
        }
    }

    private static long ProcessWrittenBytes()
    {
        const string Name = "write_bytes: ";
        try
        {
            foreach (var line in File.ReadLines("/proc/self/io"))
                if (line.StartsWith(Name, StringComparison.Ordinal))
                    return long.Parse(line.AsSpan(Name.Length), CultureInfo.InvariantCulture);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // The kernel does not count, or does not tell: 0.
        }

        return 0;
    }
}
