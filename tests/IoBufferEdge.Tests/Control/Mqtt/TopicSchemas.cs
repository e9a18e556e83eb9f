using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Text.Json;
using IoBufferEdge.Tests.Configuration;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>The schemas of the topics' contents, as they lie beside the control code for whoever reads the topics.</summary>
internal static class TopicSchemas
{
    private static readonly ConcurrentDictionary<string, JsonElement> Schemas = new(StringComparer.Ordinal);

    public static JsonElement Of(string name) =>
        Schemas.GetOrAdd(name, static name => JsonElement.Parse(File.ReadAllBytes(Path.Combine(Folder(), $"{name}.schema.json"))));

    /// <summary>What is wrong with a message; null: nothing.</summary>
    /// <param name="topic">Without the device's root.</param>
    public static string? Violation(string topic, string payload)
    {
        if (topic == "availability") return payload is "online" or "offline" ? null : $"availability is \"{payload}\"";
        if (topic.StartsWith("alert/", StringComparison.Ordinal) && payload.Length == 0) return null;
        if (topic.Split('/') is ["channel", _, "state"] && payload.Length == 0) return null;
        if (NameOf(topic.Split('/')) is not { } name) return $"{topic} is no topic of a device";
        try
        {
            using var json = JsonDocument.Parse(payload, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return new SchemaEvaluator(Of(name)).IsValid(json.RootElement) ? null : $"{topic} does not keep to {name}.schema.json: {payload}";
        }
        catch (JsonException e)
        {
            return $"{topic} is no JSON ({e.Message}): {payload}";
        }
    }

    private static string? NameOf(string[] levels) => levels switch
    {
        ["state" or "metrics" or "event"] => levels[0],
        ["channel", _, "state"] => "channel-state",
        ["alert", _] => "alert",
        ["config", "desired" or "reported"] => $"config-{levels[1]}",
        ["cmd", _, _] => "command",
        ["cmd", _, _, "result"] => "command-result",
        _ => null,
    };

    private static string Folder([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../../../src/IoBufferEdge/Control/Schemas"));
}
