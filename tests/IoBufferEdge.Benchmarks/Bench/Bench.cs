using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>
/// The benchmark: relay and gateway in interleaved rounds on the same machine, medians and spread; what it prints is one table with the
/// ratios that the design bounds. Generator, sink, relay and gateway share the machine's cores, so figures compare within one run only.
/// </summary>
public sealed class Bench(int rounds, double roundSeconds, bool backlog)
{
    private const int BacklogChannels = 16;
    private const int BacklogMessageBytes = 100;
    private static readonly (string Name, string Buffer)[] s_modes =
        [("cut_through", """{"delivery":"cut_through"}"""), ("durable_first", """{"delivery":"durable_first"}""")];

    private readonly Dictionary<string, List<double>> _samples = [];
    private readonly long _backlogMessages = backlog ? 10_000_000 : 200_000;

    public JsonObject Run()
    {
        var machine = ProcessFigures.Machine();
        Console.Error.WriteLine(machine);
        for (var round = 1; round <= rounds; round++)
        {
            Console.Error.WriteLine($"round {round} of {rounds}");
            foreach (var bytes in (int[])[100, 1024, 8192])
            {
                OnRelay(bytes, (load, relay) => Throughput($"relay/{bytes}", load, relay.Port, relay.Id));
                foreach (var (mode, buffer) in s_modes)
                    OnGateway(bytes, buffer, (load, gateway, port) => Throughput($"{mode}/{bytes}", load, port, gateway.Id));
            }

            OnRelay(1024, (load, relay) => Latency("relay", load, relay.Port));
            foreach (var (mode, buffer) in s_modes)
                OnGateway(1024, buffer, (load, _, port) => Latency(mode, load, port));
            Outage();
        }

        Idle();
        Backlog();
        return new BenchTable(_samples).Print(machine, rounds, _backlogMessages);
    }

    private void Throughput(string name, FastLoad load, int port, int processId)
    {
        load.Run(port, roundSeconds / 4);
        var (cpu, written) = (ProcessFigures.CpuSeconds(processId), ProcessFigures.WrittenBytes(processId));
        var result = load.Run(port, roundSeconds);
        Add($"{name}/per_s", result.PerSecond);
        Add($"{name}/cpu_us", (ProcessFigures.CpuSeconds(processId) - cpu) / result.Messages * 1e6);
        Add($"{name}/written", (ProcessFigures.WrittenBytes(processId) - written) / (double)(result.Messages * load.MessageBytes));
        Add($"{name}/repeats", result.Repeats);
        Add($"{name}/pss_mb", ProcessFigures.PssMb(processId));
        Show(name);
    }

    private void Latency(string name, FastLoad load, int port)
    {
        load.MeasureLatency(port, 200, 200);
        var sorted = load.MeasureLatency(port, (int)(roundSeconds * 600), 200).Order().ToArray();
        Add($"{name}/p50_ms", sorted[sorted.Length / 2]);
        Add($"{name}/p99_ms", sorted[sorted.Length * 99 / 100]);
        Add($"{name}/max_ms", sorted[^1]);
        Show(name + "/p");
    }

    /// <summary>Fills while the destination is away, then lets it drain: what an outage costs in bytes, and how fast it is over.</summary>
    private void Outage()
    {
        const int bytes = 1024;
        var messages = (long)(roundSeconds * 100_000);
        var sinkPort = FreePort.Tcp();
        var sourcePort = FreePort.Tcp();
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", sourcePort, sinkPort)));
        gateway.Start();
        var fill = Stopwatch.StartNew();
        FastLoad.Fill(sourcePort, bytes, 1, messages);
        Add("outage/fill_per_s", messages / fill.Elapsed.TotalSeconds);
        Wait.Until(() => gateway.LedgerOf("c1").Buffered >= messages, 60, $"{messages} messages in the buffer");
        using var load = new FastLoad(sinkPort, bytes);
        Wait.Until(() => load.Received > 0, 60, "the first message of the drain");
        var drain = Stopwatch.StartNew();
        var first = load.Received;
        Wait.Until(() => load.Received >= messages, 120, $"{messages} messages drained", () => $"{load.Received} came");
        Add("outage/drain_per_s", (messages - first) / drain.Elapsed.TotalSeconds);
        Add("outage/written", ProcessFigures.WrittenBytes(gateway.Id) / (double)(messages * bytes));
        Show("outage");
    }

    private void Idle()
    {
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", FreePort.Tcp(), FreePort.Tcp())));
        Add("idle/start_ms", gateway.Start().TotalMilliseconds);
        Thread.Sleep(TimeSpan.FromSeconds(3));
        Add("idle/pss_mb", ProcessFigures.PssMb(gateway.Id));
        Add("idle/binary_mb", new FileInfo(GatewayProcess.DefaultBinary).Length / 1e6);
        Show("idle");
    }

    /// <summary>16 channels with a backlog of 10 M small messages (1 GB) between them: how fast it starts to forward, what memory it
    /// needs.</summary>
    private void Backlog()
    {
        var ports = Enumerable.Range(0, BacklogChannels).Select(_ => (Source: FreePort.Tcp(), Sink: FreePort.Tcp())).ToArray();
        var channels = ports.Select((port, i) => Config.Channel($"c{i}", port.Source, port.Sink)).ToArray();
        using var gateway = new GatewayProcess(Config.Gateway(channels));
        gateway.Start();
        var each = _backlogMessages / BacklogChannels;
        Console.Error.WriteLine($"filling {_backlogMessages:#,0} messages");
        foreach (var group in ports.Chunk(4))
            Parallel.ForEach(group, port => FastLoad.Fill(port.Source, BacklogMessageBytes, 1, each));
        Wait.Until(() => Buffered(gateway) >= each * BacklogChannels, 120, "the whole backlog in the buffer");
        gateway.Kill();

        var sinks = ports.Select(port => new FastLoad(port.Sink, BacklogMessageBytes)).ToArray();
        try
        {
            var watch = Stopwatch.StartNew();
            gateway.Launch();
            Wait.Until(() => sinks.Any(sink => sink.Received > 0), 60, "the first message after the start", () => gateway.LastLines);
            Add("backlog/start_ms", watch.Elapsed.TotalMilliseconds);
            while (sinks.Sum(sink => sink.Received) < each * BacklogChannels)
            {
                Add("backlog/pss_mb", ProcessFigures.PssMb(gateway.Id));
                Thread.Sleep(100);
                if (watch.Elapsed.TotalSeconds > 300)
                    throw new TimeoutException($"Waited 300 s for the backlog to drain: {sinks.Sum(sink => sink.Received)} came.");
            }

            Add("backlog/drain_per_s", each * BacklogChannels / watch.Elapsed.TotalSeconds);
            Show("backlog/start");
        }
        finally
        {
            foreach (var sink in sinks)
                sink.Dispose();
        }
    }

    private static long Buffered(GatewayProcess gateway)
    {
        var status = gateway.Status();
        return Enumerable.Range(0, BacklogChannels).Sum(i => ChannelLedger.Of(status, $"c{i}").Buffered);
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

    private void Add(string name, double value)
    {
        if (!_samples.TryGetValue(name, out var list))
            _samples[name] = list = [];
        list.Add(value);
    }

    private void Show(string prefix) => Console.Error.WriteLine("  " + string.Join("  ", _samples
        .Where(sample => sample.Key.StartsWith(prefix, StringComparison.Ordinal))
        .Select(sample => string.Create(CultureInfo.InvariantCulture, $"{sample.Key} {sample.Value[^1]:#,0.###}"))));
}
