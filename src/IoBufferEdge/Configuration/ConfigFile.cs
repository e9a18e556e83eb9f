using System.Text;
using System.Text.Json;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Configuration;

/// <summary>
/// From bytes to a configuration: JSON syntax, then every key by its shape, then the <see cref="ConfigValidator"/>; all problems at once.
/// </summary>
public static class ConfigFile
{
    /// <summary>A larger document is refused unread.</summary>
    public const int MaxBytes = 4 << 20;

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
    public static ConfigResult Parse(ReadOnlySpan<byte> utf8, string? baseDirectory, SecretStore? secrets = null) =>
        Parse(utf8, baseDirectory, secrets, null);

    /// <param name="foreign">The rules for what came over the network; null: the document comes from who administers the device.</param>
    internal static ConfigResult Parse(ReadOnlySpan<byte> utf8, string? baseDirectory, SecretStore? secrets, ForeignRules? foreign)
    {
        var problems = new ConfigProblems(baseDirectory ?? Directory.GetCurrentDirectory(), secrets) { Foreign = foreign };
        var config = Read(utf8, problems);
        if (config is null) return new(null, problems.All);
        config = ConfigValidator.Validate(config, problems);
        return new(problems.AnyError ? null : config, problems.All) { Files = problems.Files };
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

    private static ConfigResult Refused(string path, string message) => new(null, [new(ConfigSeverity.Error, path, message)]);
}
