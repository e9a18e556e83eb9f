using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Simulation.Chain;

/// <param name="Violation">The checker's sentence; null: all is well.</param>
/// <param name="Alarms">How often an operator had to choose.</param>
/// <param name="Excused">Messages that went with a disk, each under an alarm.</param>
public sealed record ChainOutcome(string? Violation, ulong TraceHash, long Steps, int Secured, int Arrived, int Alarms, int Excused, Trace Trace);

/// <summary>
/// Rule 12 on real gateways: two or three of them in a row over a network that loses, doubles, delays and damages, while they are killed, lose
/// power, stop, run full, are wiped and put back to backups. Then the faults end and everything must arrive: once, in order. What a wipe or
/// a restore takes may be missing, but only under an alarm; and no alarm stands that nothing had caused.
/// </summary>
public sealed class ChainRun
{
    private static readonly TimeSpan DrainMax = TimeSpan.FromMinutes(20);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(250);

    private readonly ChainScenario _scenario;
    private readonly Scheduler _scheduler;
    private readonly Random _random;
    private readonly ChainLedger _ledger;
    private readonly List<ChainNode> _nodes = [];
    private readonly List<RemoteWeather> _weather = [];
    private readonly HashSet<(int Node, string Code)> _answering = [];
    private readonly HashSet<(int Node, string Code)> _seen = [];
    private readonly HashSet<(int Node, string Code)> _expected = [];
    private bool _faultsOn = true;
    private int _alarms;

    private ChainRun(ChainScenario scenario, Action<string>? listener)
    {
        _scenario = scenario;
        _scheduler = new Scheduler(scenario.Seed);
        _scheduler.Trace.Listener = listener;
        _random = _scheduler.Derive("chain");
        _ledger = new ChainLedger(_scheduler);
        var chain = new ChainConfig(
            scenario.Nodes, scenario.MessageBytesMax, _ledger, () => _faultsOn, () => _faultsOn ? scenario.BreakRate : 0, index => _weather[index],
            index => _nodes[index] is { Process: { } process, Hub: { } hub } ? (process, hub) : null);
        for (var i = 0; i < scenario.Nodes; i++)
        {
            _nodes.Add(new ChainNode(_scheduler, i, chain));
            _weather.Add(new RemoteWeather
            {
                RequestLoss = scenario.Loss, AnswerLoss = scenario.Loss, Duplicates = scenario.Duplicates, Damage = scenario.Damage,
                LatencyMaxMs = scenario.LatencyMaxMs,
            });
        }
    }

    public static ChainOutcome Run(ChainScenario scenario, Action<string>? listener = null) =>
        CollectedMemory.Run(() => new ChainRun(scenario, listener).Run());

    private ChainOutcome Run()
    {
        _nodes.ForEach(node => node.Start());
        foreach (var fault in _scenario.Events) _scheduler.At(fault.At.Ticks, () => Begin(fault));
        _scheduler.After(LookEvery, Look);
        _scheduler.RunUntil(() => false, ChainScenario.Duration);
        EndFaults();
        if (!_scheduler.RunUntil(IsDrained, DrainMax))
            _scheduler.Violate($"Not drained {DrainMax.TotalMinutes} minutes after the last fault: {Describe()}.");
        foreach (var (node, code) in _expected.Except(_seen))
            _scheduler.Violate($"{_nodes[node].Name} or its receiver was wiped or put back, and the alarm {code} was not raised.");
        var excused = Enumerable.Range(1, _ledger.Made).Count(id => _ledger.IsSecured(id) && !_ledger.HasArrived(id));
        return new ChainOutcome(
            _scheduler.Violation, _scheduler.Trace.Hash, _scheduler.Steps, _ledger.SecuredCount, _ledger.Arrived, _alarms, excused, _scheduler.Trace);
    }

    private void Begin(ChainEvent fault)
    {
        if (!_faultsOn) return;
        var node = _nodes[fault.Node];
        _scheduler.Trace.Add(_scheduler, "fault", $"{fault.Kind} {node.Name}", fault.Duration.Ticks);
        switch (fault.Kind)
        {
            case ChainFault.Kill:
            case ChainFault.PowerCut:
                node.Kill(power: fault.Kind == ChainFault.PowerCut);
                StartAfter(node, fault.Duration);
                break;
            case ChainFault.Stop:
                node.Stop();
                StartAfter(node, TimeSpan.FromSeconds(6));
                break;
            case ChainFault.LinkCut:
                _weather[fault.Node].Cut = true;
                _scheduler.After(fault.Duration, () => _weather[fault.Node].Cut = false);
                break;
            case ChainFault.CommitFailures:
                var failing = node.Disk;
                failing.CommitFailureRate = 0.5;
                _scheduler.After(fault.Duration, () => failing.CommitFailureRate = 0);
                break;
            case ChainFault.DiskFull:
                var full = node.Disk;
                full.Full = true;
                _scheduler.After(fault.Duration, () => full.Full = false);
                break;
            case ChainFault.Backup:
                node.Backup();
                break;
            case ChainFault.Restore when node.HasBackup:
                GoBack(node, wipe: false);
                StartAfter(node, fault.Duration);
                break;
            case ChainFault.Wipe:
                GoBack(node, wipe: true);
                StartAfter(node, fault.Duration);
                break;
        }
    }

    /// <summary>Whoever sent to it knows what it forgot; whom it sends to knows what it sent.</summary>
    private void GoBack(ChainNode node, bool wipe)
    {
        node.GoBack(wipe);
        _expected.RemoveWhere(alarm => alarm.Node == node.Index && !_seen.Contains(alarm)); // it has forgotten what it would have missed
        if (node.Index > 0 && _nodes[node.Index - 1] is { Gateway: not null } sender) ExpectBehind(sender, node);
    }

    /// <summary>The sender runs, so that what it has in memory is what it knows; it loses that only with its disk or its process.</summary>
    private void ExpectBehind(ChainNode sender, ChainNode receiver)
    {
        var confirmed = sender.Disk.ReceiverOf("c").LastDelivered;
        if (confirmed.IsNone || receiver.Disk.MarkOf("c", sender.Name, confirmed.Life) >= confirmed.Sequence) return;
        _expected.Add((sender.Index, ReceiverCheck.Behind));
    }

    private void StartAfter(ChainNode node, TimeSpan pause) => _scheduler.After(pause + TimeSpan.FromMilliseconds(20), node.Start);

    private void EndFaults()
    {
        _faultsOn = false;
        _scheduler.Trace.Add(_scheduler, "faults.off");
        foreach (var weather in _weather) (weather.Cut, weather.RequestLoss, weather.AnswerLoss, weather.Damage) = (false, 0, 0, 0);
        foreach (var node in _nodes)
        {
            (node.Disk.Full, node.Disk.CommitFailureRate) = (false, 0);
            StartAfter(node, TimeSpan.FromSeconds(6));
        }
    }

    /// <summary>The operator looks at the status, and answers an alarm some time later.</summary>
    private void Look()
    {
        foreach (var node in _nodes)
        {
            if (node.Gateway?.Status.Channels is not [var channel]) continue;
            foreach (var (code, _) in channel.Alerts) Judge(node, code);
            if (channel.Ledger.Imbalance != 0) _scheduler.Violate($"{node.Name}: the ledger does not balance: {channel.Ledger}.");
        }

        _scheduler.After(LookEvery, Look);
    }

    private void Judge(ChainNode node, string code)
    {
        if (_seen.Add((node.Index, code))) _scheduler.Trace.Add(_scheduler, "alarm", $"{code} {node.Name}");
        var caused = code switch
        {
            ReceiverCheck.Behind => _nodes[node.Index + 1].Forgot,
            ReceiverCheck.Restored or ReceiverCheck.Closed => node.Forgot,
            _ => false,
        };
        if (!caused) _scheduler.Violate($"{node.Name} raises {code}, and nothing had caused it.");
        if (!_answering.Add((node.Index, code))) return;
        _alarms++;
        _scheduler.After(TimeSpan.FromMilliseconds(_random.Next(5000)), () =>
        {
            _answering.Remove((node.Index, code));
            if (node.Gateway is not { } gateway) return;
            var choice = code == ReceiverCheck.Closed || (code == ReceiverCheck.Behind && _random.Next(2) == 0) ? ResumeChoice.Resend : ResumeChoice.AcceptLoss;
            _scheduler.Trace.Add(_scheduler, "operator", $"{choice} {node.Name}");
            if (choice == ResumeChoice.Resend) _ledger.MayRepeat.UnionWith(Enumerable.Range(1, _ledger.Made)); // that is what it says
            node.Process!.Start(() =>
            {
                gateway.Resume("c", choice);
                return Task.CompletedTask;
            });
        });
    }

    private bool IsDrained() =>
        _ledger.Missing().Count == 0 && _nodes.TrueForAll(node => node.Gateway is not null && Waiting(node) == 0) && _answering.Count == 0;

    private static long Waiting(ChainNode node) =>
        node.Gateway!.Status.Channels is [var channel] ? channel.Ledger.Buffered + channel.UnsecuredMessages : long.MaxValue;

    private string Describe() => string.Join("; ", _nodes.Select(node =>
        $"{node.Name} {(node.Gateway is null ? "is down" : $"has {Waiting(node)} waiting ({node.Gateway.Status.Channels[0].LastError})")}")) +
        $"; missing {string.Join(' ', _ledger.Missing().Take(10))}";
}
