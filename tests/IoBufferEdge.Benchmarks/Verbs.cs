using System.Globalization;
using IoBufferEdge.Benchmarks.Load;

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
            case ["bench", .. var options]:
                return RunBench(options);
            case ["demo"]:
                return Demo.Demo.Play();
            default:
                Console.Error.WriteLine("Usage: relay LISTEN_PORT TO_PORT FILE [--no-sync] | bench [--quick] | demo");
                return 64;
        }
    }

    private static int RunBench(string[] options)
    {
        var quick = options.Contains("--quick");
        var report = new Bench.Bench(rounds: quick ? 1 : 5, roundSeconds: quick ? 1 : 3, backlog: !quick).Run();
        var folder = Path.Combine(GatewayProcess.RepositoryRoot, "artifacts", "bench");
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "latest.json"), report.ToJsonString(new() { WriteIndented = true }));
        return 0;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
