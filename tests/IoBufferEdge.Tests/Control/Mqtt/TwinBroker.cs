using System.Text;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>
/// A broker in virtual time: keeps what is retained, publishes last wills, hands out what subscriptions ask for, and can be away, refuse,
/// fall silent or forget everything. Its calls take a little time, like a network's.
/// </summary>
internal sealed class TwinBroker(SimulatedProcess process) : IMqttBroker
{
    public SortedDictionary<string, string> Retained { get; } = new(StringComparer.Ordinal);

    /// <summary>Everything that was published, in order.</summary>
    public List<MqttMessage> Published { get; } = [];

    /// <summary>Messages of the device that do not keep to the schema of their topic.</summary>
    public List<string> Violations { get; } = [];

    public TwinConnection? Connection { get; private set; }

    public int Attempts { get; private set; }

    public bool IsAway { get; set; }

    /// <summary>Topics that it refuses although the connection goes on.</summary>
    public string? Refuses { get; set; }

    public async Task<IMqttConnection> ConnectAsync(MqttTarget target, Action<MqttReceived> received, CancellationToken cancel)
    {
        Attempts++;
        await process.Delay(TimeSpan.FromMilliseconds(20));
        cancel.ThrowIfCancellationRequested();
        if (IsAway) throw new MqttLinkException($"Cannot connect to {target}: nobody is there.");
        return Connection = new TwinConnection(this, process, target, received);
    }

    /// <summary>kill -9 of the broker: what it held retained is gone unless kept.</summary>
    public void Die(bool forgets)
    {
        IsAway = true;
        Connection?.End("the broker has died");
        if (forgets) Retained.Clear();
    }

    /// <summary>Somebody else publishes.</summary>
    public void Publish(string topic, string payload, bool retained = false)
    {
        if (retained) Keep(topic, payload);
        Connection?.Deliver(topic, payload, retained: false);
    }

    public string? Json(string topic) => Retained.GetValueOrDefault(topic);

    internal void Take(MqttMessage message)
    {
        Published.Add(message);
        var payload = Encoding.UTF8.GetString(message.Payload.Span);
        if (message.Topic.StartsWith(LinkRig.Root, StringComparison.Ordinal)
            && TopicSchemas.Violation(message.Topic[LinkRig.Root.Length..], payload) is { } wrong) Violations.Add(wrong);
        if (message.Retained) Keep(message.Topic, payload);
        Connection?.Deliver(message.Topic, payload, retained: false);
    }

    private void Keep(string topic, string payload)
    {
        if (payload.Length > 0) Retained[topic] = payload;
        else Retained.Remove(topic);
    }

    /// <summary>Filters as MQTT has them; a # only as the last level.</summary>
    internal static bool Matches(string filter, string topic)
    {
        var (levels, names) = (filter.Split('/'), topic.Split('/'));
        if (levels[^1] != "#" && levels.Length != names.Length) return false;
        return levels.TakeWhile(l => l != "#").Zip(names).All(pair => pair.First == "+" || pair.First == pair.Second);
    }
}

internal sealed class TwinConnection(TwinBroker broker, SimulatedProcess process, MqttTarget target, Action<MqttReceived> received) : IMqttConnection
{
    private readonly TaskCompletionSource<string> _ended = new();

    public HashSet<string> Filters { get; } = [];

    public List<MqttReceived> Acknowledged { get; } = [];

    public bool LeftInOrder { get; private set; }

    public Task<string> Ended => _ended.Task;

    public void End(string reason) => _ended.TrySetResult(reason);

    public void Deliver(string topic, string payload, bool retained)
    {
        if (Ended.IsCompleted || !Filters.Any(f => TwinBroker.Matches(f, topic))) return;
        received(new MqttReceived(this, topic, Encoding.UTF8.GetBytes(payload), retained, IsEncrypted: target.Config.Tls.Enabled, QoS: 1));
    }

    public async Task<string?> PublishAsync(MqttMessage message)
    {
        await AnswerAsync();
        if (message.Topic == broker.Refuses) return $"{message.Topic}: refused";
        broker.Take(message);
        return null;
    }

    public async Task<string?> SubscribeAsync(IReadOnlyList<string> filters)
    {
        await AnswerAsync();
        foreach (var filter in filters)
        {
            Filters.Add(filter);
            foreach (var (topic, payload) in broker.Retained.Where(r => TwinBroker.Matches(filter, r.Key)).ToList()) Deliver(topic, payload, retained: true);
        }

        return null;
    }

    public async Task UnsubscribeAsync(IReadOnlyList<string> filters)
    {
        await AnswerAsync();
        Filters.ExceptWith(filters);
    }

    public void Acknowledge(MqttReceived message)
    {
        if (message.Connection == this && !Ended.IsCompleted) Acknowledged.Add(message);
    }

    public async Task LeaveAsync(TimeSpan within)
    {
        await process.Delay(TimeSpan.FromMilliseconds(5));
        LeftInOrder = true;
        End("left");
    }

    public ValueTask DisposeAsync()
    {
        End("left");
        return default;
    }

    private async Task AnswerAsync()
    {
        await process.Delay(TimeSpan.FromMilliseconds(5));
        if (Ended.IsCompleted) throw new MqttLinkException(await Ended);
    }
}
