using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control.Configuring;

/// <summary>
/// What an installer gives a device: a configuration or a part of one, and secrets. The latest is kept beside the configurations, as what a
/// factory reset goes back to.
/// </summary>
/// <param name="Config">A configuration's keys, of which any may be left out; over what the device has it is laid like a patch (RFC 7396).
/// </param>
/// <param name="Secrets">By name; also certificates and keys, which the configuration names as files.</param>
/// <param name="Latest">Names of the secrets that came last; null: all of them.</param>
public sealed record Provision(string Config, SortedDictionary<string, byte[]> Secrets, SortedSet<string>? Latest = null)
{
    private const string Clear = "must not stand here in the clear: put it into secrets/NAME, and that name into password_secret";

    /// <summary>All of it, so that a line of the control socket holds it.</summary>
    public const int MaxBytes = 256 * 1024;

    /// <summary>Lowercase hex XXH128 of configuration and secrets.</summary>
    [JsonIgnore]
    public string Hash => ConfigStore.HashOf(JsonSerializer.SerializeToUtf8Bytes(this with { Latest = null }, ProvisionJson.Default.Provision));

    /// <summary>This, and what the one before it had beside.</summary>
    /// <param name="taken">That one was taken up.</param>
    public Provision Over(Provision? former, bool taken)
    {
        var secrets = new SortedDictionary<string, byte[]>(former?.Secrets ?? [], StringComparer.Ordinal);
        foreach (var (name, value) in Secrets) secrets[name] = value;
        var latest = taken ? Secrets.Keys : Secrets.Keys.Concat(former?.Latest ?? []);
        var config = ConfigDocument.Merge(JsonNode.Parse(former?.Config ?? "{}"), JsonNode.Parse(Config))!;
        return new Provision(config.ToJsonString(), secrets, new(latest, StringComparer.Ordinal));
    }

    /// <summary>Keeps what came last, and what is missing: what was set since an earlier provisioning stays.</summary>
    /// <exception cref="SecretException">One of them was not kept.</exception>
    public void Install(SecretStore store)
    {
        foreach (var (name, value) in Secrets.Where(s => Latest?.Contains(s.Key) != false || !store.Has(s.Key))) store.Set(name, value);
    }

    /// <summary>
    /// The configuration that it makes of the present one, with its secrets beside those that are there already. Nothing of the device is
    /// changed: it is tried on a copy. Null: the problems, one sentence each, say all that is wrong.
    /// </summary>
    public RunnableConfig? Check(string present, SecretStore store, List<ConfigProblem> problems)
    {
        var folder = Directory.CreateTempSubdirectory("iobuffer-").FullName;
        try
        {
            var copy = store.CopyTo(folder);
            foreach (var (name, value) in Secrets)
            {
                try
                {
                    copy.Set(name, value);
                }
                catch (SecretException e)
                {
                    problems.Add(new(ConfigSeverity.Error, $"secrets/{name}", e.Message));
                }
            }

            var found = new List<ConfigProblem>();
            CheckPasswords(ConfigDocument.Parse(Encoding.UTF8.GetBytes(Config), []), "", found);
            var next = new ConfigSource(null, copy).Read(this, present, null, found);
            problems.AddRange(found.Select(p => p with { Message = p.Message.Replace(folder, store.Folder, StringComparison.Ordinal) }));
            return problems.Any(p => p.Severity == ConfigSeverity.Error) ? null : next;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The document stays where it was read from, which is for everybody to see.</summary>
    private static void CheckPasswords(JsonNode? node, string path, List<ConfigProblem> problems)
    {
        if (node is JsonArray items)
        {
            for (var i = 0; i < items.Count; i++) CheckPasswords(items[i], $"{path}[{i}]", problems);
        }
        else if (node is JsonObject keys)
        {
            foreach (var (key, value) in keys)
            {
                var at = path.Length == 0 ? key : $"{path}.{key}";
                if (key != "password") CheckPasswords(value, at, problems);
                else problems.Add(new(ConfigSeverity.Error, at, Clear));
            }
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Provision))]
internal sealed partial class ProvisionJson : JsonSerializerContext;
