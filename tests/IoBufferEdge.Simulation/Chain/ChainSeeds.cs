using System.Diagnostics;

namespace IoBufferEdge.Simulation.Chain;

/// <summary>Many seeds of gateways in a row, or one with its trace. A seed that fails is shown with the faults that it needs.</summary>
public static class ChainSeeds
{
    private const int FailuresMax = 5;
    private const int LinesShown = 80;

    public static int Run(int count, int from)
    {
        var clock = Stopwatch.StartNew();
        var (failed, secured, alarms, excused) = (new List<int>(), 0L, 0L, 0L);
        for (var seed = from; seed < from + count && failed.Count < FailuresMax; seed++)
        {
            var scenario = ChainScenario.FromSeed(seed);
            var outcome = ChainRun.Run(scenario);
            (secured, alarms, excused) = (secured + outcome.Secured, alarms + outcome.Alarms, excused + outcome.Excused);
            if (outcome.Violation is not null)
            {
                failed.Add(seed);
                Describe(scenario, outcome, Console.Out);
            }

            var done = seed - from + 1;
            if (done % 100 != 0 && done != count && failed.Count < FailuresMax) continue;
            Console.WriteLine(
                $"{done} chains, {done / clock.Elapsed.TotalSeconds:0.0} a second, {secured} messages secured, {alarms} alarms, " +
                $"{excused} lost with a disk, {failed.Count} failed");
        }

        if (failed.Count > 0) Console.WriteLine($"failed: {string.Join(' ', failed)}");
        return failed.Count == 0 ? 0 : 1;
    }

    public static int Show(int seed)
    {
        var outcome = ChainRun.Run(ChainScenario.FromSeed(seed), Console.Out.WriteLine);
        Console.WriteLine(outcome with { Trace = new Trace() });
        return outcome.Violation is null ? 0 : 1;
    }

    /// <summary>Leaves out fault after fault while it still fails.</summary>
    public static void Describe(ChainScenario scenario, ChainOutcome outcome, TextWriter output)
    {
        for (var i = 0; i < scenario.Events.Count;)
        {
            var fewer = scenario with { Events = [.. scenario.Events.Where((_, index) => index != i)] };
            var result = ChainRun.Run(fewer);
            if (result.Violation is null) i++;
            else (scenario, outcome) = (fewer, result);
        }

        output.WriteLine(outcome.Trace.Last(LinesShown));
        output.WriteLine($"{scenario}");
        foreach (var fault in scenario.Events) output.WriteLine($"  {fault}");
        output.WriteLine($"chain {scenario.Seed}: {outcome.Violation}");
    }
}
