using System.Text;
using System.Text.Json;

namespace IoBufferEdge.Configuration;

/// <summary>
/// From bytes to a configuration: JSON syntax, then every key by its shape, then the <see cref="ConfigValidator"/>; all problems at once.
/// Also keeps two generations of a stored configuration, so that a power cut while one is written leaves the other.
/// </summary>
public static class ConfigFile
{
    /// <summary>A larger document is refused unread.</summary>
    public const int MaxBytes = 4 << 20;

    /// <summary>Reads and checks a file; relative names in it start at its folder.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be read.</exception>
    public static ConfigResult Load(string path)
    {
        var full = Path.GetFullPath(path);
        using var file = File.OpenHandle(full);
        if (RandomAccess.GetLength(file) > MaxBytes)
            return Refused("$", $"is larger than {MaxBytes} bytes: a configuration is a JSON document of a few kilobytes");
        return Parse(File.ReadAllBytes(full), Path.GetDirectoryName(full));
    }

    /// <param name="utf8">The document.</param>
    /// <param name="baseDirectory">Where relative file names in it start; null: the current folder.</param>
    public static ConfigResult Parse(ReadOnlySpan<byte> utf8, string? baseDirectory)
    {
        var problems = new ConfigProblems(baseDirectory ?? Directory.GetCurrentDirectory());
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

    private static ConfigResult Refused(string path, string message) => new(null, [new(ConfigSeverity.Error, path, message)]);
}
