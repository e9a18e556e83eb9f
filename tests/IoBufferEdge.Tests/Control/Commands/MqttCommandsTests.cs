using System.Text;
using System.Text.Json;
using IoBufferEdge.Control.Commands;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control.Commands;

/// <summary>Commands as somebody sends them who may publish and means no good.</summary>
public sealed class MqttCommandsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-commands-").FullName;
    private readonly FakeTimeProvider _time = new(Snapshots.Noon);
    private readonly TwinGateway _gateway = new();
    private readonly SecretStore _secrets;
    private IReadOnlyList<string>? _allowed;
    private CommandJournal _journal;
    private MqttCommands _commands;
    private int _restarts;
    private int _resets;
    private byte[] _bundle = [];
    private readonly List<(string Id, int Number, byte[] Bytes)> _parts = [];

    public MqttCommandsTests()
    {
        _secrets = new SecretStore(Path.Combine(_folder, "secrets"), null);
        (_journal, _commands) = Open();
    }

    private string JournalPath => Path.Combine(_folder, "commands");

    private string BootId => _gateway.Status.BootId;

    private string Proof => $"\"boot_id\":\"{BootId}\",\"config_hash\":\"{_gateway.Status.ConfigHash}\"";

    public void Dispose()
    {
        Close();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("pause", "pause scale True")]
    [InlineData("resume", "pause scale False")]
    [InlineData("retry_now", "retry scale")]
    public async Task By_default_what_harms_nobody_runs(string type, string call)
    {
        var result = await SendAsync(type, "a1", """{"channel":"scale"}""");
        Assert.Equal(("a1", type, "done", BootId), (Text(result, "id"), Text(result, "type"), Text(result, "status"), Text(result, "boot_id")));
        Assert.Equal(Snapshots.Noon, result.GetProperty("at").GetDateTimeOffset());
        Assert.Equal([call], _gateway.Calls);
        Assert.Equal("failed", Text(await SendAsync(type, "a2", """{"channel":"scales"}"""), "status"));
    }

    [Fact]
    public async Task Identify_needs_no_payload()
    {
        Assert.Equal("done", Text(await SendAsync("identify", "1", ""), "status"));
        Assert.Equal("done", Text(await SendAsync("identify", "2", "{}"), "status"));
        Assert.Equal(["identify 60", "identify 60"], _gateway.Calls);
    }

    [Fact]
    public async Task What_is_not_allowed_does_not_run()
    {
        foreach (var type in MqttCommands.Types.Except(MqttCommands.AllowedByDefault))
            Refused("is not among mqtt.commands", await SendAsync(type, $"x-{type}", $$"""{"channel":"scale","action":"drop",{{Proof}}}"""));
        _allowed = [];
        Refused("is not among mqtt.commands", await SendAsync("identify", "1", "{}"));
        Assert.Empty(_gateway.Calls);
        _allowed = ["identify"];
        Assert.Equal("done", Text(await SendAsync("identify", "1", "{}"), "status"));
    }

    [Fact]
    public async Task A_retained_command_is_refused_each_time_and_spoils_no_id()
    {
        Refused("retained", await SendAsync("identify", "1", "{}", retained: true));
        Refused("retained", await SendAsync("identify", "1", "{}", retained: true));
        Assert.Empty(_gateway.Calls);
        Assert.Equal("done", Text(await SendAsync("identify", "1", "{}"), "status"));
        Refused("retained", await SendAsync("identify", "1", "{}", retained: true));
    }

    [Fact]
    public async Task A_repeat_is_answered_and_not_carried_out_also_after_a_restart()
    {
        var first = await SendAsync("pause", "a1", """{"channel":"scale"}""");
        _time.Advance(TimeSpan.FromDays(1));
        Same(first, await SendAsync("pause", "a1", """{"channel":"scale"}"""));
        Reopen();
        Same(first, await SendAsync("pause", "a1", """{"channel":"other"}"""));
        _allowed = [];
        Same(first, await SendAsync("pause", "a1", "rubbish"));
        Refused("was used for pause already", await SendAsync("resume", "a1", """{"channel":"scale"}"""));
        Assert.Equal(["pause scale True"], _gateway.Calls);
    }

    [Fact]
    public async Task The_same_id_at_the_same_time_runs_once()
    {
        var results = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() => SendAsync("pause", "a1", """{"channel":"scale"}"""))));
        Assert.All(results, r => Same(results[0], r));
        Assert.Equal(["pause scale True"], _gateway.Calls);
    }

    [Fact]
    public async Task What_a_kill_cut_off_is_told_and_not_carried_out_again()
    {
        _journal.Record(new CommandResult("a1", "pause", CommandStatus.Begun, "", Snapshots.Noon, "former-boot"));
        Reopen();
        var result = await SendAsync("pause", "a1", """{"channel":"scale"}""");
        Assert.Equal("failed", Text(result, "status"));
        Assert.Contains("ended in the middle", Text(result, "message"), StringComparison.Ordinal);
        Reopen();
        Same(result, await SendAsync("pause", "a1", """{"channel":"scale"}"""));
        Assert.Empty(_gateway.Calls);
    }

    [Fact]
    public async Task What_cannot_be_recorded_is_not_carried_out()
    {
        Directory.Delete(_folder, recursive: true);
        Refused("cannot be recorded", await SendAsync("identify", "1", "{}"));
        Assert.Empty(_gateway.Calls);
        Directory.CreateDirectory(_folder);
        Assert.Equal("done", Text(await SendAsync("identify", "1", "{}"), "status"));
    }

    [Fact]
    public async Task Destruction_needs_proof_of_the_present()
    {
        _allowed = MqttCommands.Types;
        foreach (var (type, keys) in new[]
        {
            ("purge", "\"channel\":\"scale\","), ("park", "\"channel\":\"scale\",\"action\":\"drop\","), ("restart", ""),
            ("update", "\"url\":\"https://u.example/a.raucb\","), ("factory_reset", ""), ("resume", "\"channel\":\"scale\",\"choice\":\"accept_loss\","),
        })
        {
            Refused("boot_id", await SendAsync(type, "1", $"{{{keys}\"config_hash\":\"{_gateway.Status.ConfigHash}\"}}"));
            Refused("boot_id", await SendAsync(type, "1", $"{{{keys}\"boot_id\":\"former\",\"config_hash\":\"{_gateway.Status.ConfigHash}\"}}"));
            if (type is not ("purge" or "factory_reset")) continue;
            Refused("config_hash", await SendAsync(type, "1", $"{{{keys}\"boot_id\":\"{BootId}\"}}"));
            Refused("config_hash", await SendAsync(type, "1", $"{{{keys}\"boot_id\":\"{BootId}\",\"config_hash\":\"0\"}}"));
        }

        Assert.Empty(_gateway.Calls);
        Assert.Equal("done", Text(await SendAsync("purge", "p", $$"""{"channel":"scale",{{Proof}}}"""), "status"));
        Assert.Equal("done", Text(await SendAsync("park", "d", $$"""{"channel":"scale","action":"drop",{{Proof}}}"""), "status"));
        Assert.Equal("done", Text(await SendAsync("park", "r", """{"channel":"scale","action":"replay"}"""), "status"));
        Assert.Equal(["purge scale", "drop scale", "drop scale", "replay scale"], _gateway.Calls);
        var parked = await SendAsync("park", "l", """{"channel":"scale","action":"list"}""");
        Assert.Contains("1 parked: 7 (2 bytes)", Text(parked, "message"), StringComparison.Ordinal);
        var update = await SendAsync("update", "u", $$"""{"url":"https://u.example/a.raucb",{{Proof}}}""");
        Assert.Contains("no image", Text(update, "message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_restart_comes_a_second_after_its_answer_and_once()
    {
        _allowed = ["restart"];
        Assert.Equal("done", Text(await SendAsync("restart", "1", $"{{\"boot_id\":\"{BootId}\"}}"), "status"));
        Assert.Equal(0, _restarts);
        _time.Advance(TimeSpan.FromSeconds(1));
        await SendAsync("restart", "1", $"{{\"boot_id\":\"{BootId}\"}}");
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(1, _restarts);
    }

    [Fact]
    public async Task A_factory_reset_is_done_once_and_ends_the_process()
    {
        _allowed = ["factory_reset"];
        Refused("config_hash", await SendAsync("factory_reset", "1", $"{{\"boot_id\":\"{BootId}\"}}"));
        Assert.Equal(0, _resets);
        Assert.Equal("done", Text(await SendAsync("factory_reset", "1", $"{{{Proof}}}"), "status"));
        Assert.Equal("done", Text(await SendAsync("factory_reset", "1", $"{{{Proof}}}"), "status"));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((1, 1), (_resets, _restarts));
    }

    [Fact]
    public async Task A_support_bundle_comes_in_parts_that_any_broker_lets_through()
    {
        _allowed = ["support_bundle"];
        _bundle = [.. Enumerable.Range(0, 2 * MqttCommands.PartBytes + 7).Select(i => (byte)i)];
        var result = await SendAsync("support_bundle", "s", "{}");
        await SendAsync("support_bundle", "s", "{}");
        Assert.Equal([("s", 1), ("s", 2), ("s", 3)], _parts.Select(p => (p.Id, p.Number)));
        Assert.Equal(_bundle, _parts.SelectMany(p => p.Bytes));
        Assert.All(_parts, p => Assert.True(p.Bytes.Length <= 64 * 1024));
        Assert.Contains($"part/1 to part/3; their SHA-256 is {Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(_bundle))}",
            Text(result, "message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_is_taken_over_TLS_alone_and_told_nowhere()
    {
        const string payload = """{"name":"relay","value":"hunter22"}""";
        Refused("over TLS alone", await SendAsync("secret_set", "1", payload, overTls: false));
        Assert.False(_secrets.Has("relay"));
        Assert.Equal("The secret relay is set.", Text(await SendAsync("secret_set", "1", payload), "message"));
        Assert.Equal("hunter22", _secrets.ReadPassword("relay"));
        Assert.Equal("done", Text(await SendAsync("secret_set", "2", """{"name":"key.pem","value_base64":"AAEC"}"""), "status"));
        Assert.Equal([0, 1, 2], _secrets.Read("key.pem")!);
        Assert.Equal("failed", Text(await SendAsync("secret_set", "3", """{"name":"../relay","value":"hunter22"}"""), "status"));
        Assert.Contains("no channel \"***\"", Text(await SendAsync("pause", "4", """{"channel":"hunter22"}"""), "message"), StringComparison.Ordinal);
        Refused("no JSON object", await SendAsync("secret_set", "5", """{"name":"relay","value":hunter22}"""));
        Assert.DoesNotContain("hunter22", File.ReadAllText(JournalPath), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a/b")]
    [InlineData("+")]
    [InlineData("#")]
    [InlineData("a b")]
    [InlineData("a\n")]
    [InlineData("é")]
    [InlineData("a\0")]
    public async Task An_id_that_could_stand_in_no_topic_gets_no_answer(string id)
    {
        Assert.Null(await _commands.HandleAsync("identify", id, default, false, true));
        Assert.Null(await _commands.HandleAsync("identify", new string('a', 65), default, false, true));
        Assert.Null(await _commands.HandleAsync("explode", "a1", default, false, true));
        Assert.Empty(_gateway.Calls);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"channel\":7}")]
    [InlineData("{\"chanel\":\"scale\"}")]
    [InlineData("{\"channel\":\"scale\"")]
    [InlineData("{\"channel\":\"\\ud800\"}")]
    [InlineData("rubbish")]
    public async Task A_payload_that_cannot_be_read_is_refused(string payload)
    {
        Assert.Equal("refused", Text(await SendAsync("pause", "1", payload), "status"));
        Assert.Empty(_gateway.Calls);
    }

    [Fact]
    public async Task Sizes_and_rates_are_bounded()
    {
        Refused("at most 16384", await SendAsync("identify", "1", new string(' ', MqttCommands.MaxPayloadBytes) + "{}"));
        for (var i = 0; i < MqttCommands.PerMinute; i++) Assert.Equal("done", Text(await SendAsync("identify", $"i{i}", "{}"), "status"));
        Refused("within a minute", await SendAsync("identify", "late", "{}"));
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("done", Text(await SendAsync("identify", "late", "{}"), "status"));
    }

    [Fact]
    public void The_journal_keeps_the_last_256_in_a_bounded_file()
    {
        for (var i = 0; i < 5000; i++)
        {
            _journal.Record(new CommandResult($"i{i}", "identify", CommandStatus.Begun, "", Snapshots.Noon, "b"));
            _journal.Record(new CommandResult($"i{i}", "identify", CommandStatus.Done, "d", Snapshots.Noon, "b"));
        }

        Assert.InRange(new FileInfo(JournalPath).Length, 1, 400_000);
        Reopen();
        Assert.Null(_journal.Find($"i{5000 - CommandJournal.Kept - 1}"));
        Assert.Equal(CommandStatus.Done, _journal.Find($"i{5000 - CommandJournal.Kept}")!.Status);
        Assert.Equal("600", Convert.ToString((int)File.GetUnixFileMode(JournalPath), 8));
    }

    [Fact]
    public void A_journal_cut_anywhere_opens_and_goes_on()
    {
        for (var i = 0; i < 3; i++)
        {
            _journal.Record(new CommandResult($"i{i}", "identify", CommandStatus.Begun, "", Snapshots.Noon, "b"));
            _journal.Record(new CommandResult($"i{i}", "identify", CommandStatus.Done, "done so", Snapshots.Noon, "b"));
        }

        Close();
        var whole = File.ReadAllBytes(JournalPath);
        for (var length = 0; length <= whole.Length; length++)
        {
            File.WriteAllBytes(JournalPath, whole[..length]);
            var lines = whole[..length].Count(b => b is (byte)'}'); // a line that lacks its end of line alone is whole
            using (var journal = CommandJournal.Open(JournalPath))
            {
                for (var i = 0; i < 3; i++)
                {
                    CommandStatus? expected = lines > 2 * i + 1 ? CommandStatus.Done : lines > 2 * i ? CommandStatus.Failed : null;
                    if (expected is not null) Assert.Equal(expected, journal.Find($"i{i}")?.Status);
                }

                journal.Record(new CommandResult("next", "identify", CommandStatus.Done, "", Snapshots.Noon, "b"));
            }

            using var again = CommandJournal.Open(JournalPath);
            Assert.Equal(CommandStatus.Done, again.Find("next")?.Status);
        }
    }

    private async Task<JsonElement> SendAsync(string type, string id, string payload, bool retained = false, bool overTls = true)
    {
        using var json = JsonDocument.Parse((await _commands.HandleAsync(type, id, Encoding.UTF8.GetBytes(payload), retained, overTls))!);
        return json.RootElement.Clone();
    }

    private (CommandJournal, MqttCommands) Open()
    {
        var journal = CommandJournal.Open(JournalPath);
        return (journal, new MqttCommands(
            _gateway, _secrets, new Redactor(_secrets), journal, new CommandDuties(
                () => _allowed,
                () => _restarts++,
                () =>
                {
                    _resets++;
                    return Task.CompletedTask;
                },
                () => Task.FromResult(_bundle),
                (id, number, bytes) => _parts.Add((id, number, bytes))),
            _time, NullLogger.Instance));
    }

    private void Close()
    {
        _commands.Dispose();
        _journal.Dispose();
    }

    private void Reopen()
    {
        Close();
        (_journal, _commands) = Open();
    }

    private static string Text(JsonElement result, string key) => result.GetProperty(key).GetString()!;

    private static void Same(JsonElement expected, JsonElement found) => Assert.Equal(expected.GetRawText(), found.GetRawText());

    private static void Refused(string part, JsonElement result)
    {
        Assert.Equal("refused", Text(result, "status"));
        Assert.Contains(part, Text(result, "message"), StringComparison.Ordinal);
    }
}
