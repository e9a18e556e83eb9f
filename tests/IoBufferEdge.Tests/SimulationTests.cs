using IoBufferEdge.Simulation;
using IoBufferEdge.Simulation.Chain;

namespace IoBufferEdge.Tests;

/// <summary>
/// A fixed set of simulated lives of the whole gateway: same seeds, same faults, every time. More of them: scripts/simulate.sh --seeds N;
/// one of them with its trace: scripts/simulate.sh SEED.
/// </summary>
public sealed class SimulationTests
{
    private const int SeedsPerTest = 50;
    private const int ChainsPerTest = 20;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void Every_seed_drains_and_breaks_no_rule(int part)
    {
        var report = new StringWriter();
        for (var seed = 1 + (part * SeedsPerTest); seed <= (part + 1) * SeedsPerTest; seed++)
        {
            var scenario = Scenario.FromSeed(seed);
            var outcome = SimulationRun.Run(scenario);
            if (outcome.Violation is not null) Report.Failure(scenario, outcome, report);
        }

        Assert.Equal("", report.ToString());
    }

    [Fact]
    public void A_seed_replays_bit_for_bit()
    {
        foreach (var seed in (int[])[5, 17, 40])
        {
            var first = SimulationRun.Run(Scenario.FromSeed(seed));
            var again = SimulationRun.Run(Scenario.FromSeed(seed));
            Assert.Equal((first.TraceHash, first.Steps, first.VirtualTime), (again.TraceHash, again.Steps, again.VirtualTime));
            Assert.True(first.Trace.Count > 50);
        }
    }

    [Fact]
    public void Two_seeds_differ() =>
        Assert.NotEqual(SimulationRun.Run(Scenario.FromSeed(5)).TraceHash, SimulationRun.Run(Scenario.FromSeed(6)).TraceHash);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Gateways_in_a_row_deliver_once_and_in_order(int part)
    {
        var report = new StringWriter();
        var alarms = 0;
        for (var seed = 1 + (part * ChainsPerTest); seed <= (part + 1) * ChainsPerTest; seed++)
        {
            var scenario = ChainScenario.FromSeed(seed);
            var outcome = ChainRun.Run(scenario);
            if (outcome.Violation is not null) ChainSeeds.Describe(scenario, outcome, report);
            alarms += outcome.Alarms;
        }

        Assert.Equal("", report.ToString());
        Assert.True(alarms > 0);
    }

    [Fact]
    public void A_chain_replays_bit_for_bit()
    {
        var (first, again) = (ChainRun.Run(ChainScenario.FromSeed(7)), ChainRun.Run(ChainScenario.FromSeed(7)));
        Assert.Equal((first.TraceHash, first.Steps, first.Secured), (again.TraceHash, again.Steps, again.Secured));
        Assert.True(first.Secured > 100);
    }
}
