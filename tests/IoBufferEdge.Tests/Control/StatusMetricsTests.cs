using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using IoBufferEdge.Control;

namespace IoBufferEdge.Tests.Control;

public partial class StatusMetricsTests
{
    [Fact]
    public void The_text_is_well_formed()
    {
        var typed = new HashSet<string>();
        foreach (var line in StatusMetrics.Render(Snapshots.Gateway(Snapshots.Channel(), Snapshots.Channel("b"))).TrimEnd('\n').Split('\n'))
        {
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal)) Assert.True(typed.Add(line.Split(' ')[2]), line);
            if (line.StartsWith('#')) continue;
            Assert.Matches(SampleLine(), line);
            Assert.Contains(SampleLine().Match(line).Groups[1].Value, typed);
        }
    }

    [Fact]
    public void Names_follow_the_convention() => Assert.All(StatusMetrics.All, metric =>
    {
        Assert.Matches("^iobuffer_[a-z_]+$", metric.Name);
        Assert.Equal(metric.Kind == MetricKind.Counter, metric.Name.EndsWith("_total", StringComparison.Ordinal));
        Assert.EndsWith(".", metric.Help);
    });

    [Theory]
    [InlineData("iobuffer_received_messages_total{channel=\"scale\"} 100")]
    [InlineData("iobuffer_sent_messages_total{channel=\"scale\"} 80")]
    [InlineData("iobuffer_buffer_size_messages{channel=\"scale\"} 15")]
    [InlineData("iobuffer_parked_messages{channel=\"scale\"} 3")]
    [InlineData("iobuffer_discarded_messages_total{channel=\"scale\",intentional=\"true\",reason=\"policy\"} 2")]
    [InlineData("iobuffer_ledger_imbalance{channel=\"scale\"} 0")]
    [InlineData("iobuffer_message_age_seconds{channel=\"scale\"} 75.5")]
    [InlineData("iobuffer_errors_total{channel=\"scale\",stage=\"destination\",type=\"naks\"} 4")]
    [InlineData("iobuffer_channel_state{channel=\"scale\",state=\"running\"} 1")]
    [InlineData("iobuffer_disk_written_bytes_total 5000000")]
    public void The_snapshot_is_shown(string line) =>
        Assert.Contains("\n" + line + "\n", StatusMetrics.Render(Snapshots.Gateway(Snapshots.Channel())), StringComparison.Ordinal);

    [Fact]
    public void Labels_are_escaped() => Assert.Contains("version=\"a\\\\b\\\"c\\nd\"",
        StatusMetrics.Render(Snapshots.Gateway() with { Version = "a\\b\"c\nd" }), StringComparison.Ordinal);

    [Fact]
    public void Instruments_observe_the_same_snapshot()
    {
        var seen = new Dictionary<string, double>();
        using var listener = new MeterListener();
        using var meter = StatusMetrics.Publish(() => Snapshots.Gateway(Snapshots.Channel()));
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (ReferenceEquals(instrument.Meter, meter)) l.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => seen[instrument.Name] = value);
        listener.Start();

        listener.RecordObservableInstruments();

        Assert.Equal(100, seen["iobuffer_received_messages"]);
        Assert.Equal(75.5, seen["iobuffer_message_age_seconds"]);
    }

    [GeneratedRegex("""^([a-z_]+)(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? -?[0-9.E+]+$""")]
    private static partial Regex SampleLine();
}
