using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Simulation;

/// <summary>The simulation of the whole gateway as a tool: it replays, it finds what is planted, it shortens what it found.</summary>
public sealed class SimulatedGatewayTests
{
    [Fact]
    public void A_seed_replays_bit_for_bit()
    {
        for (var seed = 1; seed <= 20; seed++)
        {
            var (first, second) = (SimulationRun.Run(Scenario.FromSeed(seed)), SimulationRun.Run(Scenario.FromSeed(seed)));
            Assert.Equal((null, first.TraceHash, first.Steps), (first.Violation, second.TraceHash, second.Steps));
        }
    }

    [Fact]
    public void A_planted_bug_of_the_medium_is_found_and_its_schedule_shortened()
    {
        // Without rule 7's sync before opening, a kill and then a power cut lose what was synced.
        for (var seed = 1; seed <= 3000; seed++)
        {
            var scenario = Scenario.FromSeed(seed);
            if (!scenario.Faults.Any(fault => fault.Kind == FaultKind.RestartThenPowerCut)) continue;
            var outcome = SimulationRun.Run(scenario, plant: disk => disk.SkipPresync = true);
            if (outcome.Violation is null || SimulationRun.Run(scenario).Violation is not null) continue;

            var (shorter, shown) = Report.Shorten(scenario, outcome, disk => disk.SkipPresync = true);
            Assert.NotNull(shown.Violation);
            Assert.InRange(shorter.Faults.Count, 1, scenario.Faults.Count);
            return;
        }

        Assert.Fail("3,000 seeds did not find it.");
    }

    [Fact]
    public void The_script_comes_to_everything_and_survives_a_crash_at_every_tenth_operation()
    {
        var reference = CrashPoints.Reference();
        Assert.Null(reference.Violation ?? CrashPoints.Missing(reference));
        foreach (var scenario in CrashPoints.Single(reference.Operations).Where((_, index) => index % 10 == 0))
            Assert.Equal((scenario.Crashes[0], null), (scenario.Crashes[0], SimulationRun.Run(scenario).Violation));
    }
}
