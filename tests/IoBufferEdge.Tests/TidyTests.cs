using System.Diagnostics;
using System.Text.RegularExpressions;

namespace IoBufferEdge.Tests;

/// <summary>
/// The project's style as failing tests: what a reviewer would otherwise say again and again. They read the repository's text, so
/// they judge by patterns, not by syntax: where a pattern is wrong about a line, write the line differently. Words that the rules
/// forbid are put together from pieces here, so that this file keeps the rules too.
/// </summary>
public sealed partial class TidyTests
{
    private const int MaxColumns = 160;
    private const int MaxLines = 400;
    private const int MaxHotLines = 700;

    /// <summary>Files whose parts belong to one story and may take up to <see cref="MaxHotLines"/> lines. A list that shrinks.</summary>
    private static readonly string[] HotFiles =
    [
        "src/IoBufferEdge/Buffers/ChannelBuffer.cs",
        "src/IoBufferEdge/Buffers/RocksBufferStore.cs",
        "src/IoBufferEdge/Endpoints/Tcp/TcpDestinationLink.cs",
        "tests/IoBufferEdge.Simulation/SimulatedConnection.cs",
        "tests/IoBufferEdge.Simulation/SimulationRun.cs",
        "tests/IoBufferEdge.Tests/Endpoints/Tcp/TcpSourceContract.cs",
    ];

    private static readonly string[] TopLevel =
    [
        "src", "tests", "image", "scripts", "hardware", "IoBufferEdge.sln", "README.md", "LICENSE", "global.json",
        "Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props",
        ".ci", ".editorconfig", ".gitattributes", ".gitignore",
    ];

    private static readonly string[] TextEndings =
    [
        ".cs", ".csproj", ".props", ".targets", ".sln", ".sh", ".md", ".json", ".txt", ".py", ".service", ".dts",
        "run", ".editorconfig", ".gitignore", ".gitattributes",
    ];

    private static readonly string Root = Support.RepositoryRoot.Path;
    private static readonly List<TextFile> Files = [.. Walk(Root)];

    [Fact]
    public void Lines_fit_into_the_agreed_width() =>
        Expect(
            from file in Files
            where file.Extension is ".cs" or ".sh" or ".csproj" or ".props" or ".targets"
            from line in file.Numbered()
            where line.Text.Length > MaxColumns
            select $"{file.Path}:{line.Number} has {line.Text.Length} columns; at most {MaxColumns} fit.");

    [Fact]
    public void Files_stay_short()
    {
        Expect(
            from file in Files
            where file.Extension is ".cs" or ".sh" or ".py"
            let bound = HotFiles.Contains(file.Path) ? MaxHotLines : MaxLines
            where file.Lines.Length > bound
            select $"{file.Path} has {file.Lines.Length} lines; at most {bound} are agreed: give a part a file and a name of its own.");
    }

    [Fact]
    public void Nothing_is_left_half_done()
    {
        var leftOver = new Regex(@"\b(TO" + @"DO|FIX" + @"ME|HA" + @"CK|XX" + @"X)\b|NotImpl" + "ementedException");
        Expect(Matches(f => f.Extension is ".cs" or ".sh" or ".props" or ".csproj" or ".md", leftOver, "is half done", comments: true));
    }

    [Fact]
    public void Async_methods_return_something_to_await() =>
        Expect(Matches(file => file.Extension == ".cs", new Regex(@"\basync" + @"\s+void\b"), "loses its exceptions: return Task"));

    [Fact]
    public void The_product_keeps_its_callers_scheduler() =>
        Expect(Matches(
            file => file.IsUnder("src/IoBufferEdge/") && file.Extension == ".cs",
            new Regex(@"\.Configure" + @"Await\(false|\bTask\.Run\(|ThreadPool\."),
            "leaves the scheduler that the simulation runs everything on"));

    [Fact]
    public void Unsafe_code_and_native_calls_live_in_Interop()
    {
        Expect(Matches(
            file => file.IsUnder("src/") && !file.IsUnder("src/IoBufferEdge.Interop/") && file.Extension is (".cs" or ".csproj"),
            new Regex(@"\bunsafe\b|AllowUnsafe|\[Dll" + @"Import|\[Library" + "Import"),
            "belongs into IoBufferEdge.Interop"));
    }

    [Fact]
    public void Log_lines_are_methods_of_Log() =>
        Expect(Matches(
            file => file.IsUnder("src/") && file.Path != "src/IoBufferEdge/Log.cs",
            new Regex(@"\.Log(Trace|Debug|Information|Warning|Error|Critical)\(|\[LoggerMessage"),
            "belongs into Log.cs as a LoggerMessage method"));

    [Fact]
    public void Every_log_line_has_an_event_id_of_its_own()
    {
        var events = (
            from file in Files
            where file.IsUnder("src/")
            from Match message in LoggerMessage().Matches(file.Text)
            let id = EventId().Match(message.Groups["arguments"].Value).Groups["id"].Value
            select (file.Path, Declaration: message.Value, Id: id)).ToList();
        Expect(
        [
            .. events.Where(e => e.Id.Length == 0).Select(e => $"{e.Path}: {e.Declaration} has no event id."),
            .. from e in events where e.Id.Length > 0
               group e by e.Id into same where same.Count() > 1
               select $"Event id {same.Key} is used {same.Count()} times: {string.Join(" and ", same.Select(e => e.Declaration))}.",
        ]);
    }

    [Fact]
    public void Every_product_file_says_what_its_first_type_is_for()
    {
        Expect(
            from file in Files
            where file.IsUnder("src/") && file.Extension == ".cs"
            let first = Array.FindIndex(file.Lines, line => TypeDeclaration().IsMatch(line))
            where first >= 0
            let above = file.Lines.Take(first).Reverse().SkipWhile(line => line.StartsWith('[') || line.StartsWith(' '))
            where above.FirstOrDefault() is not { } line || !line.StartsWith("///", StringComparison.Ordinal)
            select $"{file.Path}:{first + 1}: '{file.Lines[first]}' has no doc comment.");
    }

    [Fact]
    public void Every_package_version_gives_its_reason()
    {
        var file = Files.Single(f => f.Path == "Directory.Packages.props");
        Expect(
            from line in file.Numbered()
            where line.Text.Contains("<PackageVersion ", StringComparison.Ordinal)
            where !file.Lines[line.Number - 2].TrimEnd().EndsWith("-->", StringComparison.Ordinal)
            select $"{file.Path}:{line.Number}: the line above does not say why: {line.Text.Trim()}");
    }

    [Fact]
    public void Package_versions_are_central_and_locked() =>
        Expect(
            from project in Files
            where project.Extension == ".csproj"
            from problem in ProblemsOf(project)
            select $"{project.Path}: {problem}");

    [Fact]
    public void No_path_of_somebodys_machine_is_named()
    {
        var path = new Regex("/wo" + @"rk/|/fa" + @"rm/|/tmp/bash" + "_jobs|/home/[a-z]+/|/ro" + "ot/");
        Expect(Matches(_ => true, path, "is a path of somebody's machine", comments: true));
    }

    [Fact]
    public void The_top_level_is_as_agreed() =>
        Expect(
            from file in Files
            let top = file.Path.Split('/')[0]
            where !TopLevel.Contains(top)
            group top by top into entry
            select $"'{entry.Key}' is not part of the agreed top level: {string.Join(", ", TopLevel)}.");

    [Fact]
    public void Scripts_start_strict_and_share_lib() =>
        Expect(
            from script in Files
            where IsScript(script) && script.Path != "scripts/lib.sh"
            from problem in ScriptProblems(script)
            select $"{script.Path} {problem}");

    [Fact]
    public void Shellcheck_finds_nothing_in_the_scripts()
    {
        Assert.SkipUnless(IsInstalled("shellcheck"), "shellcheck is not installed; scripts/test.sh installs it.");
        var start = new ProcessStartInfo("shellcheck") { WorkingDirectory = Root, RedirectStandardOutput = true, ArgumentList = { "-x" } };
        foreach (var script in Files.Where(IsScript))
        {
            start.ArgumentList.Add(script.Path);
        }

        using var shellcheck = Process.Start(start)!;
        var findings = shellcheck.StandardOutput.ReadToEnd();
        shellcheck.WaitForExit();
        Assert.True(shellcheck.ExitCode == 0, findings);
    }

    [Fact]
    public void The_readme_names_every_script()
    {
        var readme = Files.Single(file => file.Path == "README.md").Text;
        Expect(
            from script in Files
            where IsScript(script) && script.IsUnder("scripts/") && script.Path != "scripts/lib.sh"
            where !readme.Contains(script.Path, StringComparison.Ordinal)
            select $"README.md does not name {script.Path}.");
    }

    /// <summary>What the pattern matches; lines that are nothing but a comment count only where <paramref name="comments"/> says
    /// so.</summary>
    private static IEnumerable<string> Matches(Func<TextFile, bool> files, Regex pattern, string why, bool comments = false) =>
        from file in Files.Where(files)
        from line in file.Numbered()
        where comments || !line.Text.TrimStart().StartsWith("//", StringComparison.Ordinal)
        where pattern.IsMatch(line.Text)
        select $"{file.Path}:{line.Number}: '{line.Text.Trim()}' {why}.";

    private static IEnumerable<string> ProblemsOf(TextFile project)
    {
        if (Regex.IsMatch(project.Text, "<PackageReference [^>]*Version="))
        {
            yield return "a version belongs into Directory.Packages.props.";
        }

        if (!File.Exists(Path.Combine(Root, Path.GetDirectoryName(project.Path)!, "packages.lock.json")))
        {
            yield return "packages.lock.json is missing: run 'dotnet restore' and commit it.";
        }

        if (!Files.Single(file => file.Path == "IoBufferEdge.sln").Text.Contains(Path.GetFileName(project.Path), StringComparison.Ordinal))
        {
            yield return "is not in IoBufferEdge.sln.";
        }
    }

    private static IEnumerable<string> ScriptProblems(TextFile script)
    {
        // What other scripts source says so in its head comment, and is not run by itself.
        var isSourced = script.Lines.Take(4).Any(line => line.StartsWith('#') && line.Contains("Sourced", StringComparison.Ordinal));
        if (!isSourced && !OperatingSystem.IsWindows() && (File.GetUnixFileMode(Path.Combine(Root, script.Path)) & UnixFileMode.UserExecute) == 0)
        {
            yield return "is not executable.";
        }

        if (script.Lines[0] != "#!/usr/bin/env bash")
        {
            yield return "does not start with '#!/usr/bin/env bash'.";
        }

        if (!script.Lines.Contains("set -euo pipefail"))
        {
            yield return "does not say 'set -euo pipefail'.";
        }

        if (script.IsUnder("scripts/") && !script.Text.Contains("/lib.sh\"", StringComparison.Ordinal))
        {
            yield return "does not source scripts/lib.sh.";
        }
    }

    private static bool IsScript(TextFile file) => file.Extension == ".sh" || file.Path == ".ci/run";

    private static bool IsInstalled(string tool) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, tool)));

    private static void Expect(IEnumerable<string> violations)
    {
        var found = violations.ToList();
        Assert.True(found.Count == 0, string.Join('\n', found));
    }

    private static IEnumerable<TextFile> Walk(string folder)
    {
        foreach (var entry in new DirectoryInfo(folder).EnumerateFileSystemInfos())
        {
            var path = Path.GetRelativePath(Root, entry.FullName).Replace('\\', '/');
            if (entry is DirectoryInfo)
            {
                if (!IsOutput(entry.Name, path))
                {
                    foreach (var file in Walk(entry.FullName))
                    {
                        yield return file;
                    }
                }
            }
            else if (entry.Name != ".git" && !entry.Name.EndsWith(".user", StringComparison.Ordinal))
            {
                yield return new TextFile(path, IsText(entry.Name) ? File.ReadAllText(entry.FullName) : "");
            }
        }
    }

    private static bool IsOutput(string name, string path) =>
        name is "bin" or "obj" or "TestResults" or ".git" or ".vs" or ".vscode" or ".idea" || path is "artifacts" or "data";

    private static bool IsText(string name) =>
        name != "packages.lock.json" && TextEndings.Any(end => name.EndsWith(end, StringComparison.Ordinal));

    [GeneratedRegex(@"\[LoggerMessage\((?<arguments>[^\]]*)\)\]")]
    private static partial Regex LoggerMessage();

    [GeneratedRegex(@"EventId\s*=\s*(?<id>\d+)|^\s*(?<id>\d+)\s*,")]
    private static partial Regex EventId();

    [GeneratedRegex(@"^((public|internal|file|static|sealed|abstract|partial|readonly|ref)\s+)*(class|struct|record|interface)\s")]
    private static partial Regex TypeDeclaration();

    /// <summary>One file of the repository; Path is relative with '/', Text is empty for what is not text.</summary>
    private sealed record TextFile(string Path, string Text)
    {
        public string[] Lines { get; } = Text.TrimEnd('\n').Split('\n');

        public string Extension => System.IO.Path.GetExtension(Path);

        public bool IsUnder(string folder) => Path.StartsWith(folder, StringComparison.Ordinal);

        public IEnumerable<(int Number, string Text)> Numbered() => Lines.Select((text, index) => (index + 1, text));
    }
}
