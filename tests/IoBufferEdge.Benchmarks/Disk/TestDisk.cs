using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using System.Text;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Disk;

/// <summary>Which calls of the gateway on its files a fault is about.</summary>
[Flags]
public enum DiskCalls
{
    Write = 1,
    Sync = 2,
    Create = 4,

    /// <summary>Rename, link, unlink, mkdir, rmdir, truncate.</summary>
    Names = 8,
    Allocate = 16,

    /// <summary>Reading, and opening for it.</summary>
    Read = 32,
    All = 63,
}

/// <summary>
/// A folder in memory that behaves like a disk for one gateway: it remembers what was synced, so that the power can be cut behind a
/// killed process, and its calls fail on demand. What stands between is disk.c, compiled here and loaded into the gateway by
/// <see cref="Environment"/>. A sync takes up to 3 ms, so that a kill finds something unsynced.
/// </summary>
public sealed class TestDisk : IDisposable
{
    public const int EIO = 5, ENOSPC = 28;
    private const int ControlBytes = 4096, MatchAt = 44, MatchBytes = 60, SyncDelayUs = 3000;
    private static readonly Lazy<string?> s_library = new(Compile);
    private readonly string _work = WorkFolder.CreateInMemory();
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _control;
    private readonly RecordedDisk _record;

    public TestDisk()
    {
        if (s_library.Value is null) throw new PlatformNotSupportedException(NoCompiler);
        var root = Directory.CreateDirectory(Path.Combine(_work, "disk")).FullName;
        DataFolder = Path.Combine(root, "data");
        _record = new RecordedDisk(root);
        File.WriteAllBytes(Control, new byte[ControlBytes]);
        _file = MemoryMappedFile.CreateFromFile(Control);
        _control = _file.CreateViewAccessor();
        _control.Write(40, SyncDelayUs);
        Environment = new Dictionary<string, string>
        {
            ["LD_PRELOAD"] = s_library.Value,
            ["IOBUFFER_DISK_ROOT"] = root,
            ["IOBUFFER_DISK_JOURNAL"] = Journal,
            ["IOBUFFER_DISK_CONTROL"] = Control,
        };
    }

    public const string NoCompiler = "clang or cc is needed to compile disk.c, which stands between the gateway and its disk.";

    /// <summary>False where there is no compiler.</summary>
    public static bool IsPossible => s_library.Value is not null;

    public string DataFolder { get; }

    /// <summary>What a gateway on this disk must be started with.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; }

    /// <summary>Power cuts so far, and the files and folders that had something unsynced in them.</summary>
    public (int Cuts, int AtRisk) Figures { get; private set; }

    /// <summary>Calls that failed on demand, of those that <see cref="Fail"/> last described.</summary>
    public long Failed => _control.ReadInt64(24);

    /// <summary>Calls of the kind that <see cref="Fail"/> last described.</summary>
    public long Seen => _control.ReadInt64(32);

    private string Journal => Path.Combine(_work, "journal");

    private string Control => Path.Combine(_work, "control");

    /// <summary>From now on these calls fail, the first <paramref name="skip"/> excepted, <paramref name="times"/> times.</summary>
    /// <param name="calls">Which calls.</param>
    /// <param name="error">What they end in: <see cref="EIO"/>, <see cref="ENOSPC"/>.</param>
    /// <param name="path">Only on paths that hold this; empty: on all.</param>
    /// <param name="skip">So many succeed first.</param>
    /// <param name="times">So many fail.</param>
    public void Fail(DiskCalls calls, int error, string path = "", long skip = 0, long times = long.MaxValue)
    {
        Heal();
        _control.Write(4, error);
        _control.Write(8, skip);
        _control.Write(16, times);
        _control.Write(24, 0L);
        _control.Write(32, 0L);
        var match = new byte[MatchBytes];
        Encoding.UTF8.GetBytes(path, match);
        _control.WriteArray(MatchAt, match, 0, match.Length);
        Thread.MemoryBarrier();
        _control.Write(0, (int)calls);
    }

    public void Heal() => _control.Write(0, 0);

    /// <summary>The gateway has ended, however: takes in what it did. A call that it was killed in counts as not done.</summary>
    public void EndLife()
    {
        if (!File.Exists(Journal)) return;
        _record.Replay(File.ReadAllBytes(Journal));
        File.Delete(Journal);
        _record.EndLife();
        var changed = _record.Materialize();
        // One call per thread can be under way; more would mean that the record misses something.
        if (changed.Count > 4) throw new InvalidDataException($"The record of the disk differs from it: {string.Join(", ", changed)}.");
    }

    /// <summary>The power fails, after <see cref="EndLife"/>. Of what was not synced a random part stays, with null nothing.</summary>
    public void Cut(Random? random)
    {
        Figures = (Figures.Cuts + 1, Figures.AtRisk + _record.Cut(random));
        _record.Materialize();
    }

    public void Dispose()
    {
        _control.Dispose();
        _file.Dispose();
        Directory.Delete(_work, recursive: true);
    }

    private static string? Compile()
    {
        var source = Path.Combine(AppContext.BaseDirectory, "disk.c");
        var library = Path.Combine(WorkFolder.Create(), "disk.so");
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(Path.GetDirectoryName(library)!, recursive: true);
        var folders = (System.Environment.GetEnvironmentVariable("PATH") ?? "").Split(':');
        var compiler = ((string[])["clang", "cc", "gcc"]).FirstOrDefault(c => folders.Any(f => File.Exists(Path.Combine(f, c))));
        if (compiler is null) return null;
        using var process = Process.Start(new ProcessStartInfo(compiler, ["-O1", "-shared", "-fPIC", "-o", library, source])
        {
            RedirectStandardError = true,
        })!;
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? library : throw new InvalidOperationException($"{compiler} cannot compile {source}:\n{errors}");
    }
}
