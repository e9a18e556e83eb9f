namespace IoBufferEdge.Simulation.Chain;

public enum ChainFault
{
    Kill,
    PowerCut,
    Stop,
    LinkCut,
    CommitFailures,
    DiskFull,
    Backup,
    Restore,
    Wipe,
}

/// <param name="Node">Which gateway; for a cut link the one that sends.</param>
public sealed record ChainEvent(TimeSpan At, ChainFault Kind, int Node, TimeSpan Duration);

/// <summary>What one seed does to a chain of gateways: which kinds of faults there are at all, how often, when, and how bad the network is.</summary>
public sealed record ChainScenario(int Seed, int Nodes, double Loss, double Duplicates, double Damage, int LatencyMaxMs, double BreakRate, int MessageBytesMax)
{
    public static readonly TimeSpan Duration = TimeSpan.FromSeconds(40);

    public required IReadOnlyList<ChainEvent> Events { get; init; }

    public static ChainScenario FromSeed(int seed)
    {
        var random = new Random(seed * 7919);
        double Sometimes(double rate) => random.Next(2) == 0 ? 0 : random.NextDouble() * rate;
        var nodes = random.Next(4) == 0 ? 2 : 3;

        // Swarm: a seed without restores lets nothing be excused, one with them looks for alarms.
        var kinds = Enum.GetValues<ChainFault>().Where(_ => random.Next(2) == 0).ToList();
        if (random.Next(2) == 0) kinds.RemoveAll(kind => kind is ChainFault.Backup or ChainFault.Restore or ChainFault.Wipe);
        else if (kinds.Contains(ChainFault.Restore)) kinds.Add(ChainFault.Backup);
        var events = new List<ChainEvent>();
        for (var count = kinds.Count == 0 ? 0 : random.Next(16); count > 0; count--)
        {
            events.Add(new ChainEvent(
                Duration * random.NextDouble(), kinds[random.Next(kinds.Count)], random.Next(nodes), TimeSpan.FromMilliseconds(random.Next(1, 4000))));
        }

        return new ChainScenario(
            seed, nodes, Sometimes(0.2), Sometimes(0.2), Sometimes(0.1), random.Next(2) == 0 ? 3 : 200, Sometimes(0.1), random.Next(3) == 0 ? 20_000 : 200)
        {
            Events = [.. events.OrderBy(e => e.At)],
        };
    }
}
