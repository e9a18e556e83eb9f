using System.Text;
using System.Text.Json;
using IoBufferEdge.Control.Commands;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Control;
using IoBufferEdge.Tests.Control.Mqtt;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// Commands from the broker: a line with the topic, another with R for retained and T for TLS, the rest is the payload. Whatever they are,
/// nothing throws, no answer is anything but one of the three, only what is allowed reaches the gateway and only once, and nothing is written
/// but secrets with a name and the journal, which stays small.
/// </summary>
internal sealed class MqttCommandTarget : FuzzTarget
{
    private const int JournalBytesMax = 2 << 20;

    private readonly string _folder = CreateFolder();
    private readonly Topics _topics = new("gw-0017");
    private readonly FakeTimeProvider _time = new();
    private readonly TwinGateway _gateway = new();
    private readonly CommandJournal _journal;
    private long _next;
    private readonly MqttCommands _commands;

    public MqttCommandTarget()
    {
        var secrets = new SecretStore(Path.Combine(_folder, "secrets"), null);
        _journal = CommandJournal.Open(Path.Combine(_folder, "commands"));
        _commands = new MqttCommands(
            _gateway, secrets, new Redactor(secrets), _journal, new CommandDuties(
                () => null, () => Assert.Fail("It restarts."), () => throw new InvalidOperationException("It is reset."),
                () => throw new InvalidOperationException("It is not allowed."), (_, _, _) => { }), _time, NullLogger.Instance);
    }

    public override string Name => "mqtt-command";

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. MqttCommands.Types.Concat([
            "{", "}", "\"", ":", ",", "null", "[", "\\u0000", "\\ud800", "\"channel\":\"scale\"", "\"name\":\"relay\"", "\"name\":\"../relay\"",
            "\"value\":\"hunter22\"", "\"value_base64\":\"AAEC\"", "\"boot_id\":", "\"config_hash\":\"3f2a91c4ffff\"", "\"action\":\"drop\"",
            "\"choice\":\"resend\"", "\"sequence\":-1", "1e999", "\n", "R", "T", "/", "#", "+", "iobuffer/v1/gw-0017/cmd/", "/result",
            "iobuffer/v1/gw-0018/"])
            .Select(Encoding.Latin1.GetBytes), [0xFF], [0xC3]];

    public override void Judge(byte[] input, Behaviours seen)
    {
        var parts = Encoding.Latin1.GetString(input).Split('\n', 3);
        if (_topics.Command(parts[0]) is not ({ } type, { } id))
        {
            seen.Saw(parts[0].Split('/').Length, parts[0].StartsWith(_topics.Root, StringComparison.Ordinal), "no command");
            return;
        }

        var (flags, payload) = (parts.ElementAtOrDefault(1) ?? "", Encoding.Latin1.GetBytes(parts.ElementAtOrDefault(2) ?? ""));
        Assert.Equal(parts[0], $"{_topics.Root}cmd/{type}/{id}");
        // Of those whose id has run half get another one: else hardly a payload would be read.
        if (_journal.Find(id) is not null && payload.Length % 2 == 0) id = $"n{_next++}";
        _time.Advance(TimeSpan.FromMinutes(1));
        _gateway.Calls.Clear();
        var known = _journal.Find(id);
        var answer = _commands.HandleAsync(type, id, payload, flags.Contains('R'), flags.Contains('T')).GetAwaiter().GetResult();

        Assert.True(_gateway.Calls.Count <= 1, string.Join("; ", _gateway.Calls));
        Assert.All(_gateway.Calls, call => Assert.Contains(call.Split(' ')[0], (string[])["pause", "resume", "retry", "identify"]));
        Assert.All(_gateway.Calls, call => Assert.DoesNotContain("resume", call, StringComparison.Ordinal));
        if (known is not null || flags.Contains('R')) Assert.Empty(_gateway.Calls);
        var journalBytes = new FileInfo(Path.Combine(_folder, "commands")).Length;
        Assert.InRange(journalBytes, 0, JournalBytesMax);
        Assert.All(Directory.EnumerateFileSystemEntries(_folder).Select(Path.GetFileName), name => Assert.Contains(name, (string[])["secrets", "commands"]));
        Assert.Equal(answer is null, !MqttCommands.IsId(id) || !MqttCommands.Types.Contains(type));
        if (answer is null) return;
        Assert.Null(TopicSchemas.Violation($"cmd/{type}/{id}/result", Encoding.UTF8.GetString(answer)));
        using var json = JsonDocument.Parse(answer);
        var status = json.RootElement.GetProperty("status").GetString();
        Assert.Contains(status, (string[])["done", "failed", "refused"]);
        var message = json.RootElement.GetProperty("message").GetString()!;
        Assert.NotEmpty(message);
        seen.Saw(type, status, message[..Math.Min(message.Length, 30)]);
    }

    /// <summary>Most of them for a topic of a command: what is none is soon seen.</summary>
    public override byte[] Mutate(byte[] input, byte[] other, Random random)
    {
        var mutated = base.Mutate(input, other, random);
        var (topic, rest) = (input.AsSpan().IndexOf((byte)'\n'), mutated.AsSpan().IndexOf((byte)'\n'));
        return topic < 0 || random.Next(4) == 0 ? mutated : [.. input[..(topic + 1)], .. mutated[(rest + 1)..]];
    }

    public override void Dispose()
    {
        _commands.Dispose();
        _journal.Dispose();
        Directory.Delete(_folder, recursive: true);
        base.Dispose();
    }
}
