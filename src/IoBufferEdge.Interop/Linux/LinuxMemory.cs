using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>
/// How the C library's allocator, which the store's library uses, keeps memory (mallopt(3), malloc.h), and whether the kernel may take pages
/// away (mlockall(2), mman.h).
/// </summary>
public static partial class LinuxMemory
{
    internal const int LockCurrent = 1, LockFuture = 2, LockOnFault = 4;
    internal const int TrimThreshold = -1, MmapThreshold = -3, ArenaMax = -8;
    private const int Arenas = 2, MappedAloneBytes = 128 * 1024, FreeBytesAtTop = 256 * 1024;

    /// <summary>
    /// Two arenas for all threads, and each large allocation mapped alone and unmapped when freed. By itself the allocator opens an arena for
    /// every thread, up to eight a core, raises its thresholds with what is freed, and gives little of that back: blocks read by eight
    /// threads kept 50 MB. To be called before other threads run.
    /// </summary>
    public static void KeepSmall()
    {
        _ = mallopt(ArenaMax, Arenas);
        _ = mallopt(MmapThreshold, MappedAloneBytes);
        _ = mallopt(TrimThreshold, FreeBytesAtTop);
    }

    /// <summary>
    /// Every page that the process has touched, or ever will, stays in memory: where memory is short the kernel takes code pages first, and a
    /// page read back from an SD card is ten milliseconds in the middle of a turnaround. Nothing is read in ahead. False: not permitted
    /// (CAP_IPC_LOCK or RLIMIT_MEMLOCK), and nothing has changed.
    /// </summary>
    public static bool TryKeepResident() => mlockall(LockCurrent | LockFuture | LockOnFault) == 0;

    [LibraryImport("libc")]
    private static partial int mlockall(int flags);

    [LibraryImport("libc")]
    private static partial int mallopt(int parameter, int value);
}
