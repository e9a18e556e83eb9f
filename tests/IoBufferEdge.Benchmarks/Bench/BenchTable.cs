using System.Globalization;
using System.Text.Json.Nodes;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>Turns samples into the table of budgets: medians, their spread, the ratio to the relay, the bound, and whether it is
/// met.</summary>
public sealed class BenchTable(Dictionary<string, List<double>> samples)
{
    private readonly List<string[]> _rows = [];
    private readonly JsonArray _results = [];

    public JsonObject Print(string machine, int rounds, long backlogMessages)
    {
        foreach (var (bytes, bound) in ((int, double)[])[(100, 0.3), (1024, 1.0), (8192, 1.0)])
            Ratio($"throughput {bytes} B, cut_through (msg/s)", $"relay/{bytes}/per_s", $"cut_through/{bytes}/per_s", bound, atLeast: true);
        Absolute("throughput 100 B, durable_first (msg/s)", "durable_first/100/per_s", null);
        foreach (var bytes in (int[])[1024, 8192])
        {
            Ratio(
                $"throughput {bytes} B, durable_first (msg/s)", $"relay/{bytes}/per_s", $"durable_first/{bytes}/per_s", 0.5, atLeast: true);
        }

        Absolute("CPU per 1 KB message (µs)", "cut_through/1024/cpu_us", 5, "relay/1024/cpu_us");
        Absolute("the same, durable_first (µs)", "durable_first/1024/cpu_us", null, "relay/1024/cpu_us");
        Ratio("latency at 200 msg/s, p50 (ms)", "relay/p50_ms", "cut_through/p50_ms", 0.5, atLeast: false);
        Ratio("latency at 200 msg/s, p99 (ms)", "relay/p99_ms", "cut_through/p99_ms", 1.0, atLeast: false);
        Absolute("latency at 200 msg/s, max (ms)", "cut_through/max_ms", null, "relay/max_ms");
        Absolute("the same, durable_first, p50 (ms)", "durable_first/p50_ms", null, "relay/p50_ms");
        Absolute("written per payload byte, 1 KB, cut_through", "cut_through/1024/written", 0.1, "relay/1024/written");
        Absolute("written per payload byte, 1 KB, durable_first", "durable_first/1024/written", 1.12, "relay/1024/written");
        Absolute("written per payload byte, 8 KB, durable_first", "durable_first/8192/written", 1.12, "relay/8192/written");
        Absolute("written per payload byte, outage", "outage/written", 2.1);
        Absolute("outage: fill (msg/s of 1 KB)", "outage/fill_per_s", null);
        Absolute("outage: drain (msg/s of 1 KB)", "outage/drain_per_s", null);
        Absolute("memory idle (PSS, MB)", "idle/pss_mb", 28);
        Absolute("memory at full speed, 1 KB (PSS, MB)", "cut_through/1024/pss_mb", 64);
        Absolute(
            $"memory, 16 channels, {backlogMessages / 1e6:0.#} M messages draining (PSS, MB, highest)", "backlog/pss_mb", 64, highest: true);
        Absolute($"start to forwarding, {backlogMessages / 1e6:0.#} M messages buffered (ms)", "backlog/start_ms", 1000);
        Absolute("start to answering, empty (ms)", "idle/start_ms", null);
        Absolute("AOT binary (MB)", "idle/binary_mb", 18);
        Absolute("repeats at full speed (messages)", "cut_through/1024/repeats", null, highest: true);

        var lines = Markdown(machine, rounds);
        Console.WriteLine(lines);
        return new JsonObject
        {
            ["at"] = DateTime.UtcNow.ToString("u", CultureInfo.InvariantCulture),
            ["machine"] = machine,
            ["rounds"] = rounds,
            ["table"] = lines,
            ["results"] = _results,
        };
    }

    private void Ratio(string what, string relay, string gateway, double bound, bool atLeast)
    {
        var ratio = Median(gateway) / Median(relay);
        var met = atLeast ? ratio >= bound : ratio <= bound;
        Row(what, Format(relay), Format(gateway), Figure(ratio) + " ×", $"{(atLeast ? "≥" : "≤")} {Figure(bound)} ×", met);
    }

    private void Absolute(string what, string gateway, double? atMost, string? relay = null, bool highest = false)
    {
        var value = highest ? samples[gateway].Max() : Median(gateway);
        Row(what, relay is null ? "" : Format(relay), highest ? Figure(value) : Format(gateway), "",
            atMost is { } bound ? $"≤ {Figure(bound)}" : "", atMost is null ? null : value <= atMost);
    }

    private void Row(string what, string relay, string gateway, string ratio, string bound, bool? met)
    {
        _rows.Add([what, relay, gateway, ratio, bound, met switch { true => "yes", false => "**no**", null => "" }]);
        _results.Add((JsonNode)new JsonObject
        {
            ["what"] = what, ["relay"] = relay, ["gateway"] = gateway, ["ratio"] = ratio, ["bound"] = bound, ["met"] = met,
        });
    }

    private string Markdown(string machine, int rounds)
    {
        var head = $"""
            {machine}. Median of {rounds} interleaved rounds (lowest – highest).

            | What | Bare relay | Gateway | Ratio | Bound | Met |
            |---|---:|---:|---:|---:|---|

            """;
        return head + string.Join('\n', _rows.Select(row => $"| {string.Join(" | ", row)} |"));
    }

    private double Median(string name)
    {
        var sorted = samples[name].Order().ToArray();
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
    }

    private string Format(string name)
    {
        var list = samples[name];
        return list.Count == 1 ? Figure(list[0]) : $"{Figure(Median(name))} ({Figure(list.Min())} – {Figure(list.Max())})";
    }

    private static string Figure(double value) => value.ToString(
        Math.Abs(value) switch { >= 1000 => "#,0", >= 100 => "0", >= 10 => "0.0", _ => "0.00" }, CultureInfo.InvariantCulture);
}
