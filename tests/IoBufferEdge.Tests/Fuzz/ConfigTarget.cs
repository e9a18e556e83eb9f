using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using IoBufferEdge.Configuration;
using IoBufferEdge.Tests.Configuration;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// The configuration. Whatever the bytes are, nothing throws, and every problem has a place and one line; where they are JSON whose keys
/// stand once each, the reader and the schema that editors use agree. Half of the changes are to the bytes, half to the document's keys
/// and values.
/// </summary>
internal sealed class ConfigTarget : FuzzTarget
{
    /// <summary>Every key and word of the configuration, and values at the edges of what is allowed.</summary>
    private static readonly string[] Keys = [.. KnownKeys().Distinct(), "", "prot", "Type", "a\nb"];

    private static readonly string[] Values =
    [
        "0", "1", "-1", "2", "4", "1.5", "7000", "65535", "65536", "1e3", "1e30", "-0.0", "9007199254740993", "2147483648",
        "1048576", "true", "false", "null", "\"\"", "\"02\"",
        "\"0g\"", "\"a\"", "\"A\"", "\"0d0a\"", "\"127.0.0.1\"", "\"127.0.0.1:80\"",
        "\"10.0.0.0/8\"", "\"a\\u0000b\"", "\"é𝄞\"", "[]", "[1]", "{}",
        "{\"type\":\"line\"}", "{\"type\":\"mllp\"}", "{\"type\":\"transport\"}", "{\"enabled\":false}", "[{\"a\":[]}]", "\"a\\n\"",
        .. Keys.Select(name => JsonSerializer.Serialize(name)),
    ];

    public override string Name => "config";

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. Values.Concat(["{", "}", "[", "]", ",", ":", "\\ud800", "/*", "\uFEFF"]).Select(Encoding.UTF8.GetBytes), [0xFF], [0xC3, 0x28]];

    protected override int InputBytesMax => 16 * 1024;

    public override void Judge(byte[] input, Behaviours seen)
    {
        var result = ConfigFile.Parse(input, "/nowhere");
        var failed = result.Problems.Any(p => p.Severity == ConfigSeverity.Error);
        Assert.Equal(failed, result.Config is null);
        foreach (var problem in result.Problems)
        {
            Assert.NotEmpty(problem.Path);
            Assert.NotEmpty(problem.Message);
            if (problem.ToString().Any(char.IsControl)) Assert.Fail($"A control character stands in the problem {problem}");
            seen.Saw(problem.Severity, new string([.. problem.Path.Where(char.IsAsciiLetter)]), problem.Message[..Math.Min(25, problem.Message.Length)]);
        }

        if (!IsPlainJson(input)) return;
        var errors = new ConfigProblems("/nowhere");
        ConfigFile.Read(input, errors);
        if (ConfigSchemaTests.SchemaAccepts(Encoding.UTF8.GetString(input)) != (errors.All.Count == 0))
            Assert.Fail($"The schema says {(errors.All.Count == 0 ? "no" : "yes")}, the reader: {string.Join("; ", errors.All)}");
    }

    public override byte[] Mutate(byte[] input, byte[] other, Random random)
    {
        if (random.Next(2) == 0 || !IsPlainJson(input) || JsonNode.Parse(input) is not JsonObject root) return base.Mutate(input, other, random);
        for (var changes = random.Next(1, 5); changes > 0; changes--) Change(root, random);
        return Encoding.UTF8.GetBytes(root.ToJsonString());
    }

    private static void Change(JsonObject root, Random random)
    {
        var objects = Objects(root).ToList();
        var target = objects[random.Next(objects.Count)];
        var value = JsonNode.Parse(Values[random.Next(Values.Length)]);
        var keys = target.Select(p => p.Key).ToList();
        var kind = keys.Count == 0 ? 0 : random.Next(4);
        if (kind == 0) target[Keys[random.Next(Keys.Length)]] = value;
        else if (kind == 1) target.Remove(keys[random.Next(keys.Count)]);
        else target[keys[random.Next(keys.Count)]] = value;
    }

    private static IEnumerable<JsonObject> Objects(JsonNode? node) => node switch
    {
        JsonObject item => item.SelectMany(p => Objects(p.Value)).Prepend(item),
        JsonArray list => list.SelectMany(Objects),
        _ => [],
    };

    /// <summary>JSON without a key that stands twice: what that means, a schema cannot say.</summary>
    private static bool IsPlainJson(byte[] input)
    {
        try
        {
            using var json = JsonDocument.Parse(input, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return JsonSyntax.Check(input) is null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    private static IEnumerable<string> KnownKeys()
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
