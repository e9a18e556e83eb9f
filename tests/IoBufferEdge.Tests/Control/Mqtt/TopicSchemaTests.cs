using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Commands;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>The schemas say what the code says: no key is published that they do not know, and they know none that is never published.</summary>
public sealed class TopicSchemaTests
{
    private const string Root = LinkRig.Root;

    public static TheoryData<string> Commands => [.. MqttCommands.Types];

    [Fact]
    public void What_is_published_and_what_the_schemas_know_are_the_same()
    {
        var root = Directory.CreateTempSubdirectory("iobuffer-sys-").FullName;
        Write("sys/class/thermal/thermal_zone0/temp", "48312\n");
        Write("sys/block/mmcblk0/device/life_time", "0x02 0x01\n");
        Write("run/systemd/timesync/synchronized", "");
        var time = new FakeTimeProvider(Snapshots.Noon);
        var report = new ConfigReport
        {
            Revision = "17", Hash = "3f2a91c4ffff", LastGoodHash = "3f2a91c4ffff", Status = ConfigStatus.RolledBack,
            Errors = [new ConfigProblem(ConfigSeverity.Warning, "channels[0]", "is odd")],
        };
        var publisher = new StatusPublisher(
            () => JsonSerializer.SerializeToUtf8Bytes(report, ControlJson.Default.ConfigReport), new DeviceReadings(root), time);
        var full = Snapshots.Channel() with
        {
            Name = "Scale", State = ChannelState.Blocked, LastError = "refused", LastErrorAt = Snapshots.Noon, Alerts = [new("silent", "No message.")],
            LostRanges = [new SequenceRange(3, 4)], RetainedFrom = 7,
        };
        var target = LinkRig.Target();
        var messages = new List<MqttMessage>();
        Publish(Snapshots.Gateway(Snapshots.Channel(), Snapshots.Channel("gone")));
        foreach (var state in Enum.GetValues<EndpointState>())
        {
            Publish(Snapshots.Gateway(full with { SourceStatus = full.SourceStatus with { State = state } }) with
            {
                ConfigError = "It is wrong.", ConfigHash = $"3f2a91c4{(int)state}",
                Store = Snapshots.Gateway().Store with { Error = "full", OutOfSpace = true, Salvage = "One block was damaged." },
            });
        }

        foreach (var state in Enum.GetValues<UpdateState>())
        {
            var update = new UpdateStatus(state, "Copying.", Snapshots.Noon, Snapshots.Gateway().BootId, "0.2.1", 40);
            Publish(Snapshots.Gateway(Snapshots.Channel()) with { Image = new ImageStatus("0.2.0", "b", true, update, "It is wrong.") });
        }

        foreach (var state in Enum.GetValues<ChannelState>())
            Publish(Snapshots.Gateway(Snapshots.Channel() with { State = state, Delivery = "durable_first" }));
        foreach (var state in Enum.GetValues<GatewayState>()) Publish(Snapshots.Gateway(Snapshots.Channel(), Snapshots.Channel("new")) with { State = state });
        Directory.Delete(root, recursive: true);

        Assert.Empty(messages.Select(m => TopicSchemas.Violation(m.Topic[Root.Length..], Encoding.UTF8.GetString(m.Payload.Span))).OfType<string>());
        foreach (var schema in (string[])["state", "alert", "metrics", "event", "config-reported", "channel-state"])
        {
            var topic = schema switch { "channel-state" => "channel/", "config-reported" => "config/reported", _ => schema };
            var contents = messages.Where(m => m.Topic.StartsWith(Root + topic, StringComparison.Ordinal) && !m.Payload.IsEmpty)
                .Select(m => JsonElement.Parse(m.Payload.Span));
            var published = contents.SelectMany(Keys).ToHashSet(StringComparer.Ordinal);
            Assert.Empty(Known(TopicSchemas.Of(schema)).Except(published).Select(key => $"{schema}: {key} is never published"));
        }

        void Publish(GatewayStatus status)
        {
            publisher.Observe(target, status);
            messages.AddRange(publisher.Due(1000));
            publisher.Sent(publisher.Due(1000));
            time.Advance(TimeSpan.FromSeconds(11));
        }

        void Write(string name, string text)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(root, name))!);
            File.WriteAllText(Path.Combine(root, name), text);
        }
    }

    [Theory]
    [InlineData("""{"revision":"17","config":{"schema_version":1,"channels":[]},"confirm_timeout_s":10}""", true)]
    [InlineData("""{"revision":17,"patch":{}}""", true)]
    [InlineData("""{"patch":{}}""", true)]
    [InlineData("""{}""", false)]
    [InlineData("""[]""", false)]
    [InlineData("""{"config":{},"patch":{}}""", false)]
    [InlineData("""{"config":[]}""", false)]
    [InlineData("""{"revision":"","patch":{}}""", false)]
    [InlineData("""{"revision":"a\nb","patch":{}}""", false)]
    [InlineData("""{"revision":1.5,"patch":{}}""", false)]
    [InlineData("""{"patch":{},"confirm_timeout_s":9}""", false)]
    [InlineData("""{"patch":{},"confirm_timeout_s":3601}""", false)]
    [InlineData("""{"patch":{},"confirm_timeout_s":"60"}""", false)]
    [InlineData("""{"patch":{},"timeout":60}""", false)]
    public void A_wish_is_read_exactly_when_its_schema_accepts_it(string wish, bool right)
    {
        var problems = new List<ConfigProblem>();
        var offer = ConfigOffer.Read(Encoding.UTF8.GetBytes(wish), [], problems, out _);
        Assert.Equal(
            (right, right), (offer is not null, new SchemaEvaluator(TopicSchemas.Of("config-desired")).IsValid(JsonElement.Parse(wish))));
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public async Task Examples_of_a_command_are_carried_out_and_what_its_schema_refuses_is_not(string type)
    {
        var folder = Directory.CreateTempSubdirectory("iobuffer-commands-").FullName;
        var (time, gateway, secrets) = (new FakeTimeProvider(Snapshots.Noon), new TwinGateway(), new SecretStore(Path.Combine(folder, "secrets"), null));
        using var journal = CommandJournal.Open(Path.Combine(folder, "commands"));
        using var commands = new MqttCommands(
            gateway, secrets, new Redactor(secrets), journal,
            new CommandDuties(() => MqttCommands.Types, () => { }, () => Task.CompletedTask, () => Task.FromResult(new byte[1]), (_, _, _) => { }),
            time, NullLogger.Instance);
        var schema = TopicSchemas.Of("command").GetProperty("$defs").GetProperty(type);
        var next = 0;
        foreach (var example in schema.GetProperty("examples").EnumerateArray().Select(e => (JsonObject)JsonNode.Parse(e.GetRawText())!))
        {
            if (example.ContainsKey("boot_id")) example["boot_id"] = gateway.Status.BootId;
            if (example.ContainsKey("config_hash")) example["config_hash"] = gateway.Status.ConfigHash;
            Assert.True(IsValid(example));
            Assert.NotEqual("refused", await StatusAsync(example));
            foreach (var key in example.Select(p => p.Key).ToList())
            {
                var less = (JsonObject)example.DeepClone();
                less.Remove(key);
                if (!IsValid(less)) Assert.NotEqual("done", await StatusAsync(less));
            }

            example["no_such_key"] = 1;
            Assert.False(IsValid(example));
            Assert.Equal("refused", await StatusAsync(example));
        }

        Assert.True(next > 0);
        Directory.Delete(folder, recursive: true);

        bool IsValid(JsonObject payload) => new SchemaEvaluator(TopicSchemas.Of("command")).IsValid(schema, JsonElement.Parse(payload.ToJsonString()));

        async Task<string> StatusAsync(JsonObject payload)
        {
            time.Advance(TimeSpan.FromMinutes(1));
            var result = await commands.HandleAsync(type, $"a{next++}", Encoding.UTF8.GetBytes(payload.ToJsonString()), retained: false, overTls: true);
            Assert.Null(TopicSchemas.Violation($"cmd/{type}/a/result", Encoding.UTF8.GetString(result!)));
            return JsonElement.Parse(result).GetProperty("status").GetString()!;
        }
    }

    [Fact]
    public void Every_command_and_every_key_of_one_has_its_schema()
    {
        var schemas = TopicSchemas.Of("command").GetProperty("$defs");
        Assert.Equal(MqttCommands.Types, schemas.EnumerateObject().Select(d => d.Name));
        Assert.Equal(CommandJson.Default.CommandPayload.Properties.Select(p => p.Name).Order(), Known(schemas).Distinct().Order());
        Assert.Equal(MqttCommands.Types, TopicSchemas.Of("command-result").GetProperty("properties").GetProperty("type").GetProperty("enum")
            .EnumerateArray().Select(t => t.GetString()));
    }

    [Theory]
    [InlineData("state", "{}")]
    [InlineData("alert/a.silent", """{"id":"a.silent","code":"silent","since":"2026-11-22T12:00:00Z","message":"Silent.","more":1}""")]
    [InlineData("alert/a.silent", """{"id":"a.silent","code":"silent","since":"yesterday","message":"Silent."}""")]
    [InlineData("alert/a.silent", "silent")]
    [InlineData("channel/a/states", "{}")]
    [InlineData("availability", "away")]
    public void The_judge_sees_what_is_wrong(string topic, string payload) => Assert.NotNull(TopicSchemas.Violation(topic, payload));

    private static IEnumerable<string> Keys(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.Object => json.EnumerateObject().SelectMany(p => Keys(p.Value).Prepend(p.Name)),
        JsonValueKind.Array => json.EnumerateArray().SelectMany(Keys),
        _ => [],
    };

    /// <summary>The names under every <c>properties</c>.</summary>
    private static IEnumerable<string> Known(JsonElement schema) => schema.ValueKind switch
    {
        JsonValueKind.Object => schema.EnumerateObject().SelectMany(
            p => p.Name == "properties" ? p.Value.EnumerateObject().SelectMany(k => Known(k.Value).Prepend(k.Name)) : Known(p.Value)),
        JsonValueKind.Array => schema.EnumerateArray().SelectMany(Known),
        _ => [],
    };
}
