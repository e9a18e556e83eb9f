using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Bench;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// kill -9 of the broker, a mosquitto, again and again under load on a channel, half of the time with the loss of all that it kept. While it is
/// away something changes that it will have to be told: another channel is paused or resumed. From outside: the channel under load loses,
/// repeats and reorders nothing, and neither of its ends is ever connected anew; within <see cref="RightWithin"/> of each return everything
/// retained says what the gateway's own status says, written after the return; and the gateway's memory stays flat.
/// </summary>
public sealed class BrokerLoop(int seed, TextWriter log)
{
    private const string Id = "c1", Idle = "idle", Root = "iobuffer/v1/gw-0017/";

    /// <summary>Away for two seconds at most, it is tried again with delays of up to 0.5, 1, 2, 4 and 8 s.</summary>
    private static readonly TimeSpan RightWithin = TimeSpan.FromSeconds(10);

    /// <summary>What the heap breathes by.</summary>
    private const double MemoryRiseMaxMb = 4;

    private static readonly string[] Watched =
        [Root + "availability", Root + "state", $"{Root}channel/{Id}/state", $"{Root}channel/{Idle}/state", Root + "config/reported"];

    private readonly Random _random = new(seed);
    private readonly Ledger _ledger = new();
    private readonly List<string> _failures = [];
    private readonly List<double> _secondsToRight = [];
    private readonly Trend _memoryMb = new();
    private readonly List<double> _rssMb = [];
    private int _forgotten;
    private bool _paused;

    public IReadOnlyList<string> Failures => _failures;

    /// <summary>Returns one line of figures.</summary>
    public string Run(int kills)
    {
        var watch = Stopwatch.StartNew();
        using var gateway = new GatewayProcess(Config.Gateway());
        using var broker = new Broker(gateway.Folder);
        using var receiver = new Receiver(_ledger);
        var client = new BrokerClient(broker.Port);
        receiver.Up();
        try
        {
            var sourcePort = FreePort.Tcp();
            var config = Config.Gateway(
                Config.Channel(Id, sourcePort, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}"""),
                Config.Channel(Idle, FreePort.Tcp(), FreePort.Tcp()));
            config["device"] = new JsonObject { ["id"] = "gw-0017" };
            config["mqtt"] = new JsonObject { ["host"] = "127.0.0.1", ["port"] = broker.Port };
            gateway.WriteConfig(config);
            gateway.Start();
            using var sender = new NumberedSender(_ledger, new SenderOptions { Kind = SenderKind.Bytes, Port = sourcePort, RatePerS = 1000 });
            WaitUntilRight(gateway, client, DateTimeOffset.MinValue);
            _secondsToRight.Clear();
            for (var kill = 1; kill <= kills && _failures.Count == 0; kill++)
            {
                RunCycle(gateway, broker, client);
                _memoryMb.Add(watch.Elapsed, ProcessFigures.OwnMemoryMb(gateway.Id));
                _rssMb.Add(ProcessFigures.RssMb(gateway.Id));
                if (kill % 10 == 0) log.WriteLine($"  {kill,4} kills: {Figures()}; {_ledger}");
            }

            Finish(gateway, client, sender, watch.Elapsed, kills);
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or InvalidDataException)
        {
            Fail($"{e.Message}\n{gateway.LastLines}\n{broker.LastLines}");
        }

        return string.Create(CultureInfo.InvariantCulture,
            $"{kills} kills of the broker, {_forgotten} with the loss of what it kept, in {watch.Elapsed.TotalSeconds:0} s; {Figures()}; {_ledger}");
    }

    private string Figures()
    {
        var seconds = _secondsToRight.Order().ToList();
        return seconds.Count == 0 || _rssMb.Count == 0 ? "no figures" : string.Create(CultureInfo.InvariantCulture,
            $"retained state right after {seconds[seconds.Count / 2]:0.0} s in the middle, {seconds[^1]:0.0} s at most; "
            + $"RSS {_rssMb[0]:0.0} MB first, {_rssMb[^1]:0.0} MB last, {_rssMb.Max():0.0} MB at most");
    }

    private void RunCycle(GatewayProcess gateway, Broker broker, BrokerClient client)
    {
        Thread.Sleep(1500 + _random.Next(1500)); // a mosquitto writes out what it keeps every second; the link counts what lasts for one as a connection
        broker.Kill(_random.Next(2) * _random.Next(300));
        _paused = !_paused;
        var (exitCode, _, error) = gateway.Command("channel", _paused ? "pause" : "resume", Idle, "--data", gateway.DataFolder);
        if (exitCode != 0) Fail($"the idle channel: {error}");
        Thread.Sleep(_random.Next(1500));
        var forgets = _random.Next(2) == 0;
        if (forgets) _forgotten++;
        var returned = DateTimeOffset.UtcNow;
        broker.Start(forgets);
        WaitUntilRight(gateway, client, returned);
        var next = _ledger.Sent + 1;
        Wait.Until(() => _ledger.HighestRead >= next, 10, "the load to go on", _ledger.ToString);
        foreach (var violation in _ledger.Violations) Fail(violation);
    }

    private void WaitUntilRight(GatewayProcess gateway, BrokerClient client, DateTimeOffset returned)
    {
        var watch = Stopwatch.StartNew();
        string? wrong;
        while ((wrong = Wrong(client.Retained(Watched, Watched.Length), gateway.Status(), returned)) is not null)
        {
            if (watch.Elapsed < RightWithin) continue;
            Fail($"{RightWithin.TotalSeconds} s after the broker's return, on it: {wrong}\n{gateway.LastLines}");
            return;
        }

        _secondsToRight.Add(watch.Elapsed.TotalSeconds);
    }

    /// <summary>What of the retained messages does not say what the status says; null: nothing.</summary>
    private string? Wrong(Dictionary<string, string> retained, JsonNode status, DateTimeOffset returned)
    {
        if (Watched.FirstOrDefault(topic => !retained.ContainsKey(topic)) is { } missing) return $"no {missing}";
        JsonNode Told(string topic) => JsonNode.Parse(retained[Root + topic])!;
        bool IsNew(JsonNode told) => told["at"]!.GetValue<DateTimeOffset>() >= returned;
        bool Says(JsonNode told, JsonNode truth, params string[] keys) => keys.All(key => JsonNode.DeepEquals(told[key], truth[key]));
        var (state, loaded, idle, reported) = (Told("state"), Told($"channel/{Id}/state"), Told($"channel/{Idle}/state"), Told("config/reported"));
        return retained[Root + "availability"] != "online" ? $"availability is {retained[Root + "availability"]}"
            : !IsNew(state) || !Says(state, status, "boot_id", "config_hash", "state", "version") ? $"state: {state.ToJsonString()}"
            : !IsNew(loaded) || !Says(loaded, ChannelLedger.Channel(status, Id), "state", "source", "delivery") ? $"{Id}: {loaded.ToJsonString()}"
            : !IsNew(idle) || !Says(idle, ChannelLedger.Channel(status, Idle), "state") ? $"{Idle}: {idle.ToJsonString()}"
            : !Says(reported, status["config"]!, "status", "hash", "last_good_hash") ? $"config/reported: {reported.ToJsonString()}"
            : (string?)idle["state"] != (_paused ? "paused" : "waiting") ? $"{Idle} is {idle["state"]}"
            : null;
    }

    private void Finish(GatewayProcess gateway, BrokerClient client, NumberedSender sender, TimeSpan elapsed, int kills)
    {
        if (_failures.Count > 0) return;
        if (client.Retained([$"{Root}alert/+"], 1).Count > 0) Fail("an alert stands, and nothing was wrong but the broker");
        var connects = gateway.Status()["mqtt"]!["connects"]!.GetValue<long>();
        if (connects != kills + 1) Fail($"{connects} connections with the broker after {kills} kills");
        sender.Finish(30);
        Wait.Until(() => _ledger.HighestRead >= _ledger.Sent && gateway.LedgerOf(Id).Buffered == 0, 30, "everything sent at the receiver", _ledger.ToString);
        foreach (var line in _ledger.Verdict()) Fail(line);
        if (!gateway.LedgerOf(Id).Balances) Fail($"rule 11: {gateway.LedgerOf(Id)}");
        if ((_ledger.Connections, sender.Attempts, _ledger.Repeats) != (1, 1, 0))
            Fail($"{sender.Attempts} connections of the sender, {_ledger.Connections} of the receiver, {_ledger.Repeats} repeats: 1, 1 and 0 would be right");
        var rise = _memoryMb.RiseAfter(elapsed / 4);
        if (kills >= 20 && rise > MemoryRiseMaxMb)
            Fail(string.Create(CultureInfo.InvariantCulture, $"its own memory rose by {rise:0.0} MB, at most {MemoryRiseMaxMb} is right"));
    }

    private void Fail(string what)
    {
        log.WriteLine($"  FAILED: {what}");
        _failures.Add($"seed {seed}: {what}");
    }
}
