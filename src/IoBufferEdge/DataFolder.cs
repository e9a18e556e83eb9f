using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge;

/// <summary>
/// The data folder of one gateway, taken for one process: a lock on its file <c>lock</c> refuses a second one until this one has ended,
/// however it ends.
/// </summary>
public sealed class DataFolder : IDisposable
{
    private const int EAgain = 11;

    private readonly FileStream _lock;

    private DataFolder(string path, FileStream @lock) => (Path, _lock) = (path, @lock);

    public string Path { get; }

    public string Store => System.IO.Path.Combine(Path, "store");

    public string Secrets => System.IO.Path.Combine(Path, "secrets");

    /// <summary>The journal of commands that came over MQTT.</summary>
    public string Commands => System.IO.Path.Combine(Path, "commands");

    public string ControlSocket => ControlSocketOf(Path);

    public static string ControlSocketOf(string path) => System.IO.Path.Combine(path, "control.sock");

    /// <summary>Creates the folder if need be and takes it.</summary>
    /// <exception cref="DataFolderException">One sentence.</exception>
    public static DataFolder Take(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        try
        {
            const UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                | UnixFileMode.GroupRead | UnixFileMode.GroupExecute;
            Make(path, mode);
            var file = System.IO.Path.Combine(path, "lock");
            var isNew = !File.Exists(file);
            var taken = new DataFolder(path, new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
            if (isNew) LinuxFiles.GiveToOwnerOf(path, file); // the service's user must be able to take it after us
            return taken;
        }
        catch (IOException e) when (e.HResult == EAgain)
        {
            throw new DataFolderException(
                $"Another gateway runs on the data folder {path}: stop it first, or give this one its own --data.", true, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataFolderException($"The data folder {path} cannot be used: {e.Message}", false, e);
        }
    }

    public void Dispose() => _lock.Dispose();

    /// <summary>Until its parent is synced a new folder is gone after a power cut, with everything that was synced in it.</summary>
    private static void Make(string path, UnixFileMode mode)
    {
        if (Directory.Exists(System.IO.Path.Combine(path, "store"))) return; // a start that came further has synced it
        var parent = System.IO.Path.GetDirectoryName(path)!;
        if (!Directory.Exists(parent)) Make(parent, mode);
        Directory.CreateDirectory(path, mode);
        LinuxFiles.SyncFolder(parent);
    }
}

/// <param name="inUse">Another process holds it.</param>
public sealed class DataFolderException(string message, bool inUse, Exception inner) : Exception(message, inner)
{
    public bool InUse { get; } = inUse;
}
