using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>
/// Two gateways in a row, everything written at both, once with plain TCP between them and once with <c>remote_icombuffer</c>: what
/// exactly-once costs beside at-least-once.
/// </summary>
internal sealed class HopScenes(Samples samples, BenchOptions options)
{
    private const string Id = "c1";
    private const string Durable = """{"delivery":"durable_first"}""";

    public void Hops(bool tcpFirst, int bytes)
    {
        if (tcpFirst) Tcp(bytes);
        Remote(bytes);
        if (!tcpFirst) Tcp(bytes);
    }

    private void Tcp(int bytes)
    {
        var (sourcePort, between, sink) = (FreePort.Tcp(), FreePort.Tcp(), FreePort.Tcp());
        Measure(
            $"hop_tcp/{bytes}", bytes, sourcePort, sink,
            Config.Gateway(Config.Channel(Id, sourcePort, between, buffer: Durable)), Config.Gateway(Config.Channel(Id, between, sink, buffer: Durable)));
    }

    private void Remote(int bytes)
    {
        var (sourcePort, between, sink) = (FreePort.Tcp(), FreePort.Tcp(), FreePort.Tcp());
        var channel = Config.Channel(Id, sourcePort, sink);
        Measure(
            $"hop_remote/{bytes}", bytes, sourcePort, sink,
            ChainConfig.Gateway("near", 0, Id, channel["source"]!, ChainConfig.Destination(between, Id), Durable),
            ChainConfig.Gateway("far", between, Id, ChainConfig.Source(), channel["destination"]!));
    }

    private void Measure(string name, int bytes, int sourcePort, int sinkPort, JsonNode near, JsonNode far)
    {
        using var load = new FastLoad(sinkPort, bytes);
        using var second = new GatewayProcess(far);
        using var first = new GatewayProcess(near);
        second.Start();
        first.Start();
        load.Run(sourcePort, options.RoundSeconds / 4);
        var result = load.Run(sourcePort, options.RoundSeconds);
        samples.Add($"{name}/per_s", result.PerSecond);
        samples.Add($"{name}/pss_mb", Math.Max(ProcessFigures.PssMb(first.Id), ProcessFigures.PssMb(second.Id)));
        samples.Show(name);
    }
}
