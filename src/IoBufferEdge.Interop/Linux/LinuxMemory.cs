using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>How the C library's allocator, which the store's library uses, keeps memory (mallopt(3), malloc.h).</summary>
public static partial class LinuxMemory
{
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

    [LibraryImport("libc")]
    private static partial int mallopt(int parameter, int value);
}
