using System.Diagnostics;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>What a fleet's operator does and sees, through a real mosquitto.</summary>
public sealed class MqttTests : SystemTest
{
    private const string Root = "iobuffer/v1/gw-0017/";

    private readonly Broker _broker;
    private readonly BrokerClient _client;
    private readonly GatewayProcess _gateway;

    public MqttTests(ITestOutputHelper output)
        : base(output)
    {
        Assert.SkipUnless(BrokerClient.IsThere, BrokerClient.Missing);
        _gateway = Gateway();
        _broker = Keep(new Broker(_gateway.Folder));
        _client = new BrokerClient(_broker.Port);
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
        _broker.Kill();
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
        foreach (var topic in (string[])[Home, Others, $"{Root}channel/gone/state", $"{Root}alert/gone.silent"]) _client.Publish(topic, "{}", retained: true);
        var config = Whole(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()));
        config["mqtt"]!["home_assistant"] = new JsonObject();
        _gateway.WriteConfig(config);
        _gateway.Reload();
        Wait.Until(() => _client.Retained($"homeassistant/sensor/iobuffer_gw-0017/{Id}_state/config") is not null, 20, "the channel in Home Assistant", Said);
        Wait.Until(() => ((string[])[Home, $"{Root}channel/gone/state", $"{Root}alert/gone.silent"]).All(topic => _client.Retained(topic) is null), 30,
            "nothing left of an earlier run", Said);
        Assert.NotNull(_client.Retained(Others));
    }

    [Fact]
    public void A_broker_that_stands_still_is_noticed_within_30_s_and_no_channel_minds()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        _gateway.WriteConfig(Whole(Config.Channel(Id, port, receiver.Port)));
        _gateway.Reload();
        var sender = Sender(ledger, SenderKind.Plain, port, ratePerS: 1000);
        Flow(ledger, _gateway);
        JsonNode Mqtt() => _gateway.Status()["mqtt"]!;

        _broker.Signal(Libc.SigStop); // the connection stays, and nobody answers any more
        var watch = Stopwatch.StartNew();
        Wait.Until(() => !Mqtt()["connected"]!.GetValue<bool>(), 30, "the broker's silence in the status", () => _gateway.LastLines);
        Output.WriteLine($"noticed after {watch.Elapsed.TotalSeconds:0.0} s: {Mqtt()["last_error"]}");
        Assert.Matches("no answer to a (message|ping|subscription|unsubscription) within 10 s", Mqtt()["last_error"]!.GetValue<string>());
        Flow(ledger, _gateway);
        _broker.Signal(Libc.SigCont);
        Wait.Until(() => Mqtt()["connected"]!.GetValue<bool>() && Retained("availability") == "online", 60, "the gateway at the broker again", Said);
        Settle(ledger, sender, _gateway);
        Assert.Equal((1, 1, 0L), (ledger.Connections, sender.Attempts, ledger.Repeats));
    }

    private JsonObject Whole(params JsonNode[] channels)
    {
        var config = Config.Gateway(channels);
        config["device"] = new JsonObject { ["id"] = "gw-0017" };
        config["mqtt"] = new JsonObject { ["host"] = "127.0.0.1", ["port"] = _broker.Port };
        return config;
    }

    private void Desire(string revision, JsonObject config, int confirmTimeoutS = 30) => _client.Publish(Root + "config/desired", new JsonObject
    {
        ["revision"] = revision, ["config"] = config, ["confirm_timeout_s"] = confirmTimeoutS,
    }.ToJsonString(), retained: true);

    private string? Reported(string revision) => Retained("config/reported") is { } report && JsonNode.Parse(report) is { } said
        && said["revision"]?.ToString() == revision ? said["status"]!.GetValue<string>() : null;

    private string Said() => $"{Retained("config/reported")}\n{_gateway.LastLines}\n{_broker.LastLines}";

    /// <summary>Sends a command and waits for its result.</summary>
    private string Command(string type, string id, string payload)
    {
        var topic = $"{Root}cmd/{type}/{id}";
        using var listening = _client.Listen([$"{topic}/result"], "-C", "1", "-W", "20");
        Thread.Sleep(500); // until it has subscribed: results are not retained
        _client.Publish(topic, payload);
        return listening.StandardOutput.ReadToEnd();
    }

    private string? Retained(string topic) => _client.Retained(Root + topic);
}
