using System.Globalization;

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
            default:
                Console.Error.WriteLine("Usage: relay LISTEN_PORT TO_PORT FILE [--no-sync]");
                return 64;
        }
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
