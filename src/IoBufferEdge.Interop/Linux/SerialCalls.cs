using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Interop.Linux;

/// <summary>
/// The calls that make a serial port: termios2 (any baud rate), poll, the send queue and the shift register, modem lines, RS485, error
/// counters. None but <see cref="Wait"/> and a close with unsent bytes waits. Results below zero are −errno. Numbers and layouts are
/// those of the kernel's generic ABI, which x64 and arm64 share; a test compares them with the kernel's headers for both.
/// </summary>
public static unsafe partial class SerialCalls
{
    public const int NotPermitted = -1, NoEntry = -2, Interrupted = -4, InputOutput = -5, NoDeviceOrAddress = -6, TryAgain = -11,
        AccessDenied = -13, Busy = -16, NoDevice = -19, NotATerminal = -25;

    internal const int OpenFlags = ReadWrite | NoControllingTerminal | NonBlocking | CloseOnExec;
    internal const int ReadWrite = 2, NoControllingTerminal = 0x100, NonBlocking = 0x800, CloseOnExec = 0x80000;
    internal const int LockExclusive = 2, LockNonBlocking = 4;

    internal const uint GetTermios2Request = 0x802C542A, SetTermios2Request = 0x402C542B, FlushRequest = 0x540B, ExclusiveRequest = 0x540C,
        OutputQueueRequest = 0x5411, GetModemRequest = 0x5415, SetModemBitsRequest = 0x5416, ClearModemBitsRequest = 0x5417,
        GetSerialRequest = 0x541E, SetSerialRequest = 0x541F, GetRs485Request = 0x542E, SetRs485Request = 0x542F,
        LineStatusRequest = 0x5459, CountersRequest = 0x545D;

    internal const int FlushInput = 0, FlushOutput = 1, FlushBoth = 2;
    internal const uint TransmitterEmpty = 1;
    internal const int LowLatencyFlag = 1 << 13;

    public const short ReadReady = 1, Error = 8, HangUp = 16;

    static SerialCalls()
    {
        if (RuntimeInformation.ProcessArchitecture is not (Architecture.X64 or Architecture.Arm64) || !BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("The serial constants are those of Linux on x64 and arm64.");
    }

    /// <summary>Opens a device without waiting for a carrier and without making it the process's terminal.</summary>
    /// <param name="error">0, or −errno with an invalid handle.</param>
    public static SafeFileHandle Open(string path, out int error)
    {
        var handle = open(path, OpenFlags);
        error = handle.IsInvalid ? -Marshal.GetLastPInvokeError() : 0;
        return handle;
    }

    /// <summary>TIOCEXCL: no further open but root's.</summary>
    public static int SetExclusive(SafeFileHandle port) => Result(ioctl(port, ExclusiveRequest, 0));

    /// <summary>flock: <see cref="TryAgain"/> when another open of the device holds it.</summary>
    public static int Lock(SafeFileHandle port) => Result(flock(port, LockExclusive | LockNonBlocking));

    public static int GetTermios(SafeFileHandle port, out Termios2 termios)
    {
        fixed (Termios2* t = &termios) return Result(ioctl(port, GetTermios2Request, t));
    }

    public static int SetTermios(SafeFileHandle port, Termios2 termios) => Result(ioctl(port, SetTermios2Request, &termios));

    /// <summary>Bytes read, 0 after a hang-up, <see cref="TryAgain"/> when there are none.</summary>
    public static int Read(SafeFileHandle port, Span<byte> bytes)
    {
        fixed (byte* buffer = bytes)
        {
            int result;
            do result = Result(read(port, buffer, (nuint)bytes.Length));
            while (result == Interrupted);
            return result;
        }
    }

    /// <summary>Bytes taken, <see cref="TryAgain"/> when the send queue is full.</summary>
    public static int Write(SafeFileHandle port, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* buffer = bytes)
        {
            int result;
            do result = Result(write(port, buffer, (nuint)bytes.Length));
            while (result == Interrupted);
            return result;
        }
    }

    /// <summary>Waits until the port has something to read or hangs up (only where <paramref name="forInput"/>), or
    /// <paramref name="wake"/> is signalled.</summary>
    /// <param name="timeoutMs">How long at most; −1: without limit.</param>
    /// <returns>What is the matter with the port: a sum of <see cref="ReadReady"/>, <see cref="Error"/>, <see cref="HangUp"/>.</returns>
    public static int Wait(SafeFileHandle port, SafeFileHandle wake, bool forInput, int timeoutMs = -1)
    {
        var added = false;
        var wakeAdded = false;
        try
        {
            port.DangerousAddRef(ref added);
            wake.DangerousAddRef(ref wakeAdded);
            var polled = stackalloc PollDescriptor[2];
            polled[0] = new PollDescriptor { Descriptor = (int)wake.DangerousGetHandle(), Events = ReadReady };
            polled[1] = new PollDescriptor { Descriptor = (int)port.DangerousGetHandle(), Events = ReadReady };
            int result;
            do result = Result(poll(polled, forInput ? 2u : 1u, timeoutMs));
            while (result == Interrupted);
            return result < 0 ? result : polled[1].Happened;
        }
        finally
        {
            if (added) port.DangerousRelease();
            if (wakeAdded) wake.DangerousRelease();
        }
    }

    /// <summary>An eventfd, for <see cref="Wait"/>.</summary>
    public static SafeFileHandle NewWake() => eventfd(0, CloseOnExec | NonBlocking);

    /// <summary>Ends the wait, or the next one.</summary>
    public static void Wake(SafeFileHandle wake)
    {
        ulong one = 1;
        write(wake, (byte*)&one, sizeof(ulong));
    }

    /// <summary>Forgets the wakes so far. False: there were none.</summary>
    public static bool ClearWake(SafeFileHandle wake)
    {
        ulong count;
        return read(wake, (byte*)&count, sizeof(ulong)) == sizeof(ulong);
    }

    /// <summary>TIOCOUTQ: bytes in the kernel's send queue; a hardware FIFO's may or may not be among them.</summary>
    public static int OutputQueueBytes(SafeFileHandle port)
    {
        int bytes;
        var result = Result(ioctl(port, OutputQueueRequest, &bytes));
        return result < 0 ? result : bytes;
    }

    /// <summary>TIOCSERGETLSR: 1 when queue, FIFO and shift register are empty, 0 when not, or −errno where the driver can't tell.</summary>
    public static int IsTransmitterEmpty(SafeFileHandle port)
    {
        uint status;
        var result = Result(ioctl(port, LineStatusRequest, &status));
        return result < 0 ? result : (int)(status & TransmitterEmpty);
    }

    public static int DiscardOutput(SafeFileHandle port) => Result(ioctl(port, FlushRequest, FlushOutput));

    public static int DiscardInput(SafeFileHandle port) => Result(ioctl(port, FlushRequest, FlushInput));

    public static int GetModemLines(SafeFileHandle port, out ModemLines lines)
    {
        fixed (ModemLines* l = &lines) return Result(ioctl(port, GetModemRequest, l));
    }

    public static int SetModemLines(SafeFileHandle port, ModemLines lines, bool on) =>
        Result(ioctl(port, on ? SetModemBitsRequest : ClearModemBitsRequest, &lines));

    /// <summary>ASYNC_LOW_LATENCY: 1 when it is on now, 0 when not, or −errno where the driver has no such flag.</summary>
    public static int SetLowLatency(SafeFileHandle port, bool on)
    {
        SerialInfo info;
        var result = Result(ioctl(port, GetSerialRequest, &info));
        if (result < 0) return result;
        info.Flags = on ? info.Flags | LowLatencyFlag : info.Flags & ~LowLatencyFlag;
        result = Result(ioctl(port, SetSerialRequest, &info));
        return result < 0 ? result : on ? 1 : 0;
    }

    public static int GetCounters(SafeFileHandle port, out SerialCounters counters)
    {
        fixed (SerialCounters* c = &counters) return Result(ioctl(port, CountersRequest, c));
    }

    public static int GetRs485(SafeFileHandle port, out SerialRs485 rs485)
    {
        fixed (SerialRs485* r = &rs485) return Result(ioctl(port, GetRs485Request, r));
    }

    /// <summary>The driver writes back what it made of the wish.</summary>
    public static int SetRs485(SafeFileHandle port, ref SerialRs485 rs485)
    {
        fixed (SerialRs485* r = &rs485) return Result(ioctl(port, SetRs485Request, r));
    }

    /// <summary>The kernel's words for a result below zero.</summary>
    public static string Describe(int result) => Marshal.GetPInvokeErrorMessage(-result);

    private static int Result(nint result) => result < 0 ? -Marshal.GetLastPInvokeError() : (int)result;

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int flock(SafeFileHandle file, int operation);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(SafeFileHandle file, byte* buffer, nuint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(SafeFileHandle file, byte* buffer, nuint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(PollDescriptor* descriptors, nuint count, int timeoutMs);

    [LibraryImport("libc", SetLastError = true)]
    private static partial SafeFileHandle eventfd(uint value, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(SafeFileHandle file, nuint request, void* argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(SafeFileHandle file, nuint request, nint argument);
}
