using System.Text.Json.Nodes;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// What Home Assistant shows of a gateway, by its MQTT discovery: one retained message per entity under
/// <c>PREFIX/COMPONENT/iobuffer_DEVICE/OBJECT/config</c>, all of one device. Values are read out of the gateway's own retained topics, so that
/// Home Assistant has them right after its start; an entity whose topic is not refreshed for <see cref="ExpireAfterS"/> is shown as unavailable,
/// and all of them are while the gateway is offline. An entity is removed by an empty message, as any retained topic of ours.
/// </summary>
internal static class HomeAssistant
{
    /// <summary>Three heartbeats.</summary>
    private const int ExpireAfterS = 180;

    public static string Filter(string prefix, string deviceId) => $"{prefix}/+/{Node(deviceId)}/+/config";

    public static bool IsOurs(MqttTarget target, string topic) =>
        target.Config.HomeAssistant is { } home && topic.StartsWith($"{home.Prefix}/", StringComparison.Ordinal)
        && topic[(home.Prefix.Length + 1)..].Split('/') is [_, var node, _, "config"] && node == Node(target.DeviceId);

    /// <summary>Topic and content of every entity's description.</summary>
    public static IEnumerable<(string Topic, JsonObject Entity)> Entities(string prefix, MqttTarget target, GatewayStatus status)
    {
        var topics = target.Topics;
        yield return Sensor("cause", "Cause shown by the LEDs", topics.State, "{{ value_json.led_code }}");
        yield return Sensor("temperature", "Temperature", topics.State, "{{ value_json.temperature_c | default(none) }}",
            ("device_class", "temperature"), ("unit_of_measurement", "°C"), ("state_class", "measurement"));
        yield return Sensor("disk_used", "Disk used", topics.State, "{{ value_json.disk_used_bytes }}",
            ("device_class", "data_size"), ("unit_of_measurement", "B"), ("state_class", "measurement"));
        foreach (var channel in status.Channels)
        {
            var (name, topic) = (channel.Name ?? channel.Id, topics.Channel(channel.Id));
            yield return Sensor($"{channel.Id}_state", $"{name} state", topic, "{{ value_json.state }}");
            yield return Sensor($"{channel.Id}_buffered", $"{name} buffered", topic, "{{ value_json.ledger.buffered }}",
                ("unit_of_measurement", "messages"), ("state_class", "measurement"));
            yield return Sensor($"{channel.Id}_delivered", $"{name} delivered", topic, "{{ value_json.ledger.delivered }}",
                ("unit_of_measurement", "messages"), ("state_class", "total_increasing"));
            yield return Sensor($"{channel.Id}_oldest", $"{name} oldest message", topic, "{{ value_json.oldest_age_s | default(0) }}",
                ("device_class", "duration"), ("unit_of_measurement", "s"), ("state_class", "measurement"));
            yield return Entity("binary_sensor", $"{channel.Id}_problem", $"{name} problem", topic,
                "{{ 'ON' if value_json.alerts or value_json.state in ['failed', 'blocked'] else 'OFF' }}", ("device_class", "problem"));
        }

        (string, JsonObject) Sensor(string id, string name, string topic, string template, params (string Key, string Value)[] more) =>
            Entity("sensor", id, name, topic, template, more);

        (string, JsonObject) Entity(
            string component, string id, string name, string topic, string template, params (string Key, string Value)[] more)
        {
            var node = Node(target.DeviceId);
            var entity = new JsonObject
            {
                ["name"] = name,
                ["unique_id"] = $"{node}_{id}",
                ["state_topic"] = topic,
                ["value_template"] = template,
                ["availability_topic"] = topics.Availability,
                ["expire_after"] = ExpireAfterS,
                ["qos"] = 1,
                ["device"] = new JsonObject
                {
                    ["identifiers"] = new JsonArray(JsonValue.Create(node)),
                    ["name"] = target.DeviceId,
                    ["manufacturer"] = "IoBufferEdge",
                    ["model"] = "IoBufferEdge gateway",
                    ["sw_version"] = status.Version,
                },
                ["origin"] = new JsonObject { ["name"] = "IoBufferEdge", ["sw_version"] = status.Version },
            };
            foreach (var (key, value) in more) entity[key] = value;
            return ($"{prefix}/{component}/{node}/{id}/config", entity);
        }
    }

    /// <summary>Device ids are of the characters that Home Assistant allows in a topic.</summary>
    private static string Node(string deviceId) => $"iobuffer_{deviceId}";
}
