using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Control.Configuring;

/// <summary>Where a configuration came from.</summary>
public enum ConfigOrigin
{
    BuiltIn,
    Factory,
    File,
    Command,
    Mqtt,
}

/// <summary>A configuration as it is kept.</summary>
/// <param name="Document">The whole document, in one line, its file names absolute.</param>
/// <param name="FileHash">Of the configuration file as it was then: this one wins until the file is another; null: there was none.</param>
public sealed record StoredConfig(ConfigOrigin Origin, string Document, string? Revision = null, string? FileHash = null)
{
    /// <summary>XXH128 in hex; the built-in one has none.</summary>
    [JsonIgnore]
    public string? Hash => Origin == ConfigOrigin.BuiltIn ? null : ConfigStore.HashOf(Encoding.UTF8.GetBytes(Document));
}

/// <summary>What became of the wish handled last. Found APPLYING at a start, it was not confirmed in time.</summary>
/// <param name="Message">Hash of the message that brought the newest wish from MQTT: the same one again is no new wish.</param>
public sealed record WishOutcome(
    string? Message, string? Revision, string? Hash, ConfigStatus Status, IReadOnlyList<ConfigProblem> Errors);

/// <summary>All that is kept; each change replaces it as a whole.</summary>
/// <param name="Good">The one to start with, and to go back to.</param>
/// <param name="Former">The good one before it.</param>
/// <param name="Factory">Hash of the provisioning that was taken up last; where another one is kept, it is still to be taken up.</param>
/// <param name="Reset">The next start is to make the device as provisioning left it: a factory reset has been asked for.</param>
public sealed record ConfigState(
    StoredConfig? Good = null, StoredConfig? Former = null, WishOutcome? Last = null, string? Factory = null, bool Reset = false);

/// <summary>
/// Keeps the <see cref="ConfigState"/> in the data folder, in two generations with a checksum each. A power cut in any step of a
/// <see cref="Save"/> leaves the state before it or the one after it; a file that is zeroed, torn or damaged gives way to the generation before.
/// Beside it lies what provisioning gave, which changes as a whole too, and which is what is left when both generations are damaged.
/// </summary>
public sealed class ConfigStore(IConfigFolder folder)
{
    public const string Present = "state", Previous = "state.previous", Draft = "state.new", Factory = "factory", FactoryDraft = "factory.new";

    /// <summary>Lowercase hex XXH128.</summary>
    public static string HashOf(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(XxHash128.Hash(bytes));

    public ConfigState Load() => Read(Present) ?? Read(Previous) ?? new ConfigState();

    /// <summary>What provisioning gave last; null: nothing, or it is damaged.</summary>
    public Provision? LoadFactory() => Read(Factory, ProvisionJson.Default.Provision);

    /// <summary>From here on it is to be taken up, also after a power cut. Exceptions as of <see cref="Save"/>.</summary>
    public void SaveFactory(Provision provision)
    {
        Write(FactoryDraft, JsonSerializer.SerializeToUtf8Bytes(provision, ProvisionJson.Default.Provision));
        folder.Rename(FactoryDraft, Factory);
        folder.SyncFolder();
    }

    /// <exception cref="IOException">The state kept before still counts.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public void Save(ConfigState state)
    {
        Write(Draft, JsonSerializer.SerializeToUtf8Bytes(state, ConfigStateJson.Default.ConfigState));
        if (Read(Present) is not null) folder.Rename(Present, Previous);
        folder.Rename(Draft, Present);
        folder.SyncFolder();
    }

    /// <summary>With its checksum in the first line; its content is on the medium when this returns.</summary>
    private void Write(string name, byte[] json)
    {
        folder.Write(name, [.. Encoding.ASCII.GetBytes(HashOf(json)), (byte)'\n', .. json]);
        folder.Sync(name);
    }

    private ConfigState? Read(string name) => Read(name, ConfigStateJson.Default.ConfigState);

    /// <summary>Null: not there, or not whole.</summary>
    private T? Read<T>(string name, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            if (folder.Read(name) is not { } bytes) return null;
            var end = bytes.AsSpan().IndexOf((byte)'\n');
            if (end < 0 || Encoding.ASCII.GetString(bytes.AsSpan(0, end)) != HashOf(bytes.AsSpan(end + 1))) return null;
            return JsonSerializer.Deserialize(bytes.AsSpan(end + 1), type);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(SnakeCaseConverter<ConfigOrigin>), typeof(SnakeCaseConverter<ConfigSeverity>)])]
[JsonSerializable(typeof(ConfigState))]
internal sealed partial class ConfigStateJson : JsonSerializerContext;
