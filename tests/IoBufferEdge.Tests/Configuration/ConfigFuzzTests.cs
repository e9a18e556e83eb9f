using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>Random changes to good documents: nothing throws, every problem has a place, and reader and schema agree.</summary>
public sealed class ConfigFuzzTests
{
    private static readonly string[] Documents =
    [
        Encoding.UTF8.GetString(DefaultConfig.Text()),
        .. Directory.GetFiles(Path.Combine(ConfigSchemaTests.ConfigurationFolder(), "Examples")).Order().Select(File.ReadAllText),
        """
        { "schema_version": 1, "mqtt": { "host": "b", "tls": { "enabled": true, "ca": "ca.pem" }, "commands": ["pause"] },
          "http": { "listen": "127.0.0.1:8080" }, "device": { "id": "d", "board": "b" }, "buffer": { "ttl_s": 5, "max_syncs_per_s": 9 },
          "channels": [ { "id": "x",
            "source": { "type": "serial", "port": "/dev/ttyS0", "baud_rate": 19200, "stop_bits": 1.5,
              "parity": "Odd", "flow_control": "XON/XOFF",
              "rs485": { "mode": "gpio", "de": { "chip": "gpiochip0", "line": 3 } },
              "poll": [ { "request_hex": "0103", "interval_ms": 50 } ] },
            "destination": { "type": "remote_icombuffer", "url": "https://h:1",
              "channel_id": "y", "auth": { "username": "u", "password": "p" } } } ] }
        """,
    ];

    /// <summary>Every key and word of the configuration, and values at the edges of what is allowed.</summary>
    private static readonly string[] Names = [.. KnownNames().Distinct(), "", "prot", "Type", "a\nb"];

    private static readonly string[] Values =
    [
        "0", "1", "-1", "2", "4", "1.5", "7000", "65535", "65536", "1e3", "1e30", "-0.0",
        "1048576", "true", "false", "null", "\"\"", "\"02\"",
        "\"0g\"", "\"a\"", "\"A\"", "\"0d0a\"", "\"127.0.0.1\"", "\"127.0.0.1:80\"",
        "\"10.0.0.0/8\"", "\"a\\u0000b\"", "\"é𝄞\"", "[]", "[1]", "{}",
        "{\"type\":\"line\"}", "{\"type\":\"mllp\"}", "{\"type\":\"transport\"}", "{\"enabled\":false}", "[{\"a\":[]}]", "\"a\\n\"",
        .. Names.Select(name => JsonSerializer.Serialize(name)),
    ];

    private static readonly Gen<(int Document, (int Place, int Kind, int Name, int Value)[] Changes)> Mutations =
        Gen.Select(Gen.Int[0, Documents.Length - 1],
            Gen.Select(Gen.Int[0, 10_000], Gen.Int[0, 3], Gen.Int[0, Names.Length - 1], Gen.Int[0, Values.Length - 1]).Array[1, 4]);

    private static readonly Gen<(int Document, (int Place, int Kind, byte Value)[] Edits)> Edits =
        Gen.Select(Gen.Int[0, Documents.Length - 1], Gen.Select(Gen.Int[0, 10_000], Gen.Int[0, 2], Gen.Byte).Array[1, 5]);

    [Fact]
    public void Every_document_here_is_read_without_an_error() =>
        Assert.All(Documents, document => Assert.Empty(ErrorsOfReading(document)));

    [Fact]
    public void Reader_and_schema_agree_on_every_change() =>
        Mutations.Sample(mutation =>
        {
            var document = Mutate(mutation.Document, mutation.Changes);
            return ConfigSchemaTests.SchemaAccepts(document) == (ErrorsOfReading(document).Length == 0);
        }, iter: 1000, print: m => Mutate(m.Document, m.Changes));

    [Fact]
    public void Whatever_is_changed_is_judged_with_a_place() =>
        Mutations.Sample(mutation => IsJudged(Encoding.UTF8.GetBytes(Mutate(mutation.Document, mutation.Changes))),
            iter: 1000, print: m => Mutate(m.Document, m.Changes));

    [Fact]
    public void Whatever_the_bytes_are_they_are_judged_with_a_place() =>
        Edits.Sample((index, edits) =>
        {
            var bytes = Encoding.UTF8.GetBytes(Documents[index]).ToList();
            foreach (var (place, kind, value) in edits)
            {
                var at = place % bytes.Count;
                if (kind == 0) bytes[at] = value;
                else if (kind == 1) bytes.Insert(at, value);
                else bytes.RemoveRange(at, Math.Min(value, bytes.Count - at - 1));
            }

            return IsJudged([.. bytes]);
        }, iter: 2000);

    private static bool IsJudged(byte[] utf8)
    {
        var result = ConfigFile.Parse(utf8, "/nowhere");
        var failed = result.Problems.Any(p => p.Severity == ConfigSeverity.Error);
        return failed == result.Config is null
            && result.Problems.All(p => p.Path.Length > 0 && p.Message.Length > 0 && !p.ToString().Any(c => c is '\n' or '\r' or '\0'));
    }

    private static string[] ErrorsOfReading(string document)
    {
        var problems = new ConfigProblems("/nowhere");
        ConfigFile.Read(Encoding.UTF8.GetBytes(document), problems);
        return [.. problems.All.Select(p => p.ToString())];
    }

    private static string Mutate(int document, (int Place, int Kind, int Name, int Value)[] changes)
    {
        var root = JsonNode.Parse(Documents[document])!.AsObject();
        foreach (var change in changes)
        {
            var objects = Objects(root).ToList();
            var target = objects[change.Place % objects.Count];
            var value = JsonNode.Parse(Values[change.Value]);
            var keys = target.Select(p => p.Key).ToList();
            if (change.Kind == 0 || keys.Count == 0) target[Names[change.Name]] = value;
            else if (change.Kind == 1) target.Remove(keys[change.Place % keys.Count]);
            else target[keys[(change.Place / 7) % keys.Count]] = value;
        }

        return root.ToJsonString();
    }

    private static IEnumerable<JsonObject> Objects(JsonNode? node) => node switch
    {
        JsonObject item => item.SelectMany(p => Objects(p.Value)).Prepend(item),
        JsonArray list => list.SelectMany(Objects),
        _ => [],
    };

    private static IEnumerable<string> KnownNames()
    {
        using var schema = JsonDocument.Parse(DefaultConfig.Schema());
        return Walk(schema.RootElement).ToList();

        static IEnumerable<string> Walk(JsonElement json) => json.ValueKind switch
        {
            JsonValueKind.Object => json.EnumerateObject().SelectMany(p => Walk(p.Value).Concat(
                p.Name == "properties" ? p.Value.EnumerateObject().Select(k => k.Name)
                : p.Name == "enum" ? p.Value.EnumerateArray().Where(w => w.ValueKind == JsonValueKind.String).Select(w => w.GetString()!)
                : [])),
            JsonValueKind.Array => json.EnumerateArray().SelectMany(Walk),
            _ => [],
        };
    }
}
