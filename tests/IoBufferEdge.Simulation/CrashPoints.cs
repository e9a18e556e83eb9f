using System.Diagnostics;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Simulation;

/// <summary>
/// Every crash point of one scripted run: a gateway of four channels that commits, trims, parks, drops the oldest, lets messages expire,
/// takes a new configuration, has batches fail, loses a peer with unread bytes, and stops with something to write back. It is stopped
/// dead right before each of its operations on the medium and the network in turn (a commit counts three times: before its write,
/// before its sync, and synced but not returned), by kill -9 and by a power cut; started again, run to its end and checked by
/// everything that a seed is checked by. Then the same with a second crash in the recovery: within its first operations.
/// Limits: the segment that a batch asks for is a matter of the real engine, and so are the operations inside of it.
/// </summary>
public static class CrashPoints
{
    /// <summary>Operations after a restart that count as its recovery: opening, the life's record, connecting, the first commits and sends.</summary>
    public const int RecoveryOperations = 40;

    /// <summary>The run without a crash, its operations counted.</summary>
    public static Outcome Reference() => SimulationRun.Run(Script(new Crash(long.MaxValue, false)));

    /// <summary>Everything that the script promises to contain; null when it does.</summary>
    public static string? Missing(Outcome reference)
    {
        var seen = reference.Seen;
        var counts = new (string What, long Count)[]
        {
            ("parks", seen.Parks), ("discards", seen.Discards), ("failed batches", seen.FailedBatches), ("write-backs", seen.WriteBacks),
            ("repeats", reference.Repeats), ("lives", seen.Reservations - 4),
        };
        var missing = counts.Where(c => c.Count <= 0).Select(c => c.What).ToList();
        return missing.Count == 0 ? null : $"the script came to no {string.Join(", no ", missing)}";
    }

    /// <summary>One crash, at each operation in turn.</summary>
    public static IEnumerable<Scenario> Single(long operations)
    {
        for (var at = 1L; at <= operations; at++)
        {
            yield return Script(new Crash(at, PowerCut: false));
            yield return Script(new Crash(at, PowerCut: true));
        }
    }

    /// <summary>Two crashes: all pairs, or so many samples for each first one.</summary>
    public static IEnumerable<Scenario> Double(long operations, int? samples)
    {
        var random = new Random(1);
        for (var at = 1L; at <= operations; at++)
        {
            var choices = from first in (bool[])[false, true]
                from second in (bool[])[false, true]
                from later in Enumerable.Range(1, RecoveryOperations)
                select Script(new Crash(at, first), new Crash(at + later, second));
            foreach (var scenario in samples is { } few ? random.GetItems(choices.ToArray(), few) : choices) yield return scenario;
        }
    }

    public static int Run(bool full)
    {
        var reference = Reference();
        if ((reference.Violation ?? Missing(reference)) is { } wrong)
        {
            Console.WriteLine($"the script without a crash: {wrong}");
            Console.WriteLine("1 crash points, 1 failed");
            return 1;
        }

        var seen = reference.Seen;
        Console.WriteLine(
            $"the script: {reference.Operations} operations, {seen.Commits} commits with {seen.Blocks} blocks, {seen.Parks} parks, {seen.Discards} discards, " +
            $"{seen.FailedBatches} failed batches, {seen.WriteBacks} written back, {reference.Repeats} repeats");
        var single = TryAll("single", Single(reference.Operations));
        var twice = TryAll("double", Double(reference.Operations, full ? null : 4));
        Console.WriteLine($"{single.Tried + twice.Tried} crash points, {single.Failed + twice.Failed} failed");
        return single.Failed + twice.Failed == 0 ? 0 : 1;
    }

    private static (int Tried, int Failed) TryAll(string name, IEnumerable<Scenario> scenarios)
    {
        const int FailuresMax = 5;
        var clock = Stopwatch.StartNew();
        var (tried, failed) = (0, 0);
        foreach (var scenario in scenarios)
        {
            tried++;
            var outcome = SimulationRun.Run(scenario);
            if (outcome.Violation is not null)
            {
                failed++;
                Console.WriteLine(string.Join(", ", scenario.Crashes));
                Report.Failure(scenario, outcome, Console.Out);
            }

            if (tried % 2000 == 0) Console.WriteLine($"{tried} {name} crash points, {tried / clock.Elapsed.TotalSeconds:0} a second, {failed} failed");
            if (failed == FailuresMax) break;
        }

        Console.WriteLine($"{tried} {name} crash points in {clock.Elapsed.TotalSeconds:0} s, {failed} failed");
        return (tried, failed);
    }

    private static Scenario Script(params IReadOnlyList<Crash> crashes) => Script(ScriptSeed.Value, crashes);

    private static Scenario Script(int seed, IReadOnlyList<Crash> crashes)
    {
        var config = new GatewayConfig
        {
            Buffer = new DeviceBufferConfig { MaxSyncsPerS = 100, MemoryBytes = 1_600_000 },
            Channels =
            [
                Channel(1, new BufferConfig { MaxDelayMs = 5, OfflineDelayMs = 20 }, ack: true),
                Channel(2, new BufferConfig { MaxDelayMs = 5, OfflineDelayMs = 20, Delivery = DeliveryMode.DurableFirst }, naks: true),
                Channel(3, new BufferConfig { MaxDelayMs = 5, OfflineDelayMs = 20, MaxBytes = 600, WhenFull = WhenFull.DropOldest }),
                Channel(4, new BufferConfig { MaxDelayMs = 5, OfflineDelayMs = 20, TtlS = 1 }),
            ],
        };
        var plans = Enumerable.Range(0, 4).Select(index => new ChannelPlan(
            [new SenderPlan(index == 0 ? 40 : 12, GapMaxMs: index == 0 ? 80 : 60, LengthMax: 150, LargeEvery: 0, LargeLength: 0, AckWindow: 3)],
            Wire.LengthPrefix, Wire.LengthPrefix));
        Fault[] faults =
        [
            At(1, FaultKind.PeerKill, 2, 1200),
            At(1, FaultKind.PeerKill, 3, 1600),
            At(60, FaultKind.CommitFailures, 0, 60),
            At(10, FaultKind.PeerNaks, 1, 300),
            At(200, FaultKind.Apply, 0, 0),
            At(300, FaultKind.PeerDiesUnread, 0, 100),
            At(900, FaultKind.PeerPause, 0, 4000),
            At(1000, FaultKind.Stop, 0, 0),
        ];
        return new Scenario(seed, config, [.. plans], faults, TimeSpan.FromSeconds(5.5), ReadTimeMaxMs: 0) { Crashes = crashes };
    }

    /// <summary>The first seed whose run comes to everything: chance decides what exactly a fault of the script meets.</summary>
    private static readonly Lazy<int> ScriptSeed = new(() =>
        Enumerable.Range(1, 200).FirstOrDefault(seed => Missing(SimulationRun.Run(Script(seed, [new Crash(long.MaxValue, false)]))) is null, 1));

    private static Fault At(double ms, FaultKind kind, int channel, double durationMs) =>
        new(TimeSpan.FromMilliseconds(ms), kind, channel, TimeSpan.FromMilliseconds(durationMs));

    private static ChannelConfig Channel(int number, BufferConfig buffer, bool ack = false, bool naks = false)
    {
        var framing = new FramingConfig { Type = FramingType.LengthPrefix, Bytes = 4, Strip = true };
        return new ChannelConfig
        {
            Id = $"channel-{number:000}",
            Source = new SourceConfig
            {
                Type = EndpointType.TcpServer,
                Host = "0.0.0.0",
                Port = 6999 + number,
                Framing = framing,
                Ack = ack ? new AckConfig { Type = AckType.Bytes, AckHex = "06", NakHex = "15" } : null,
            },
            Buffer = buffer,
            Destination = new DestinationConfig
            {
                Type = EndpointType.TcpClient,
                Host = $"peer-{number}",
                Port = 7999 + number,
                Framing = framing,
                Confirm = naks
                    ? new ConfirmConfig { Type = ConfirmType.Bytes, AckHex = "06", NakHex = "15", TimeoutMs = 500 }
                    : new ConfirmConfig { Type = ConfirmType.Transport },
                OnReject = OnReject.Park,
                WindowBytes = 1500,
                ResendBytes = 30_000,
                Retry = new RetryConfig { InitialMs = 20, MaxMs = 100 },
            },
        };
    }
}
