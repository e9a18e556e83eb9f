using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// The published binary as a child process, with a folder of its own for configuration and data. The folder survives
/// <see cref="Kill"/> and <see cref="Start"/>; <see cref="Dispose"/> kills the process and removes it.
/// The binary is <c>IOBUFFER_BINARY</c>, or <c>artifacts/linux-x64/iobuffer</c> under the folder that holds IoBufferEdge.sln.
/// </summary>
public sealed class GatewayProcess : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Queue<string> _lines = new();
    private readonly string[] _runner;
    private readonly IReadOnlyDictionary<string, string> _environment;
    private Process? _process;

    /// <param name="config">The configuration file's content.</param>
    /// <param name="runner">Program and arguments before the binary's own, such as an emulator's; null: none.</param>
    /// <param name="binary">Null: <see cref="DefaultBinary"/>.</param>
    /// <param name="dataFolder">Null: a new folder, removed at the end.</param>
    /// <param name="environment">What <c>run</c>, and no other verb, finds in its environment beside what is there.</param>
    public GatewayProcess(
        JsonNode config, string[]? runner = null, string? binary = null, string? dataFolder = null,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        _environment = environment ?? new Dictionary<string, string>();
        _runner = [.. runner ?? [], binary ?? DefaultBinary];
        Folder = WorkFolder.Create();
        DataFolder = dataFolder ?? Path.Combine(Folder, "data");
        ConfigFile = Path.Combine(Folder, "config.json");
        WriteConfig(config);
    }

    public static string DefaultBinary =>
        Environment.GetEnvironmentVariable("IOBUFFER_BINARY") is { Length: > 0 } named
            ? Path.GetFullPath(named)
            : Path.Combine(RepositoryRoot, "artifacts", "linux-x64", "iobuffer");

    public static string RepositoryRoot
    {
        get
        {
            foreach (var start in (string[])[Environment.CurrentDirectory, AppContext.BaseDirectory])
            {
                for (var folder = start; folder is not null; folder = Path.GetDirectoryName(folder))
                {
                    if (File.Exists(Path.Combine(folder, "IoBufferEdge.sln")))
                        return folder;
                }
            }

            throw new DirectoryNotFoundException("No folder above the current one holds IoBufferEdge.sln: run this inside the repository.");
        }
    }

    public string Folder { get; }

    public string DataFolder { get; }

    public string ConfigFile { get; }

    public int Id => Running.Id;

    public bool HasExited => Running.HasExited;

    private Process Running => _process ?? throw new InvalidOperationException("The gateway was not started.");

    public void WriteConfig(JsonNode config) => File.WriteAllText(ConfigFile, config.ToJsonString(new() { WriteIndented = true }));

    /// <summary>Starts the process and returns when it answers <c>status</c>.</summary>
    public TimeSpan Start(double seconds = 30)
    {
        var watch = Stopwatch.StartNew();
        Launch();
        WaitUntilReady(watch, seconds);
        return watch.Elapsed;
    }

    /// <summary>Starts the process and returns at once.</summary>
    public void Launch()
    {
        if (!File.Exists(_runner[^1]))
            throw new FileNotFoundException($"{_runner[^1]} does not exist: run scripts/publish.sh first, or set IOBUFFER_BINARY.");
        _process?.Dispose();
        var info = StartInfo("run", "--config", ConfigFile, "--data", DataFolder);
        foreach (var (name, value) in _environment)
            info.Environment[name] = value;
        _process = Process.Start(info)!;
        _process.OutputDataReceived += Keep;
        _process.ErrorDataReceived += Keep;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public void Kill()
    {
        Running.Kill();
        WaitForExit(10);
    }

    public void Signal(int signal) => Libc.Kill(Running.Id, signal);

    public void Reload() => Signal(Libc.SigHup);

    /// <summary>SIGTERM; returns the exit code.</summary>
    public int Terminate(double seconds = 5)
    {
        Signal(Libc.SigTerm);
        return WaitForExit(seconds);
    }

    public int WaitForExit(double seconds)
    {
        if (!Running.WaitForExit(TimeSpan.FromSeconds(seconds)))
            throw new TimeoutException($"Waited {seconds} s for the gateway to exit. Its last lines:\n{LastLines}");
        return Running.ExitCode;
    }

    /// <summary>The newest 100 lines that the process wrote to its output and error streams.</summary>
    public string LastLines { get { lock (_lock) return string.Join('\n', _lines); } }

    /// <summary>Runs another verb of the binary: its exit code and what it wrote to both streams.</summary>
    public (int ExitCode, string Output, string Error) Command(params string[] arguments) => CommandWithInput("", arguments);

    /// <summary>The same, with something on its standard input.</summary>
    public (int ExitCode, string Output, string Error) CommandWithInput(string input, params string[] arguments)
    {
        var info = StartInfo(arguments);
        info.RedirectStandardInput = true;
        using var process = Process.Start(info)!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(60)))
        {
            process.Kill();
            throw new TimeoutException($"Waited 60 s for: iobuffer {string.Join(' ', arguments)}.");
        }

        return (process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>What <c>status --json</c> says; null while it does not answer.</summary>
    public JsonNode? TryStatus()
    {
        var (exitCode, output, _) = Command("status", "--json", "--data", DataFolder);
        return exitCode == 0 ? JsonNode.Parse(output) : null;
    }

    public JsonNode Status() =>
        TryStatus() ?? throw new InvalidOperationException($"'iobuffer status' does not answer. The gateway's last lines:\n{LastLines}");

    /// <summary>One channel's counters, as its status says them.</summary>
    public ChannelLedger LedgerOf(string channel) => ChannelLedger.Of(Status(), channel);

    public void Dispose()
    {
        if (_process is { HasExited: false })
        {
            _process.Kill();
            _process.WaitForExit(TimeSpan.FromSeconds(10));
        }

        _process?.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private void WaitUntilReady(Stopwatch watch, double seconds)
    {
        while (!File.Exists(Path.Combine(DataFolder, "control.sock")) || TryStatus() is null)
        {
            if (Running.HasExited)
                throw new InvalidOperationException($"The gateway exited with {Running.ExitCode} at its start:\n{LastLines}");
            if (watch.Elapsed.TotalSeconds > seconds)
                throw new TimeoutException($"Waited {seconds} s for the gateway to answer 'status'. Its last lines:\n{LastLines}");
            Thread.Sleep(10);
        }
    }

    private ProcessStartInfo StartInfo(params string[] arguments)
    {
        var info = new ProcessStartInfo(_runner[0], [.. _runner[1..], .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        info.Environment.Remove("NOTIFY_SOCKET");
        return info;
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        if (line.Data is null)
            return;
        lock (_lock)
        {
            _lines.Enqueue(line.Data);
            if (_lines.Count > 100)
                _lines.Dequeue();
        }
    }
}

/// <summary>The conservation ledger of one channel, as the gateway's status says it.</summary>
public readonly record struct ChannelLedger(long Received, long Delivered, long Buffered, long Parked, long Discarded, long Repeated)
{
    /// <summary>Rule 11.</summary>
    public bool Balances => Received == Delivered + Buffered + Parked + Discarded;

    public static ChannelLedger Of(JsonNode status, string channel)
    {
        var ledger = Channel(status, channel)["ledger"]!;
        long Value(string key) => ledger[key]!.GetValue<long>();
        return new(Value("received"), Value("delivered"), Value("buffered"), Value("parked"), Value("discarded"), Value("repeated"));
    }

    /// <summary>One channel's part of the status.</summary>
    public static JsonNode Channel(JsonNode status, string channel) =>
        status["channels"]!.AsArray().Single(one => one!["id"]!.GetValue<string>() == channel)!;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"received {Received} = delivered {Delivered} + buffered {Buffered} + parked {Parked} + discarded {Discarded}; " +
        $"repeated {Repeated}");
}

/// <summary>Configurations for tests and loops: JSON as an operator would write it.</summary>
public static class Config
{
    public static JsonObject Gateway(params JsonNode[] channels) => new()
    {
        ["schema_version"] = 1,
        ["channels"] = new JsonArray(channels),
    };

    /// <summary>Every argument but the ids is JSON text; <paramref name="source"/> and the others are merged over what the ports
    /// need.</summary>
    public static JsonObject Channel(
        string id, int sourcePort, int destinationPort, string source = "{}", string destination = "{}", string buffer = "{}",
        string type = "tcp")
    {
        var udp = type == "udp";
        return new JsonObject
        {
            ["id"] = id,
            ["source"] = Merge(Endpoint(udp ? "udp" : "tcp_server", sourcePort, udp ? null : "line"), source),
            ["buffer"] = JsonNode.Parse(buffer),
            ["destination"] = Merge(Retrying(Endpoint(udp ? "udp" : "tcp_client", destinationPort, null)), destination),
        };
    }

    private static JsonObject Endpoint(string type, int port, string? framing)
    {
        var endpoint = new JsonObject { ["type"] = type, ["host"] = "127.0.0.1", ["port"] = port };
        if (framing is not null)
            endpoint["framing"] = new JsonObject { ["type"] = framing };
        return endpoint;
    }

    private static JsonObject Retrying(JsonObject destination)
    {
        destination["retry"] = new JsonObject { ["initial_ms"] = 20, ["max_ms"] = 200 };
        return destination;
    }

    private static JsonObject Merge(JsonObject into, string json)
    {
        foreach (var (key, value) in JsonNode.Parse(json)!.AsObject())
            into[key] = value?.DeepClone();
        return into;
    }
}
