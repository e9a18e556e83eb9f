using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>What a path leads to: told apart by what the kernel says of it, links followed, without opening it.</summary>
public static partial class LinuxDevices
{
    private const int AtFdCwd = -100, StatxBytes = 256, ModeAt = 28, MajorAt = 128, MinorAt = 132;
    private const int TypeMask = 0xF000, CharacterDevice = 0x2000, RegularFile = 0x8000;
    private const uint TypeAndMode = 0x3;

    /// <summary>The first major numbers of ttyS and of pseudo terminals; ttyACM, ttyUSB, and the ports of systems on a chip.</summary>
    private const uint TtyMajor = 4, ConsoleMajor = 5, PtyFirst = 136, PtyLast = 143, AcmMajor = 166, UsbMajor = 188, ChipMajor = 204;

    private const uint FirstSerialMinor = 64;

    /// <summary>A plain file, or nothing at all.</summary>
    public static bool IsRegularFileOrAbsent(string path) => Stat(path) is not { } found || (found.Mode & TypeMask) == RegularFile;

    /// <summary>A tty that is no console; or nothing yet, where only the kernel makes ttys: a port may be plugged later.</summary>
    public static bool IsSerialPort(string path)
    {
        if (Path.GetFullPath(path) != path) return false;
        if (Stat(path) is not { } found) return IsTtyName(path) || path.StartsWith("/dev/serial/by-", StringComparison.Ordinal);
        if ((found.Mode & TypeMask) != CharacterDevice) return false;
        return found.Major switch
        {
            TtyMajor => found.Minor >= FirstSerialMinor,
            ConsoleMajor => false,
            >= PtyFirst and <= PtyLast or AcmMajor or UsbMajor or ChipMajor => true,
            _ => IsTtyName(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path),
        };
    }

    private static bool IsTtyName(string path) => path.StartsWith("/dev/tty", StringComparison.Ordinal) && path.Length > "/dev/tty".Length;

    private static (int Mode, uint Major, uint Minor)? Stat(string path)
    {
        Span<byte> stat = stackalloc byte[StatxBytes];
        if (statx(AtFdCwd, path, 0, TypeAndMode, stat) != 0) return null;
        return (BitConverter.ToUInt16(stat[ModeAt..]), BitConverter.ToUInt32(stat[MajorAt..]), BitConverter.ToUInt32(stat[MinorAt..]));
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, Span<byte> stat);
}
