using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace IoBufferEdge.Tests.Daemon;

/// <summary>The executable as a process, as the build leaves it: exit codes, signals, what it says and serves.</summary>
public sealed partial class DaemonTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Beside this assembly's own place in the source tree, in the same configuration.</summary>
    internal static readonly string Binary = Path.Combine(
        AppContext.BaseDirectory.Replace("/tests/IoBufferEdge.Tests/", "/src/IoBufferEdge.Daemon/", StringComparison.Ordinal), "iobuffer");

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-daemon-").FullName;
    private readonly List<Process> _processes = [];

    private string Data => Path.Combine(_folder, "data");

    public void Dispose()
    {
        foreach (var process in _processes)
        {
            if (!process.HasExited) process.Kill();
            process.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Usage_is_64_and_says_where_help_is()
    {
        var (code, _, errors) = await RunAsync("nonsense");
        Assert.Equal(64, code);
        Assert.Contains("iobuffer --help", errors, StringComparison.Ordinal);
        Assert.Equal(64, (await RunAsync("channel", "pause")).Code);
    }

    [Fact]
    public async Task Version_names_itself() =>
        Assert.StartsWith("iobuffer 0.", (await RunAsync("version")).Output, StringComparison.Ordinal);

    [Fact]
    public async Task A_wrong_configuration_is_78_for_check_and_run()
    {
        var file = Write("wrong.json", """{"schema_version":1,"channels":[{"id":"A"}],"chanels":[]}""");
        var (code, output, _) = await RunAsync("check", file);
        Assert.Equal(78, code);
        Assert.Contains("chanels", output, StringComparison.Ordinal);

        var (runCode, _, errors) = await RunAsync("run", "--config", file, "--data", Data);
        Assert.Equal(78, runCode);
        Assert.Contains("chanels", errors, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Data));
    }

    [Fact]
    public async Task A_missing_configuration_and_an_unusable_data_folder_are_74()
    {
        Assert.Equal(74, (await RunAsync("check", Path.Combine(_folder, "none.json"))).Code);
        Assert.Equal(74, (await RunAsync("run", "--data", "/proc/none")).Code);
    }

    [Fact]
    public async Task Without_a_gateway_status_is_69()
    {
        var (code, _, errors) = await RunAsync("status", "--data", Data);
        Assert.Equal(69, code);
        Assert.Contains("there is no such socket", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_gateway_runs_reloads_and_stops()
    {
        var (sourcePort, metricsPort) = (FreePort(), FreePort());
        var file = WriteConfig(sourcePort, metricsPort, "first");
        var gateway = await StartAsync(file);

        Assert.Equal(75, (await RunAsync("run", "--config", file, "--data", Data)).Code);

        using (var sender = new TcpClient())
        {
            await sender.ConnectAsync(IPAddress.Loopback, sourcePort);
            await sender.GetStream().WriteAsync("one\ntwo\n"u8.ToArray());
            await UntilAsync(async () => await LedgerAsync("received") == 2);
        }

        Assert.Equal(2, await LedgerAsync("buffered"));
        using var http = new HttpClient();
        var metrics = await http.GetStringAsync(new Uri($"http://127.0.0.1:{metricsPort}/metrics"));
        Assert.Contains("iobuffer_received_messages_total{channel=\"lines\"} 2\n", metrics, StringComparison.Ordinal);
        Assert.Equal("ok\n", await http.GetStringAsync(new Uri($"http://127.0.0.1:{metricsPort}/healthz")));
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(new Uri($"http://127.0.0.1:{metricsPort}/"))).StatusCode);

        Assert.Equal(1, (await RunAsync("channel", "pause", "none", "--data", Data)).Code);
        Assert.Equal(0, (await RunAsync("channel", "pause", "lines", "--data", Data)).Code);
        await UntilAsync(async () => (await ChannelAsync()).GetProperty("state").GetString() == "paused");

        WriteConfig(sourcePort, metricsPort, "second");
        Signal(gateway, "HUP");
        await UntilAsync(async () => (await ChannelAsync()).GetProperty("name").GetString() == "second");
        File.WriteAllText(file, "{");
        var (refused, _, errors) = await RunAsync("reload", "--data", Data);
        Assert.Equal(1, refused);
        Assert.Contains("The former configuration goes on", errors, StringComparison.Ordinal);
        Assert.Equal("second", (await ChannelAsync()).GetProperty("name").GetString());

        Signal(gateway, "TERM");
        await gateway.WaitForExitAsync().WaitAsync(Patience);
        Assert.Equal(0, gateway.ExitCode);
    }

    [Fact]
    public async Task What_was_received_outlives_a_kill()
    {
        var sourcePort = FreePort();
        var file = WriteConfig(sourcePort, FreePort(), "first");
        var gateway = await StartAsync(file);
        using (var sender = new TcpClient())
        {
            await sender.ConnectAsync(IPAddress.Loopback, sourcePort);
            await sender.GetStream().WriteAsync("one\ntwo\n"u8.ToArray());
            await UntilAsync(async () => await LedgerAsync("received") == 2);
        }

        gateway.Kill();
        await gateway.WaitForExitAsync();
        await StartAsync(file);
        Assert.Equal(2, await LedgerAsync("buffered"));
    }

    /// <summary>The web server is there while a channel has a remote source, and what it has answered with 200 outlives a kill.</summary>
    [Fact]
    public async Task A_message_that_is_posted_is_kept_once()
    {
        var port = FreePort();
        string Config(string source) => Write("gateway.json", $$"""
            {
              "schema_version": 1, "device": { "id": "centre" }, "http": { "listen": "127.0.0.1:{{port}}" },
              "channels": [ { "id": "lines", "source": {{source}}, "destination": { "type": "tcp_client", "host": "127.0.0.1", "port": 9 } } ]
            }
            """);
        var file = Config("""{ "type": "remote_icombuffer" }""");
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}/v1/channels/lines/") };
        async Task<string> PostAsync()
        {
            using var content = new ByteArrayContent("hello"u8.ToArray());
            content.Headers.Add("Idempotency-Key", "order-17");
            using var response = await http.PostAsync("messages", content);
            return await response.Content.ReadAsStringAsync();
        }

        var gateway = await StartAsync(file);
        await FloodAsync(port);
        Assert.Equal("""{"receiver":"centre/lines","sequence":1,"repeated":false}""", await OnceTheFloodIsOverAsync(PostAsync));
        gateway.Kill();
        await gateway.WaitForExitAsync();
        gateway = await StartAsync(file);
        Assert.Equal("""{"receiver":"centre/lines","sequence":1,"repeated":true}""", await PostAsync());
        Assert.Equal((1, 1), (await LedgerAsync("received"), await LedgerAsync("buffered")));

        Config($$"""{ "type": "tcp_server", "host": "127.0.0.1", "port": {{FreePort()}} }""");
        Assert.Equal(0, (await RunAsync("reload", "--data", Data)).Code);
        await Assert.ThrowsAsync<HttpRequestException>(PostAsync);
        Signal(gateway, "TERM");
        await gateway.WaitForExitAsync().WaitAsync(Patience);
        Assert.Equal(0, gateway.ExitCode);
    }

    /// <summary>While all connections are taken, one more is closed at once; while all requests are, it is told so: the sender comes again.</summary>
    private static async Task<string> OnceTheFloodIsOverAsync(Func<Task<string>> postAsync)
    {
        var began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                var answer = await postAsync();
                if (!answer.Contains("\"busy\"", StringComparison.Ordinal)) return answer;
            }
            catch (HttpRequestException) when (TimeProvider.System.GetElapsedTime(began) < Patience)
            {
            }

            Assert.True(TimeProvider.System.GetElapsedTime(began) < Patience, "the channel stays busy");
            await Task.Delay(20);
        }
    }

    /// <summary>A hundred clients that each begin a body of 1 MB: more than the heap holds, if it held them.</summary>
    private static async Task FloodAsync(int port)
    {
        var head = Encoding.ASCII.GetBytes("POST /v1/channels/lines/messages HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Length: 1000000\r\n\r\n");
        var clients = Enumerable.Range(0, 100).Select(_ => new TcpClient("127.0.0.1", port)).ToList();
        foreach (var client in clients)
        {
            await client.GetStream().WriteAsync(head);
            client.Client.Blocking = false;
            client.Client.Send(new byte[900_000], SocketFlags.None, out _);
        }

        clients.ForEach(c => c.Dispose());
    }

    /// <summary>This machine has no such LEDs: an LED that is missing says whose it is.</summary>
    [Fact]
    public async Task A_reload_changes_the_boards_leds_and_one_that_is_refused_takes_the_formers_up_again()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var (sourcePort, metricsPort) = (FreePort(), FreePort());
        var gateway = await StartAsync(WriteConfig(sourcePort, metricsPort, "first", "revpi-connect"));

        WriteConfig(sourcePort, metricsPort, "second", "lab-uml");
        Signal(gateway, "HUP");
        await UntilSaidAsync(gateway, "The LED iobuf:green:stat can't be switched");

        WriteConfig(((IPEndPoint)taken.LocalEndpoint).Port, metricsPort, "third", "recomputer-r1000");
        Assert.Equal(1, (await RunAsync("reload", "--data", Data)).Code);
        await UntilSaidAsync(gateway, "The LED iobuf:green:stat can't be switched");
    }

    [Fact]
    public async Task A_store_is_verified_and_salvaged_while_no_gateway_runs()
    {
        Assert.Equal(74, (await RunAsync("store", "verify", "--data", Data)).Code);
        Assert.False(Directory.Exists(Data));
        var sourcePort = FreePort();
        var file = WriteConfig(sourcePort, FreePort(), "first");
        var gateway = await StartAsync(file);
        await SendTwoAsync(sourcePort);
        var (running, _, errors) = await RunAsync("store", "verify", "--data", Data);
        Assert.Equal(75, running);
        Assert.Contains("A gateway runs on", errors, StringComparison.Ordinal);
        gateway.Kill();
        await gateway.WaitForExitAsync();

        var (sound, output, _) = await RunAsync("store", "verify", "--data", Data);
        Assert.Equal((0, true), (sound, output.Contains("lines: 2 wait (8 B), 0 parked, 0 blocks damaged", StringComparison.Ordinal)));
        Assert.Contains("nothing to salvage", (await RunAsync("store", "salvage", "--yes", "--data", Data)).Output, StringComparison.Ordinal);

        File.Delete(Path.Combine(Data, "store", "CURRENT"));
        var (damaged, json, _) = await RunAsync("store", "verify", "--json", "--data", Data);
        Assert.Equal(1, damaged);
        using (var report = JsonDocument.Parse(json)) Assert.False(report.RootElement.GetProperty("is_sound").GetBoolean());
        Assert.Equal(64, (await RunAsync("store", "salvage", "--data", Data)).Code);
        var (salvaged, said, _) = await RunAsync("store", "salvage", "--yes", "--data", Data);
        Assert.Equal((0, true), (salvaged, said.Contains("the original lies in", StringComparison.Ordinal)));
        Assert.Equal(0, (await RunAsync("store", "verify", "--data", Data)).Code);
        await StartAsync(file);
        Assert.Equal(2, await LedgerAsync("buffered"));
    }

    private async Task SendTwoAsync(int port)
    {
        var before = await LedgerAsync("received");
        using var sender = new TcpClient();
        await sender.ConnectAsync(IPAddress.Loopback, port);
        await sender.GetStream().WriteAsync("one\ntwo\n"u8.ToArray());
        await UntilAsync(async () => await LedgerAsync("received") == before + 2);
    }

    private string Write(string name, string text)
    {
        var file = Path.Combine(_folder, name);
        File.WriteAllText(file, text);
        return file;
    }

    /// <summary>One channel of lines whose destination is away.</summary>
    private string WriteConfig(int sourcePort, int metricsPort, string name, string board = "x86-generic") => Write("gateway.json", $$"""
        {
          "schema_version": 1,
          "device": { "board": "{{board}}" },
          "http": { "metrics_listen": "127.0.0.1:{{metricsPort}}" },
          "channels": [
            {
              "id": "lines", "name": "{{name}}",
              "source": { "type": "tcp_server", "host": "127.0.0.1", "port": {{sourcePort}}, "framing": { "type": "line" } },
              "destination": { "type": "tcp_client", "host": "127.0.0.1", "port": 9 }
            }
          ]
        }
        """);

    /// <summary>Returns when the gateway says that it is ready.</summary>
    private async Task<Process> StartAsync(string config)
    {
        var process = Start("run", "--config", config, "--data", Data);
        await UntilSaidAsync(process, " info Ready: ");
        return process;
    }

    private static async Task UntilSaidAsync(Process process, string text)
    {
        var said = new StringBuilder();
        while (await process.StandardOutput.ReadLineAsync().WaitAsync(Patience) is { } line)
        {
            said.AppendLine(line);
            if (line.Contains(text, StringComparison.Ordinal)) return;
        }

        throw new InvalidOperationException($"The gateway ended before it said {text}:\n{said}");
    }

    private async Task<(int Code, string Output, string Errors)> RunAsync(params string[] arguments)
    {
        var process = Start(arguments);
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync().WaitAsync(Patience);
        return (process.ExitCode, await output, await errors);
    }

    private Process Start(params string[] arguments) => Start(arguments, null);

    private Process Start(string[] arguments, (string Name, string Value)? environment)
    {
        var info = new ProcessStartInfo(Binary, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (environment is { } set) info.Environment[set.Name] = set.Value;
        var process = Process.Start(info)!;
        _processes.Add(process);
        return process;
    }

    private async Task<JsonElement> ChannelAsync()
    {
        var (code, output, errors) = await RunAsync("status", "--json", "--data", Data);
        Assert.True(code == 0, errors);
        using var json = JsonDocument.Parse(output);
        return json.RootElement.GetProperty("channels")[0].Clone();
    }

    private async Task<long> LedgerAsync(string key) => (await ChannelAsync()).GetProperty("ledger").GetProperty(key).GetInt64();

    private static async Task UntilAsync(Func<Task<bool>> conditionAsync)
    {
        var since = Stopwatch.GetTimestamp();
        while (!await conditionAsync()) Assert.True(Stopwatch.GetElapsedTime(since) < Patience, "It did not come about in time.");
    }

    private static void Signal(Process process, string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
        kill.WaitForExit();
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
