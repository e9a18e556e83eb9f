using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>Scheduling and exact sleep of single threads: <see cref="Thread.Priority"/> does nothing on Linux.</summary>
public static unsafe partial class LinuxThreads
{
    internal const int RealTimePolicy = 1, MonotonicClock = 1, AbsoluteTime = 1;
    private const int Interrupted = 4;
    private const long NanosecondsPerSecond = 1_000_000_000;

    /// <summary>Puts the calling thread, and it alone, before all ordinary ones (SCHED_FIFO). False: not permitted (RLIMIT_RTPRIO).</summary>
    /// <param name="priority">1 to 99.</param>
    public static bool TryBecomeRealTime(int priority) => sched_setscheduler(0, RealTimePolicy, &priority) == 0;

    /// <summary>Returns at this time of CLOCK_MONOTONIC, in nanoseconds, or later.</summary>
    public static void SleepUntil(long time)
    {
        var until = new TimeSpec { Seconds = time / NanosecondsPerSecond, Nanoseconds = time % NanosecondsPerSecond };
        while (clock_nanosleep(MonotonicClock, AbsoluteTime, &until, null) == Interrupted)
        {
        }
    }

    [LibraryImport("libc")]
    private static partial int sched_setscheduler(int thread, int policy, int* parameters);

    [LibraryImport("libc")]
    private static partial int clock_nanosleep(int clock, int flags, TimeSpec* until, TimeSpec* left);

    /// <summary>struct timespec on 64-bit machines, 16 bytes.</summary>
    internal struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
