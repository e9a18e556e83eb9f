using System.ComponentModel;
using System.Runtime.InteropServices;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>The few system calls that .NET has no method for; errors become <see cref="Win32Exception"/> with the call's name.</summary>
public static partial class Libc
{
    public const int SigHup = 1;
    public const int SigInt = 2;
    public const int SigTerm = 15;
    public const int SigStop = 19;
    public const int SigCont = 18;

    public static void Kill(int processId, int signal) => Check(KillNative(processId, signal), "kill");

    /// <summary>Data to the disk, metadata only as far as reading it back needs: what a group commit pays.</summary>
    public static void SyncData(SafeHandle file) => Check(FDataSync((int)file.DangerousGetHandle()), "fdatasync");

    public static bool IsRoot => GetEffectiveUserId() == 0;

    /// <summary>Waits until one of two sockets is ready, at most <paramref name="timeoutMs"/>; events are POLLIN (1) and POLLOUT
    /// (4).</summary>
    public static void Poll(int fd1, short events1, int fd2, short events2, int timeoutMs)
    {
        Span<PollFd> fds = [new PollFd { Fd = fd1, Events = events1 }, new PollFd { Fd = fd2, Events = events2 }];
        PollNative(ref MemoryMarshal.GetReference(fds), 2, timeoutMs);
    }

    private static void Check(int result, string call)
    {
        if (result != 0)
            throw new Win32Exception(Marshal.GetLastPInvokeError(), $"{call}: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int KillNative(int processId, int signal);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FDataSync(int fd);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUserId();

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int PollNative(ref PollFd fds, ulong count, int timeoutMs);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int Fd;
        public short Events;
        public short Returned;
    }
}
