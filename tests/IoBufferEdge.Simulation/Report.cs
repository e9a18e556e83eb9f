namespace IoBufferEdge.Simulation;

/// <summary>What a failing seed shows: the seed, the faults that it needs, the checker's sentence and the last events.</summary>
public static class Report
{
    private const int LinesShown = 60;

    public static void Failure(Scenario scenario, Outcome outcome, TextWriter output)
    {
        var (shorter, shorterOutcome) = Shorten(scenario, outcome);
        output.WriteLine($"seed {scenario.Seed} FAILED: {outcome.Violation}");
        Describe(shorter, output);
        output.WriteLine(shorterOutcome.Trace.Last(LinesShown));
        output.WriteLine($"with these {shorter.Faults.Count} of {scenario.Faults.Count} faults: {shorterOutcome.Violation}");
    }

    /// <summary>Drops faults one by one while it still fails.</summary>
    public static (Scenario Scenario, Outcome Outcome) Shorten(Scenario scenario, Outcome outcome, Action<SimulatedDisk>? plant = null)
    {
        for (var i = 0; i < scenario.Faults.Count;)
        {
            var fewer = scenario with { Faults = [.. scenario.Faults.Where((_, index) => index != i)] };
            var result = SimulationRun.Run(fewer, plant: plant);
            if (result.Violation is null) i++;
            else (scenario, outcome) = (fewer, result);
        }

        return (scenario, outcome);
    }

    public static void Describe(Scenario scenario, TextWriter output)
    {
        foreach (var (config, plan) in scenario.Config.Channels.Zip(scenario.Channels))
        {
            var (source, buffer, destination) = (config.Source, config.Buffer, config.Destination);
            output.WriteLine(
                $"  {config.Id}: {source.Type} {plan.SourceWire} ack {source.Ack?.Type.ToString() ?? "none"}, {plan.Senders.Count} senders with " +
                $"{plan.Senders.Sum(sender => sender.Messages)} messages -> {buffer.Delivery}, {buffer.WhenFull} at {buffer.MaxBytes}, " +
                $"delay {buffer.MaxDelayMs}/{buffer.OfflineDelayMs} ms, commit {buffer.CommitBytes}, unsecured {buffer.MaxUnsecuredBytes} -> " +
                $"{destination.Type} {plan.DestinationWire} confirm {destination.EffectiveConfirm.Type}, " +
                $"{destination.OnReject}, window {destination.WindowBytes}, resend {destination.ResendBytes}");
        }

        foreach (var fault in scenario.Faults) output.WriteLine($"  {fault}");
    }
}
