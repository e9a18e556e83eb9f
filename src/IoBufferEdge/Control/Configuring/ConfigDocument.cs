using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Control.Configuring;

/// <summary>Configurations as JSON: merged, completed, and brought into the one form that is kept, hashed and reported.</summary>
internal static class ConfigDocument
{
    private static readonly JsonSerializerOptions OneLine = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonSerializerOptions Indented = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, WriteIndented = true };
    private static readonly JsonDocumentOptions KeysOnce = new() { AllowDuplicateProperties = false };

    /// <summary>What a whole document from MQTT need not say: one document can serve a fleet.</summary>
    private static readonly string[] Completed = ["device", "mqtt"];

    /// <summary>Null: not a JSON object, which <paramref name="problems"/> says.</summary>
    public static JsonObject? Parse(ReadOnlySpan<byte> utf8, List<ConfigProblem> problems)
    {
        if (utf8.StartsWith(Encoding.UTF8.Preamble)) utf8 = utf8[Encoding.UTF8.Preamble.Length..];
        if (JsonSyntax.Check(utf8) is { } problem)
        {
            problems.Add(problem);
            return null;
        }

        try
        {
            if (JsonNode.Parse(utf8, documentOptions: KeysOnce) is JsonObject document) return document;
            problems.Add(new(ConfigSeverity.Error, "$", "must be a JSON object"));
        }
        catch (JsonException)
        {
            problems.Add(new(ConfigSeverity.Error, "$", "has a key that stands more than once in one object; keep one of them"));
        }

        return null;
    }

    /// <summary>RFC 7396.</summary>
    public static JsonNode? Merge(JsonNode? target, JsonNode? patch)
    {
        if (patch is not JsonObject changes) return patch?.DeepClone();
        var merged = target is JsonObject ? (JsonObject)target.DeepClone() : [];
        foreach (var (key, change) in changes)
        {
            if (change is null) merged.Remove(key);
            else merged[key] = Merge(merged[key], change);
        }

        return merged;
    }

    public static void Complete(JsonObject document, JsonObject present)
    {
        foreach (var key in Completed)
            if (!document.ContainsKey(key) && present[key] is { } kept) document[key] = kept.DeepClone();
    }

    /// <summary>Paths of what stands in both documents alike: sections, and channels by their ids.</summary>
    public static HashSet<string> Kept(JsonObject document, JsonObject present)
    {
        var sections = document.Where(s => s.Key != "channels" && JsonNode.DeepEquals(s.Value, present[s.Key]));
        var kept = sections.Select(s => s.Key).ToHashSet(StringComparer.Ordinal);
        if (document["channels"] is not JsonArray channels || present["channels"] is not JsonArray before) return kept;
        for (var i = 0; i < channels.Count; i++)
            if (channels[i] is JsonObject channel && before.Any(b => JsonNode.DeepEquals(b, channel))) kept.Add($"channels[{i}]");
        return kept;
    }

    /// <summary>The document in one line, with the file names as they were read: absolute.</summary>
    public static string Write(JsonObject document, IReadOnlyDictionary<string, string> files)
    {
        foreach (var (path, file) in files) Put(document, path.Split(['.', '[', ']'], StringSplitOptions.RemoveEmptyEntries), file);
        return document.ToJsonString(OneLine);
    }

    /// <summary>For people.</summary>
    public static string Indent(ReadOnlySpan<byte> document) => JsonNode.Parse(document)!.ToJsonString(Indented);

    private static void Put(JsonNode node, ReadOnlySpan<string> path, string value)
    {
        if (path.Length == 1) node[path[0]] = value;
        else Put((int.TryParse(path[0], out var index) ? node[index] : node[path[0]])!, path[1..], value);
    }
}
