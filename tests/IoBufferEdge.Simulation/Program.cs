using System.Diagnostics;
using System.Globalization;
using IoBufferEdge.Simulation;
using IoBufferEdge.Simulation.Chain;

// One seed: replays it with its trace. --seeds N [--from K]: runs many, and shows each that fails. --crash-points [--full]: stops a
// scripted run at every operation in turn. --chain SEED and --chain-seeds N [--from K]: the same for gateways in a row.
var arguments = args.ToList();
if (arguments.Contains("--seeds")) return RunMany(Number("--seeds", 1000), Number("--from", 1));
if (arguments.Contains("--chain-seeds")) return ChainSeeds.Run(Number("--chain-seeds", 1000), Number("--from", 1));
if (arguments.Contains("--chain")) return ChainSeeds.Show(Number("--chain", 1));
if (arguments.Contains("--crash-points")) return CrashPoints.Run(arguments.Contains("--full"));
if (arguments.Count == 1 && int.TryParse(arguments[0], NumberStyles.None, CultureInfo.InvariantCulture, out var seed)) return RunOne(seed);
Console.Error.WriteLine("usage: SEED | --seeds N [--from K] | --crash-points [--full] | --chain SEED | --chain-seeds N [--from K]");
return 64;

int Number(string option, int otherwise) => arguments.IndexOf(option) is >= 0 and var at && at + 1 < arguments.Count
    ? int.Parse(arguments[at + 1], CultureInfo.InvariantCulture)
    : otherwise;

static int RunOne(int seed)
{
    var scenario = Scenario.FromSeed(seed);
    Report.Describe(scenario, Console.Out);
    var outcome = SimulationRun.Run(scenario, Console.Out.WriteLine);
    Console.WriteLine(
        $"seed {seed}: {outcome.Steps} steps, {outcome.VirtualTime.TotalSeconds:0.0} s of virtual time, {outcome.Accepted} messages accepted, " +
        $"{outcome.Delivered} delivered, {outcome.Repeats} repeated, trace {outcome.TraceHash:x16}");
    Console.WriteLine(outcome.Violation ?? "no violation");
    return outcome.Violation is null ? 0 : 1;
}

static int RunMany(int count, int from)
{
    const int FailuresMax = 5;
    var clock = Stopwatch.StartNew();
    var failed = new List<int>();
    long messages = 0, steps = 0;
    for (var seed = from; seed < from + count; seed++)
    {
        var scenario = Scenario.FromSeed(seed);
        var outcome = SimulationRun.Run(scenario);
        messages += outcome.Accepted;
        steps += outcome.Steps;
        if (outcome.Violation is not null)
        {
            failed.Add(seed);
            Report.Failure(scenario, outcome, Console.Out);
        }

        var done = seed - from + 1;
        if (done % 100 == 0 || done == count || failed.Count == FailuresMax)
            Console.WriteLine($"{done} seeds, {done / clock.Elapsed.TotalSeconds:0.0} a second, {messages} messages, {steps} steps, {failed.Count} failed");
        if (failed.Count == FailuresMax) break;
    }

    if (failed.Count > 0) Console.WriteLine($"failed: {string.Join(' ', failed)}");
    return failed.Count == 0 ? 0 : 1;
}
