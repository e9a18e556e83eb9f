using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>Turns samples into the table of budgets: medians, their spread, the ratio to the relay, the bound, and whether it is
/// met.</summary>
public sealed class BenchTable(Samples samples)
{
    private readonly List<string[]> _rows = [];
    private readonly JsonArray _results = [];
    private Dictionary<string, double> _last = [];

    /// <param name="lastRun">What the last whole run left: its ratios, or values, and how much they have moved, get a column. Null: there is
    /// none.</param>
    /// <param name="failures">Parts that were not measured to their end, each with the reason.</param>
    public JsonObject Print(string machine, BenchOptions options, JsonNode? lastRun, IReadOnlyCollection<string> failures)
    {
        _last = Values(lastRun);
        var backlog = $"{options.BacklogMessages / 1e6:0.#} M";
        foreach (var (bytes, bound) in ((int, double)[])[(100, 0.3), (1024, 1.0), (8192, 1.0)])
            Ratio($"throughput {bytes} B, cut_through (msg/s)", $"relay/{bytes}/per_s", $"cut_through/{bytes}/per_s", bound, atLeast: true);
        Absolute("throughput 100 B, durable_first (msg/s)", "durable_first/100/per_s", null);
        foreach (var bytes in (int[])[1024, 8192])
            Ratio($"throughput {bytes} B, durable_first (msg/s)", $"relay/{bytes}/per_s", $"durable_first/{bytes}/per_s", 0.5, atLeast: true);
        Ratio($"throughput 1024 B, {Bench.Channels} channels beside as many relays (msg/s)", "relay/16/per_s", "cut_through/16/per_s", null, true);
        Absolute("CPU per 1 KB message (µs)", "cut_through/1024/cpu_us", 5, "relay/1024/cpu_us");
        Absolute("the same, durable_first (µs)", "durable_first/1024/cpu_us", null, "relay/1024/cpu_us");
        Ratio("latency at 200 msg/s, p50 (ms)", "relay/p50_ms", "cut_through/p50_ms", 0.5, atLeast: false);
        Ratio("latency at 200 msg/s, p99 (ms)", "relay/p99_ms", "cut_through/p99_ms", 1.0, atLeast: false);
        Absolute("latency at 200 msg/s, max (ms)", "cut_through/max_ms", null, "relay/max_ms");
        Absolute("the same, durable_first, p50 (ms)", "durable_first/p50_ms", null, "relay/p50_ms");
        Absolute($"UDP, {Figure(Bench.DatagramsPerSecond)} datagrams a second of 1 KB: come out (%)", "udp/arrived_percent", null);
        Absolute("… CPU per datagram (µs)", "udp/cpu_us", null);
        Ratio("two gateways, all written: 1024 B over remote_icombuffer, beside TCP between them (msg/s)",
            "hop_tcp/1024/per_s", "hop_remote/1024/per_s", 0.7, atLeast: true);
        Written("1 KB, cut_through", "cut_through/1024", 0.1, "relay/1024");
        foreach (var (bytes, size) in ((int, string)[])[(1024, "1 KB"), (8192, "8 KB")])
        {
            Written($"{size}, durable_first at a third of full speed", $"paced/{bytes}", 1.12);
            Written($"{size}, durable_first at full speed", $"durable_first/{bytes}", null, $"relay/{bytes}");
        }

        Written("outage", "outage", 2.1);
        Absolute("outage: fill (msg/s of 1 KB)", "outage/fill_per_s", null);
        Absolute("outage: drain (msg/s of 1 KB)", "outage/drain_per_s", null);
        Ratio($"drain behind {options.DeletedMessages / 1e6:0.#} M deletes, beside a fresh store's (msg/s)",
            "deletes/fresh_per_s", "deletes/later_per_s", 0.9, atLeast: true);
        Memory("idle", "idle", 28);
        Memory("at full speed, 1 KB", "cut_through/1024", 64);
        Memory($"{Bench.Channels} channels, {backlog} messages draining, highest", "backlog", 64, highest: true);
        Absolute($"start to forwarding, {backlog} messages buffered (ms)", "backlog/start_ms", 1000);
        Absolute($"start to forwarding, {options.ReopenMessages * 1024 / 1e9:0.##} GB of 1 KB buffered (ms)", "reopen/start_ms", 1000);
        Absolute("start to answering, empty (ms)", "idle/start_ms", null);
        Absolute("AOT binary (MB)", "idle/binary_mb", 18);
        Absolute("repeats at full speed (messages)", "cut_through/1024/repeats", null, highest: true);

        var lines = Markdown(machine, options.Rounds);
        Console.WriteLine(lines);
        foreach (var failure in failures)
            Console.WriteLine($"\nFAILED: {failure}");
        return new JsonObject
        {
            ["at"] = DateTime.UtcNow.ToString("u", CultureInfo.InvariantCulture),
            ["machine"] = machine,
            ["rounds"] = options.Rounds,
            ["table"] = lines,
            ["results"] = _results,
            ["failures"] = new JsonArray([.. failures.Select(failure => (JsonNode)failure)]),
        };
    }

    /// <summary>
    /// The bound is on what the device was written, where there is one. The process's own counter has more: each write to a page that is in
    /// a large folio counts the folio whole (folio_account_dirtied in Linux's mm/page-writeback.c).
    /// </summary>
    private void Written(string what, string name, double? bound, string? relay = null)
    {
        if (samples.Has($"{name}/device"))
        {
            Absolute($"written per payload byte, {what}", $"{name}/device", bound, $"{relay}/device");
            Absolute("… as the process counts it", $"{name}/written", null, $"{relay}/written");
        }
        else if (samples.Has($"{name}/written"))
        {
            Absolute($"written per payload byte, {what}, as the process counts it", $"{name}/written", bound, $"{relay}/written");
            Row("… by the device", "", $"{WorkFolder.Root} is on no block device", "", "", null, null);
        }
    }

    private void Memory(string what, string name, double bound, bool highest = false)
    {
        Absolute($"memory {what} (PSS, MB)", $"{name}/pss_mb", bound, highest: highest);
        Absolute("… RSS", $"{name}/rss_mb", null, highest: highest);
    }

    private void Ratio(string what, string relay, string gateway, double? bound, bool atLeast)
    {
        if (!samples.Has(relay) || !samples.Has(gateway)) return;
        var ratio = samples.Median(gateway) / samples.Median(relay);
        bool? met = bound is null ? null : atLeast ? ratio >= bound : ratio <= bound;
        var bounded = bound is { } figure ? $"{(atLeast ? "≥" : "≤")} {Figure(figure)} ×" : "";
        Row(what, Format(relay), Format(gateway), Figure(ratio) + " ×", bounded, met, ratio);
    }

    private void Absolute(string what, string gateway, double? atMost, string? relay = null, bool highest = false)
    {
        if (!samples.Has(gateway)) return;
        var value = highest ? samples.Of(gateway).Max() : samples.Median(gateway);
        Row(what, relay is null || !samples.Has(relay) ? "" : Format(relay), highest ? Figure(value) : Format(gateway), "",
            atMost is { } bound ? $"≤ {Figure(bound)}" : "", atMost is null ? null : value <= atMost, value);
    }

    private void Row(string what, string relay, string gateway, string ratio, string bound, bool? met, double? value)
    {
        // A row that says what the one above it said of something else is found again by both.
        var key = what.StartsWith('…') ? $"{_results.LastOrDefault(row => !IsContinued(row))?["what"]} {what}" : what;
        string[] last = _last.Count == 0 ? [] : [Last(key, value, ratio.Length > 0 ? " ×" : "")];
        _rows.Add([what, relay, gateway, ratio, .. last, bound, met switch { true => "yes", false => "**no**", null => "" }]);
        _results.Add((JsonNode)new JsonObject
        {
            ["what"] = key, ["relay"] = relay, ["gateway"] = gateway, ["ratio"] = ratio, ["bound"] = bound, ["met"] = met, ["value"] = value,
        });
    }

    private static bool IsContinued(JsonNode? row) => row!["what"]!.GetValue<string>().Contains('…', StringComparison.Ordinal);

    /// <summary>The row's ratio, or its value, in the last run, and the change since; empty where that run has none.</summary>
    private string Last(string key, double? value, string unit) =>
        !_last.TryGetValue(key, out var before) ? ""
        : value is not { } now || before <= 0 ? Figure(before) + unit
        : string.Create(CultureInfo.InvariantCulture, $"{Figure(before)}{unit} ({(now / before - 1) * 100:+0;-0;0} %)");

    private static Dictionary<string, double> Values(JsonNode? run)
    {
        var values = new Dictionary<string, double>();
        foreach (var row in run?["results"]?.AsArray() ?? [])
        {
            if (row!["value"] is { } value) values[row["what"]!.GetValue<string>()] = value.GetValue<double>();
        }

        return values;
    }

    private string Markdown(string machine, int rounds)
    {
        var (last, line) = _last.Count == 0 ? ("", "") : (" Last run |", "---:|");
        var head = $"""
            {machine}. Median of {rounds} interleaved rounds (lowest – highest).

            | What | Bare relay | Gateway | Ratio |{last} Bound | Met |
            |---|---:|---:|---:|{line}---:|---|

            """;
        return head + string.Join('\n', _rows.Select(row => $"| {string.Join(" | ", row)} |"));
    }

    private string Format(string name)
    {
        var list = samples.Of(name);
        return list.Count == 1 ? Figure(list[0]) : $"{Figure(samples.Median(name))} ({Figure(list.Min())} – {Figure(list.Max())})";
    }

    private static string Figure(double value) => value.ToString(
        Math.Abs(value) switch { >= 1000 => "#,0", >= 100 => "0", >= 10 => "0.0", _ => "0.00" }, CultureInfo.InvariantCulture);
}
