using System.Text;
using System.Text.Json;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Configuration;

/// <summary>
/// From bytes to a configuration: JSON syntax, then every key by its shape, then the <see cref="ConfigValidator"/>; all problems at once.
/// Also keeps two generations of a stored configuration, so that a power cut while one is written leaves the other.
/// </summary>
public static class ConfigFile
{
    /// <summary>A larger document is refused unread.</summary>
    public const int MaxBytes = 4 << 20;

    private const string Present = "config.json", Previous = "config.previous.json", Draft = "config.json.new";

    /// <summary>Reads and checks a file; relative names in it start at its folder.</summary>
    /// <param name="path">The file.</param>
    /// <param name="secrets">Where the secrets lie that it names; null: whether they are there is not looked at.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be read.</exception>
    public static ConfigResult Load(string path, SecretStore? secrets = null)
    {
        var full = Path.GetFullPath(path);
        using var file = File.OpenHandle(full);
        if (RandomAccess.GetLength(file) > MaxBytes)
            return Refused("$", $"is larger than {MaxBytes} bytes: a configuration is a JSON document of a few kilobytes");
        return Parse(File.ReadAllBytes(full), Path.GetDirectoryName(full), secrets);
    }

    /// <param name="utf8">The document.</param>
    /// <param name="baseDirectory">Where relative file names in it start; null: the current folder.</param>
    /// <param name="secrets">Where the secrets lie that it names; null: whether they are there is not looked at.</param>
    public static ConfigResult Parse(ReadOnlySpan<byte> utf8, string? baseDirectory, SecretStore? secrets = null)
    {
        var problems = new ConfigProblems(baseDirectory ?? Directory.GetCurrentDirectory(), secrets);
        var config = Read(utf8, problems);
        if (config is null) return new(null, problems.All);
        config = ConfigValidator.Validate(config, problems);
        return new(problems.AnyError ? null : config, problems.All);
    }

    /// <summary>Reads without judging combinations; null: not JSON, or not an object.</summary>
    internal static GatewayConfig? Read(ReadOnlySpan<byte> utf8, ConfigProblems problems)
    {
        if (utf8.StartsWith(Encoding.UTF8.Preamble)) utf8 = utf8[Encoding.UTF8.Preamble.Length..];
        if (JsonSyntax.Check(utf8) is { } problem)
        {
            problems.Error(problem.Path, problem.Message);
            return null;
        }

        using var document = JsonDocument.Parse(utf8.ToArray());
        return GatewayKeys.Gateway.TryRead(document.RootElement, "$", problems, out var config) ? config : null;
    }

    /// <summary>
    /// Keeps a configuration in the data folder, and the one kept before as the previous generation. When it returns, both are on the
    /// medium; a power cut before that leaves the old one or the new one.
    /// </summary>
    /// <exception cref="IOException">The configuration kept before is still the one that counts.</exception>
    public static void Save(string folder, ReadOnlySpan<byte> utf8)
    {
        var (present, previous, draft) = (Path.Combine(folder, Present), Path.Combine(folder, Previous), Path.Combine(folder, Draft));
        File.Delete(draft);
        using (var file = new FileStream(draft, OwnersOnly()))
        {
            RandomAccess.Write(file.SafeFileHandle, utf8, 0);
            RandomAccess.FlushToDisk(file.SafeFileHandle);
        }

        if (ReadWhole(present) is not null) File.Move(present, previous, overwrite: true);
        File.Move(draft, present, overwrite: true);
        LinuxFiles.SyncFolder(folder);
    }

    /// <summary>The configuration kept last that is whole; null: none.</summary>
    /// <exception cref="IOException">One is there and cannot be read.</exception>
    public static byte[]? LoadStored(string folder) =>
        ReadWhole(Path.Combine(folder, Present)) ?? ReadWhole(Path.Combine(folder, Previous));

    /// <summary>A configuration may hold passwords.</summary>
    private static FileStreamOptions OwnersOnly()
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0 };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }

    /// <summary>Null where a power cut left nothing, zeros, or half a document.</summary>
    private static byte[]? ReadWhole(string path)
    {
        if (!File.Exists(path)) return null;
        var utf8 = File.ReadAllBytes(path);
        return JsonSyntax.Check(utf8) is null ? utf8 : null;
    }

    private static ConfigResult Refused(string path, string message) => new(null, [new(ConfigSeverity.Error, path, message)]);
}
