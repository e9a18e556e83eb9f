using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <param name="Violation">The checker's sentence; null: all is well.</param>
/// <param name="Operations">How many operations on the medium and the network the gateway did; 0 where they were not counted.</param>
public sealed record Outcome(
    string? Violation, ulong TraceHash, long Steps, TimeSpan VirtualTime, long Accepted, long Delivered, long Repeats, long Operations, StoreEvents Seen,
    Trace Trace);

/// <summary>
/// Runs one scenario: the real gateway with real channels, queue, committer and endpoints over the simulated network and medium;
/// faults on, then off, and everything must drain. What the checkers hold it to stands in <see cref="ChannelTruth"/>.
/// </summary>
public sealed class SimulationRun
{
    private static readonly TimeSpan DrainMax = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan StopMax = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan SampleEvery = TimeSpan.FromMilliseconds(250);

    private readonly Scenario _scenario;
    private readonly Scheduler _scheduler;
    private readonly Random _random;
    private readonly SimulatedDisk _disk;
    private readonly SimulatedHost _host;
    private readonly SimulatedHost _field;
    private readonly List<ChannelTruth> _truths = [];
    private readonly List<Peer> _peers = [];
    private readonly List<SimulatedHost> _peerHosts = [];
    private readonly List<Sender> _senders = [];
    private readonly Dictionary<SimulatedConnection, WireReader> _handing = [];
    private GatewayConfig _config;
    private Gateway? _gateway;
    private SimulatedProcess? _process;
    private TimeSpan _storeTroubleUntil;
    private int _life;
    private long _operations;
    private int _crashes;
    private bool _stopping;
    private bool _faultsOn = true;
    private bool _drained;

    private SimulationRun(Scenario scenario, Action<string>? listener, Action<SimulatedDisk>? plant)
    {
        _scenario = scenario;
        _config = scenario.Config;
        _scheduler = new Scheduler(scenario.Seed);
        _scheduler.Trace.Listener = listener;
        _random = _scheduler.Derive("run");
        _disk = new SimulatedDisk(_scheduler) { ReadTimeMax = TimeSpan.FromMilliseconds(scenario.ReadTimeMaxMs) };
        plant?.Invoke(_disk);
        var network = new SimulatedNetwork(_scheduler);
        _host = network.AddHost("gateway");
        _field = network.AddHost("field");
        for (var i = 0; i < _config.Channels.Count; i++)
        {
            var plan = scenario.Channels[i];
            var truth = new ChannelTruth(_scheduler, _disk, i, _config.Channels[i]);
            var peerHost = network.AddHost($"peer-{i + 1}");
            _truths.Add(truth);
            _peerHosts.Add(peerHost);
            _peers.Add(new Peer(_scheduler, truth, plan.DestinationWire, peerHost, "gateway"));
            _senders.AddRange(plan.Senders.Select((sender, index) => new Sender(_scheduler, truth, sender, plan.SourceWire, _field, "gateway", index)));
        }

        network.Sent = NoteHandedOver;
        network.DatagramSent = (port, bytes) => TruthOfPort(port)?.HandedOver(bytes.Span);
    }

    /// <param name="plant">Plants a bug in the medium, to see that it is found.</param>
    public static Outcome Run(Scenario scenario, Action<string>? listener = null, Action<SimulatedDisk>? plant = null) =>
        CollectedMemory.Run(() => new SimulationRun(scenario, listener, plant).Run());

    private Outcome Run()
    {
        foreach (var peer in _peers) peer.Start();
        StartGateway();
        foreach (var sender in _senders) _scheduler.World.Start(sender.RunAsync);
        foreach (var fault in _scenario.Faults) _scheduler.At(fault.At.Ticks, () => Begin(fault));
        _scheduler.After(SampleEvery, Sample);

        _scheduler.RunUntil(() => false, _scenario.Duration);
        EndFaults();
        if (!_scheduler.RunUntil(() => _drained, DrainMax))
            _scheduler.Violate($"Not drained {DrainMax.TotalMinutes} minutes after the last fault: {Undrained()}.");
        Stop(thenStart: false);
        _scheduler.RunUntil(() => _gateway is null, StopMax);
        return new Outcome(
            _scheduler.Violation, _scheduler.Trace.Hash, _scheduler.Steps, _scheduler.Now, _truths.Sum(t => t.Accepted), _truths.Sum(t => t.Delivered),
            _truths.Sum(t => t.Repeats), _operations, _disk.Seen, _scheduler.Trace);
    }

    private void Begin(Fault fault)
    {
        if (!_faultsOn) return;
        var peer = _peers[fault.Channel];
        _scheduler.Trace.Add(_scheduler, "fault", fault.Kind.ToString(), fault.Channel, fault.Duration.Ticks);
        switch (fault.Kind)
        {
            case FaultKind.Kill:
                Kill(restartAfter: fault.Duration);
                break;
            case FaultKind.PowerCut:
                PowerCut(fault.Duration);
                break;
            case FaultKind.KillThenPowerCut:
                Kill(restartAfter: null);
                PowerCut(fault.Duration);
                break;
            case FaultKind.RestartThenPowerCut:
                Kill(restartAfter: TimeSpan.FromMilliseconds(50));
                _scheduler.After(TimeSpan.FromMilliseconds(100 + _random.Next(400)), () => PowerCut(fault.Duration));
                break;
            case FaultKind.SitePowerCut:
                foreach (var each in _peers) each.PowerOff();
                PowerCut(fault.Duration);
                _scheduler.After(fault.Duration, () => _peers.ForEach(each => each.PowerOn()));
                break;
            case FaultKind.Stop:
                Stop(thenStart: true);
                break;
            case FaultKind.Apply:
                Apply(fault.Channel);
                break;
            case FaultKind.CommitFailures:
                TroubleStore(fault, () => _disk.CommitFailureRate = 0.5, () => _disk.CommitFailureRate = 0);
                break;
            case FaultKind.ReopenFailures:
                TroubleStore(fault, () => FailRates(0.3, 0.6), () => FailRates(0, 0));
                break;
            case FaultKind.DiskFull:
                TroubleStore(fault, () => _disk.Full = true, () => _disk.Full = false);
                break;
            case FaultKind.SlowDisk:
                TroubleStore(fault, () => _disk.SyncTimeMax = TimeSpan.FromSeconds(1), () => _disk.SyncTimeMax = TimeSpan.FromMilliseconds(8));
                break;
            case FaultKind.BitFlip:
                if (_disk.FlipBit()) _truths.ForEach(truth => truth.ExcuseDamage());
                break;
            case FaultKind.PeerAbort:
                peer.Abort();
                break;
            case FaultKind.PeerDiesUnread:
                peer.Pause(true);
                DieWithUnread(peer, _scheduler.Now + fault.Duration + TimeSpan.FromSeconds(1));
                break;
            case FaultKind.PeerKill:
                peer.Kill();
                _scheduler.After(fault.Duration, peer.Start);
                break;
            case FaultKind.PeerPowerOff:
                peer.PowerOff();
                _scheduler.After(fault.Duration, peer.PowerOn);
                break;
            case FaultKind.PeerClose:
                peer.CloseInOrder();
                break;
            case FaultKind.PeerHalfClose:
                peer.HalfClose();
                break;
            case FaultKind.PeerPause:
                peer.Pause(true);
                _scheduler.After(fault.Duration, () => peer.Pause(false));
                break;
            case FaultKind.PeerSlow:
                peer.SlowMs = 20;
                _scheduler.After(fault.Duration, () => peer.SlowMs = 0);
                break;
            case FaultKind.PeerWindowShrinks:
                peer.ShrinkWindow();
                break;
            case FaultKind.PeerNaks:
                peer.NakRate = 0.3;
                _scheduler.After(fault.Duration, () => peer.NakRate = 0);
                break;
            case FaultKind.PeerCable:
                _peerHosts[fault.Channel].PullCable();
                _scheduler.After(fault.Duration, _peerHosts[fault.Channel].PlugCable);
                break;
            case FaultKind.GatewayCable:
                _host.PullCable();
                _scheduler.After(fault.Duration, _host.PlugCable);
                break;
            case FaultKind.SenderBreak:
                _senders[_random.Next(_senders.Count)].Break();
                break;
            case FaultKind.WallClock:
                if (_process is not null) _process.Time.WallClockError = TimeSpan.FromDays(_random.Next(-5000, 5000));
                break;
            case FaultKind.Purge:
                Purge(fault.Channel);
                break;
        }
    }

    /// <summary>Rule 14's case: the peer has stopped reading, and dies when whole messages lie in its kernel, some time after they came.</summary>
    private void DieWithUnread(Peer peer, TimeSpan until)
    {
        if (!_faultsOn || _scheduler.Now >= until)
        {
            peer.Pause(false);
            return;
        }

        if (peer.Unread().Count == 0)
        {
            _scheduler.After(TimeSpan.FromMilliseconds(2), () => DieWithUnread(peer, until));
            return;
        }

        _scheduler.After(TimeSpan.FromMilliseconds(_random.Next(300)), () =>
        {
            if (_random.Next(2) == 0)
            {
                peer.Abort();
            }
            else
            {
                peer.Kill();
                _scheduler.After(TimeSpan.FromMilliseconds(_random.Next(1000)), peer.Start);
            }

            peer.Pause(false);
        });
    }

    private void FailRates(double commits, double reopenings) => (_disk.CommitFailureRate, _disk.ReopenFailureRate) = (commits, reopenings);

    private void EndFaults()
    {
        _faultsOn = false;
        _scheduler.Trace.Add(_scheduler, "faults.off");
        (_disk.Full, _disk.CommitFailureRate, _disk.ReopenFailureRate) = (false, 0, 0);
        _disk.SyncTimeMax = TimeSpan.FromMilliseconds(8);
        foreach (var host in _peerHosts.Append(_host).Where(host => !host.CableIn)) host.PlugCable();
        foreach (var peer in _peers)
        {
            peer.Pause(false);
            (peer.SlowMs, peer.NakRate) = (0, 0);
            peer.PowerOn();
        }

        if (_gateway is null) StartGateway();
    }

    private void StartGateway()
    {
        if (_gateway is not null) return;
        _host.PowerOn();
        var life = ++_life;
        var process = _process = new SimulatedProcess(_scheduler, $"gateway {life}");
        if (_scenario.Crashes.Count > 0) process.Operation = CountOperation;
        var network = _host.For(process);
        var log = new TraceLogger(process);
        var random = _scheduler.Derive($"gateway {life}");
        foreach (var truth in _truths) truth.BeginLife(life);
        var services = new GatewayServices(
            new SimulatedStore(_disk, process),
            (config, memory) => new RecordingSource(
                EndpointFactory.CreateSource(config, Context(memory)), _truths.Find(t => t.Id == config.Id)!, process, life),
            (config, memory) => EndpointFactory.CreateDestination(config, Context(memory)),
            process.Time, random, log, "simulation");
        EndpointContext Context(MemoryBudget memory) => new(network, memory, process.Time, random, log);
        var gateway = _gateway = new Gateway(_config, services);
        process.Start(gateway.StartAsync);
    }

    private void CountOperation()
    {
        _operations++;
        if (_crashes == _scenario.Crashes.Count || _operations != _scenario.Crashes[_crashes].AtOperation) return;
        var crash = _scenario.Crashes[_crashes++];
        _scheduler.Trace.Add(_scheduler, "crash", crash.PowerCut ? "power cut" : "kill", _operations);
        if (crash.PowerCut) PowerCut(TimeSpan.Zero);
        else Kill(TimeSpan.Zero);
    }

    private void Kill(TimeSpan? restartAfter)
    {
        if (_gateway is null) return;
        _host.Kill(_process!);
        EndLife(crashed: true);
        if (restartAfter is { } pause) RestartAfter(pause);
    }

    private void PowerCut(TimeSpan restartAfter)
    {
        var running = _gateway is not null;
        _host.PowerOff(_process!);
        _disk.PowerCut();
        if (running) EndLife(crashed: true);
        else foreach (var (truth, peer) in _truths.Zip(_peers)) truth.Recheck(UnreadAt(peer));
        RestartAfter(restartAfter);
    }

    private void RestartAfter(TimeSpan pause) => _scheduler.After(pause + TimeSpan.FromMilliseconds(20), StartGateway);

    /// <summary>SIGTERM.</summary>
    private void Stop(bool thenStart)
    {
        if (_gateway is null || _stopping) return;
        _stopping = true;
        var (gateway, process) = (_gateway, _process!);
        var troubled = StoreTroubled;
        var ended = false;
        process.Start(async () =>
        {
            var unsecured = await gateway.StopAsync();
            if (unsecured > 0 && !troubled && !StoreTroubled)
                _scheduler.Violate($"A planned stop left {unsecured} messages unsecured although the store works.");
            _scheduler.World.Post(
                _ =>
                {
                    if (_gateway != gateway) return;
                    ended = true;
                    _host.Kill(process);
                    EndLife(crashed: troubled || StoreTroubled);
                    if (thenStart) RestartAfter(TimeSpan.FromMilliseconds(100));
                },
                null);
        });
        _scheduler.After(StopMax, () =>
        {
            if (!ended && _gateway == gateway) _scheduler.Violate($"A planned stop took longer than {StopMax.TotalSeconds} s.");
        });
    }

    /// <summary>The channel's configuration changes: both its endpoints are replaced, the queue stays.</summary>
    private void Apply(int channel)
    {
        if (_gateway is null || _stopping) return;
        var truth = _truths[channel];
        var changed = Changed(truth.Config);
        var next = _config with { Channels = [.. _config.Channels.Select(config => config.Id == truth.Id ? changed : config)] };
        var gateway = _gateway;
        _process!.Start(async () =>
        {
            try
            {
                await gateway.ApplyAsync(next);
                _config = next;
                truth.Config = changed;
            }
            catch (ApplyException e)
            {
                if (!StoreTroubled) _scheduler.Violate($"Apply failed although the store works: {e.Message}");
            }
        });
    }

    private void Purge(int channel)
    {
        if (_gateway is not { } gateway || _stopping) return;
        _process!.Start(async () =>
        {
            try
            {
                await gateway.PurgeQueueAsync(_truths[channel].Id, default);
            }
            catch (Exception e) when (e is OperationCanceledException or InvalidOperationException)
            {
                // The gateway starts or stops, or another one is under way.
            }
        });
    }

    private ChannelConfig Changed(ChannelConfig config)
    {
        var (buffer, destination) = (config.Buffer, config.Destination);
        var other = buffer.Delivery == DeliveryMode.CutThrough ? DeliveryMode.DurableFirst : DeliveryMode.CutThrough;
        return _random.Next(4) switch
        {
            0 => config with { Buffer = buffer with { Delivery = other } },
            1 => config with { Buffer = buffer with { MaxBytes = buffer.MaxBytes * 2, CommitBytes = buffer.CommitBytes + 100 } },
            _ => config with { Destination = destination with { WindowBytes = destination.WindowBytes + 1 } },
        };
    }

    private bool StoreTroubled => _scheduler.Now < _storeTroubleUntil;

    private void TroubleStore(Fault fault, Action begin, Action end)
    {
        begin();
        var until = _scheduler.Now + fault.Duration + RecoveryAfter(fault.Duration);
        if (until > _storeTroubleUntil) _storeTroubleUntil = until;
        _scheduler.After(fault.Duration, end);
    }

    /// <summary>After trouble with the medium the committer waits before it tries again, ever longer, up to 5 s.</summary>
    private static TimeSpan RecoveryAfter(TimeSpan trouble) => TimeSpan.FromSeconds(Math.Min(8, 1 + (3 * trouble.TotalSeconds)));

    private void EndLife(bool crashed)
    {
        // A stop under way may have let the cursor fall already (rule 10).
        var settled = _stopping ? TimeSpan.MaxValue : _storeTroubleUntil;
        _gateway = null;
        _stopping = false;
        foreach (var (truth, peer) in _truths.Zip(_peers)) truth.EndLife(crashed, settled, UnreadAt(peer));
    }

    private static Func<Transmission, bool> UnreadAt(Peer peer)
    {
        var unread = peer.Unread();
        return transmission => unread.Contains(ChannelTruth.Text(transmission.Payload));
    }

    private void Sample()
    {
        foreach (var truth in _truths) truth.Sample();
        CheckMemory();
        _drained = !_faultsOn && _senders.TrueForAll(sender => sender.Done) && _truths.TrueForAll(truth => truth.Undrained() is null);
        _scheduler.After(SampleEvery, Sample);
    }

    /// <summary>
    /// The budget may be exceeded three times by what is in flight and held, by half-read frames, and by what rule 14 keeps of three
    /// messages larger than it, each in a slab of its own with a slab of small ones behind it.
    /// </summary>
    private void CheckMemory()
    {
        if (_gateway is not { } gateway) return;
        var floor = _scenario.Channels.Sum(plan =>
            (plan.Senders.Max(sender => sender.LargeEvery > 0 ? sender.LargeLength + 65536 : 0) * 8L) + ((2 + plan.Senders.Count) * 65536L));
        var used = gateway.Status.MemoryUsedBytes;
        if (used > _config.Buffer.MemoryBytes * 4 + floor)
            _scheduler.Violate($"{used} bytes of memory are used; memory_bytes is {_config.Buffer.MemoryBytes}, the floor {floor}.");
    }

    private string Undrained() => string.Join(
        "; ", _truths.Select(truth => truth.Undrained()).OfType<string>().Concat(_senders.Where(sender => !sender.Done).Select(sender => sender.Describe())));

    private ChannelTruth? TruthOfPort(int port) => port >= 8000 && port < 8000 + _truths.Count ? _truths[port - 8000] : null;

    private void NoteHandedOver(SimulatedConnection connection, ReadOnlyMemory<byte> bytes)
    {
        if (connection.Owner != _process || (TruthOfPort(connection.Remote.Port) ?? TruthOfPort(connection.LocalPort)) is not { } truth) return;
        if (truth.Config.Destination.EffectiveConfirm.Type != ConfirmType.None) return;
        if (!_handing.TryGetValue(connection, out var reader))
            _handing.Add(connection, reader = new WireReader(_scenario.Channels[truth.Number].DestinationWire));
        foreach (var payload in reader.Feed(bytes.Span)) truth.HandedOver(payload);
    }

    /// <summary>A real source; what it hands to the queue, and what number the queue gives it, goes into the truth's ledger.</summary>
    private sealed class RecordingSource(ISource inner, ChannelTruth truth, SimulatedProcess process, int life) : ISource
    {
        public EndpointStatus Status => inner.Status;

        public ValueTask OpenAsync() => inner.OpenAsync();

        public Task RunAsync(IMessageSink sink, CancellationToken stop)
        {
            if (truth.Life == life) truth.Attach((ChannelBuffer)sink);
            return inner.RunAsync(new RecordingSink(sink, truth, process), stop);
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    private sealed class RecordingSink(IMessageSink inner, ChannelTruth truth, SimulatedProcess process) : IMessageSink
    {
        public long SecuredSequence => inner.SecuredSequence;

        public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence)
        {
            if (!process.Alive) throw new OperationCanceledException("The process died in the middle of this.");
            if (!inner.TryAppend(payload, flags, out sequence)) return false;
            truth.Accept(payload, flags, sequence);
            return true;
        }

        public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence)
        {
            if (!process.Alive) throw new OperationCanceledException("The process died in the middle of this.");
            if (!inner.TryAppendRemote(payload, flags, stamp, out sequence)) return false;
            truth.Accept(payload, flags, sequence);
            return true;
        }

        public HeldMarks HeldFrom(string sender) => inner.HeldFrom(sender);

        public long? FindKey(UInt128 key) => inner.FindKey(key);

        public void Publish() => inner.Publish();

        public ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel) => inner.WaitForRoomAsync(payloadBytes, cancel);

        public ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel) => inner.WaitSecuredAsync(sequence, cancel);
    }
}
