using IoBufferEdge.Secrets;

namespace IoBufferEdge.Configuration;

/// <summary>
/// <c>iobuffer check FILE</c>: every problem on a line of its own, then one line with the result. Also how <c>run</c> says why it does
/// not start.
/// </summary>
public static class ConfigCheck
{
    /// <summary>sysexits EX_IOERR: the file cannot be read.</summary>
    public const int ExitUnreadable = 74;

    /// <summary>sysexits EX_CONFIG: it can be read and is wrong.</summary>
    public const int ExitWrong = 78;

    /// <summary>Checks a file and says all that is to be said about it.</summary>
    /// <returns>The process's exit code: 0 also with warnings.</returns>
    public static int Run(string path, TextWriter output, SecretStore? secrets = null)
    {
        if (!TryLoad(path, output, secrets, out var result)) return ExitUnreadable;
        output.WriteLine(Summary(path, result));
        return result.Config is null ? ExitWrong : 0;
    }

    /// <summary>Loads a file and writes its problems, one line each; false: it cannot be read, which has been written too.</summary>
    public static bool TryLoad(string path, TextWriter output, SecretStore? secrets, out ConfigResult result)
    {
        result = new(null, []);
        try
        {
            result = ConfigFile.Load(path, secrets);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            output.WriteLine($"{path}: cannot be read: {Reason(path, error)}");
            return false;
        }

        foreach (var problem in result.Problems) output.WriteLine(problem);
        return true;
    }

    private static string Summary(string path, ConfigResult result)
    {
        var errors = result.Problems.Count(p => p.Severity == ConfigSeverity.Error);
        var warnings = Count(result.Problems.Count - errors, "warning");
        if (result.Config is not { } config) return $"{path}: {Count(errors, "error")}, {warnings}";
        var ok = $"{path}: ok, {Count(config.Channels.Count, "channel")}";
        return result.Problems.Count == 0 ? ok : $"{ok}, {warnings}";
    }

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    internal static string Reason(string path, Exception error) => error switch
    {
        FileNotFoundException or DirectoryNotFoundException => "there is no such file",
        UnauthorizedAccessException => Directory.Exists(path) ? "it is a folder" : "this user may not read it",
        ArgumentException => "this is not the name of a file",
        _ => error.Message.TrimEnd('.'),
    };
}
