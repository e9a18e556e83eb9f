using System.Text.Json;
using System.Text.Json.Nodes;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Control.Configuring;

/// <summary>
/// A message of <c>config/desired</c>, <c>{revision, config | patch, confirm_timeout_s}</c>, read against the document that runs. At most
/// <see cref="MaxBytes"/>, nested at most <see cref="JsonSyntax.MaxDepth"/> deep.
/// </summary>
internal sealed record ConfigOffer(string? Revision, JsonObject Document, TimeSpan ConfirmTimeout)
{
    public const int MaxBytes = 256 * 1024;

    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(60);

    public const int MinTimeoutS = 10, MaxTimeoutS = 3600;

    private const int MaxRevisionLength = 64;

    /// <param name="revision">What the message calls itself, as far as that can be read.</param>
    /// <returns>Null: <paramref name="problems"/> say why.</returns>
    public static ConfigOffer? Read(ReadOnlySpan<byte> payload, JsonObject present, List<ConfigProblem> problems, out string? revision)
    {
        revision = null;
        if (payload.Length > MaxBytes)
        {
            problems.Add(new(ConfigSeverity.Error, "$", $"has {payload.Length} bytes: at most {MaxBytes} are taken"));
            return null;
        }

        if (ConfigDocument.Parse(payload, problems) is not { } message) return null;
        foreach (var (key, _) in message)
        {
            if (key is not ("revision" or "config" or "patch" or "confirm_timeout_s")) Wrong(Spelling.Quote(key), "is not a key of config/desired");
        }

        revision = ReadRevision(message["revision"]);
        if (revision is null && message.ContainsKey("revision"))
            Wrong("revision", $"must be a string of 1 to {MaxRevisionLength} characters or a whole number");
        var timeout = ReadTimeout(message["confirm_timeout_s"]);
        if (timeout is null) Wrong("confirm_timeout_s", $"must be a whole number from {MinTimeoutS} to {MaxTimeoutS}");
        var document = ReadDocument(message, present);
        if (problems.Count > 0 || document is null) return null;
        return new ConfigOffer(revision, document, timeout!.Value);

        void Wrong(string path, string what) => problems.Add(new(ConfigSeverity.Error, path, what));

        JsonObject? ReadDocument(JsonObject message, JsonObject present)
        {
            var (config, patch) = (message["config"] as JsonObject, message["patch"] as JsonObject);
            if ((config is null) == (patch is null) || (message.ContainsKey("config") && message.ContainsKey("patch")))
            {
                Wrong("$", "must have either config, a whole configuration, or patch, what is to change in the present one (RFC 7396)");
                return null;
            }

            if (patch is not null && patch.ContainsKey("mqtt") && patch["mqtt"] is null && present.ContainsKey("mqtt"))
            {
                Wrong("patch.mqtt", "must not be removed over MQTT: nothing could confirm that any more");
                return null;
            }

            if (config is null) return (JsonObject)ConfigDocument.Merge(present, patch)!;
            var whole = (JsonObject)config.DeepClone();
            ConfigDocument.Complete(whole, present);
            return whole;
        }
    }

    private static string? ReadRevision(JsonNode? node)
    {
        if (node is not JsonValue value) return null;
        if (value.GetValueKind() == JsonValueKind.Number) return value.TryGetValue<long>(out var number) ? $"{number}" : null;
        return value.TryGetValue<string>(out var text) && text.Length is > 0 and <= MaxRevisionLength && !text.Any(char.IsControl) ? text : null;
    }

    private static TimeSpan? ReadTimeout(JsonNode? node)
    {
        if (node is null) return DefaultTimeout;
        return node is JsonValue value && value.TryGetValue<int>(out var seconds) && seconds is >= MinTimeoutS and <= MaxTimeoutS
            ? TimeSpan.FromSeconds(seconds)
            : null;
    }
}
