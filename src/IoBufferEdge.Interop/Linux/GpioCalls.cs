using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Interop.Linux;

/// <summary>
/// The kernel's GPIO character devices, uAPI v2 (Linux 5.10): chips with a label, lines with a number and perhaps a name, and requests that
/// hold a line. No library is needed. Results below zero are −errno. Numbers and layouts are those of the kernel's generic ABI, which
/// x64 and arm64 share; a test compares them with the kernel's headers for both.
/// </summary>
public static unsafe partial class GpioCalls
{
    internal const uint ChipInfoRequest = 0x8044B401, LineInfoRequest = 0xC100B405, LineRequest = 0xC250B407,
        SetConfigRequest = 0xC110B40D, GetValuesRequest = 0xC010B40E, SetValuesRequest = 0xC010B40F;

    private const int Interrupted = -4;

    /// <summary>What the chip is called and how many lines it has.</summary>
    public static int GetChip(SafeFileHandle chip, out string name, out string label, out int lines)
    {
        GpioChipRecord record = default;
        var result = Result(ioctl(chip, ChipInfoRequest, &record));
        (name, label, lines) = (record.Name.ToString(), record.Label.ToString(), (int)record.Lines);
        return result;
    }

    public static int GetLine(SafeFileHandle chip, int line, out string name, out string consumer, out LineFlags flags)
    {
        var record = new GpioLineRecord { Offset = (uint)line };
        var result = Result(ioctl(chip, LineInfoRequest, &record));
        (name, consumer, flags) = (record.Name.ToString(), record.Consumer.ToString(), record.Flags);
        return result;
    }

    /// <summary>Takes a line, with its direction, bias, edges and as an output its first value, all in one call: no glitch.</summary>
    /// <param name="request">Holds the line until it is disposed, or the process ends.</param>
    public static int Request(SafeFileHandle chip, int line, LineFlags flags, bool active, string consumer, out SafeFileHandle? request)
    {
        var record = new GpioLineRequestRecord
        {
            FirstOffset = (uint)line, Consumer = GpioName.From(consumer), Config = GpioLineConfigRecord.Of(flags, active), LineCount = 1,
        };
        var result = Result(ioctl(chip, LineRequest, &record));
        request = result < 0 ? null : new SafeFileHandle(record.Descriptor, ownsHandle: true);
        return result;
    }

    /// <summary>Changes the settings of a line that is held.</summary>
    public static int Configure(SafeFileHandle request, LineFlags flags, bool active)
    {
        var config = GpioLineConfigRecord.Of(flags, active);
        return Result(ioctl(request, SetConfigRequest, &config));
    }

    /// <summary>1: active, 0: not, or −errno.</summary>
    public static int Get(SafeFileHandle request)
    {
        var values = new GpioLineValues { Mask = 1 };
        var result = Result(ioctl(request, GetValuesRequest, &values));
        return result < 0 ? result : (int)(values.Bits & 1);
    }

    public static int Set(SafeFileHandle request, bool active)
    {
        var values = new GpioLineValues { Bits = active ? 1u : 0u, Mask = 1 };
        return Result(ioctl(request, SetValuesRequest, &values));
    }

    /// <summary>The oldest edge that was not read yet; waits when there is none.</summary>
    public static int ReadEdge(SafeFileHandle request, out GpioEdge edge)
    {
        fixed (GpioEdge* e = &edge)
        {
            int result;
            do result = Result(read(request, e, (nuint)sizeof(GpioEdge)));
            while (result == Interrupted);
            return result;
        }
    }

    private static int Result(nint result) => result < 0 ? -Marshal.GetLastPInvokeError() : (int)result;

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(SafeFileHandle file, nuint request, void* argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(SafeFileHandle file, void* buffer, nuint length);
}
