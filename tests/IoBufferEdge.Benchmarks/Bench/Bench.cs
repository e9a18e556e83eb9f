using System.Net.Sockets;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>What a run of the benchmark does.</summary>
public sealed record BenchOptions
{
    public int Rounds { get; init; } = 5;

    public double RoundSeconds { get; init; } = 2;

    /// <summary>Small messages that 16 channels hold between them when the gateway is started.</summary>
    public long BacklogMessages { get; init; } = 10_000_000;

    /// <summary>1 KB messages that one channel holds when the gateway is started: about as many bytes as the small ones.</summary>
    public long ReopenMessages => BacklogMessages / 10;

    /// <summary>Messages that were written, delivered and deleted before a store counts as used.</summary>
    public long DeletedMessages => Math.Min(BacklogMessages, 1_000_000);

    /// <summary>The parts to run: see <see cref="Bench.Parts"/>. Empty: all.</summary>
    public IReadOnlyList<string> Only { get; init; } = [];

    /// <summary>How busy the machine's processors were before the benchmark and its compilers began; null: nobody looked.</summary>
    public double? BusyPercent { get; init; }

    /// <summary>Short, for a first look: its figures are no measure for another run.</summary>
    public bool IsQuick { get; init; }

    /// <summary>Only a whole run replaces what the next one is compared with.</summary>
    public bool IsWhole => !IsQuick && Only.Count == 0;
}

/// <summary>
/// The benchmark: relay and gateway in interleaved rounds on the same machine, first the one and then the other, medians and spread; what it
/// prints is one table with the ratios that the design bounds. Generator, sink, relay and gateway share the machine's cores, so figures
/// compare within one run only.
/// </summary>
public sealed class Bench(BenchOptions options)
{
    public const int Channels = 16;

    public const int DatagramsPerSecond = 20_000;

    public static readonly IReadOnlyList<string> Parts =
        ["throughput", "channels", "paced", "latency", "udp", "hops", "outage", "deletes", "idle", "backlog", "reopen"];

    private static readonly (string Name, string Buffer)[] s_modes =
        [("cut_through", """{"delivery":"cut_through"}"""), ("durable_first", """{"delivery":"durable_first"}""")];

    private readonly Samples _samples = new();
    private readonly List<string> _failures = [];
    private int _round;

    public JsonObject Run(JsonNode? lastRun)
    {
        var machine = ProcessFigures.Machine(options.BusyPercent);
        Console.Error.WriteLine(machine);
        var buffers = new BufferScenes(_samples, options);
        var hops = new HopScenes(_samples, options);
        for (_round = 1; _round <= options.Rounds; _round++)
        {
            Console.Error.WriteLine($"round {_round} of {options.Rounds}");
            var relayFirst = _round % 2 == 1;
            Part("throughput", () =>
            {
                foreach (var bytes in (int[])[100, 1024, 8192])
                    InTurn(relayFirst, () => ThroughRelay(bytes), () => ThroughGateway(bytes));
            });
            Part("channels", () => InTurn(relayFirst, ThroughRelays, ThroughChannels));
            Part("paced", () =>
            {
                foreach (var bytes in (int[])[1024, 8192])
                    Paced(bytes);
            });
            Part("latency", () => InTurn(relayFirst, RelayLatency, GatewayLatency));
            Part("udp", Datagrams);
            Part("hops", () => hops.Hops(relayFirst, 1024));
            Part("outage", buffers.Outage);
            Part("deletes", buffers.Deletes);
        }

        Part("idle", buffers.Idle);
        Part("backlog", buffers.Backlog);
        Part("reopen", buffers.Reopen);
        return new BenchTable(_samples).Print(machine, options, lastRun, _failures);
    }

    /// <summary>What goes wrong in one part is told below the table and spoils no other: a run takes a quarter of an hour.</summary>
    private void Part(string name, Action measure)
    {
        if (options.Only.Count > 0 && !options.Only.Contains(name)) return;
        try
        {
            measure();
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or SocketException)
        {
            Console.Error.WriteLine($"  {name} failed: {e.Message}");
            _failures.Add($"{name}: {e.Message}");
        }
    }

    private static void InTurn(bool firstFirst, Action first, Action second)
    {
        (firstFirst ? first : second)();
        (firstFirst ? second : first)();
    }

    private void ThroughRelay(int bytes) =>
        OnRelay(bytes, (load, relay) => Throughput($"relay/{bytes}", load, relay.Port, relay.Id, WorkFolder.Root));

    private void ThroughGateway(int bytes)
    {
        foreach (var (mode, buffer) in s_modes)
            OnGateway(bytes, buffer, (load, gateway, port) => Throughput($"{mode}/{bytes}", load, port, gateway.Id, gateway.DataFolder));
    }

    /// <summary>
    /// durable_first at a third of what it took at full speed in this round: a healthy destination keeps up with that, so that what is
    /// written is written once.
    /// </summary>
    private void Paced(int bytes)
    {
        var (mode, buffer) = s_modes[1];
        var fullSpeed = $"{mode}/{bytes}/per_s";
        if (_samples.Count(fullSpeed) < _round)
            OnGateway(bytes, buffer, (load, gateway, port) => Throughput($"{mode}/{bytes}", load, port, gateway.Id, gateway.DataFolder));
        var perSecond = _samples.Of(fullSpeed)[^1] / 3;
        OnGateway(bytes, buffer, (load, gateway, port) =>
            Throughput($"paced/{bytes}", load, port, gateway.Id, gateway.DataFolder, perSecond));
    }

    private void RelayLatency() => OnRelay(1024, (load, relay) => Latency("relay", load, relay.Port));

    private void GatewayLatency()
    {
        foreach (var (mode, buffer) in s_modes)
            OnGateway(1024, buffer, (load, _, port) => Latency(mode, load, port));
    }

    private void Throughput(
        string name, FastLoad load, int port, int processId, string folder, double perSecond = double.PositiveInfinity)
    {
        load.Run(port, options.RoundSeconds / 4, perSecond);
        var (cpu, written) = (ProcessFigures.CpuSeconds(processId), ProcessFigures.WrittenBytes(processId));
        var device = ProcessFigures.DeviceWrittenBytes(folder);
        var result = load.Run(port, options.RoundSeconds, perSecond);
        var payload = (double)result.Messages * load.MessageBytes;
        _samples.Add($"{name}/per_s", result.PerSecond);
        _samples.Add($"{name}/cpu_us", (ProcessFigures.CpuSeconds(processId) - cpu) / result.Messages * 1e6);
        _samples.Add($"{name}/written", (ProcessFigures.WrittenBytes(processId) - written) / payload);
        if (ProcessFigures.DeviceWrittenBytes(folder) - device is { } bytes) _samples.Add($"{name}/device", bytes / payload);
        _samples.Add($"{name}/repeats", result.Repeats);
        _samples.Add($"{name}/pss_mb", ProcessFigures.PssMb(processId));
        _samples.Add($"{name}/rss_mb", ProcessFigures.RssMb(processId));
        _samples.Show(name);
    }

    /// <summary>1 KB messages through 16 channels of one gateway at once.</summary>
    private void ThroughChannels()
    {
        var ports = Enumerable.Range(0, Channels).Select(_ => (Source: FreePort.Tcp(), Sink: FreePort.Tcp())).ToArray();
        var loads = ports.Select(port => new FastLoad(port.Sink, 1024)).ToArray();
        using var gateway = new GatewayProcess(
            Config.Gateway([.. ports.Select((port, i) => Config.Channel($"c{i}", port.Source, port.Sink))]));
        gateway.Start();
        AllAtOnce("cut_through/16", loads, [.. ports.Select(port => port.Source)]);
    }

    /// <summary>The same through 16 bare relays.</summary>
    private void ThroughRelays()
    {
        var sinks = Enumerable.Range(0, Channels).Select(_ => FreePort.Tcp()).ToArray();
        var loads = sinks.Select(sink => new FastLoad(sink, 1024)).ToArray();
        var relays = sinks.Select(sink => new RelayProcess(sink)).ToArray();
        try
        {
            AllAtOnce("relay/16", loads, [.. relays.Select(relay => relay.Port)]);
        }
        finally
        {
            foreach (var relay in relays)
                relay.Dispose();
        }
    }

    private void AllAtOnce(string name, FastLoad[] loads, int[] ports)
    {
        try
        {
            RunAll(loads, ports, options.RoundSeconds / 4);
            var results = RunAll(loads, ports, options.RoundSeconds);
            _samples.Add($"{name}/per_s", results.Sum(result => result.Messages) / results.Max(result => result.Seconds));
            _samples.Show(name);
        }
        finally
        {
            foreach (var load in loads)
                load.Dispose();
        }
    }

    /// <summary>Each load on a thread of its own; what goes wrong on one is thrown when all have ended.</summary>
    private static LoadResult[] RunAll(FastLoad[] loads, int[] ports, double seconds)
    {
        var runs = loads.Select((load, i) => Task.Factory.StartNew(
            () => load.Run(ports[i], seconds), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        return Task.WhenAll(runs).GetAwaiter().GetResult();
    }

    private void Latency(string name, FastLoad load, int port)
    {
        load.MeasureLatency(port, 200, 200);
        var sorted = load.MeasureLatency(port, (int)(options.RoundSeconds * 600), 200).Order().ToArray();
        _samples.Add($"{name}/p50_ms", sorted[sorted.Length / 2]);
        _samples.Add($"{name}/p99_ms", sorted[sorted.Length * 99 / 100]);
        _samples.Add($"{name}/max_ms", sorted[^1]);
        _samples.Show(name + "/p");
    }

    /// <summary>1 KB datagrams at a rate that a device's network has: what comes out of the gateway again, and at which price.</summary>
    private void Datagrams()
    {
        var (source, sink) = (FreePort.Udp(), FreePort.Udp());
        using var load = new UdpLoad(sink, 1024);
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", source, sink, type: "udp")));
        gateway.Start();
        load.Run(source, options.RoundSeconds / 4, DatagramsPerSecond);
        var cpu = ProcessFigures.CpuSeconds(gateway.Id);
        var (sent, arrived) = load.Run(source, options.RoundSeconds, DatagramsPerSecond);
        _samples.Add("udp/arrived_percent", 100.0 * arrived / sent);
        _samples.Add("udp/cpu_us", (ProcessFigures.CpuSeconds(gateway.Id) - cpu) / sent * 1e6);
        _samples.Show("udp");
    }

    private static void OnRelay(int bytes, Action<FastLoad, RelayProcess> measure)
    {
        var sinkPort = FreePort.Tcp();
        using var load = new FastLoad(sinkPort, bytes);
        using var relay = new RelayProcess(sinkPort);
        measure(load, relay);
    }

    private static void OnGateway(int bytes, string buffer, Action<FastLoad, GatewayProcess, int> measure)
    {
        var sinkPort = FreePort.Tcp();
        var sourcePort = FreePort.Tcp();
        using var load = new FastLoad(sinkPort, bytes);
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", sourcePort, sinkPort, buffer: buffer)));
        gateway.Start();
        measure(load, gateway, sourcePort);
    }
}
