using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>Two devices at a mosquitto with the access rules that are recommended (src/IoBufferEdge/Control/mosquitto.acl).</summary>
public sealed class MqttAccessTests : SystemTest
{
    private const string A = "gw-a", B = "gw-b", Password = "correct-horse-7";

    private readonly Broker _broker;
    private readonly Dictionary<string, GatewayProcess> _gateways = [];
    private readonly BrokerClient _operator;

    public MqttAccessTests(ITestOutputHelper output)
        : base(output)
    {
        Assert.SkipUnless(BrokerClient.IsThere, BrokerClient.Missing);
        foreach (var device in (string[])[A, B]) _gateways[device] = Gateway();
        var passwords = Path.Combine(_gateways[A].Folder, "passwords");
        File.WriteAllText(passwords, "");
        foreach (var account in (string[])[A, B, "operator"]) BrokerClient.SetPassword(passwords, account, Password);
        _broker = Keep(new Broker(
            _gateways[A].Folder, "allow_anonymous false", $"password_file {passwords}",
            $"acl_file {Path.Combine(GatewayProcess.RepositoryRoot, "src/IoBufferEdge/Control/mosquitto.acl")}"));
        _operator = As("operator");
    }

    [Fact]
    public void A_device_has_all_it_needs_and_nothing_of_another_ones()
    {
        foreach (var device in _gateways.Keys) Start(device, account: device);
        foreach (var device in _gateways.Keys)
        {
            var topics = new[] { "availability", "state", $"channel/{Id}/state", "config/reported" }.Select(t => $"iobuffer/v1/{device}/{t}").ToList();
            topics.Add($"homeassistant/sensor/iobuffer_{device}/{Id}_state/config");
            Wait.Until(() => _operator.Retained(topics, topics.Count).Count == topics.Count, 30, $"everything of {device} at the operator", Said);
            _operator.Publish($"iobuffer/v1/{device}/config/desired", """{"revision":"wish","patch":{}}""", retained: true);
            Wait.Until(() => _operator.Retained($"iobuffer/v1/{device}/config/reported")?.Contains("\"wish\"", StringComparison.Ordinal) == true,
                30, $"{device} to answer the wish", Said);
            Assert.Contains("\"done\"", Command(device, "pause", $$"""{"channel":"{{Id}}"}"""), StringComparison.Ordinal);
            Assert.Null(_gateways[device].Status()["mqtt"]!["refusal"]);
        }

        using (var listening = _operator.Listen(["iobuffer/v1/+/metrics"], "-C", "4", "-W", "30"))
        {
            var rates = listening.StandardOutput.ReadToEnd(); // sent at QoS 0: of a refusal the device would hear nothing
            Assert.All(_gateways.Keys, device => Assert.Contains($"iobuffer/v1/{device}/metrics ", rates, StringComparison.Ordinal));
        }

        var a = As(A);
        foreach (var topic in (string[])["availability", "state", "config/desired", "config/reported", "cmd/resume/x", "alert/x", $"channel/{Id}/state"])
            Assert.Contains("ot authorized", a.TryPublish($"iobuffer/v1/{B}/{topic}", "{}", retained: true), StringComparison.Ordinal);
        foreach (var topic in (string[])["config/desired", "cmd/resume/x"]) // nor does a device give itself orders
            Assert.Contains("ot authorized", a.TryPublish($"iobuffer/v1/{A}/{topic}", "{}"), StringComparison.Ordinal);
        var seen = a.Retained([$"iobuffer/v1/{B}/#", "iobuffer/v1/#", "homeassistant/#"], 1000).Keys;
        Assert.NotEmpty(seen);
        Assert.All(seen, topic => Assert.Contains(A, topic, StringComparison.Ordinal));
        Assert.NotEqual("{}", _operator.Retained($"iobuffer/v1/{B}/state"));
        Assert.Equal("online", _operator.Retained($"iobuffer/v1/{B}/availability"));
        Assert.Equal("paused", _gateways[B].Status()["channels"]![0]!["state"]!.GetValue<string>());
    }

    [Fact]
    public void What_the_broker_refuses_stands_in_the_status_until_it_is_right()
    {
        Start(B, account: A);
        Wait.Until(() => _gateways[B].Status()["mqtt"]!["refusal"] is not null, 30, "the refusal in the status", Said);
        var refusal = _gateways[B].Status()["mqtt"]!["refusal"]!.GetValue<string>();
        Assert.Matches($"^iobuffer/v1/{B}/.*: the broker refuses it: NotAuthorized", refusal);
        Assert.Contains(refusal, _gateways[B].LastLines, StringComparison.Ordinal);
        Assert.Contains($"!! broker: {refusal}", _gateways[B].Command("status", "--data", _gateways[B].DataFolder).Output, StringComparison.Ordinal);

        _gateways[B].WriteConfig(Whole(B, account: B));
        _gateways[B].Reload();
        Wait.Until(() => _operator.Retained($"iobuffer/v1/{B}/availability") == "online", 30, "the device with its own account", Said);
        Assert.Null(_gateways[B].Status()["mqtt"]!["refusal"]);
    }

    private void Start(string device, string account)
    {
        _gateways[device].CommandWithInput(Password, "secret", "set", "broker", "--data", _gateways[device].DataFolder);
        _gateways[device].WriteConfig(Whole(device, account));
        _gateways[device].Start();
    }

    private JsonObject Whole(string device, string account)
    {
        var config = Config.Gateway(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()));
        config["device"] = new JsonObject { ["id"] = device };
        config["mqtt"] = new JsonObject
        {
            ["host"] = "127.0.0.1", ["port"] = _broker.Port, ["username"] = account, ["password_secret"] = "broker", ["home_assistant"] = new JsonObject(),
        };
        return config;
    }

    private string Command(string device, string type, string payload)
    {
        var topic = $"iobuffer/v1/{device}/cmd/{type}/1";
        using var listening = _operator.Listen([$"{topic}/result"], "-C", "1", "-W", "20");
        Thread.Sleep(500); // until it has subscribed: results are not retained
        _operator.Publish(topic, payload);
        return listening.StandardOutput.ReadToEnd();
    }

    private BrokerClient As(string account) => new(_broker.Port, "-u", account, "-P", Password);

    private string Said() => string.Join('\n', _gateways.Values.Select(g => g.LastLines).Append(_broker.LastLines));
}
