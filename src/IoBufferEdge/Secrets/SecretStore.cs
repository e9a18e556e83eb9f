using System.Text;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Secrets;

/// <summary>A secret cannot be kept or read. One sentence; never its value.</summary>
public sealed class SecretException(string message, Exception? inner = null) : Exception(message, inner);

/// <param name="Bytes">Length of the value.</param>
/// <param name="ChangedAt">When it was set.</param>
/// <param name="IsCredential">Given by systemd, and not to be set here.</param>
public sealed record SecretEntry(string Name, long Bytes, DateTimeOffset ChangedAt, bool IsCredential);

/// <summary>
/// What configurations name instead of containing it: passwords and PEM files, one file each in <c>secrets/</c> of the data folder, and beside
/// them, read only, the credentials that systemd gives the service. A credential wins over a secret of its name, which then cannot be set:
/// what the machine's administrator gave, nobody replaces from afar. At most <see cref="MaxCount"/> secrets of <see cref="MaxBytes"/>.
/// Any thread; one process sets at a time, the one that holds the data folder.
/// </summary>
/// <param name="credentialsFolder">Null where systemd gives none.</param>
public sealed class SecretStore(string folder, string? credentialsFolder)
{
    /// <summary>A chain of certificates fits, and in base64 a line of the control socket.</summary>
    public const int MaxBytes = 10 * 1024;

    public const int MaxCount = 256;

    public const string NamePattern = "^[a-z0-9][a-z0-9_.-]{0,63}$";

    private readonly Lock _oneWriter = new();

    /// <summary>The secrets of a data folder, and this process's credentials.</summary>
    public static SecretStore Of(string dataPath) =>
        new(Path.Combine(Path.GetFullPath(dataPath), "secrets"), Environment.GetEnvironmentVariable("CREDENTIALS_DIRECTORY"));

    public string Folder => folder;

    /// <summary>Another number whenever a secret was set: nobody else sets one while this process holds the data folder.</summary>
    internal int Version { get; private set; }

    /// <summary>Whether it matches <see cref="NamePattern"/>: nothing else ever becomes part of a path.</summary>
    public static bool IsName(string? name) =>
        name is { Length: > 0 and <= 64 } && name[0] is not ('_' or '.' or '-')
        && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '_' or '.' or '-');

    /// <summary>Keeps a secret in place of the one of its name; it is on the medium when this returns.</summary>
    /// <exception cref="SecretException">It was not kept, and the former one is untouched.</exception>
    public void Set(string name, ReadOnlySpan<byte> value)
    {
        if (!IsName(name))
            throw new SecretException("A secret's name is 1 to 64 of the characters a-z, 0-9, _, . and -, beginning with a letter or digit.");
        if (value.IsEmpty) throw new SecretException($"The secret {name} is empty: give its value.");
        if (value.Length > MaxBytes) throw new SecretException($"The secret {name} has {value.Length} bytes; at most {MaxBytes} fit.");
        if (IsCredential(name))
            throw new SecretException($"The secret {name} is given to the service by systemd (LoadCredential) and is changed there.");
        lock (_oneWriter)
        {
            try
            {
                PrivateFile.MakeFolder(folder);
                if (!File.Exists(PathIn(folder, name)) && Directory.EnumerateFiles(folder).Select(Path.GetFileName).Count(IsName) >= MaxCount)
                    throw new SecretException($"There are {MaxCount} secrets already: the secret {name} was not kept.");
                PrivateFile.Write(PathIn(folder, name), value);
                Version++;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new SecretException($"The secret {name} cannot be kept: {e.Message}", e);
            }
        }
    }

    /// <summary>Where a secret lies or would lie, for what takes the name of a file.</summary>
    public string PathOf(string name) => PathIn(IsCredential(name) ? credentialsFolder! : folder, name);

    /// <summary>A secret's value; null: there is none of this name.</summary>
    /// <exception cref="SecretException">It is there and cannot be read.</exception>
    public byte[]? Read(string name)
    {
        if (!IsName(name)) return null;
        try
        {
            return PrivateFile.Read(PathOf(name), MaxBytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SecretException($"The secret {name} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>A secret's first line.</summary>
    /// <exception cref="SecretException">There is no such secret, it cannot be read, or its first line is empty.</exception>
    public string ReadPassword(string name)
    {
        var value = Read(name) ?? throw new SecretException($"The secret {name} is not there: set it with iobuffer secret set {name}.");
        var line = FirstLine(Encoding.UTF8.GetString(value));
        return line.Length > 0 ? line : throw new SecretException($"The first line of the secret {name} is empty: it should be the password.");
    }

    /// <summary>Whether a secret of this name is there; who may not look into the folder sees none.</summary>
    public bool Has(string name) => IsName(name) && File.Exists(PathOf(name));

    /// <summary>All of them by name, never their values.</summary>
    /// <exception cref="SecretException">The folder cannot be read.</exception>
    public IReadOnlyList<SecretEntry> List()
    {
        try
        {
            var credentials = Entries(credentialsFolder, isCredential: true);
            var own = Entries(folder, isCredential: false).Where(s => credentials.All(c => c.Name != s.Name));
            return [.. credentials.Concat(own).OrderBy(s => s.Name, StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SecretException($"The secrets in {folder} cannot be listed: {e.Message}", e);
        }
    }

    /// <summary>A copy in another folder, to try something on; credentials stay where they are.</summary>
    /// <exception cref="SecretException">One of them cannot be read or written.</exception>
    internal SecretStore CopyTo(string path)
    {
        var copy = new SecretStore(path, credentialsFolder);
        foreach (var secret in List().Where(s => !s.IsCredential)) copy.Set(secret.Name, Read(secret.Name));
        return copy;
    }

    /// <summary>Forgets all that were set here; credentials stay.</summary>
    /// <exception cref="SecretException">Some may still be there.</exception>
    public void Clear()
    {
        lock (_oneWriter)
        {
            try
            {
                if (!Directory.Exists(folder)) return;
                foreach (var file in Directory.EnumerateFiles(folder)) File.Delete(file);
                LinuxFiles.SyncFolder(folder);
                Version++;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new SecretException($"The secrets in {folder} cannot be removed: {e.Message}", e);
            }
        }
    }

    internal static string FirstLine(string text) => text.AsSpan().IndexOfAny('\r', '\n') is >= 0 and var end ? text[..end] : text;

    private bool IsCredential(string name) => credentialsFolder is not null && File.Exists(PathIn(credentialsFolder, name));

    private static string PathIn(string folder, string name) => Path.Combine(folder, name);

    private static List<SecretEntry> Entries(string? folder, bool isCredential) => folder is null || !Directory.Exists(folder)
        ? []
        : [.. new DirectoryInfo(folder).EnumerateFiles().Where(f => IsName(f.Name) && f.LinkTarget is null)
            .Select(f => new SecretEntry(f.Name, f.Length, new DateTimeOffset(f.LastWriteTimeUtc), isCredential))];
}
