using System.Net.Sockets;

namespace IoBufferEdge.Tests.Daemon;

/// <summary>Provisioning as the installer does it, and what a service does whose configuration file is missing or wrong.</summary>
public sealed partial class DaemonTests
{
    private string Drop => Path.Combine(_folder, "provision");

    [Fact]
    public async Task Kept_without_a_gateway_it_is_there_at_the_first_start_and_the_secrets_have_left_the_folder()
    {
        Directory.CreateDirectory(Path.Combine(Drop, "secrets"));
        Write("provision/device.json", """{"device":{"id":"gw-1"},"mqtt":{"host":"127.0.0.1","port":1,"username":"u","password_secret":"broker"}}""");
        Write("provision/secrets/broker", "hunter22");
        var (code, output, errors) = await RunAsync("provision", Drop, "--data", Data);
        Assert.Equal((0, ""), (code, errors));
        Assert.StartsWith("gw-1 reports to 127.0.0.1:1 and has no channel yet. Secrets taken: broker.", output, StringComparison.Ordinal);
        Assert.EndsWith(output, File.ReadAllText(Path.Combine(Drop, "result.txt")), StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(Drop, "secrets", "broker")));

        await StartAsync(Path.Combine(_folder, "not-there.json"));
        var status = (await RunAsync("status", "--data", Data)).Output;
        foreach (var part in (string[])["gw-1: running", "LEDs unprovisioned", "unprovisioned: no channel is configured", "127.0.0.1:1: not connected"])
            Assert.Contains(part, status, StringComparison.Ordinal);
        Assert.Contains("broker  8 bytes", (await RunAsync("secret", "list", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Contains("Nothing is new", (await RunAsync("provision", Drop, "--data", Data)).Output, StringComparison.Ordinal);

        // The gateway that runs goes over to what is given by hand.
        var (changed, said, _) = await RunAsync("provision", "--broker", "127.0.0.1:2", "--device-id", "gw-2", "--data", Data);
        Assert.Equal((0, true), (changed, said.StartsWith("gw-2 reports to 127.0.0.1:2", StringComparison.Ordinal)));
        Assert.Contains("gw-2: running", (await RunAsync("status", "--data", Data)).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_wrong_is_written_back_and_changes_nothing()
    {
        Directory.CreateDirectory(Drop);
        Write("provision/device.json", """{"device":{"id":"GW"},"mqtt":{"host":"b","tls":{"enabled":true,"ca":"ca.pem"}}}""");
        Write("provision/notes.doc", "x");
        Write("provision/own.key", "x");
        for (var running = 0; running < 2; running++)
        {
            if (running == 1) await StartAsync(Path.Combine(_folder, "not-there.json"));
            var (code, _, errors) = await RunAsync("provision", Drop, "--data", Data);
            Assert.Equal((1, 3), (code, errors.TrimEnd('\n').Split('\n').Length));
            foreach (var part in (string[])["notes.doc is not known here", "device.json: device.id", "ca.pem\", which does not exist"])
                Assert.Contains(part, errors, StringComparison.Ordinal);
            Assert.EndsWith($"Nothing was taken:\n{errors}", File.ReadAllText(Path.Combine(Drop, "result.txt")), StringComparison.Ordinal);
            Assert.True(File.Exists(Path.Combine(Drop, "own.key")));
        }

        Assert.Contains("LEDs config_refused", (await RunAsync("status", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Equal("no secrets\n", (await RunAsync("secret", "list", "--data", Data)).Output);
        Assert.Equal(74, (await RunAsync("provision", Path.Combine(_folder, "none"), "--data", Data)).Code);
        Assert.Equal(64, (await RunAsync("provision", "--data", Data)).Code);
    }

    [Fact]
    public async Task A_wrong_file_beside_a_kept_configuration_is_told_and_the_kept_one_goes_on()
    {
        var file = WriteConfig(FreePort(), FreePort(), "first");
        var gateway = await StartAsync(file);
        gateway.Kill();
        await gateway.WaitForExitAsync();
        File.WriteAllText(file, """{"schema_version":1,"channels":7}""");
        await StartAsync(file);
        Assert.Equal("first", (await ChannelAsync()).GetProperty("name").GetString());
        var status = (await RunAsync("status", "--data", Data)).Output;
        Assert.Contains("LEDs config_refused", status, StringComparison.Ordinal);
        Assert.Contains("gateway.json is wrong, what was kept goes on", status, StringComparison.Ordinal);
    }

    /// <summary>systemd would start it again every second.</summary>
    [Fact]
    public async Task A_service_with_a_wrong_file_and_nothing_kept_waits_until_the_file_is_mended_before_it_ends()
    {
        var file = Write("wrong.json", """{"schema_version":1,"chanels":[]}""");
        var socketPath = Path.Combine(_folder, "notify");
        using var systemd = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        systemd.Bind(new UnixDomainSocketEndPoint(socketPath));
        var service = Start(["run", "--config", file, "--data", Data], ("NOTIFY_SOCKET", socketPath));
        var line = await service.StandardError.ReadLineAsync().WaitAsync(Patience);
        Assert.Contains("chanels", line, StringComparison.Ordinal);
        var notified = new byte[4096];
        var text = System.Text.Encoding.UTF8.GetString(notified, 0, await systemd.ReceiveAsync(notified).WaitAsync(Patience));
        Assert.StartsWith("STATUS=", text, StringComparison.Ordinal);
        Assert.Contains("wrong.json cannot be used: error: ", text, StringComparison.Ordinal);
        await Task.Delay(3_000);
        Assert.False(service.HasExited);
        Write("wrong.json", "{}");
        await service.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(78, service.ExitCode);
    }

    [Fact]
    public async Task A_support_bundle_comes_from_the_gateway_or_from_what_it_left_and_holds_no_secret()
    {
        const string Literal = "literal-pass-1", Stored = "stored-pass-2";
        var file = Write("gateway.json", $$"""
            {
              "schema_version": 1, "device": { "id": "gw-1" },
              "channels": [ { "id": "lines", "source": { "type": "tcp_server", "host": "127.0.0.1", "port": {{FreePort()}} },
                "destination": { "type": "remote_icombuffer", "url": "http://127.0.0.1:1", "channel_id": "c",
                                 "auth": { "username": "u", "password": "{{Literal}}" } } } ]
            }
            """);
        Directory.CreateDirectory(Path.Combine(Data, "secrets"));
        File.WriteAllText(Path.Combine(Data, "secrets", "relay"), Stored);
        var gateway = await StartAsync(file);
        await RunAsync("channel", "pause", Stored, "--data", Data);
        for (var running = 1; running >= 0; running--)
        {
            var bundle = Path.Combine(_folder, $"bundle-{running}.tar.gz");
            var (code, output, errors) = await RunAsync("support-bundle", "--output", bundle, "--data", Data);
            Assert.True(code == 0, errors);
            Assert.StartsWith(bundle, output, StringComparison.Ordinal);
            var text = await ReadBundleAsync(bundle);
            foreach (var secret in (string[])[Literal, Stored]) Assert.DoesNotContain(secret, text, StringComparison.Ordinal);
            string[] parts = ["\"password\": \"***\"", "remote_icombuffer", "high-water-mark", running == 1 ? "info Ready: " : "No gateway runs."];
            Assert.All(parts, part => Assert.Contains(part, text, StringComparison.Ordinal));
            gateway.Kill();
            await gateway.WaitForExitAsync();
        }

        Assert.Equal(74, (await RunAsync("support-bundle", "--data", Path.Combine(_folder, "none"))).Code);
    }

    private static async Task<string> ReadBundleAsync(string path)
    {
        var text = new System.Text.StringBuilder();
        await using var file = File.OpenRead(path);
        await using var zip = new System.IO.Compression.GZipStream(file, System.IO.Compression.CompressionMode.Decompress);
        await using var tar = new System.Formats.Tar.TarReader(zip);
        while (await tar.GetNextEntryAsync(copyData: true) is { } entry)
        {
            if (entry.DataStream is not { } data) continue;
            using var reader = new StreamReader(data);
            text.AppendLine(await reader.ReadToEndAsync());
        }

        return text.ToString();
    }
}
