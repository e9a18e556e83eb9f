using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace IoBufferEdge.Control;

public enum MetricKind
{
    Counter,
    Gauge,
}

/// <param name="Labels">Name and value of each label.</param>
public readonly record struct MetricSample(double Value, params KeyValuePair<string, object?>[] Labels);

/// <summary>One metric: what it is called and how it is read out of a snapshot.</summary>
/// <param name="Name">As Prometheus shows it: <c>iobuffer_</c>, base unit, <c>_total</c> on counters.</param>
public sealed record Metric(string Name, MetricKind Kind, string Help, Func<GatewayStatus, IEnumerable<MetricSample>> Read);

/// <summary>
/// The gateway's metrics: one table, shown as Prometheus text (<see cref="Render"/>) and as instruments of the meter
/// <c>IoBufferEdge</c> (<see cref="Publish"/>), so that any exporter fits. Both read the snapshot that the CLI shows too.
/// </summary>
public static class StatusMetrics
{
    public const string MeterName = "IoBufferEdge";

    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    public static IReadOnlyList<Metric> All { get; } =
    [
        new("iobuffer_build_info", MetricKind.Gauge, "Always 1; the version is its label.", s => [new(1, Label("version", s.Version))]),
        Gateway("iobuffer_uptime_seconds", MetricKind.Gauge, "Since the process began.", s => s.Uptime.TotalSeconds),
        PerChannel("iobuffer_received_messages_total", MetricKind.Counter, "Messages received and secured.", c => c.Ledger.Received),
        PerChannel("iobuffer_received_bytes_total", MetricKind.Counter, "Payload bytes received and secured.", c => c.Ledger.ReceivedBytes),
        PerChannel("iobuffer_sent_messages_total", MetricKind.Counter, "Messages delivered: confirmed by the destination, each once.",
            c => c.Ledger.Delivered),
        PerChannel("iobuffer_sent_bytes_total", MetricKind.Counter, "Payload bytes delivered.", c => c.Ledger.DeliveredBytes),
        PerChannel("iobuffer_buffer_size_messages", MetricKind.Gauge, "Messages that wait to be delivered.", c => c.Ledger.Buffered),
        PerChannel("iobuffer_buffer_size_bytes", MetricKind.Gauge, "Payload bytes that wait to be delivered.", c => c.BufferedBytes),
        PerChannel("iobuffer_buffer_max_size_bytes", MetricKind.Gauge, "The channel's quota.", c => c.MaxBytes),
        PerChannel("iobuffer_retained_bytes", MetricKind.Gauge, "Payload bytes of delivered messages that are kept for a replay.", c => c.RetainedBytes),
        PerChannel("iobuffer_parked_messages", MetricKind.Gauge, "Messages that the destination refused and that were put aside.",
            c => c.Ledger.Parked),
        new("iobuffer_discarded_messages_total", MetricKind.Counter, "Messages discarded: by a policy the operator chose, or by damage.",
            Discarded),
        PerChannel("iobuffer_duplicates_possible_total", MetricKind.Counter, "Messages sent more than once.", c => c.Ledger.Repeated),
        PerChannel("iobuffer_ledger_imbalance", MetricKind.Gauge,
            "received - delivered - buffered - parked - discarded; anything but 0 is an alarm.", c => c.Ledger.Imbalance),
        PerChannel("iobuffer_unsecured_messages", MetricKind.Gauge, "Messages received and neither synced nor confirmed yet.",
            c => c.UnsecuredMessages),
        PerChannel("iobuffer_unsecured_bytes", MetricKind.Gauge, "Payload bytes received and neither synced nor confirmed yet.",
            c => c.UnsecuredBytes),
        new("iobuffer_message_age_seconds", MetricKind.Gauge, "Age of the oldest message not delivered, in running time.",
            s => s.Channels.Select(c => new MetricSample(c.OldestAge?.TotalSeconds ?? 0, Channel(c)))),
        PerChannel("iobuffer_retries_total", MetricKind.Counter, "Attempts to reach the destination again.", c => c.Retries),
        PerChannel("iobuffer_elided_messages_total", MetricKind.Counter, "Messages confirmed before they had to be written.",
            c => c.ElidedMessages),
        PerChannel("iobuffer_stored_messages_total", MetricKind.Counter, "Messages written to the store.", c => c.WrittenMessages),
        new("iobuffer_channel_state", MetricKind.Gauge, "1 for the state that the channel is in.", States),
        new("iobuffer_connections", MetricKind.Gauge, "Peers connected now.", Connections),
        new("iobuffer_alert", MetricKind.Gauge, "1 for every standing alert.", s => s.Channels.SelectMany(c =>
            c.Alerts.Select(a => new MetricSample(1, Channel(c), Label("alert", a.Key))))),
        new("iobuffer_errors_total", MetricKind.Counter, "Events at the endpoints and failures of the store.", Errors),
        new("iobuffer_idle_queue_messages", MetricKind.Gauge, "Messages in queues that no channel uses.",
            s => s.IdleQueues.Select(q => new MetricSample(q.Buffered, Label("queue", q.Id)))),
        Gateway("iobuffer_store_failing", MetricKind.Gauge, "1 while the store does not take what it is given.",
            s => s.Store.Error is null ? 0 : 1),
        Gateway("iobuffer_store_out_of_space", MetricKind.Gauge, "1 while the medium or the quota is full.",
            s => s.Store.OutOfSpace ? 1 : 0),
        Gateway("iobuffer_store_commits_total", MetricKind.Counter, "Batches synced.", s => s.Store.Usage.Commits),
        Gateway("iobuffer_store_last_commit_seconds", MetricKind.Gauge, "How long the last batch took, sync included.",
            s => s.Store.LastCommitMs / 1000),
        Gateway("iobuffer_disk_used_bytes", MetricKind.Gauge, "What the store takes on the medium.", s => s.Store.Usage.DiskBytes),
        Gateway("iobuffer_disk_max_bytes", MetricKind.Gauge, "The device's quota.", s => s.Store.DeviceMaxBytes),
        Gateway("iobuffer_disk_free_bytes", MetricKind.Gauge, "What the medium has left.", s => s.Store.Usage.FreeBytes),
        Gateway("iobuffer_disk_written_bytes_total", MetricKind.Counter, "Bytes handed to the medium for the store.",
            s => s.Store.Usage.WrittenBytes),
        Mqtt("iobuffer_mqtt_connected", MetricKind.Gauge, "1 while the broker is connected.", m => m.Connected ? 1 : 0),
        Mqtt("iobuffer_mqtt_connects_total", MetricKind.Counter, "Connections made with the broker.", m => m.Connects),
        Mqtt("iobuffer_mqtt_dropped_events_total", MetricKind.Counter, "Events and results that found no room while there was no broker.",
            m => m.DroppedEvents),
        Mqtt("iobuffer_mqtt_dropped_messages_total", MetricKind.Counter, "Messages of the broker that came faster than they were dealt with.",
            m => m.DroppedMessages),
        Gateway("iobuffer_memory_used_bytes", MetricKind.Gauge, "What the channels hold of the memory budget.", s => s.MemoryUsedBytes),
        Gateway("iobuffer_memory_max_bytes", MetricKind.Gauge, "The memory budget.", s => s.MemoryTotalBytes),
    ];

    /// <summary>Prometheus text exposition format 0.0.4.</summary>
    public static string Render(GatewayStatus status)
    {
        var text = new StringBuilder();
        foreach (var metric in All)
        {
            text.Append("# HELP ").Append(metric.Name).Append(' ').Append(metric.Help).Append('\n');
            text.Append("# TYPE ").Append(metric.Name).Append(metric.Kind == MetricKind.Counter ? " counter\n" : " gauge\n");
            foreach (var sample in metric.Read(status))
            {
                text.Append(metric.Name);
                if (sample.Labels.Length > 0)
                    text.Append('{').AppendJoin(',', sample.Labels.Select(l => $"{l.Key}=\"{Escaped(l.Value)}\"")).Append('}');
                text.Append(' ').Append(sample.Value.ToString(CultureInfo.InvariantCulture)).Append('\n');
            }
        }

        return text.ToString();
    }


    /// <summary>Observable instruments over snapshots; dispose the meter to end them. <c>_total</c> is left to the exporter.</summary>
    public static Meter Publish(Func<GatewayStatus> snapshot)
    {
        var meter = new Meter(MeterName);
        foreach (var metric in All)
        {
            IEnumerable<Measurement<double>> Observe() => metric.Read(snapshot()).Select(s => new Measurement<double>(s.Value, s.Labels));
            if (metric.Kind == MetricKind.Counter)
                meter.CreateObservableCounter(metric.Name[..^"_total".Length], Observe, unit: null, metric.Help);
            else
                meter.CreateObservableGauge(metric.Name, Observe, unit: null, metric.Help);
        }

        return meter;
    }

    private static Metric Gateway(string name, MetricKind kind, string help, Func<GatewayStatus, double> value) =>
        new(name, kind, help, s => [new MetricSample(value(s))]);

    /// <summary>No sample where no broker is configured.</summary>
    private static Metric Mqtt(string name, MetricKind kind, string help, Func<Mqtt.MqttStatus, double> value) =>
        new(name, kind, help, s => s.Mqtt is { } mqtt ? [new MetricSample(value(mqtt))] : []);

    private static Metric PerChannel(string name, MetricKind kind, string help, Func<ChannelStatus, double> value) =>
        new(name, kind, help, s => s.Channels.Select(c => new MetricSample(value(c), Channel(c))));

    private static IEnumerable<MetricSample> Discarded(GatewayStatus status)
    {
        foreach (var channel in status.Channels)
        {
            yield return new(channel.Ledger.Discarded, Channel(channel), Label("intentional", "true"), Label("reason", "policy"));
            yield return new(channel.Ledger.Lost, Channel(channel), Label("intentional", "false"), Label("reason", "damage"));
        }
    }

    private static IEnumerable<MetricSample> States(GatewayStatus status) => status.Channels.SelectMany(channel =>
        Enum.GetValues<ChannelState>().Select(state =>
            new MetricSample(channel.State == state ? 1 : 0, Channel(channel), Label("state", StatusText.Word(state)))));

    private static IEnumerable<MetricSample> Connections(GatewayStatus status)
    {
        foreach (var channel in status.Channels)
        {
            yield return new(channel.SourceStatus.Connections, Channel(channel), Label("stage", "source"));
            yield return new(channel.DestinationStatus.Connections, Channel(channel), Label("stage", "destination"));
        }
    }

    private static IEnumerable<MetricSample> Errors(GatewayStatus status)
    {
        yield return new(status.Store.Usage.Failures, Label("channel", ""), Label("stage", "store"), Label("type", "commit"));
        foreach (var channel in status.Channels)
        {
            foreach (var (name, count) in channel.SourceStatus.Counters)
                yield return new(count, Channel(channel), Label("stage", "source"), Label("type", name));
            foreach (var (name, count) in channel.DestinationStatus.Counters)
                yield return new(count, Channel(channel), Label("stage", "destination"), Label("type", name));
        }
    }

    private static KeyValuePair<string, object?> Channel(ChannelStatus channel) => Label("channel", channel.Id);

    private static KeyValuePair<string, object?> Label(string name, string value) => new(name, value);

    private static string Escaped(object? value) =>
        ((string)value!).Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n");
}
