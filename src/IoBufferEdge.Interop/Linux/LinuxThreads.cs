using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>Scheduling of single threads: <see cref="Thread.Priority"/> does nothing on Linux.</summary>
public static unsafe partial class LinuxThreads
{
    internal const int RealTimePolicy = 1;

    /// <summary>Puts the calling thread, and it alone, before all ordinary ones (SCHED_FIFO). False: not permitted (RLIMIT_RTPRIO).</summary>
    /// <param name="priority">1 to 99.</param>
    public static bool TryBecomeRealTime(int priority) => sched_setscheduler(0, RealTimePolicy, &priority) == 0;

    [LibraryImport("libc")]
    private static partial int sched_setscheduler(int thread, int policy, int* parameters);
}
