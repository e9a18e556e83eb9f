using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Simulation.Chain;

/// <summary>
/// One gateway of a chain: its disk, what was ever done to it, and its process while it runs. All have one channel, "c"; the first is fed by
/// the ledger's device, the last delivers to the collector, between them goes the real remote protocol.
/// </summary>
internal sealed class ChainNode(Scheduler scheduler, int index, ChainConfig chain)
{
    /// <summary>Every message that it took, with the number it gave; what is taken after a restore may have numbers that were given before.</summary>
    private readonly List<(long Sequence, int Id)> _taken = [];
    private int _takenAtBackup;
    private int _life;
    private SimulatedDisk? _backup;

    public string Name => $"gw-{index}/c";

    public int Index => index;

    public SimulatedDisk Disk { get; private set; } = new(scheduler);

    public SimulatedProcess? Process { get; private set; }

    public Gateway? Gateway { get; private set; }

    public RemoteHub? Hub { get; private set; }

    public bool HasBackup => _backup is not null;

    /// <summary>It was wiped or put back, at any time.</summary>
    public bool Forgot { get; private set; }

    public void Start()
    {
        if (Gateway is not null) return;
        var process = Process = new SimulatedProcess(scheduler, $"{Name} {++_life}");
        var hub = Hub = new RemoteHub();
        var random = scheduler.Derive($"{Name} {_life}");
        var log = new TraceLogger(process);
        var network = new SimulatedNetwork(scheduler).AddHost(Name).For(process);
        var services = new GatewayServices(
            new SimulatedStore(Disk, process),
            (config, memory) => index == 0
                ? new FeedSource(chain.Ledger, random, process, chain.Feeds, chain.MessageBytesMax, _taken)
                : new NotingSource(EndpointFactory.CreateSource(config, Context(memory)), process, _taken),
            (config, memory) => index == chain.Nodes - 1
                ? new CollectDestination(chain.Ledger, random, process, chain.BreakRate)
                : EndpointFactory.CreateDestination(config, Context(memory)),
            process.Time, random, log, "simulation");
        EndpointContext Context(MemoryBudget memory) => new(network, memory, process.Time, random, log)
        {
            Hub = hub,
            NewRemote = _ => new SimulatedRemote(scheduler, random, chain.Weather(index), process, () => chain.Receiver(index + 1)),
        };
        Gateway = new Gateway(Config(), services);
        process.Start(Gateway.StartAsync);
    }

    public void Kill(bool power)
    {
        Process?.Kill();
        (Gateway, Hub) = (null, null);
        if (power) Disk.PowerCut();
    }

    public void Stop()
    {
        if (Gateway is not { } gateway) return;
        Process!.Start(async () =>
        {
            await gateway.StopAsync();
            scheduler.World.Post(
                _ =>
                {
                    if (Gateway == gateway) Kill(power: false);
                },
                null);
        });
    }

    public void Backup()
    {
        _backup = Disk.Copy();
        var durable = _backup.LastDurableOf("c");
        _takenAtBackup = _taken.Count;
        while (_takenAtBackup > 0 && _taken[_takenAtBackup - 1].Sequence > durable) _takenAtBackup--;
    }

    /// <summary>Puts the backup back, or an empty disk.</summary>
    public void GoBack(bool wipe)
    {
        Kill(power: true);
        Disk = wipe || _backup is null ? new SimulatedDisk(scheduler) : _backup.Copy();
        Forgot = true;
        foreach (var (_, id) in wipe ? _taken : _taken.Skip(_takenAtBackup))
        {
            chain.Ledger.MayBeLost.Add(id);
            chain.Ledger.MayRepeat.Add(id);
        }

        // Of a disk that is gone nothing comes any more that waited on it.
        if (wipe) _backup = null;
    }

    private GatewayConfig Config() => new()
    {
        Device = new DeviceConfig { Id = $"gw-{index}" },
        Channels =
        [
            new ChannelConfig
            {
                Id = "c",
                Source = index == 0
                    ? new SourceConfig { Type = EndpointType.TcpServer, Ack = new AckConfig { Type = AckType.Bytes, AckHex = "06" } }
                    : new SourceConfig { Type = EndpointType.RemoteIcombuffer, Instance = Name },
                Buffer = new BufferConfig { MaxBytes = 2 << 20, CommitBytes = 4096 },
                Destination = index == chain.Nodes - 1
                    ? new DestinationConfig { Type = EndpointType.TcpClient, Retry = Retry }
                    : new DestinationConfig { Type = EndpointType.RemoteIcombuffer, Instance = Name, ChannelId = "c", Url = "http://next", Retry = Retry },
            },
        ],
    };

    private static RetryConfig Retry => new() { InitialMs = 100, MaxMs = 2000 };

    /// <summary>A real source; which messages it took is noted, to know what a restore takes away.</summary>
    private sealed class NotingSource(ISource inner, SimulatedProcess process, List<(long Sequence, int Id)> taken) : ISource
    {
        public EndpointStatus Status => inner.Status;

        public ValueTask OpenAsync() => inner.OpenAsync();

        public Task RunAsync(IMessageSink sink, CancellationToken stop) => inner.RunAsync(new NotingSink(sink, process, taken), stop);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    private sealed class NotingSink(IMessageSink inner, SimulatedProcess process, List<(long Sequence, int Id)> taken) : IMessageSink
    {
        public long SecuredSequence => inner.SecuredSequence;

        public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence) => inner.TryAppend(payload, flags, out sequence);

        public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence)
        {
            if (!process.Alive) throw new OperationCanceledException("The process died in the middle of this.");
            if (!inner.TryAppendRemote(payload, flags, stamp, out sequence)) return false;
            taken.Add((sequence, ChainLedger.IdOf(payload)));
            return true;
        }

        public HeldMarks HeldFrom(string sender) => inner.HeldFrom(sender);

        public long? FindKey(UInt128 key) => inner.FindKey(key);

        public void Publish() => inner.Publish();

        public ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel) => inner.WaitForRoomAsync(payloadBytes, cancel);

        public ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel) => inner.WaitSecuredAsync(sequence, cancel);
    }
}

/// <summary>What a node must know of the chain that it belongs to.</summary>
internal sealed record ChainConfig(
    int Nodes, int MessageBytesMax, ChainLedger Ledger, Func<bool> Feeds, Func<double> BreakRate, Func<int, RemoteWeather> Weather,
    Func<int, (SimulatedProcess Process, RemoteHub Hub)?> Receiver);
