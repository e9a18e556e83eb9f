using IoBufferEdge.Secrets;

namespace IoBufferEdge.Configuration;

/// <summary>An error keeps the configuration from being used; a warning says what may surprise.</summary>
public enum ConfigSeverity
{
    Error,
    Warning,
}

/// <summary>One thing that is wrong with a configuration, or that may surprise.</summary>
/// <param name="Severity">Whether it can be used all the same.</param>
/// <param name="Path">Where: <c>channels[0].source.port</c>; <c>line 3, column 14</c> where it is not JSON; <c>$</c>: all of it.</param>
/// <param name="Message">What is wrong and what would be right; the path is mostly its subject.</param>
public sealed record ConfigProblem(ConfigSeverity Severity, string Path, string Message)
{
    /// <summary>One line.</summary>
    public override string ToString() => $"{(Severity == ConfigSeverity.Error ? "error" : "warning")}: {Path}: {Message}";
}

/// <summary>What came of reading a configuration.</summary>
/// <param name="Config">Null when there is an error among the problems.</param>
/// <param name="Problems">All of them at once, in the order of the document's checks.</param>
public sealed record ConfigResult(GatewayConfig? Config, IReadOnlyList<ConfigProblem> Problems)
{
    /// <summary>The files that the document names, absolute, by the path where each stands.</summary>
    internal IReadOnlyDictionary<string, string> Files { get; init; } = new Dictionary<string, string>();
}

/// <summary>Gathers what is wrong while a document is read and then validated.</summary>
/// <param name="baseDirectory">Relative file names in the document start here.</param>
/// <param name="secrets">The secrets that the document may name; null: they are not looked at.</param>
internal sealed class ConfigProblems(string baseDirectory, SecretStore? secrets = null)
{
    private readonly List<ConfigProblem> _all = [];
    private readonly HashSet<string> _unreadable = new(StringComparer.Ordinal);
    private readonly HashSet<string> _given = new(StringComparer.Ordinal);

    private readonly Dictionary<string, string> _files = new(StringComparer.Ordinal);

    /// <summary>Set where the document came over the network: what stands in it then is bound by rules.</summary>
    public ForeignRules? Foreign { get; init; }

    public IReadOnlyList<ConfigProblem> All => _all;

    public IReadOnlyDictionary<string, string> Files => _files;

    public bool AnyError => _all.Exists(p => p.Severity == ConfigSeverity.Error);

    /// <summary>What the top-level <c>buffer</c> says for every channel; read before <c>channels</c>.</summary>
    public BufferConfig BufferDefaults { get; set; } = new();

    /// <summary>What the value at a path came over the network with this document.</summary>
    public bool IsForeign(string path) => Foreign?.Judges(path) == true;

    public string FullPath(string file) => Path.GetFullPath(file, baseDirectory);

    /// <summary>A secret that is missing may come later: what needs it tries again until then.</summary>
    public void CheckSecret(string? name, string at)
    {
        if (name is not null && secrets is not null && !secrets.Has(name))
            Warn(at, $"names the secret {Spelling.Quote(name)}, which is not in {secrets.Folder}: set it with iobuffer secret set");
    }

    /// <summary>Notes a file that the document names; false: it must not, and that is reported.</summary>
    public bool TakeFile(string path, string given, string full)
    {
        if (IsForeign(path) && Foreign!.WhyNotFile(given, full) is { } why) return Unreadable(path, why);
        _files[path] = full;
        return true;
    }

    public void MarkGiven(string path) => _given.Add(path);

    /// <summary>The key stands in the document, whatever its value.</summary>
    public bool IsGiven(string path) => _given.Contains(path);

    public void Error(string path, string message) => _all.Add(new(ConfigSeverity.Error, path, message));

    public void Warn(string path, string message)
    {
        var problem = new ConfigProblem(ConfigSeverity.Warning, path, message);
        if (!_all.Contains(problem)) _all.Add(problem);
    }

    /// <summary>An error that leaves the value at <paramref name="path"/> unknown: what would follow from it is not reported.</summary>
    public bool Unreadable(string path, string message)
    {
        Error(path, message);
        MarkUnreadable(path);
        return false;
    }

    public void MarkUnreadable(string path) => _unreadable.Add(path);

    /// <summary>Whether the values at, above and beneath <paramref name="path"/> were read.</summary>
    public bool IsReadable(string path) => !_unreadable.Any(bad => Contains(bad, path) || Contains(path, bad));

    private static bool Contains(string outer, string inner) =>
        inner.StartsWith(outer, StringComparison.Ordinal) && (inner.Length == outer.Length || inner[outer.Length] is '.' or '[');
}
