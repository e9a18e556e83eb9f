using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Disk;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// A disk whose calls fail: ENOSPC and EIO on each kind of the store's files, once, a few times or until further notice, while the gateway
/// starts or under load, and then no more. While it lasts the process must stay (at a start it may give up with an exit code that says
/// so), and afterwards it must take messages again by itself. Kills and power cuts fall in between: what a sync that failed had covered
/// is not on the disk although it reads back. Nothing acknowledged may be lost, and nothing may have to be salvaged.
/// </summary>
public sealed class FaultLoop(int seed, string delivery, TextWriter log)
{
    private const string Id = "c1";
    private const int DrainEvery = 5;
    private const int MessageBytes = 2000, RatePerS = 2500;

    private static readonly (DiskCalls Calls, string Path)[] s_places =
    [
        (DiskCalls.Write, ".log"), (DiskCalls.Sync, ".log"), (DiskCalls.Create | DiskCalls.Names, ".log"),
        (DiskCalls.Write | DiskCalls.Sync, ".sst"), (DiskCalls.Create, ".sst"),
        (DiskCalls.Write | DiskCalls.Sync, "MANIFEST"), (DiskCalls.Create, "MANIFEST"),
        (DiskCalls.Create | DiskCalls.Write | DiskCalls.Sync | DiskCalls.Names, ".dbtmp"), (DiskCalls.Names, "/store/"),
        (DiskCalls.Create | DiskCalls.Write | DiskCalls.Sync, "high-water-mark"), (DiskCalls.Create | DiskCalls.Allocate, "store.ballast"),
        (DiskCalls.All & ~DiskCalls.Read, ""),
    ];

    private readonly Random _random = new(seed);
    private readonly Ledger _ledger = new();
    private readonly List<string> _failures = [];
    private int _faults;
    private int _kills;
    private int _startsRefused;
    private long _callsFailed;
    private string _lastFault = "none";

    public IReadOnlyList<string> Failures => _failures;

    /// <summary>Runs all cycles; returns one line of figures.</summary>
    public string Run(int cycles)
    {
        var watch = Stopwatch.StartNew();
        using var receiver = new Receiver(_ledger);
        var port = FreePort.Tcp();
        using var disk = new TestDisk();
        var channel = Config.Channel(
            Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}""", buffer: $$"""{"delivery":"{{delivery}}"}""");
        using var gateway = new GatewayProcess(Config.Gateway(channel), dataFolder: disk.DataFolder, environment: disk.Environment);
        using var sender = new NumberedSender(_ledger, new SenderOptions
        {
            Kind = SenderKind.Bytes, Port = port, MessageBytes = MessageBytes, RatePerS = RatePerS,
        });
        try
        {
            for (var cycle = 1; cycle <= cycles && _failures.Count == 0; cycle++)
            {
                RunCycle(disk, gateway, receiver);
                if (cycle % DrainEvery != 0 && cycle != cycles) continue;
                Drain(gateway, receiver);
                log.WriteLine($"  {cycle,4} cycles: {_ledger}");
                End(disk, gateway);
            }

            if (_failures.Count == 0) Finish(gateway, receiver, sender);
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or InvalidDataException)
        {
            Fail($"{e.Message}\n{gateway.LastLines}");
        }

        return string.Create(CultureInfo.InvariantCulture,
            $"{delivery}: {_faults} faults ({_callsFailed} calls failed, {_startsRefused} starts refused), {_kills} kills and " +
            $"{disk.Figures.Cuts} power cuts in {watch.Elapsed.TotalSeconds:0} s: {_ledger}");
    }

    private void RunCycle(TestDisk disk, GatewayProcess gateway, Receiver receiver)
    {
        if (_random.Next(2) == 0) receiver.Up();
        else receiver.Down(ConnectionEnd.Reset);

        var atStart = _random.Next(3) == 0;
        if (!atStart) gateway.Start();
        if (!atStart) WaitForTraffic(gateway, 50);
        SetFault(disk, atStart);
        if (atStart) gateway.Launch();
        Thread.Sleep(_random.Next(50, 1500));
        if (!gateway.HasExited && _random.Next(3) == 0) End(disk, gateway);
        _callsFailed += disk.Failed;
        disk.Heal();
        // A start that gives up may take its time for it.
        if (atStart)
        {
            Wait.Until(
                () => gateway.HasExited || gateway.TryStatus() is not null, 30, $"a start or its end after: {_lastFault}", () => gateway.LastLines);
        }

        if (gateway.HasExited)
        {
            JudgeExit(gateway, atStart);
            disk.EndLife();
            gateway.Start();
        }

        WaitForTraffic(gateway, 500);
        End(disk, gateway);
    }

    private void SetFault(TestDisk disk, bool atStart)
    {
        var (calls, path) = s_places[_random.Next(s_places.Length)];
        var error = _random.Next(2) == 0 ? TestDisk.EIO : TestDisk.ENOSPC;
        // The log is written all the time, the other files now and then.
        var skip = _random.Next(2) == 0 ? 0 : _random.Next(path is ".log" or "" ? 100 : 4);
        var times = _random.Next(3) switch { 0 => 1, 1 => _random.Next(2, 10), _ => long.MaxValue };
        _lastFault = $"{calls} on '{path}' {(error == TestDisk.EIO ? "EIO" : "ENOSPC")}, {skip} skipped, {times} times"
            + (atStart ? ", at the start" : "");
        disk.Fail(calls, error, path, skip, times);
        _faults++;
    }

    /// <summary>Messages are taken, which is what an acknowledgement says.</summary>
    private void WaitForTraffic(GatewayProcess gateway, int messages)
    {
        var target = _ledger.Acknowledged + messages;
        Wait.Until(() => gateway.HasExited || _ledger.Acknowledged >= target, 30, $"{messages} acknowledgements after: {_lastFault}",
            () => $"{_ledger}; {gateway.TryStatus()?["store"]?.ToJsonString()}");
        if (gateway.HasExited) throw new InvalidOperationException($"The gateway exited with {gateway.WaitForExit(1)} after: {_lastFault}");
    }

    /// <summary>A start that finds no store says so and gives up; nothing else ends the process.</summary>
    private void JudgeExit(GatewayProcess gateway, bool atStart)
    {
        var exitCode = gateway.WaitForExit(1);
        if (exitCode == 128 + 9) return; // by us
        _startsRefused++;
        if (!atStart || exitCode is not (69 or 74 or 75)) Fail($"exited with {exitCode} after: {_lastFault}\n{gateway.LastLines}");
    }

    private void End(TestDisk disk, GatewayProcess gateway)
    {
        gateway.Kill();
        _kills++;
        disk.EndLife();
        if (_random.Next(2) == 0) disk.Cut(_random);
    }

    private void Drain(GatewayProcess gateway, Receiver receiver)
    {
        receiver.Up();
        gateway.Start();
        var target = _ledger.Acknowledged;
        Wait.Until(() => _ledger.HighestRead >= target, 60, "the drain", _ledger.ToString);
        CheckStatus(gateway);
        foreach (var violation in _ledger.Violations) Fail(violation);
    }

    private void Finish(GatewayProcess gateway, Receiver receiver, NumberedSender sender)
    {
        receiver.Up();
        gateway.Start();
        sender.Finish(60);
        Wait.Until(() => gateway.LedgerOf(Id) is { Buffered: 0 } && _ledger.HighestRead >= _ledger.Sent, 60,
            "an empty buffer at the end", () => $"{_ledger}; {gateway.LedgerOf(Id)}");
        CheckStatus(gateway);
        if (gateway.Terminate() is var exitCode and not 0) Fail($"SIGTERM ended in exit code {exitCode}:\n{gateway.LastLines}");
        foreach (var line in _ledger.Verdict()) Fail(line);
    }

    private void CheckStatus(GatewayProcess gateway)
    {
        var status = gateway.Status();
        if (!ChannelLedger.Of(status, Id).Balances) Fail($"rule 11: {ChannelLedger.Of(status, Id)}");
        if (Directory.Exists(Path.Combine(gateway.DataFolder, "quarantine"))) Fail($"salvaged: {status["store"]!["salvage"]}\n{gateway.LastLines}");
        if (ChannelLedger.Channel(status, Id)["lost_ranges"] is JsonArray { Count: > 0 } lost) Fail($"lost: {lost.ToJsonString()}");
    }

    private void Fail(string what)
    {
        log.WriteLine($"  FAILED: {what}");
        _failures.Add($"{delivery}, seed {seed}, last fault {_lastFault}: {what}");
    }
}
