using System.Text;
using System.Text.Json;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// What the broker has to be told. It compares what should lie on the broker with what was put there: a topic is due when it was never
/// published on this connection, when its condition has changed (at most once a second a topic), when only its figures have moved (every
/// <see cref="FiguresEvery"/>), and every <see cref="Heartbeat"/>. What lies there and should not, also from earlier runs, is cleared.
/// What happens is derived from the differences of two snapshots, waits for the broker in order and is sent once it is there; the oldest goes
/// when <see cref="BacklogMax"/> are waiting. Any thread.
/// </summary>
public sealed class StatusPublisher(Func<byte[]?>? reported, DeviceReadings readings, TimeProvider time)
{
    /// <summary>Events and results that wait for a broker.</summary>
    public const int BacklogMax = 256;

    public static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(60);
    public static readonly TimeSpan FiguresEvery = TimeSpan.FromSeconds(5);
    public static readonly TimeSpan MetricsEvery = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan OnceASecond = TimeSpan.FromSeconds(1);

    private readonly Lock _sync = new();
    private readonly Dictionary<string, Published> _published = new(StringComparer.Ordinal);
    private readonly LinkedList<MqttMessage> _backlog = new();
    private readonly StandingAlerts _alerts = new();
    private readonly EventSource _events = new();
    private MqttTarget? _target;
    private GatewayStatus? _status;
    private (GatewayStatus Status, long At)? _metricsFrom;
    private MqttMessage? _metrics;

    /// <summary>Events and results that found no room.</summary>
    public long Dropped { get; private set; }

    /// <summary>Takes note of a snapshot; what happened since the last one waits to be sent.</summary>
    public void Observe(MqttTarget target, GatewayStatus status)
    {
        lock (_sync)
        {
            if (_target is not null && _target != target) Restart();
            (_target, var former) = (target, _status);
            _alerts.Observe(status);
            foreach (var happened in _events.Compare(former, status, readings.BootId))
                Queue(new MqttMessage(target.Topics.Event, JsonSerializer.SerializeToUtf8Bytes(happened, MqttJson.Default.EventMessage), Retained: false));
            _status = status;
            TakeMetrics(target, status);
        }
    }

    /// <summary>A result: sent like an event, in its turn.</summary>
    public void Add(MqttMessage message)
    {
        lock (_sync) Queue(message);
    }

    /// <summary>Another connection: whatever its broker holds, it is told everything.</summary>
    public void Forget()
    {
        lock (_sync) _published.Clear();
    }

    /// <summary>The broker holds this of ours: from an earlier run, or spoilt by somebody.</summary>
    public void Heard(string topic, ReadOnlySpan<byte> payload, bool retained)
    {
        lock (_sync)
        {
            if (_target is null) return;
            if (topic == _target.Topics.Availability)
            {
                if (!payload.SequenceEqual("online"u8)) _published.Remove(topic);
            }
            else if (retained && !payload.IsEmpty && (topic.StartsWith(_target.Topics.Root, StringComparison.Ordinal) || HomeAssistant.IsOurs(_target, topic)))
            {
                _published.TryAdd(topic, Published.ByAnother);
            }
        }
    }

    /// <summary>The next messages for the broker, so many at most, each topic at most once but the event's; <see cref="Sent"/> ends them.</summary>
    public IReadOnlyList<MqttMessage> Due(int count)
    {
        lock (_sync)
        {
            if (_target is not { } target || _status is not { } status) return [];
            var due = new List<MqttMessage>(count);
            var wanted = Wanted(target, status).ToList();
            foreach (var topic in wanted)
            {
                if (due.Count == count) return due;
                if (!IsDue(topic)) continue;
                var payload = topic.Write();
                _published[topic.Topic] = new Published(topic.Condition, topic.Figures, time.GetTimestamp());
                due.Add(new MqttMessage(topic.Topic, payload, Retained: true));
            }

            foreach (var gone in _published.Keys.Except(wanted.Select(w => w.Topic)).ToList())
            {
                if (due.Count == count) return due;
                _published.Remove(gone);
                due.Add(new MqttMessage(gone, default, Retained: true));
            }

            if (_metrics is not null && due.Count < count) due.Add(_metrics);
            foreach (var waiting in _backlog)
            {
                if (due.Count == count) return due;
                due.Add(waiting);
            }

            return due;
        }
    }

    /// <summary>The broker has these.</summary>
    public void Sent(IReadOnlyList<MqttMessage> messages)
    {
        lock (_sync)
        {
            foreach (var message in messages)
            {
                if (ReferenceEquals(message, _metrics)) _metrics = null;
                else if (_backlog.First is { } first && ReferenceEquals(first.Value, message)) _backlog.RemoveFirst();
            }
        }
    }

    /// <summary>Everything that should lie on the broker, the availability first.</summary>
    private IEnumerable<Wish> Wanted(MqttTarget target, GatewayStatus status)
    {
        var topics = target.Topics;
        yield return new Wish(topics.Availability, "", "", static () => "online"u8.ToArray());
        yield return new Wish(topics.State, GatewayMessage.Condition(status, readings), null, () => GatewayMessage.Write(status, readings), Heartbeat);
        foreach (var channel in status.Channels)
        {
            yield return new Wish(topics.Channel(channel.Id), ChannelMessage.Condition(channel), ChannelMessage.Figures(channel),
                () => ChannelMessage.Write(status, channel, readings), Heartbeat);
        }

        foreach (var alert in _alerts.Standing)
        {
            yield return new Wish(topics.Alert(alert.Id), alert.Message, null,
                () => JsonSerializer.SerializeToUtf8Bytes(alert, MqttJson.Default.AlertMessage));
        }

        if (reported?.Invoke() is { } report) yield return new Wish(topics.ConfigReported, Encoding.UTF8.GetString(report), null, () => report);
        if (target.Config.HomeAssistant is not { } home) yield break;
        foreach (var (topic, entity) in HomeAssistant.Entities(home.Prefix, target, status))
            yield return new Wish(topic, entity.ToJsonString(), null, () => Encoding.UTF8.GetBytes(entity.ToJsonString()));
    }

    private bool IsDue(in Wish wish)
    {
        if (!_published.TryGetValue(wish.Topic, out var last) || last == Published.ByAnother) return true;
        var age = time.GetElapsedTime(last.At);
        return (last.Condition != wish.Condition && age >= OnceASecond)
            || (last.Figures != wish.Figures && age >= FiguresEvery)
            || (wish.Every is { } every && age >= every);
    }

    private void TakeMetrics(MqttTarget target, GatewayStatus status)
    {
        var now = time.GetTimestamp();
        if (_metricsFrom is { } from)
        {
            var interval = time.GetElapsedTime(from.At, now);
            if (interval < MetricsEvery) return;
            var message = RatesMessage.Of(from.Status, status, interval, readings.BootId);
            _metrics = new MqttMessage(
                target.Topics.Metrics, JsonSerializer.SerializeToUtf8Bytes(message, MqttJson.Default.RatesMessage), Retained: false, QoS: 0);
        }

        _metricsFrom = (status, now);
    }

    private void Queue(MqttMessage message)
    {
        _backlog.AddLast(message);
        if (_backlog.Count <= BacklogMax) return;
        _backlog.RemoveFirst();
        Dropped++;
    }

    /// <summary>Another broker or another name: nothing of what waits belongs there.</summary>
    private void Restart()
    {
        _published.Clear();
        _backlog.Clear();
        (_metrics, _metricsFrom) = (null, null);
    }

    /// <param name="Condition">What is worth a message at once when it changes.</param>
    /// <param name="Figures">What moves all the time while there is traffic.</param>
    /// <param name="Every">Repeated so often; null: not.</param>
    private readonly record struct Wish(string Topic, string Condition, string? Figures, Func<byte[]> Write, TimeSpan? Every = null);

    /// <param name="At">Timestamp of the running clock.</param>
    private sealed record Published(string Condition, string? Figures, long At)
    {
        /// <summary>There, and not by this connection.</summary>
        public static readonly Published ByAnother = new("", null, 0);
    }
}
