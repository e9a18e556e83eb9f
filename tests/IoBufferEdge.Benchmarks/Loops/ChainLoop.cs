using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// Three gateways in a row, plant, site and centre, under load from an acknowledging sender. While they are killed with -9 nobody listens
/// behind the last one, so that nothing but the remote hops moves messages; then somebody does, with nobody killed any more, and the
/// receiver must read every message once and in order: what the sender sent twice for want of an acknowledgement is two messages.
/// With disks that are wiped or put back to a copy, messages may be missing, but only while an alarm says so; the loop answers alarms as an
/// operator would, and none may be raised that no such event explains.
/// </summary>
public sealed class ChainLoop : IDisposable
{
    private const string Id = "c1";
    private const string Password = "chain loop's password";

    private readonly Random _random;
    private readonly TextWriter _log;
    private readonly bool _losesDisks;
    private readonly Ledger _ledger;
    private readonly Receiver _receiver;
    private readonly GatewayProcess[] _gateways;
    private readonly string?[] _backups = new string?[3];
    private readonly bool[] _forgot = new bool[3];
    private readonly List<string> _failures = [];
    private readonly List<string> _alarms = [];
    private readonly NumberedSender _sender;
    private int _kills;
    private int _restores;

    public ChainLoop(int seed, TextWriter log, bool losesDisks)
    {
        (_random, _log, _losesDisks) = (new Random(seed), log, losesDisks);
        _ledger = new Ledger { Strict = !losesDisks };
        _receiver = new Receiver(_ledger);
        var sourcePort = FreePort.Tcp();
        int[] listen = [0, FreePort.Tcp(), FreePort.Tcp()];
        _gateways = new GatewayProcess[3];
        try
        {
            _gateways[2] = new GatewayProcess(Config.Gateway());
            var secret = Path.Combine(_gateways[2].Folder, "password");
            File.WriteAllText(secret, Password + "\n");
            var hash = _gateways[2].CommandWithInput(Password + "\n", "passwd").Output.Trim().Split('\n')[^1];
            var upstream = Config.Channel(Id, 0, _receiver.Port)["destination"]!;
            _gateways[2].WriteConfig(ChainConfig.Gateway("centre", listen[2], Id, ChainConfig.Source(hash), upstream));
            _gateways[1] = new GatewayProcess(
                ChainConfig.Gateway("site", listen[1], Id, ChainConfig.Source(hash), ChainConfig.Destination(listen[2], Id, secret)));
            var device = Config.Channel(Id, sourcePort, 0, """{"ack":{"type":"bytes","ack_hex":"06","nak_hex":"15"}}""")["source"]!;
            _gateways[0] = new GatewayProcess(ChainConfig.Gateway("plant", 0, Id, device, ChainConfig.Destination(listen[1], Id, secret)));
            _sender = new NumberedSender(
                _ledger, new SenderOptions { Kind = SenderKind.Bytes, Port = sourcePort, MessageBytes = 200, RatePerS = 2000 });
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public IReadOnlyList<string> Failures => _failures;

    /// <summary>Kills a random one so many times; returns one line of figures.</summary>
    public string Run(int cycles)
    {
        var watch = Stopwatch.StartNew();
        try
        {
            foreach (var gateway in _gateways.Reverse()) gateway.Start();
            for (var cycle = 1; cycle <= cycles && _failures.Count == 0; cycle++)
            {
                RunCycle();
                if (cycle % 20 == 0) _log.WriteLine($"  {cycle,4} cycles: {_ledger}, {_alarms.Count} alarms");
            }

            Finish();
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or InvalidDataException)
        {
            Fail($"{e.Message}\n{string.Join("\n---\n", _gateways.Select(g => g.LastLines))}");
        }

        return string.Create(CultureInfo.InvariantCulture,
            $"{_kills} kills, {_restores} disks wiped or put back in {watch.Elapsed.TotalSeconds:0} s; {_ledger}; " +
            $"{_ledger.GatewayRepeats} came twice; {_alarms.Count} alarms{(_alarms.Count > 0 ? ": " + string.Join(", ", _alarms) : "")}");
    }

    public void Dispose()
    {
        _sender?.Dispose();
        _receiver.Dispose();
        foreach (var gateway in _gateways) gateway?.Dispose();
        foreach (var backup in _backups.OfType<string>()) Directory.Delete(backup, recursive: true);
    }

    private void RunCycle()
    {
        Thread.Sleep(_random.Next(20, 400));
        var index = _random.Next(3);
        var gateway = _gateways[index];
        if (gateway.HasExited) Fail($"{index}: the gateway exited by itself:\n{gateway.LastLines}");
        gateway.Kill();
        _kills++;
        if (_losesDisks) TreatDisk(index);
        gateway.Launch();
        if (_losesDisks) AnswerAlarms();
    }

    /// <summary>Takes a copy, puts one back, or wipes the disk, now and then.</summary>
    private void TreatDisk(int index)
    {
        var data = _gateways[index].DataFolder;
        switch (_random.Next(8))
        {
            case 0 or 1:
                if (_backups[index] is { } old) Directory.Delete(old, recursive: true);
                _backups[index] = WorkFolder.Create();
                Copy(data, _backups[index]!);
                return;
            case 2 when _backups[index] is { } backup:
                Directory.Delete(data, recursive: true);
                Copy(backup, data);
                break;
            case 3:
                Directory.Delete(data, recursive: true);
                break;
            default:
                return;
        }

        _restores++;
        _forgot[index] = true;
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var folder in Directory.GetDirectories(from, "*", SearchOption.AllDirectories)) Directory.CreateDirectory(folder.Replace(from, to));
        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
            if (!file.EndsWith(".sock", StringComparison.Ordinal)) File.Copy(file, file.Replace(from, to));
    }

    /// <summary>What an operator sees in the status, and does.</summary>
    private bool AnswerAlarms()
    {
        var any = false;
        for (var i = 0; i < 2; i++)
        {
            if (_gateways[i].TryStatus() is not { } status) continue;
            if (ChannelLedger.Channel(status, Id)["alerts"] is not JsonObject alerts) continue;
            foreach (var (code, sentence) in alerts)
            {
                var explained = code switch { "receiver_behind" => _forgot[i + 1], "restored" or "life_closed" => _forgot[i], _ => false };
                if (!explained) Fail($"gateway {i} raised {code}, and nothing explains it: {sentence}");
                if (!_alarms.Contains($"{i}:{code}")) _alarms.Add($"{i}:{code}");
                var choice = code == "life_closed" ? "--resend" : "--accept-loss";
                _gateways[i].Command("channel", "resume", Id, choice, "--data", _gateways[i].DataFolder);
                any = true;
            }
        }

        return any;
    }

    private void Finish()
    {
        if (_failures.Count > 0) return;
        _sender.Finish(120);
        Wait.Until(() => !(_losesDisks && AnswerAlarms()) && IsEmpty(0) && IsEmpty(1), 120, "the hops to drain", Describe);
        _receiver.Up();
        Wait.Until(() => IsEmpty(2), 120, "the last gateway to drain", Describe);
        foreach (var line in _ledger.Verdict().Where(_ => !_losesDisks)) Fail(line);
        if (!_losesDisks && _ledger.GatewayRepeats > 0) Fail($"{_ledger.GatewayRepeats} messages came twice");
        if (!_losesDisks && _alarms.Count > 0) Fail($"alarms: {string.Join(", ", _alarms)}");
        if (_ledger.Lost > 0 && _alarms.Count == 0) Fail($"{_ledger.Lost} messages are missing, and nobody said so");
    }

    private bool IsEmpty(int index) => _gateways[index].TryStatus() is { } status && ChannelLedger.Of(status, Id).Buffered == 0;

    private string Describe()
    {
        var channels = _gateways.Select(g => g.TryStatus() is { } status ? ChannelLedger.Channel(status, Id).ToJsonString() : "down");
        return $"{_ledger}; {string.Join("; ", channels)}";
    }

    private void Fail(string what)
    {
        _log.WriteLine($"  FAILED: {what}");
        _failures.Add(what);
    }
}
