using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Tests.Endpoints.Serial;
using IoBufferEdge.Tests.Support;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>
/// From a device that knows nothing to one that works, by what an installer and a fleet's operator do: a folder with the broker's address and the
/// device's key, secrets over TLS, one retained message. The broker is a real mosquitto that knows devices by their certificates.
/// </summary>
public sealed class ProvisionTests : SystemTest
{
    private const string Root = "iobuffer/v1/gw-0017/";

    private readonly int _brokerPort = FreePort.Tcp();
    private readonly TestCertificates _certificates;
    private readonly GatewayProcess _gateway;
    private readonly PeerProcess _broker;

    /// <summary>Where an image's services and the gateway talk; empty, the gateway is by itself. Removed with the certificates.</summary>
    private readonly string _image;

    public ProvisionTests(ITestOutputHelper output)
        : base(output)
    {
        _certificates = Keep(new TestCertificates());
        _image = Path.Combine(Path.GetDirectoryName(_certificates.Authority)!, "image");
        Directory.CreateDirectory(Path.Combine(_image, "requests"));
        _gateway = Keep(new GatewayProcess(Config.Gateway(), environment: new Dictionary<string, string> { ["IOBUFFER_IMAGE"] = _image }));
        File.Delete(_gateway.ConfigFile);
        var server = _certificates.Issue("broker");
        var config = Path.Combine(_gateway.Folder, "mosquitto.conf");
        File.WriteAllText(config, $"""
            listener {_brokerPort} 127.0.0.1
            cafile {_certificates.Authority}
            certfile {server.Cert}
            keyfile {server.Key}
            require_certificate true
            use_identity_as_username true
            user root
            """);
        _broker = Keep(new PeerProcess("mosquitto", "-c", config));
    }

    private string Drop => Path.Combine(_gateway.Folder, "provision");

    [Fact]
    public async Task An_empty_device_becomes_a_gateway_from_tcp_to_serial()
    {
        using var device = new Pty();
        var port = FreePort.Tcp();
        Provision();
        _gateway.Start();
        Wait.Until(() => Retained("availability") == "online", 30, "the device at its broker", Said);
        Assert.Equal("unprovisioned", JsonNode.Parse(Retained("state")!)!["led_code"]!.GetValue<string>());
        Assert.Equal("unprovisioned", _gateway.Status()["led_code"]!.GetValue<string>());

        // The listener's certificate and key reach the device over TLS, the rest in one message that stays on the broker.
        var scale = _certificates.Issue("scale");
        SetSecret("scale.pem", scale.Cert);
        SetSecret("scale.key", scale.Key);
        var channel = JsonNode.Parse($$"""
            {
              "id": "{{Id}}",
              "source": { "type": "tcp_server", "host": "127.0.0.1", "port": {{port}}, "framing": { "type": "line", "strip": true },
                          "tls": { "enabled": true, "cert": "scale.pem", "key": "scale.key" } },
              "destination": { "type": "serial", "port": "{{device.Path}}", "baud_rate": 19200, "framing": { "type": "line" } }
            }
            """)!;
        Desire(new JsonObject { ["schema_version"] = 1, ["channels"] = new JsonArray(channel) });
        Wait.Until(() => Retained("config/reported") is { } report && JsonNode.Parse(report)!["status"]!.GetValue<string>() == "APPLIED"
            && JsonNode.Parse(report)!["revision"]?.GetValue<string>() == "1", 60, "the configuration applied", Said);
        await SendLineAsync(port, "12.5 kg");
        Assert.Equal("12.5 kg\n", Encoding.ASCII.GetString(await device.ReadAsync(8)));

        // The power goes: what the installer and the operator gave is still there.
        _gateway.Kill();
        _gateway.Start();
        await SendLineAsync(port, "13.0 kg");
        string line;
        do line = Encoding.ASCII.GetString(await device.ReadAsync(8)); while (line == "12.5 kg\n"); // the kill may have it repeated
        Assert.Equal("13.0 kg\n", line);
        Assert.NotEqual("unprovisioned", _gateway.Status()["led_code"]!.GetValue<string>());
    }

    [Fact]
    public void A_factory_reset_leaves_what_the_installer_gave_and_the_retained_message_configures_the_device_again()
    {
        Provision(""" "commands": ["secret_set", "factory_reset", "support_bundle"], """);
        _gateway.Start();
        var config = Config.Gateway(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()));
        Desire(config);
        Wait.Until(() => Channels() == 1, 60, "the configuration applied", Said);
        SetSecret("since", _certificates.Authority);
        var bundle = Command("support_bundle", "{}");
        Assert.Contains("\"done\"", bundle, StringComparison.Ordinal);

        Clear("config/desired");
        var state = JsonNode.Parse(Retained("state")!)!;
        var proof = new JsonObject { ["boot_id"] = state["boot_id"]!.DeepClone(), ["config_hash"] = state["config_hash"]!.DeepClone() };
        Assert.Contains("\"refused\"", Command("factory_reset", "{}"), StringComparison.Ordinal);
        Assert.Contains("\"done\"", Command("factory_reset", proof.ToJsonString()), StringComparison.Ordinal);
        Assert.Equal(0, _gateway.WaitForExit(20));
        _gateway.Start();
        Assert.Equal(0, Channels());
        Assert.DoesNotContain("since", _gateway.Command("secret", "list", "--data", _gateway.DataFolder).Output, StringComparison.Ordinal);
        Wait.Until(() => Retained("availability") == "online", 30, "the device at its broker again", Said);
        Desire(config);
        Wait.Until(() => Channels() == 1, 60, "the configuration applied again", Said);
    }

    [Fact]
    public void An_image_is_asked_for_an_update_and_a_reset_and_everybody_is_told_how_far_it_is()
    {
        const string Bundle = "https://updates.example/iobufferedge-rpi4-0.2.0.raucb";
        Provision(""" "commands": ["update", "factory_reset"], """);
        Tell("image.json", """{"version":"0.1.0","slot":"a","proving":false}""");
        _gateway.Start();
        Wait.Until(() => Retained("state") is not null, 30, "the state at the broker", Said);
        var state = JsonNode.Parse(Retained("state")!)!;
        Assert.Equal("a", state["image"]!["slot"]!.GetValue<string>());
        var boot = state["boot_id"]!.GetValue<string>();
        var proof = new JsonObject { ["boot_id"] = boot, ["url"] = Bundle };
        Assert.Contains("\"done\"", Command("update", proof.ToJsonString()), StringComparison.Ordinal);
        Assert.Equal($"{Bundle}\n", File.ReadAllText(Path.Combine(_image, "requests", "update")));

        using var events = Client("mosquitto_sub", "-t", $"{Root}event", "-W", "60");
        Thread.Sleep(1_000);
        Tell("update.json", Outcome("INSTALLING", ""","percent":40"""));
        Wait.Until(() => _gateway.Status()["led_code"]!.GetValue<string>() == "updating", 10, "the LEDs", Said);
        Wait.Until(() => Says("INSTALLING"), 30, "the progress at the broker", Said);
        Assert.Contains("update: 40 %, It says so.", _gateway.Command("status", "--data", _gateway.DataFolder).Output, StringComparison.Ordinal);
        Tell("update.json", Outcome("FAILED", ""));
        Wait.Until(() => Retained("alert/update_failed") is not null, 30, "the alert", Said);
        Wait.Until(() => Says("FAILED"), 30, "the failure at the broker", Said);
        events.Kill();
        var told = events.StandardOutput.ReadToEnd();
        Assert.Contains("INSTALLING 0.2.0 40 %: It says so.", told, StringComparison.Ordinal);
        Assert.Contains("FAILED 0.2.0: It says so.", told, StringComparison.Ordinal);

        proof = new JsonObject { ["boot_id"] = boot, ["config_hash"] = state["config_hash"]!.DeepClone() };
        Assert.Contains("\"done\"", Command("factory_reset", proof.ToJsonString()), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(_image, "requests", "factory-reset")));
        Assert.Equal(0, _gateway.WaitForExit(20));

        bool Says(string status) => JsonNode.Parse(Retained("state")!)!["image"]!["update"]?["status"]!.GetValue<string>() == status;

        string Outcome(string status, string more) =>
            $$"""{"status":"{{status}}","version":"0.2.0"{{more}},"message":"It says so.","at":"2026-05-01T12:00:00Z","boot_id":"{{boot}}"}""";
    }

    private void Tell(string name, string text)
    {
        File.WriteAllText(Path.Combine(_image, $"{name}.new"), text);
        File.Move(Path.Combine(_image, $"{name}.new"), Path.Combine(_image, name), overwrite: true);
    }

    /// <summary>What the installer leaves on the boot partition.</summary>
    private void Provision(string mqtt = "")
    {
        Directory.CreateDirectory(Drop);
        var own = _certificates.Issue("gw-0017");
        File.Copy(_certificates.Authority, Path.Combine(Drop, "ca.pem"));
        File.Copy(own.Cert, Path.Combine(Drop, "device.pem"));
        File.Copy(own.Key, Path.Combine(Drop, "device.key"));
        File.WriteAllText(Path.Combine(Drop, "device.json"), $$"""
            {
              "device": { "id": "gw-0017" },
              "mqtt": { {{mqtt}} "host": "127.0.0.1", "port": {{_brokerPort}},
                        "tls": { "enabled": true, "ca": "ca.pem", "cert": "device.pem", "key": "device.key" } }
            }
            """);
        var (code, said, errors) = _gateway.Command("provision", Drop, "--data", _gateway.DataFolder);
        Assert.True(code == 0, errors);
        Assert.EndsWith(said, File.ReadAllText(Path.Combine(Drop, "result.txt")), StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(Drop, "device.key")));
    }

    private int Channels() => _gateway.Status()["channels"]!.AsArray().Count;

    private void Desire(JsonNode config) => Publish("config/desired", new JsonObject
    {
        ["revision"] = "1", ["config"] = config.DeepClone(), ["confirm_timeout_s"] = 30,
    }.ToJsonString(), "-r");

    private void SetSecret(string name, string file)
    {
        var payload = new JsonObject { ["name"] = name, ["value"] = File.ReadAllText(file) };
        Assert.Contains("\"done\"", Command("secret_set", payload.ToJsonString()), StringComparison.Ordinal);
    }

    private async Task SendLineAsync(int port, string line)
    {
        using var client = new TcpClient("127.0.0.1", port);
        await using var tls = new SslStream(client.GetStream());
        var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(_certificates.Authority);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "scale", CertificateChainPolicy = trust });
        await tls.WriteAsync(Encoding.ASCII.GetBytes(line + "\n"));
    }

    private string Said() => $"{Retained("config/reported")}\n{_gateway.LastLines}\n{_broker.LastLines}";

    /// <summary>Sends a command and waits for its result.</summary>
    private string Command(string type, string payload)
    {
        var topic = $"cmd/{type}/{Guid.NewGuid():N}";
        using var listening = Client("mosquitto_sub", "-q", "1", "-C", "1", "-W", "30", "-t", $"{Root}{topic}/result");
        Thread.Sleep(1_000); // until it has subscribed: results are not retained
        Publish(topic, payload);
        return listening.StandardOutput.ReadToEnd();
    }

    private void Publish(string topic, string payload, params string[] more)
    {
        using var client = Client("mosquitto_pub", ["-q", "1", "-t", Root + topic, "-s", .. more]);
        client.StandardInput.Write(payload);
        client.StandardInput.Close();
        Assert.True(client.WaitForExit(20_000) && client.ExitCode == 0, client.StandardError.ReadToEnd());
    }

    private void Clear(string topic)
    {
        using var client = Client("mosquitto_pub", "-q", "1", "-t", Root + topic, "-n", "-r");
        Assert.True(client.WaitForExit(20_000) && client.ExitCode == 0);
    }

    /// <summary>What lies retained; null: nothing.</summary>
    private string? Retained(string topic)
    {
        using var client = Client("mosquitto_sub", "-C", "1", "-W", "2", "-t", Root + topic);
        var text = client.StandardOutput.ReadToEnd().TrimEnd('\n');
        return text.Length == 0 ? null : text;
    }

    private Process Client(string program, params string[] arguments)
    {
        var (cert, key) = _operator ??= _certificates.Issue("operator");
        string[] tls = ["--cafile", _certificates.Authority, "--cert", cert, "--key", key];
        return Process.Start(new ProcessStartInfo(PeerProcess.Find(program)!, ["-h", "127.0.0.1", "-p", $"{_brokerPort}", .. tls, .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, StandardOutputEncoding = Encoding.UTF8,
        })!;
    }

    private (string Cert, string Key)? _operator;
}
