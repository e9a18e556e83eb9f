using System.Diagnostics;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>The part of the benchmark that is about the buffer: outages, many deletes, starts with a backlog, memory.</summary>
public sealed class BufferScenes(Samples samples, BenchOptions options)
{
    private const int SmallMessageBytes = 100;
    private const int MessageBytes = 1024;
    private const string RoomForAll = """{"max_bytes":4294967296}""";

    private long OutageMessages => (long)(options.RoundSeconds * 100_000);

    /// <summary>Fills while the destination is away, then lets it drain: what an outage costs in bytes, and how fast it is over.</summary>
    public void Outage()
    {
        var (source, sink) = (FreePort.Tcp(), FreePort.Tcp());
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", source, sink)));
        gateway.Start();
        var device = ProcessFigures.DeviceWrittenBytes(gateway.DataFolder);
        samples.Add("outage/fill_per_s", Fill(gateway, source, OutageMessages));
        samples.Add("outage/drain_per_s", Drain(gateway, sink, OutageMessages));
        var payload = (double)OutageMessages * MessageBytes;
        samples.Add("outage/written", ProcessFigures.WrittenBytes(gateway.Id) / payload);
        if (ProcessFigures.DeviceWrittenBytes(gateway.DataFolder) - device is { } bytes) samples.Add("outage/device", bytes / payload);
        samples.Show("outage");
    }

    /// <summary>Two like outages of one store, and between them one of many messages that are all written, delivered and deleted.</summary>
    public void Deletes()
    {
        var (source, sink) = (FreePort.Tcp(), FreePort.Tcp());
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", source, sink, buffer: RoomForAll)));
        gateway.Start();
        samples.Add("deletes/fresh_per_s", FillAndDrain(gateway, source, sink, OutageMessages));
        FillAndDrain(gateway, source, sink, options.DeletedMessages);
        samples.Add("deletes/later_per_s", FillAndDrain(gateway, source, sink, OutageMessages));
        samples.Show("deletes");
    }

    public void Idle()
    {
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel("c1", FreePort.Tcp(), FreePort.Tcp())));
        samples.Add("idle/start_ms", gateway.Start().TotalMilliseconds);
        Thread.Sleep(TimeSpan.FromSeconds(3));
        AddMemory("idle", gateway.Id);
        samples.Add("idle/binary_mb", new FileInfo(GatewayProcess.DefaultBinary).Length / 1e6);
        samples.Show("idle");
    }

    /// <summary>A start with small messages of 16 channels in the buffer.</summary>
    public void Backlog() => Restart("backlog", Bench.Channels, SmallMessageBytes, options.BacklogMessages);

    /// <summary>A start with about as many bytes in the buffer, as 1 KB messages of one channel.</summary>
    public void Reopen() => Restart("reopen", 1, MessageBytes, options.ReopenMessages);

    /// <summary>How fast a gateway that was killed with a backlog starts to forward, and what memory it needs until all is delivered.</summary>
    private void Restart(string name, int channels, int messageBytes, long messages)
    {
        var ports = Enumerable.Range(0, channels).Select(_ => (Source: FreePort.Tcp(), Sink: FreePort.Tcp())).ToArray();
        using var gateway = new GatewayProcess(
            Config.Gateway([.. ports.Select((port, i) => Config.Channel($"c{i}", port.Source, port.Sink, buffer: RoomForAll))]));
        gateway.Start();
        var each = messages / channels;
        Console.Error.WriteLine($"filling {messages:#,0} messages");
        foreach (var group in ports.Chunk(4))
            Parallel.ForEach(group, port => FastLoad.Fill(port.Source, messageBytes, 1, each));
        Wait.Until(() => Buffered(gateway, channels) >= each * channels, 120, "the whole backlog in the buffer");
        gateway.Kill();

        var sinks = ports.Select(port => new FastLoad(port.Sink, messageBytes)).ToArray();
        try
        {
            var watch = Stopwatch.StartNew();
            gateway.Launch();
            Wait.Until(() => sinks.Any(sink => sink.Received > 0), 60, "the first message after the start", () => gateway.LastLines);
            samples.Add($"{name}/start_ms", watch.Elapsed.TotalMilliseconds);
            while (sinks.Sum(sink => sink.Received) < each * channels)
            {
                AddMemory(name, gateway.Id);
                Thread.Sleep(100);
                if (watch.Elapsed.TotalSeconds > 300)
                    throw new TimeoutException($"Waited 300 s for the backlog to drain: {sinks.Sum(sink => sink.Received)} came.");
            }

            samples.Add($"{name}/drain_per_s", each * channels / watch.Elapsed.TotalSeconds);
            samples.Show($"{name}/");
        }
        finally
        {
            foreach (var sink in sinks)
                sink.Dispose();
        }
    }

    private static double FillAndDrain(GatewayProcess gateway, int source, int sink, long messages)
    {
        Fill(gateway, source, messages);
        return Drain(gateway, sink, messages);
    }

    /// <returns>Messages a second until the gateway's host had taken the last.</returns>
    private static double Fill(GatewayProcess gateway, int source, long messages)
    {
        var watch = Stopwatch.StartNew();
        FastLoad.Fill(source, MessageBytes, 1, messages);
        var perSecond = messages / watch.Elapsed.TotalSeconds;
        Wait.Until(() => gateway.LedgerOf("c1").Buffered >= messages, 60, $"{messages} messages in the buffer");
        return perSecond;
    }

    /// <returns>Messages a second from the first that came on; the buffer is empty then.</returns>
    private static double Drain(GatewayProcess gateway, int sink, long messages)
    {
        using var load = new FastLoad(sink, MessageBytes);
        Wait.Until(() => load.Received > 0, 60, "the first message of the drain");
        var (watch, first) = (Stopwatch.StartNew(), load.Received);
        Wait.Until(() => load.Received >= messages, 120, $"{messages} messages drained", () => $"{load.Received} came");
        var perSecond = (messages - first) / watch.Elapsed.TotalSeconds;
        Wait.Until(() => gateway.LedgerOf("c1").Buffered == 0, 60, "an empty buffer");
        return perSecond;
    }

    private static long Buffered(GatewayProcess gateway, int channels)
    {
        var status = gateway.Status();
        return Enumerable.Range(0, channels).Sum(i => ChannelLedger.Of(status, $"c{i}").Buffered);
    }

    private void AddMemory(string name, int processId)
    {
        samples.Add($"{name}/pss_mb", ProcessFigures.PssMb(processId));
        samples.Add($"{name}/rss_mb", ProcessFigures.RssMb(processId));
    }
}
