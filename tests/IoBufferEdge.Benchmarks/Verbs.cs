using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Benchmarks.Loops;

namespace IoBufferEdge.Benchmarks;

/// <summary>The command line of the load tools.</summary>
public static class Verbs
{
    public static int Run(string[] args)
    {
        switch (args)
        {
            case ["relay", var listenPort, var toPort, var file, .. var options]:
                BareRelay.Run(Number(listenPort), Number(toPort), file, sync: !options.Contains("--no-sync"));
                return 0;
            case ["doomed-receiver", var port, var bytes, var bufferBytes]:
                DoomedReceiver.Run(Number(port), Number(bytes), Number(bufferBytes));
                return 0;
            case ["kill-loop", var cycles, .. var seed]:
                return KillLoops(Number(cycles), Seed(seed), powerCuts: false);
            case ["cut-loop", var cuts, .. var seed]:
                return KillLoops(Number(cuts), Seed(seed), powerCuts: true);
            case ["fault-loop", var cycles, .. var seed]:
                return FaultLoops(Number(cycles), Seed(seed));
            case ["flip-loop", var positions, .. var seed]:
                return Damage(seed, loop => loop.Flips(Number(positions)));
            case ["damage-loop", var tables, .. var seed]:
                return Damage(seed, loop => loop.Files(Number(tables)));
            case ["reset-loop", var times, var seed, var bufferBytes]:
                return Judge(new EndLoop(Number(seed), Console.Out, Number(bufferBytes)), loop => loop.Kills(Number(times)));
            case ["reset-loop", var times, .. var seed]:
                return Judge(new EndLoop(Seed(seed), Console.Out), loop => loop.Kills(Number(times)));
            case ["close-loop", var times, .. var seed]:
                return Judge(new EndLoop(Seed(seed), Console.Out), loop => loop.OrderlyEnds(Number(times)));
            case ["chain-loop", var kills, .. var seed]:
                return ChainLoops(Number(kills), Seed(seed));
            case ["broker-loop", var kills, .. var seed]:
                return BrokerLoops(Number(kills), Seed(seed));
            case ["mangle-loop", var requests, .. var seed]:
                return Mangle(Number(requests), Seed(seed));
            case ["soak", var minutes, .. var seed]:
                return Soak(double.Parse(minutes, CultureInfo.InvariantCulture), Seed(seed));
            case ["bench", .. var options]:
                return RunBench(options);
            case ["demo"]:
                return Demo.Demo.Play();
            default:
                Console.Error.WriteLine(
                    "Usage: demo | bench [--quick] [--only PART,…] [--busy PERCENT] | kill-loop CYCLES [SEED] | cut-loop CUTS [SEED] | "
                    + "fault-loop CYCLES [SEED] | "
                    + "flip-loop POSITIONS [SEED] | damage-loop TABLES [SEED] | reset-loop TIMES [SEED [RECEIVE_BUFFER_BYTES]] | "
                    + "close-loop TIMES [SEED] | chain-loop KILLS [SEED] | broker-loop KILLS [SEED] | "
                    + "mangle-loop REQUESTS [SEED] | soak MINUTES [SEED] | relay LISTEN_PORT TO_PORT FILE [--no-sync]");
                return 64;
        }
    }

    private static int RunBench(string[] arguments)
    {
        Bench.BenchOptions options;
        try
        {
            options = Bench.BenchArguments.Read(arguments);
        }
        catch (FormatException mistake)
        {
            Console.Error.WriteLine(mistake.Message);
            return 64;
        }

        if (!File.Exists(GatewayProcess.DefaultBinary))
        {
            Console.Error.WriteLine($"bench: {GatewayProcess.DefaultBinary} does not exist: run scripts/publish.sh, or set IOBUFFER_BINARY.");
            return 69;
        }

        var file = Path.Combine(GatewayProcess.RepositoryRoot, "artifacts", "bench", "latest.json");
        var lastRun = File.Exists(file) ? JsonNode.Parse(File.ReadAllText(file)) : null;
        var report = new Bench.Bench(options).Run(lastRun);
        if (report["failures"]!.AsArray().Count > 0) return 1;
        if (!options.IsWhole) return 0;
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, report.ToJsonString(new() { WriteIndented = true }));
        return 0;
    }

    /// <summary>The cycles are shared out between the three sources and the two ways to deliver; acknowledging ones get the most.</summary>
    private static int KillLoops(int cycles, int seed, bool powerCuts)
    {
        (SenderKind Source, string Delivery, int Share)[] loops =
        [
            (SenderKind.Bytes, "cut_through", 25), (SenderKind.Bytes, "durable_first", 25), (SenderKind.Mllp, "cut_through", 15),
            (SenderKind.Mllp, "durable_first", 15), (SenderKind.Plain, "cut_through", 10), (SenderKind.Plain, "durable_first", 10),
        ];
        var failures = new List<string>();
        foreach (var (source, delivery, share) in loops)
        {
            var loop = new KillLoop(
                new KillLoopOptions
                {
                    Cycles = Math.Max(1, cycles * share / 100), Source = source, Delivery = delivery, Seed = seed++, PowerCuts = powerCuts,
                },
                Console.Out);
            Console.WriteLine(loop.Run());
            failures.AddRange(loop.Failures);
        }

        return Judge(failures);
    }

    private static int FaultLoops(int cycles, int seed)
    {
        var failures = new List<string>();
        foreach (var delivery in (string[])["cut_through", "durable_first"])
        {
            var loop = new FaultLoop(seed++, delivery, Console.Out);
            Console.WriteLine(loop.Run(Math.Max(1, cycles / 2)));
            failures.AddRange(loop.Failures);
        }

        return Judge(failures);
    }

    private static int Damage(string[] seed, Func<DamageLoop, string> run)
    {
        using var loop = new DamageLoop(Seed(seed), Console.Out);
        Console.WriteLine(run(loop));
        return Judge(loop.Failures);
    }

    /// <summary>As many kills once more with disks that are wiped and put back.</summary>
    private static int ChainLoops(int kills, int seed)
    {
        var failures = new List<string>();
        foreach (var losesDisks in (bool[])[false, true])
        {
            using var loop = new ChainLoop(seed++, Console.Out, losesDisks);
            Console.WriteLine(loop.Run(kills));
            failures.AddRange(loop.Failures);
        }

        return Judge(failures);
    }

    private static int BrokerLoops(int kills, int seed)
    {
        var loop = new BrokerLoop(seed, Console.Out);
        Console.WriteLine(loop.Run(kills));
        return Judge(loop.Failures);
    }

    private static int Mangle(int requests, int seed)
    {
        var loop = new MangleLoop(seed, Console.Out);
        Console.WriteLine(loop.Run(requests));
        return Judge(loop.Failures);
    }

    private static int Soak(double minutes, int seed)
    {
        var soak = new Soak(TimeSpan.FromMinutes(minutes), seed, Console.Out);
        Console.WriteLine(soak.Run());
        return Judge(soak.Failures);
    }

    private static int Judge(EndLoop loop, Func<EndLoop, string> run)
    {
        Console.WriteLine(run(loop));
        return Judge(loop.Failures);
    }

    private static int Judge(IReadOnlyCollection<string> failures)
    {
        foreach (var failure in failures)
            Console.WriteLine($"FAILED: {failure}");
        Console.WriteLine(failures.Count == 0 ? "OK" : $"{failures.Count} failures");
        return failures.Count == 0 ? 0 : 1;
    }

    private static int Seed(string[] arguments)
    {
        var seed = arguments.Length > 0 ? Number(arguments[0]) : Environment.TickCount & 0xFFFF;
        Console.WriteLine($"seed {seed}");
        return seed;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
