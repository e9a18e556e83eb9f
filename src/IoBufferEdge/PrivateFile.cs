using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge;

/// <summary>
/// Files of the data folder that nobody but its owner may read: 0600 in a folder of 0700. Written whole or not at all, also across a power
/// cut, and never through a link. What root writes belongs to the folder's owner, so that the service can read it. One writer of a file at a
/// time.
/// </summary>
public static class PrivateFile
{
    private const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode FolderMode = FileMode | UnixFileMode.UserExecute;

    /// <summary>Makes a folder in one that is there; it is on the medium when this returns.</summary>
    /// <exception cref="IOException">It cannot be made, or a link stands in its place.</exception>
    public static void MakeFolder(string path)
    {
        if (new FileInfo(path).LinkTarget is not null) throw new IOException($"{path} is a link: a folder belongs there.");
        if (Directory.Exists(path)) return;
        var parent = Path.GetDirectoryName(path)!;
        Directory.CreateDirectory(path, FolderMode);
        LinuxFiles.GiveToOwnerOf(parent, path);
        LinuxFiles.SyncFolder(parent);
    }

    /// <summary>Replaces a file, or a link in its place; it is on the medium when this returns.</summary>
    /// <exception cref="IOException">The former file is untouched.</exception>
    public static void Write(string path, ReadOnlySpan<byte> bytes)
    {
        var folder = Path.GetDirectoryName(path)!;
        var draft = Path.Combine(folder, $".{Path.GetFileName(path)}.new");
        File.Delete(draft);
        var options = new FileStreamOptions { Mode = System.IO.FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0, UnixCreateMode = FileMode };
        using (var file = new FileStream(draft, options))
        {
            RandomAccess.Write(file.SafeFileHandle, bytes, 0);
            RandomAccess.FlushToDisk(file.SafeFileHandle);
        }

        LinuxFiles.GiveToOwnerOf(folder, draft);
        File.Move(draft, path, overwrite: true);
        LinuxFiles.SyncFolder(folder);
    }

    /// <summary>Reads a file of a bounded size; null: there is none.</summary>
    /// <exception cref="IOException">It is larger, a link, or cannot be read.</exception>
    public static byte[]? Read(string path, int maxBytes)
    {
        using var handle = LinuxFiles.OpenUnlinked(path);
        if (handle is null) return null;
        var bytes = new byte[maxBytes + 1];
        var length = 0;
        while (length < bytes.Length && RandomAccess.Read(handle, bytes.AsSpan(length), length) is > 0 and var read) length += read;
        return length <= maxBytes ? bytes[..length] : throw new IOException($"{path} is larger than {maxBytes} bytes.");
    }
}
