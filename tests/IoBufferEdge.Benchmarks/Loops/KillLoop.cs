using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Disk;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>What the destination does while the gateway is being killed.</summary>
public enum DestinationLife
{
    Up,
    Away,
    Flapping,
}

public sealed record KillLoopOptions
{
    public required int Cycles { get; init; }

    public required SenderKind Source { get; init; }

    /// <summary><c>cut_through</c> or <c>durable_first</c>.</summary>
    public required string Delivery { get; init; }

    public required int Seed { get; init; }

    public int MessageBytes { get; init; } = 200;

    public double RatePerS { get; init; } = 20_000;

    /// <summary>True: <see cref="Cycles"/> counts power cuts. Each follows one to three kills, so that logs of former lives are torn
    /// too.</summary>
    public bool PowerCuts { get; init; }
}

/// <summary>
/// kill -9 in a loop under load, on one data folder, with the ledger outside. Each cycle picks what the destination does, starts the
/// binary, lets it run for a random while (one time in ten it dies during its start) and kills it. Every tenth cycle everything must drain.
/// With an acknowledging source: nothing acknowledged is ever lost and rule 9 holds for every frame read. With plain TCP the loss of each
/// crash is measured and compared with its bound; there the destination only ends in good order, because what a destination had not read
/// when both it and the gateway die may be lost as well. With <see cref="KillLoopOptions.PowerCuts"/> the power fails too, after one to
/// three kills: of what none of those lives had synced a random part is gone. Rule 11 and the rise of the sequence are read from the
/// gateway's own status.
/// </summary>
public sealed class KillLoop(KillLoopOptions options, TextWriter log)
{
    private const string Id = "c1";
    private const int WindowBytes = 512 * 1024;
    private const int ResendBytes = 2 * 1024 * 1024;
    private const int OfflineDelayMs = 200;

    /// <summary>What a write and its sync may take on a machine that has other things to do: what comes meanwhile is not secured either.</summary>
    private const int SyncMsAtMost = 500;
    private const int DrainEvery = 10;
    private const int CursorLagMessages = 1024;

    /// <summary>
    /// hold_ms (1 s where the source has an ack), one second's deliveries that the cursor may lag, 0.2 s for its sync; the rest is margin
    /// for a machine that has other things to do.
    /// </summary>
    private static readonly TimeSpan OldAfter = TimeSpan.FromSeconds(1 + 1 + 0.2 + 2.8);

    /// <summary>The source's receive buffer as the kernel counts it (doubled), and the sender's send buffer the same way.</summary>
    private const int KernelBuffersBytes = 2 * 64 * 1024 + 2 * 16 * 1024;

    private readonly Random _random = new(options.Seed);
    private readonly Ledger _ledger = new() { Strict = options.Source != SenderKind.Plain, OldAfter = OldAfter };
    private readonly List<string> _failures = [];
    private long _lastSequence;
    private readonly List<long> _sentAtKills = [0];
    private readonly List<long> _lostPerCrash = [];
    private TestDisk? _disk;
    private int _kills;

    public IReadOnlyList<string> Failures => _failures;

    /// <summary>The messages that one crash may cost a plain TCP source: what is not secured for want of time, what comes while
    /// it is written, and what the kernels hold.</summary>
    public long LossBound => (long)(options.RatePerS * (OfflineDelayMs + SyncMsAtMost) / 1000) + KernelBuffersBytes / options.MessageBytes;

    /// <summary>
    /// The repeats that one connection may bring of what had been read longer ago than the hold and the cursor's lag explain:
    /// the window, and what rule 14 keeps.
    /// </summary>
    public long OldRepeatBound => (WindowBytes + ResendBytes) / options.MessageBytes + CursorLagMessages;

    private ConnectionEnd HardEnd => _ledger.Strict ? ConnectionEnd.Reset : ConnectionEnd.Orderly;

    /// <summary>Runs all cycles; returns one line of figures.</summary>
    public string Run()
    {
        var watch = Stopwatch.StartNew();
        var mllp = options.Source == SenderKind.Mllp;
        using var receiver = new Receiver(_ledger, new ReceiverOptions { Framing = mllp ? MessageFraming.Mllp : MessageFraming.Line });
        var sourcePort = FreePort.Tcp();
        var channel = Config.Channel(Id, sourcePort, receiver.Port, SourceJson(), buffer: $$"""{"delivery":"{{options.Delivery}}"}""");
        using var disk = options.PowerCuts ? new TestDisk() : null;
        _disk = disk;
        using var gateway = new GatewayProcess(Config.Gateway(channel), dataFolder: disk?.DataFolder, environment: disk?.Environment);
        using var sender = new NumberedSender(_ledger, new SenderOptions
        {
            Kind = options.Source, Port = sourcePort, MessageBytes = options.MessageBytes, RatePerS = options.RatePerS,
        });

        try
        {
            for (var cycle = 1; cycle <= options.Cycles && _failures.Count == 0; cycle++)
            {
                RunCycle(gateway, receiver);
                if (cycle % DrainEvery == 0 || cycle == options.Cycles)
                    Drain(gateway, receiver, cycle);
            }

            if (_failures.Count == 0)
                Finish(gateway, receiver, sender);
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or InvalidDataException)
        {
            Fail($"{e.Message}\n{gateway.LastLines}");
        }

        return Figures(watch.Elapsed);
    }

    private string Figures(TimeSpan elapsed)
    {
        var figures = string.Create(CultureInfo.InvariantCulture,
            $"{options.Source} {options.Delivery}: {_kills} kills{Cuts()} in {elapsed.TotalSeconds:0} s; {_ledger}; the gateway repeated " +
            $"{_ledger.GatewayRepeats}, at most {_ledger.MostOldRepeats} old ones in one connection (bound {OldRepeatBound})");
        return _ledger.Strict ? figures : string.Create(CultureInfo.InvariantCulture,
            $"{figures}; a crash cost {_lostPerCrash.Average():0} messages on average, {_lostPerCrash.Max()} at most (bound {LossBound})");
    }

    private string Cuts() => _disk?.Figures is { } figures
        ? string.Create(CultureInfo.InvariantCulture, $" and {figures.Cuts} power cuts ({figures.AtRisk} files and folders with something unsynced)")
        : "";

    private string SourceJson() => options.Source switch
    {
        SenderKind.Bytes => """{"ack":{"type":"bytes","ack_hex":"06","nak_hex":"15"}}""",
        SenderKind.Mllp => """{"framing":{"type":"mllp"},"ack":{"type":"mllp"}}""",
        _ => "{}",
    };

    private void RunCycle(GatewayProcess gateway, Receiver receiver)
    {
        for (var lives = _disk is null ? 1 : _random.Next(1, 4); lives > 0; lives--)
            RunLife(gateway, receiver);
        _disk?.Cut(_random);
    }

    private void RunLife(GatewayProcess gateway, Receiver receiver)
    {
        var life = (DestinationLife)_random.Next(3);
        if (life == DestinationLife.Away)
            receiver.Down(HardEnd);
        else
            receiver.Up();

        gateway.Launch();
        var dieEarly = _random.Next(10) == 0;
        if (!dieEarly)
            WaitForTraffic(gateway);
        var until = Stopwatch.StartNew();
        var runFor = TimeSpan.FromMilliseconds(dieEarly ? _random.Next(5, 80) : _random.Next(20, 500));
        while (until.Elapsed < runFor)
        {
            Thread.Sleep(_random.Next(5, 60));
            if (life == DestinationLife.Flapping)
                Flap(receiver);
        }

        if (!dieEarly && _random.Next(5) == 0)
            CheckStatus(gateway);
        Kill(gateway);
    }

    /// <summary>Until the sender's messages are being taken, so that the kill comes under load; a blocked source needs no wait.</summary>
    private void WaitForTraffic(GatewayProcess gateway)
    {
        var before = _ledger.Sent + _ledger.Acknowledged;
        Wait.Until(
            () => gateway.HasExited || _ledger.Sent + _ledger.Acknowledged > before, 60, "traffic after the start", _ledger.ToString);
    }

    private void Flap(Receiver receiver)
    {
        switch (_random.Next(4))
        {
            case 0:
                receiver.Break(HardEnd);
                break;
            case 1:
                receiver.Break(ConnectionEnd.Orderly);
                break;
            case 2:
                receiver.Down(HardEnd);
                break;
            default:
                receiver.Up();
                break;
        }
    }

    private void Drain(GatewayProcess gateway, Receiver receiver, int cycle)
    {
        receiver.Up();
        gateway.Start();
        // Under load the buffer never is empty: it is enough that everything sent before this moment has come out.
        var target = _ledger.Strict ? _ledger.Acknowledged : 0;
        Wait.Until(() => _ledger.HighestRead >= target, 60, "the drain", _ledger.ToString);
        CheckStatus(gateway);
        foreach (var violation in _ledger.Violations)
            Fail(violation);
        if (_ledger.MostOldRepeats > OldRepeatBound)
            Fail($"one connection repeated {_ledger.MostOldRepeats} messages read more than {OldAfter} before, the bound is {OldRepeatBound}");
        log.WriteLine($"  {cycle,4} cycles: {_ledger}");
        JudgeLoss();
        Kill(gateway);
    }

    private void Finish(GatewayProcess gateway, Receiver receiver, NumberedSender sender)
    {
        receiver.Up();
        gateway.Start();
        sender.Finish(60);
        Wait.Until(() => gateway.LedgerOf(Id) is { Buffered: 0 } && (!_ledger.Strict || _ledger.HighestRead >= _ledger.Sent), 60,
            "an empty buffer at the end", () => $"{_ledger}; {gateway.LedgerOf(Id)}");
        CheckStatus(gateway);
        var exitCode = gateway.Terminate();
        if (exitCode != 0)
            Fail($"SIGTERM ended in exit code {exitCode}:\n{gateway.LastLines}");
        foreach (var line in _ledger.Verdict())
            Fail(line);
        JudgeLoss();
    }

    private void CheckStatus(GatewayProcess gateway)
    {
        var status = gateway.Status();
        var ledger = ChannelLedger.Of(status, Id);
        if (!ledger.Balances)
            Fail($"rule 11: {ledger}");
        var last = ChannelLedger.Channel(status, Id)["last_sequence"]!.GetValue<long>();
        if (last < _lastSequence)
            Fail($"the sequence fell from {_lastSequence} to {last}: numbers are used twice");
        _lastSequence = last;
        // Neither a kill nor a power cut is damage: nothing durable is missing, and nothing had to be salvaged.
        if (Directory.Exists(Path.Combine(gateway.DataFolder, "quarantine")))
            Fail($"salvaged: {status["store"]!["salvage"]}\n{gateway.LastLines}");
        if (ChannelLedger.Channel(status, Id)["lost_ranges"] is JsonArray { Count: > 0 } lost)
            Fail($"lost: {lost.ToJsonString()}");
    }

    /// <summary>After a drain: what each crash since the last one cost, that is the numbers sent before it and never read.</summary>
    private void JudgeLoss()
    {
        var gaps = _ledger.Gaps;
        for (; _lostPerCrash.Count < _sentAtKills.Count - 1 && _sentAtKills[_lostPerCrash.Count + 1] < _ledger.HighestRead;)
        {
            var (from, to) = (_sentAtKills[_lostPerCrash.Count] + 1, _sentAtKills[_lostPerCrash.Count + 1]);
            var lost = gaps.Sum(gap => Math.Max(0, Math.Min(gap.Last, to) - Math.Max(gap.First, from) + 1));
            _lostPerCrash.Add(lost);
            if (lost > LossBound)
                Fail($"crash {_lostPerCrash.Count} cost {lost} messages, the bound is {LossBound}");
        }
    }

    private void Kill(GatewayProcess gateway)
    {
        if (gateway.HasExited)
            Fail($"the gateway exited by itself:\n{gateway.LastLines}");
        else
            gateway.Kill();
        _disk?.EndLife();
        _kills++;
        // By now the sender finds nobody to connect to: what it has written is what this life was offered.
        Wait.UntilQuiet(() => _ledger.Sent, 0.03, 2);
        _sentAtKills.Add(_ledger.Sent);
    }

    private void Fail(string what)
    {
        log.WriteLine($"  FAILED: {what}");
        _failures.Add($"{options.Source} {options.Delivery}, seed {options.Seed}: {what}");
    }
}
