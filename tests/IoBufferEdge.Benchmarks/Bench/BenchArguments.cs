using System.Globalization;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>The benchmark's command line: <c>[--quick] [--only PART,…] [--busy PERCENT]</c>.</summary>
public static class BenchArguments
{
    /// <exception cref="FormatException">One sentence that says what is wrong.</exception>
    public static BenchOptions Read(IReadOnlyList<string> arguments)
    {
        var options = new BenchOptions();
        for (var i = 0; i < arguments.Count; i++)
        {
            options = arguments[i] switch
            {
                "--quick" => options with { IsQuick = true, Rounds = 1, RoundSeconds = 1, BacklogMessages = 200_000 },
                "--only" => options with { Only = Parts(ValueOf(arguments, i++)) },
                "--busy" => options with { BusyPercent = Percent(ValueOf(arguments, i++)) },
                var unknown => throw new FormatException($"bench: '{unknown}' is none of --quick, --only PART,… and --busy PERCENT."),
            };
        }

        return options;
    }

    private static string ValueOf(IReadOnlyList<string> arguments, int at) =>
        at + 1 < arguments.Count ? arguments[at + 1] : throw new FormatException($"bench: {arguments[at]} needs a value.");

    private static string[] Parts(string list)
    {
        var parts = list.Split(',');
        return parts.FirstOrDefault(part => !Bench.Parts.Contains(part)) is { } unknown
            ? throw new FormatException($"--only: '{unknown}' is no part of the benchmark; its parts are {string.Join(", ", Bench.Parts)}.")
            : parts;
    }

    private static double Percent(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var percent)
            ? percent
            : throw new FormatException($"--busy: '{text}' is no number.");
}
