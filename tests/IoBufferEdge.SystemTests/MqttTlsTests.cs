using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Tests.Support;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The link over TLS to a mosquitto: what works, and the one sentence that each mistake gets in the status and the log.</summary>
public sealed class MqttTlsTests : SystemTest
{
    private const string Root = "iobuffer/v1/gw-0017/", Host = "localhost", Account = "gw-0017", Password = "correct-horse-7";

    private readonly TestCertificates _ours;
    private readonly TestCertificates _foreign;
    private readonly GatewayProcess _gateway;

    public MqttTlsTests(ITestOutputHelper output)
        : base(output)
    {
        Assert.SkipUnless(BrokerClient.IsThere, BrokerClient.Missing);
        (_ours, _foreign) = (Keep(new TestCertificates()), Keep(new TestCertificates("Somebody else")));
        _gateway = Gateway();
    }

    [Theory]
    [InlineData("right", null)]
    [InlineData("wrong authority", "^TLS with localhost failed: the peer's certificate \\(CN=localhost\\) does not come from a trusted authority\\.$")]
    [InlineData("wrong name", "^TLS with localhost failed: the peer's certificate \\(CN=broker\\.example\\) is for another name\\.$")]
    [InlineData("expired", "^TLS with localhost failed: the peer's certificate \\(CN=localhost\\) is valid from 20\\d\\d-\\d\\d-.* to 20.* only, "
        + "and this machine's clock says 20\\d\\d-\\d\\d-\\d\\d\\.$")]
    [InlineData("no client certificate", "the broker .*client certificate \\(mqtt\\.tls\\.cert, key\\)\\.$")]
    [InlineData("foreign client certificate", "the broker .*client certificate \\(mqtt\\.tls\\.cert, key\\)\\.$")]
    [InlineData("client certificate", null)]
    [InlineData("no TLS", "the broker ends the connection without an answer in MQTT: another program is on this port, or it needs tls\\.$")]
    [InlineData("no CA", "^TLS with localhost failed: the peer's certificate \\(CN=localhost\\) does not come from a trusted authority\\.$")]
    public void Every_mistake_has_a_sentence(string what, string? sentence)
    {
        var (cert, key) = what == "wrong name" ? _ours.Issue("broker.example") : _ours.Issue(Host, expired: what == "expired");
        string[] asksClients = what.Contains("client", StringComparison.Ordinal) ? ["require_certificate true"] : [];
        var broker = Keep(new Broker(
            _gateway.Folder, ["allow_anonymous true", $"cafile {_ours.Authority}", $"certfile {cert}", $"keyfile {key}", .. asksClients]));
        var tls = new JsonObject { ["enabled"] = what != "no TLS" };
        if (what is not ("no TLS" or "no CA")) tls["ca"] = what == "wrong authority" ? _foreign.Authority : _ours.Authority;
        if (what is "client certificate" or "foreign client certificate")
            (tls["cert"], tls["key"]) = (what == "client certificate" ? _ours : _foreign).Issue("gw-0017");
        Run(broker.Port, new JsonObject { ["tls"] = tls }, sentence);
    }

    [Fact]
    public void Tls_to_a_broker_without_it_is_said()
    {
        var broker = Keep(new Broker(_gateway.Folder));
        Run(broker.Port, new JsonObject { ["tls"] = new JsonObject { ["enabled"] = true, ["ca"] = _ours.Authority } }, "^TLS with localhost failed: .*");
    }

    /// <summary>The account's password from a file, then from a secret that was sent over TLS; and a wrong one is named, never shown.</summary>
    [Fact]
    public void Account_and_secrets_over_tls()
    {
        var (cert, key) = _ours.Issue(Host);
        var passwords = Path.Combine(_gateway.Folder, "passwords");
        File.WriteAllText(passwords, "");
        foreach (var account in (string[])[Account, "operator"]) BrokerClient.SetPassword(passwords, account, Password);
        var broker = Keep(new Broker(
            _gateway.Folder, "allow_anonymous false", $"password_file {passwords}", $"cafile {_ours.Authority}", $"certfile {cert}", $"keyfile {key}"));
        var client = new BrokerClient(broker.Port, "-u", "operator", "-P", Password, "--cafile", _ours.Authority);
        var file = Path.Combine(_gateway.Folder, "password");
        JsonObject With(string name, string value) => new()
        {
            ["tls"] = new JsonObject { ["enabled"] = true, ["ca"] = _ours.Authority }, ["username"] = Account, [name] = value,
        };

        File.WriteAllText(file, "a-wrong-password-3\n");
        Run(broker.Port, With("password_file", file), $"^localhost:{broker.Port}: the broker refuses the account {Account} or its password");
        Assert.DoesNotContain("a-wrong-password-3", _gateway.LastLines, StringComparison.Ordinal);
        File.WriteAllText(file, Password + "\n");
        WaitConnected(); // who renews a password does not have to restart anything

        using var listening = client.Listen([$"{Root}cmd/secret_set/1/result"], "-C", "1", "-W", "20");
        Thread.Sleep(500); // until it has subscribed: results are not retained
        client.Publish($"{Root}cmd/secret_set/1", $$"""{"name":"broker","value":"{{Password}}"}""");
        Assert.Contains("\"done\"", listening.StandardOutput.ReadToEnd(), StringComparison.Ordinal);
        File.Delete(file);
        _gateway.WriteConfig(Whole(broker.Port, With("password_secret", "broker")));
        string? Hash() => _gateway.Status()["config_hash"]?.GetValue<string>();
        var former = Hash();
        _gateway.Reload();
        Wait.Until(() => Hash() != former, 30, "the other configuration", () => _gateway.LastLines);
        WaitConnected();
        Assert.DoesNotContain(Password, _gateway.LastLines, StringComparison.Ordinal);
    }

    private void Run(int port, JsonObject mqtt, string? sentence)
    {
        _gateway.WriteConfig(Whole(port, mqtt));
        _gateway.Start();
        if (sentence is null)
        {
            WaitConnected();
            return;
        }

        Wait.Until(() => Mqtt()["last_error"] is not null, 30, "the reason in the status", () => _gateway.LastLines);
        var said = Mqtt()["last_error"]!.GetValue<string>();
        Output.WriteLine(said);
        Assert.Matches(sentence, said);
        Assert.DoesNotContain('\n', said);
        Assert.Contains(said, _gateway.LastLines, StringComparison.Ordinal);
        Assert.False(Mqtt()["connected"]!.GetValue<bool>());
    }

    private JsonNode Mqtt() => _gateway.Status()["mqtt"]!;

    private void WaitConnected() => Wait.Until(() => Mqtt()["connected"]!.GetValue<bool>(), 40, "the gateway at the broker", () => _gateway.LastLines);

    private static JsonObject Whole(int port, JsonObject mqtt)
    {
        var config = Config.Gateway();
        config["device"] = new JsonObject { ["id"] = "gw-0017" };
        mqtt = (JsonObject)mqtt.DeepClone();
        (mqtt["host"], mqtt["port"]) = (Host, port);
        config["mqtt"] = mqtt;
        return config;
    }
}
