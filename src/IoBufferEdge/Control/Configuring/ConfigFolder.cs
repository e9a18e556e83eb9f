using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Control.Configuring;

/// <summary>
/// The folder of kept configurations, step by step: what a file contains is safe from a power cut after <see cref="Sync"/>, its name after
/// <see cref="SyncFolder"/>. Its twin cuts the power after any of these steps. All of them throw <see cref="IOException"/> or
/// <see cref="UnauthorizedAccessException"/>.
/// </summary>
public interface IConfigFolder
{
    /// <summary>Null: there is no such file.</summary>
    byte[]? Read(string name);

    /// <summary>Makes a file anew, for its owner's eyes.</summary>
    void Write(string name, ReadOnlySpan<byte> content);

    void Sync(string name);

    void Rename(string from, string to);

    void SyncFolder();
}

/// <summary>The real one; made when something is first written. What root writes belongs to its owner, the service's user.</summary>
public sealed class ConfigFolder(string path) : IConfigFolder
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    public byte[]? Read(string name) => File.Exists(At(name)) ? File.ReadAllBytes(At(name)) : null;

    public void Write(string name, ReadOnlySpan<byte> content)
    {
        if (!Directory.Exists(path))
        {
            Directory.CreateDirectory(path, OwnerOnly | UnixFileMode.UserExecute);
            LinuxFiles.GiveToOwnerOf(Path.GetDirectoryName(path)!, path);
            LinuxFiles.SyncFolder(Path.GetDirectoryName(path)!);
        }

        File.Delete(At(name));
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0, UnixCreateMode = OwnerOnly };
        using (var file = new FileStream(At(name), options)) file.Write(content);
        LinuxFiles.GiveToOwnerOf(path, At(name));
    }

    public void Sync(string name)
    {
        using var file = File.OpenHandle(At(name), FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.FlushToDisk(file);
    }

    public void Rename(string from, string to) => File.Move(At(from), At(to), overwrite: true);

    public void SyncFolder() => LinuxFiles.SyncFolder(path);

    private string At(string name) => Path.Combine(path, name);
}
