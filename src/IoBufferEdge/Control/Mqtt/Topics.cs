namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// The topics of one device, all beneath <c>iobuffer/v1/&lt;device_id&gt;/</c>. The version counts the whole contract, payloads included; what
/// is in them: README.md and Schemas/ beside the control code.
/// </summary>
public sealed record Topics(string DeviceId)
{
    public string Root { get; } = $"iobuffer/v1/{DeviceId}/";

    public string Availability => $"{Root}availability";

    public string State => $"{Root}state";

    public string Metrics => $"{Root}metrics";

    public string Event => $"{Root}event";

    public string ConfigDesired => $"{Root}config/desired";

    public string ConfigReported => $"{Root}config/reported";

    public string Channel(string id) => $"{Root}channel/{id}/state";

    public string Alert(string id) => $"{Root}alert/{id}";

    public string Result(string type, string id) => $"{Root}cmd/{type}/{id}/result";

    /// <summary>A piece of what a command asked for, published before its result.</summary>
    public string Part(string type, string id, int number) => $"{Root}cmd/{type}/{id}/part/{number}";

    /// <summary>What the device obeys, and its own availability, which somebody else's last will may have spoilt.</summary>
    public IReadOnlyList<string> Watched => [ConfigDesired, $"{Root}cmd/+/+", Availability];

    /// <summary>Where the broker may hold something of an earlier run that is no longer true.</summary>
    public IReadOnlyList<string> Swept => [$"{Root}alert/+", $"{Root}channel/+/state"];

    /// <summary>Type and id of a command; null: the topic is not one.</summary>
    public (string Type, string Id)? Command(string topic) =>
        topic.StartsWith(Root, StringComparison.Ordinal) && topic[Root.Length..].Split('/') is ["cmd", { Length: > 0 } type, { Length: > 0 } id]
            ? (type, id) : null;
}
