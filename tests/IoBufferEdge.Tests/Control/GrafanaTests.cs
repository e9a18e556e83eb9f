using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using IoBufferEdge.Control;
using IoBufferEdge.Tests.Support;

namespace IoBufferEdge.Tests.Control;

/// <summary>The dashboard asks for metrics and labels that the gateway really has.</summary>
public sealed partial class GrafanaTests
{
    private static readonly JsonNode Dashboard = JsonNode.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, "src/IoBufferEdge/Control/grafana.json")))!;

    private static IEnumerable<string> Queries => Dashboard["panels"]!.AsArray()
        .SelectMany(p => p!["targets"]!.AsArray()).Select(t => t!["expr"]!.GetValue<string>())
        .Concat(Dashboard["templating"]!["list"]!.AsArray().Select(v => v!["definition"]?.GetValue<string>() ?? ""));

    [Fact]
    public void Every_metric_that_it_asks_for_is_published()
    {
        var asked = Queries.SelectMany(q => Name().Matches(q)).Select(m => m.Value).Distinct().ToList();
        Assert.True(asked.Count > 15, $"only {asked.Count} metrics are asked for");
        Assert.Empty(asked.Except(StatusMetrics.All.Select(m => m.Name)));
    }

    [Fact]
    public void Counters_are_shown_by_their_increase_and_gauges_as_they_are()
    {
        foreach (var query in Queries)
        {
            foreach (var metric in StatusMetrics.All.Where(m => m.Kind == MetricKind.Counter))
            {
                if (query.StartsWith("label_values", StringComparison.Ordinal)) continue;
                foreach (Match use in Regex.Matches(query, $@"(\w+\()?{metric.Name}\{{"))
                    Assert.True(use.Groups[1].Value is "rate(" or "increase(", $"{metric.Name} is a counter: {query}");
            }
        }
    }

    [GeneratedRegex(@"iobuffer_\w+")]
    private static partial Regex Name();
}
