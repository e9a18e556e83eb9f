using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Interop.Linux;

/// <summary>
/// Calls on files and folders that the runtime does not offer. Failures are <see cref="IOException"/>s that name the path and the
/// kernel's reason; <see cref="IsOutOfSpace"/> tells a full medium from the rest.
/// </summary>
public static partial class LinuxFiles
{
    private const int O_RDONLY = 0, O_NONBLOCK = 0x800, O_CLOEXEC = 0x80000, AtFdCwd = -100, RenameExchange = 2;
    private const int ENOENT = 2, ENOTDIR = 20, ENOSPC = 28, ELOOP = 40, EDQUOT = 122;

    private const uint StatxOwner = 0x8 | 0x10;
    private const int StatxBytes = 256, StatxUserAt = 20, StatxGroupAt = 24;

    /// <summary>The one flag whose number differs between the two processors.</summary>
    private static readonly int O_NOFOLLOW = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x8000 : 0x20000;

    /// <summary>Returns when a file's content is on the medium, whoever wrote it.</summary>
    public static void SyncData(string path)
    {
        using var file = OpenReadOnly(path);
        Check(fdatasync(file), path, "fdatasync");
    }

    /// <summary>Returns when a folder's entries are on the medium.</summary>
    public static void SyncFolder(string path)
    {
        using var folder = OpenReadOnly(path);
        Check(fsync(folder), path, "fsync");
    }

    /// <summary>Takes room for the first <paramref name="bytes"/> of a file; they read as zeros.</summary>
    public static void Allocate(SafeFileHandle file, string path, long bytes) => Check(fallocate(file, 0, 0, bytes), path, "fallocate");

    /// <summary>Gives a file a second name on the same file system.</summary>
    public static void Link(string path, string newPath) => Check(link(path, newPath), newPath, "link");

    /// <summary>Swaps two files or folders of one file system in one step.</summary>
    public static void Exchange(string path, string otherPath) =>
        Check(renameat2(AtFdCwd, path, AtFdCwd, otherPath, RenameExchange), path, "renameat2");

    /// <summary>Opens a file to read; null: there is none. A link is an error, and a pipe does not wait for its writer.</summary>
    public static SafeFileHandle? OpenUnlinked(string path)
    {
        var file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (!file.IsInvalid) return file;
        var errno = Marshal.GetLastPInvokeError();
        file.Dispose();
        if (errno is ENOENT or ENOTDIR) return null;
        throw new IOException(errno == ELOOP ? $"{path} is a link." : $"{path}: open failed: {Marshal.GetPInvokeErrorMessage(errno)}.", errno);
    }

    /// <summary>What root makes in somebody's folder becomes theirs; for everybody else nothing happens.</summary>
    public static void GiveToOwnerOf(string folder, string path)
    {
        if (!Environment.IsPrivilegedProcess) return;
        Span<byte> stat = stackalloc byte[StatxBytes];
        Check(statx(AtFdCwd, folder, 0, StatxOwner, stat), folder, "statx");
        Check(lchown(path, BitConverter.ToUInt32(stat[StatxUserAt..]), BitConverter.ToUInt32(stat[StatxGroupAt..])), path, "lchown");
    }

    /// <summary>True when the exception says that the medium or the quota is full.</summary>
    public static bool IsOutOfSpace(IOException exception) => (exception.HResult & 0xFFFF) is ENOSPC or EDQUOT;

    private static SafeFileHandle OpenReadOnly(string path)
    {
        var file = open(path, O_RDONLY | O_CLOEXEC);
        if (file.IsInvalid) Check(-1, path, "open");
        return file;
    }

    private static void Check(int result, string path, string call)
    {
        if (result == 0) return;
        var errno = Marshal.GetLastPInvokeError();
        throw new IOException($"{path}: {call} failed: {Marshal.GetPInvokeErrorMessage(errno)}.", errno);
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fdatasync(SafeFileHandle file);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(SafeFileHandle file);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fallocate(SafeFileHandle file, int mode, long offset, long length);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int link(string path, string newPath);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int renameat2(int oldFolder, string path, int newFolder, string newPath, uint flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, Span<byte> stat);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int lchown(string path, uint user, uint group);
}
