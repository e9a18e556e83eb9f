using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.SystemTests.Peers;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>What a fleet's operator does and sees, through a real mosquitto.</summary>
public sealed class MqttTests : SystemTest
{
    private const string Root = "iobuffer/v1/gw-0017/";

    private readonly int _brokerPort = FreePort.Tcp();
    private readonly PeerProcess _broker;
    private readonly GatewayProcess _gateway;

    public MqttTests(ITestOutputHelper output)
        : base(output)
    {
        _gateway = Gateway();
        var config = Path.Combine(_gateway.Folder, "mosquitto.conf");
        var data = Directory.CreateDirectory(Path.Combine(_gateway.Folder, "broker")).FullName;
        File.WriteAllText(config, $"""
            listener {_brokerPort} 127.0.0.1
            allow_anonymous true
            user root
            persistence true
            persistence_location {data}/
            autosave_on_changes true
            autosave_interval 1
            """);
        _broker = Keep(new PeerProcess("mosquitto", "-c", config));
        _gateway.WriteConfig(Whole());
        _gateway.Start();
        Wait.Until(() => Retained("availability") == "online", 30, "the gateway at the broker", () => _gateway.LastLines);
    }

    [Fact]
    public void One_retained_message_configures_the_device_and_a_wrong_one_changes_nothing()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        Desire("1", Whole(Config.Channel(Id, port, receiver.Port)));
        Wait.Until(() => Reported("1") == "APPLIED", 30, "revision 1 applied", Said);
        var sender = Sender(ledger, SenderKind.Plain, port);
        Flow(ledger, _gateway);
        Wait.Until(() => Retained($"channel/{Id}/state") is { } state && JsonNode.Parse(state)!["state"]!.GetValue<string>() == "running",
            20, "the channel's state at the broker", Said);

        var wrong = Whole(Config.Channel(Id, 0, receiver.Port));
        wrong["channels"]![0]!["no_such_key"] = 1;
        Desire("2", wrong);
        Wait.Until(() => Reported("2") == "FAILED", 30, "revision 2 refused", Said);
        var errors = JsonNode.Parse(Retained("config/reported")!)!["errors"]!.AsArray();
        Assert.True(errors.Count >= 2, $"every error is listed: {errors.ToJsonString()}");
        Flow(ledger, _gateway);
        Settle(ledger, sender, _gateway);
        Assert.Equal(1, ledger.Connections);

        _gateway.Kill();
        Wait.Until(() => Retained("availability") == "offline", 60, "the last will", Said);
        _gateway.Start();
        Wait.Until(() => Retained("availability") == "online", 30, "the gateway again", Said);
        Assert.Equal(Id, _gateway.Status()["channels"]![0]!["id"]!.GetValue<string>());
    }

    [Fact]
    public void A_configuration_that_cuts_the_device_off_is_taken_back_once_and_for_all()
    {
        Desire("1", Whole(Config.Channel("kept", FreePort.Tcp(), FreePort.Tcp())));
        Wait.Until(() => Reported("1") == "APPLIED", 30, "revision 1 applied", Said);
        var away = Whole(Config.Channel("lost", FreePort.Tcp(), FreePort.Tcp()));
        away["mqtt"]!["port"] = FreePort.Tcp();
        Desire("2", away, confirmTimeoutS: 10);
        Wait.Until(() => Reported("2") == "ROLLED_BACK", 60, "revision 2 taken back", Said);
        Assert.Equal("kept", _gateway.Status()["channels"]![0]!["id"]!.GetValue<string>());

        // The retained message is still there: neither a new start nor a new connection may try it again.
        _gateway.Kill();
        _gateway.Start();
        Wait.Until(() => Retained("availability") == "online", 30, "the gateway again", Said);
        _broker.Kill(0);
        _broker.Start();
        Thread.Sleep(5_000);
        Wait.Until(() => _gateway.Status()["mqtt"]!["connected"]!.GetValue<bool>(), 60, "the gateway at its broker", Said);
        Thread.Sleep(2_000);
        Assert.Equal("kept", _gateway.Status()["channels"]![0]!["id"]!.GetValue<string>());
        Assert.Equal("ROLLED_BACK", Reported("2"));

        Desire("3", Whole(Config.Channel("next", FreePort.Tcp(), FreePort.Tcp())));
        Wait.Until(() => Reported("3") == "APPLIED", 30, "revision 3 applied", Said);
    }

    [Fact]
    public void A_command_is_answered_once_and_one_that_is_not_allowed_is_refused()
    {
        Desire("1", Whole(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp())));
        Wait.Until(() => Reported("1") == "APPLIED", 30, "revision 1 applied", Said);
        string State() => _gateway.Status()["channels"]![0]!["state"]!.GetValue<string>();

        Assert.Contains("\"done\"", Command("pause", "a1", $$"""{"channel":"{{Id}}"}"""), StringComparison.Ordinal);
        Wait.Until(() => State() == "paused", 20, "the channel paused", Said);
        Assert.Contains("\"done\"", Command("resume", "a2", $$"""{"channel":"{{Id}}"}"""), StringComparison.Ordinal);
        Assert.Contains("\"done\"", Command("pause", "a1", $$"""{"channel":"{{Id}}"}"""), StringComparison.Ordinal); // told again, not done again
        Assert.NotEqual("paused", State());
        Assert.Contains("\"refused\"", Command("purge", "a3", $$"""{"channel":"{{Id}}"}"""), StringComparison.Ordinal);
        Assert.Contains("\"refused\"", Command("secret_set", "a4", """{"name":"relay","value":"hunter2222"}"""), StringComparison.Ordinal);
    }

    [Fact]
    public void What_an_earlier_run_left_is_cleared_and_what_is_another_devices_is_not()
    {
        const string Home = "homeassistant/sensor/iobuffer_gw-0017/gone_state/config", Others = "homeassistant/sensor/iobuffer_gw-0018/x/config";
        foreach (var topic in (string[])[Home, Others, $"{Root}channel/gone/state", $"{Root}alert/gone.silent"]) PublishTo(topic, "{}", retained: true);
        var config = Whole(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()));
        config["mqtt"]!["home_assistant"] = new JsonObject();
        _gateway.WriteConfig(config);
        _gateway.Reload();
        Wait.Until(() => RetainedAt($"homeassistant/sensor/iobuffer_gw-0017/{Id}_state/config") is not null, 20, "the channel in Home Assistant", Said);
        Wait.Until(() => ((string[])[Home, $"{Root}channel/gone/state", $"{Root}alert/gone.silent"]).All(topic => RetainedAt(topic) is null), 30,
            "nothing left of an earlier run", Said);
        Assert.NotNull(RetainedAt(Others));
    }

    private JsonObject Whole(params JsonNode[] channels)
    {
        var config = Config.Gateway(channels);
        config["device"] = new JsonObject { ["id"] = "gw-0017" };
        config["mqtt"] = new JsonObject { ["host"] = "127.0.0.1", ["port"] = _brokerPort };
        return config;
    }

    private void Desire(string revision, JsonObject config, int confirmTimeoutS = 30) => Publish("config/desired", new JsonObject
    {
        ["revision"] = revision, ["config"] = config, ["confirm_timeout_s"] = confirmTimeoutS,
    }.ToJsonString(), retained: true);

    private string? Reported(string revision) => Retained("config/reported") is { } report && JsonNode.Parse(report) is { } said
        && said["revision"]?.ToString() == revision ? said["status"]!.GetValue<string>() : null;

    private string Said() => $"{Retained("config/reported")}\n{_gateway.LastLines}\n{_broker.LastLines}";

    /// <summary>Sends a command and waits for its result.</summary>
    private string Command(string type, string id, string payload)
    {
        var topic = $"cmd/{type}/{id}";
        using var listening = Client("mosquitto_sub", "-q", "1", "-C", "1", "-W", "20", "-t", $"{Root}{topic}/result");
        Thread.Sleep(500); // until it has subscribed: results are not retained
        Publish(topic, payload, retained: false);
        return listening.StandardOutput.ReadToEnd();
    }

    private void Publish(string topic, string payload, bool retained) => PublishTo(Root + topic, payload, retained);

    private void PublishTo(string topic, string payload, bool retained)
    {
        string[] arguments = ["-q", "1", "-t", topic, "-s"];
        using var client = Client("mosquitto_pub", retained ? [.. arguments, "-r"] : arguments);
        client.StandardInput.Write(payload);
        client.StandardInput.Close();
        Assert.True(client.WaitForExit(20_000) && client.ExitCode == 0, client.StandardError.ReadToEnd());
    }

    private string? Retained(string topic) => RetainedAt(Root + topic);

    /// <summary>What lies retained; null: nothing, or the broker is away.</summary>
    private string? RetainedAt(string topic)
    {
        using var client = Client("mosquitto_sub", "-C", "1", "-W", "2", "-t", topic);
        var text = client.StandardOutput.ReadToEnd().TrimEnd('\n');
        return text.Length == 0 ? null : text;
    }

    private Process Client(string program, params string[] arguments) => Process.Start(
        new ProcessStartInfo(PeerProcess.Find(program)!, ["-h", "127.0.0.1", "-p", $"{_brokerPort}", .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, StandardOutputEncoding = Encoding.UTF8,
        })!;
}
