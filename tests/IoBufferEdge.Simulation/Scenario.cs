using IoBufferEdge.Configuration;

namespace IoBufferEdge.Simulation;

public enum FaultKind
{
    Kill,
    PowerCut,
    KillThenPowerCut,
    RestartThenPowerCut,
    SitePowerCut,
    Stop,
    Apply,
    CommitFailures,
    ReopenFailures,
    DiskFull,
    SlowDisk,
    BitFlip,
    PeerAbort,
    PeerDiesUnread,
    PeerKill,
    PeerPowerOff,
    PeerClose,
    PeerHalfClose,
    PeerPause,
    PeerSlow,
    PeerWindowShrinks,
    PeerNaks,
    PeerCable,
    GatewayCable,
    SenderBreak,
    WallClock,

    /// <summary>An operator discards what waits. Drawn apart from the others, as it is no fault.</summary>
    Purge,
}

/// <param name="Channel">Index of the channel that it happens to, where it happens to one.</param>
public sealed record Fault(TimeSpan At, FaultKind Kind, int Channel, TimeSpan Duration)
{
    public override string ToString() => $"{At.TotalSeconds:0.000} s {Kind} channel {Channel} for {Duration.TotalSeconds:0.000} s";
}

/// <param name="AtOperation">Counted over all lives of the gateway, ascending.</param>
/// <param name="PowerCut">The machine goes dark; else kill -9.</param>
public sealed record Crash(long AtOperation, bool PowerCut);

public sealed record ChannelPlan(IReadOnlyList<SenderPlan> Senders, Wire SourceWire, Wire DestinationWire);

/// <summary>Everything that a seed decides: the configuration, what the devices send, and the faults, each at its time.</summary>
public sealed record Scenario(
    int Seed, GatewayConfig Config, IReadOnlyList<ChannelPlan> Channels, IReadOnlyList<Fault> Faults, TimeSpan Duration, double ReadTimeMaxMs)
{
    /// <summary>Where the gateway is stopped dead, by the number of the operation on the medium or the network that it is about to do.</summary>
    public IReadOnlyList<Crash> Crashes { get; init; } = [];

    /// <summary>Swarm: a seed enables a random subset of the kinds of faults, so that rare combinations come undiluted.</summary>
    public static Scenario FromSeed(int seed)
    {
        var scheduler = new Scheduler(seed);
        var random = scheduler.Derive("scenario");
        var count = random.Next(1, 4);
        var duration = TimeSpan.FromSeconds(2 + (random.NextDouble() * 8));
        var pairs = Enumerable.Range(0, count).Select(index => NewChannel(random, index)).ToList();
        var config = new GatewayConfig
        {
            Buffer = new DeviceBufferConfig
            {
                MaxSyncsPerS = Pick(random, 20, 50, 1000),
                MemoryBytes = count * Pick(random, 200_000L, 400_000, 1_000_000, 8_000_000),
            },
            Channels = [.. pairs.Select(pair => pair.Config)],
        };
        return new Scenario(
            seed, config, [.. pairs.Select(pair => pair.Plan)], NewFaults(scheduler, count, duration), duration, Pick(random, 0.0, 0, 3, 20));
    }

    private static List<Fault> NewFaults(Scheduler scheduler, int channels, TimeSpan duration)
    {
        var faults = NewFaults(scheduler.Derive("faults"), channels, duration);
        var random = scheduler.Derive("operator");
        for (var left = random.Next(4) == 0 ? random.Next(1, 6) : 0; left > 0; left--)
            faults.Add(new Fault(random.NextDouble() * duration, FaultKind.Purge, random.Next(channels), TimeSpan.Zero));
        return [.. faults.OrderBy(fault => fault.At)];
    }

    private static List<Fault> NewFaults(Random random, int channels, TimeSpan duration)
    {
        var enabled = Enum.GetValues<FaultKind>().Where(kind => kind != FaultKind.Purge && random.Next(5) == 0).ToList();
        var faults = new List<Fault>();
        if (enabled.Count == 0) return faults;
        for (var i = random.Next(10); i >= 0; i--)
        {
            var at = TimeSpan.FromSeconds(random.NextDouble() * duration.TotalSeconds);
            var fault = NewFault(at);
            faults.Add(fault);
            // Some come while another lasts, where most of what goes wrong in the field does: a stop while the peer is dead.
            if (random.Next(3) == 0) faults.Add(NewFault(at + (random.NextDouble() * fault.Duration)) with { Channel = fault.Channel });
        }

        return [.. faults.OrderBy(fault => fault.At)];

        Fault NewFault(TimeSpan at) => new(
            at, enabled[random.Next(enabled.Count)], random.Next(channels),
            TimeSpan.FromSeconds(Math.Pow(random.NextDouble(), 2) * Pick(random, 0.5, 2, 5)));
    }

    private static (ChannelConfig Config, ChannelPlan Plan) NewChannel(Random random, int index)
    {
        var sourceWire = Pick(random, Wire.Line, Wire.LengthPrefix, Wire.StxEtx, Wire.Mllp);
        var destinationWire = Pick(random, Wire.Line, Wire.LengthPrefix, Wire.StxEtx, Wire.Mllp);
        if (sourceWire == Wire.Mllp && destinationWire == Wire.Line) destinationWire = Wire.LengthPrefix;
        var datagrams = random.Next(12) == 0;
        var confirm = NewConfirm(random, sourceWire);
        if (confirm.Type == ConfirmType.Mllp) destinationWire = Wire.Mllp;
        var udp = random.Next(15) == 0;
        var windowBytes = Pick(random, 1500, 8000, 65536);
        var config = new ChannelConfig
        {
            Id = $"channel-{index + 1:000}",
            Source = new SourceConfig
            {
                Type = datagrams ? EndpointType.Udp : Pick(random, EndpointType.TcpServer, EndpointType.TcpServer, EndpointType.TcpClient),
                Host = "field",
                Port = 7000 + index,
                Framing = datagrams ? null : Framing(sourceWire),
                Ack = datagrams || random.Next(2) == 0 ? null : NewAck(random, sourceWire),
                RecvBufferBytes = Pick(random, 2048, 16384, 65536),
                MaxMessageBytes = udp ? ChannelRules.DatagramMaxBytes : 1 << 20,
            },
            Buffer = new BufferConfig
            {
                MaxBytes = Pick(random, 3000L, 20_000, 200_000, 1 << 30),
                WhenFull = Pick(random, WhenFull.Block, WhenFull.Block, WhenFull.Block, WhenFull.DropOldest, WhenFull.DropNewest),
                Delivery = Pick(random, DeliveryMode.CutThrough, DeliveryMode.CutThrough, DeliveryMode.DurableFirst),
                MaxDelayMs = Pick(random, 1, 5, 20, 50),
                OfflineDelayMs = Pick(random, 20, 100, 200),
                CommitBytes = Pick(random, 500, 4000, 65536),
                MaxUnsecuredBytes = Pick(random, 1000, 10_000, 100_000),
                TtlS = random.Next(10) == 0 ? random.Next(1, 4) : 0,
            },
            Destination = new DestinationConfig
            {
                Type = udp ? EndpointType.Udp : Pick(random, EndpointType.TcpClient, EndpointType.TcpClient, EndpointType.TcpServer),
                Host = $"peer-{index + 1}",
                Port = 8000 + index,
                Framing = udp ? null : Framing(destinationWire),
                Confirm = udp ? new ConfirmConfig { Type = ConfirmType.None } : confirm,
                OnReject = Pick(random, OnReject.Block, OnReject.Park),
                WindowBytes = windowBytes,
                ResendBytes = (windowBytes * 5 / 2) + Pick(random, 0, 2500, 20_000, 200_000),
                Retry = new RetryConfig { InitialMs = Pick(random, 20, 100, 500), MaxMs = Pick(random, 500, 3000) },
            },
        };
        var binds = config.Source.Type != EndpointType.TcpClient;
        config = config with
        {
            Source = config.Source with { Host = binds ? "0.0.0.0" : config.Source.Host },
            Destination = config.Destination with { Host = config.Destination.Type == EndpointType.TcpServer ? "0.0.0.0" : config.Destination.Host },
        };
        // A device that the gateway calls is one device; others come in threes at most.
        var devices = config.Source.Type == EndpointType.TcpClient ? 1 : random.Next(1, 4);
        var senders = Enumerable.Range(0, devices).Select(_ => NewSender(random, udp ? 60_000 : 80_000)).ToList();
        return (config, new ChannelPlan(senders, sourceWire, destinationWire));
    }

    private static SenderPlan NewSender(Random random, int largest) => new(
        Messages: random.Next(5, Pick(random, 20, 40, 120)),
        GapMaxMs: Pick(random, 2.0, 30, 200),
        LengthMax: Pick(random, 60, 300, 1500),
        LargeEvery: random.Next(4) == 0 ? random.Next(5, 30) : 0,
        LargeLength: Pick(random, 5000, 30_000, largest),
        AckWindow: random.Next(1, 6));

    private static ConfirmConfig NewConfirm(Random random, Wire sourceWire) => random.Next(8) switch
    {
        0 => new ConfirmConfig { Type = ConfirmType.None },
        1 => new ConfirmConfig { Type = ConfirmType.Bytes, AckHex = "06", NakHex = "15", TimeoutMs = 2000 },
        2 when sourceWire == Wire.Mllp => new ConfirmConfig { Type = ConfirmType.Mllp, TimeoutMs = 2000 },
        _ => new ConfirmConfig { Type = ConfirmType.Transport },
    };

    private static AckConfig NewAck(Random random, Wire sourceWire) => sourceWire == Wire.Mllp && random.Next(3) > 0
        ? new AckConfig { Type = AckType.Mllp }
        : new AckConfig { Type = AckType.Bytes, AckHex = "06", NakHex = "15" };

    private static FramingConfig Framing(Wire wire) => wire switch
    {
        Wire.Line => new FramingConfig { Type = FramingType.Delimiter, DelimiterHex = "0a", Strip = true },
        Wire.LengthPrefix => new FramingConfig { Type = FramingType.LengthPrefix, Bytes = 4, Strip = true },
        Wire.StxEtx => new FramingConfig { Type = FramingType.StxEtx, StartHex = "02", EndHex = "03", Strip = true },
        _ => new FramingConfig { Type = FramingType.Mllp, Strip = true },
    };

    private static T Pick<T>(Random random, params ReadOnlySpan<T> choices) => choices[random.Next(choices.Length)];
}
