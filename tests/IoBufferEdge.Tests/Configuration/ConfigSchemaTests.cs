using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>The schema that editors use says what the reader says.</summary>
public sealed class ConfigSchemaTests
{
    private static readonly string Folder = ConfigurationFolder();
    private static readonly JsonElement Schema = JsonElement.Parse(DefaultConfig.Schema());

    public static TheoryData<string> Examples =>
        [.. Directory.GetFiles(Path.Combine(Folder, "Examples")).Select(f => Path.GetFileName(f)).Order()];

    /// <summary>After a change of the tables run it once with <c>IOBUFFER_WRITE_SCHEMA=1</c> in the environment.</summary>
    [Fact]
    public void The_embedded_schema_is_the_one_that_the_tables_write()
    {
        var (file, written) = (Path.Combine(Folder, "iobuffer.schema.json"), ConfigSchema.Write());
        if (Environment.GetEnvironmentVariable("IOBUFFER_WRITE_SCHEMA") == "1") File.WriteAllBytes(file, written);
        Assert.Equal(Encoding.UTF8.GetString(written), File.ReadAllText(file));
        Assert.Equal(Encoding.UTF8.GetString(written), Encoding.UTF8.GetString(DefaultConfig.Schema()));
    }

    [Theory]
    [MemberData(nameof(Examples))]
    public void Every_example_passes_check_and_schema(string name)
    {
        var file = Path.Combine(Folder, "Examples", name);
        var output = new StringWriter();
        Assert.True(ConfigCheck.Run(file, output) == 0, output.ToString());
        Assert.StartsWith($"{file}: ok, ", output.ToString(), StringComparison.Ordinal);
        Assert.True(SchemaAccepts(File.ReadAllText(file)));
    }

    [Fact]
    public void The_default_passes_the_schema() => Assert.True(SchemaAccepts(Encoding.UTF8.GetString(DefaultConfig.Text())));

    [Fact]
    public void Every_key_is_described_in_a_sentence()
    {
        var keys = Keys(Schema).ToList();
        Assert.True(keys.Count > 100, $"Only {keys.Count} keys were found.");
        Assert.All(keys, key => Assert.Matches(@"^[A-Z].{8,180}\.$", key.Value.GetProperty("description").GetString()!));
        Assert.All(keys, key => Assert.Matches(@"^(\$schema|[a-z0-9]+(_[a-z0-9]+)*)$", key.Name));
    }

    /// <summary>"(20)." at a description's end is the default: of a record's property with the key's name.</summary>
    [Fact]
    public void Defaults_in_descriptions_are_the_records_defaults()
    {
        object[] records =
        [
            new GatewayConfig(), new DeviceBufferConfig(), new BufferConfig(), new MqttConfig(), new HomeAssistantConfig(),
            new SourceConfig { Type = EndpointType.TcpServer },
            new DestinationConfig { Type = EndpointType.TcpClient }, new FramingConfig { Type = FramingType.Line }, new RetryConfig(),
            new ConfirmConfig { Type = ConfirmType.Bytes }, new ChannelConfig { Id = "a", Source = null!, Destination = null! },
            new Rs485Config(), new GpioLineConfig { Chip = "", Line = "0" }, new PollConfig { RequestHex = "", IntervalMs = 1 },
        ];
        var defaults = (
            from record in records
            from property in record.GetType().GetProperties()
            let value = property.GetValue(record)
            where value is not null
            select (Key: JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name), Text: Render(value))).ToHashSet();
        var named = (
            from key in Keys(Schema)
            let match = Regex.Match(key.Value.GetProperty("description").GetString()!, @" \(([^() ]+)\)\.$")
            where match.Success
            select (Key: key.Name, Text: match.Groups[1].Value)).ToHashSet();
        Assert.True(named.Count > 30, $"Only {named.Count} defaults were found.");
        Assert.All(named, item => Assert.Contains(item, defaults));
    }

    internal static bool SchemaAccepts(string document)
    {
        using var json = JsonDocument.Parse(document);
        return new SchemaEvaluator(Schema).IsValid(json.RootElement);
    }

    private static string Render(object value) => value switch
    {
        bool flag => flag ? "true" : "false",
        Enum word => JsonNamingPolicy.SnakeCaseLower.ConvertName(word.ToString()),
        _ => Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture)!,
    };

    /// <summary>Everything that a <c>properties</c> with descriptions holds.</summary>
    private static IEnumerable<JsonProperty> Keys(JsonElement schema) => schema.ValueKind switch
    {
        JsonValueKind.Object => schema.EnumerateObject().SelectMany(keyword => keyword.Name == "properties"
            ? keyword.Value.EnumerateObject().Where(p => !p.Value.TryGetProperty("const", out _))
            : Keys(keyword.Value)),
        JsonValueKind.Array => schema.EnumerateArray().SelectMany(Keys),
        _ => [],
    };

    internal static string ConfigurationFolder([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../../src/IoBufferEdge/Configuration"));
}
