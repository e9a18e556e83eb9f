using IoBufferEdge.Control.Configuring;
using static IoBufferEdge.Tests.Configuration.Document;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>Somebody who may publish configurations, and no more, tries to reach what only root may.</summary>
public sealed class ForeignRulesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-foreign-").FullName;
    private readonly KeeperRig _rig;

    public ForeignRulesTests()
    {
        Directory.CreateDirectory(Secrets);
        File.WriteAllText(Path.Combine(Secrets, "relay.pw"), "hunter22\n");
        File.WriteAllText(Path.Combine(_folder, "outside"), "top secret line\n");
        _rig = new KeeperRig(new PowerCutFolder(), secrets: Secrets);
    }

    private string Secrets => Path.Combine(_folder, "secrets");

    public void Dispose()
    {
        _rig.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("/etc/shadow")]
    [InlineData("../outside")]
    [InlineData("sub/relay.pw")]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData(".hidden")]
    [InlineData("a\\u0000b")]
    [InlineData("linked")]
    [InlineData("folder")]
    [InlineData("pipe")]
    public async Task A_file_outside_the_secrets_folder_is_not_named(string file)
    {
        if (file == "linked") File.CreateSymbolicLink(Path.Combine(Secrets, "linked"), Path.Combine(_folder, "outside"));
        if (file == "folder") Directory.CreateDirectory(Path.Combine(Secrets, "folder"));
        if (file == "pipe") using (var make = System.Diagnostics.Process.Start("mkfifo", [Path.Combine(Secrets, "pipe")])) await make.WaitForExitAsync();
        await OfferAsync(Relay($$"""{"username":"u","password_file":"{{file}}"}"""));
        Refused("channels[0].destination.auth.password_file");
        await OfferAsync(Of(Channel(With(TcpSource, $$""" "tls":{"enabled":true,"cert":"{{file}}","key":"{{file}}"} """))));
        Assert.Equal(ConfigStatus.Failed, _rig.Report.Status);
        Assert.All(_rig.Report.Errors, e => Assert.DoesNotContain("top secret", e.Message, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_bare_name_inside_it_is()
    {
        await OfferAsync(Relay("""{"username":"u","password_file":"relay.pw"}"""));
        await _rig.ConfirmAsync();
        Assert.Equal(ConfigStatus.Applied, _rig.Report.Status);
        Assert.Equal(Path.Combine(Secrets, "relay.pw"), _rig.Running.Channels[0].Destination.Auth!.PasswordFile);

        // As config show tells it, it may be sent back.
        await OfferAsync(_rig.Keeper.Document.Replace("\"id\":\"a\"", "\"id\":\"b\"", StringComparison.Ordinal));
        Assert.Equal((ConfigStatus.Applying, "b"), (_rig.Report.Status, _rig.Channels));
    }

    [Fact]
    public async Task What_a_file_contains_is_not_told()
    {
        File.WriteAllText(Path.Combine(Secrets, "c.pem"), "-----BEGIN CERTIFICATE-----\nhunter22\n-----END CERTIFICATE-----\n");
        await OfferAsync(Of(Channel(With(TcpSource, """ "tls":{"enabled":true,"cert":"c.pem","key":"relay.pw","ca":"relay.pw","verify_peer":true} """))));
        Assert.Equal(ConfigStatus.Failed, _rig.Report.Status);
        Assert.All(_rig.Report.Errors, e => Assert.DoesNotContain("hunter22", e.ToString(), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/dev/null")]
    [InlineData("/dev/zero")]
    [InlineData("/dev/tty")]
    [InlineData("/dev/console")]
    [InlineData("/dev/tty/../mem")]
    [InlineData("/dev/serial/by-id/../../../etc/passwd")]
    [InlineData("/etc/passwd")]
    [InlineData("/proc/self/mem")]
    [InlineData("/nowhere/port")]
    [InlineData("/dev/sda")]
    [InlineData("LINK")]
    public async Task What_is_no_tty_is_no_serial_port(string port)
    {
        if (port == "LINK") File.CreateSymbolicLink(port = Path.Combine(_folder, "ttyUSB0"), "/dev/null");
        await OfferAsync(Of(Channel(destination: $$"""{"type":"serial","port":"{{port}}"}""")));
        Refused("channels[0].destination.port");
    }

    [Theory]
    [InlineData("/dev/ttyUSB77")]
    [InlineData("/dev/serial/by-id/usb-none-port0")]
    public async Task A_port_that_is_not_plugged_yet_may_be_named(string port)
    {
        await OfferAsync(Of(Channel(destination: $$"""{"type":"serial","port":"{{port}}"}""")));
        Assert.Equal(ConfigStatus.Applying, _rig.Report.Status);
    }

    [Fact]
    public async Task A_password_is_not_written_out_and_not_repeated()
    {
        await OfferAsync(Relay("""{"username":"u","password":"hunter22"}"""));
        Refused("channels[0].destination.auth.password");
        Assert.Contains("password_secret", _rig.Report.Errors[0].Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter22", _rig.Report.Errors[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Credentials_do_not_go_over_the_network_in_the_clear()
    {
        await OfferAsync(Relay("""{"username":"u","password_file":"relay.pw"}""", "http://192.0.2.1:8080"));
        Refused("channels[0].destination.auth");
        await OfferAsync(Relay("""{"username":"u","password_file":"relay.pw"}""", "http://127.0.0.1:8080"));
        Assert.Equal(ConfigStatus.Applying, _rig.Report.Status);
    }

    /// <summary>What the administrator wrote stays usable, as it is and where it is.</summary>
    [Fact]
    public async Task What_is_kept_from_the_administrators_own_is_not_judged_again_but_nothing_of_it_moves()
    {
        var outside = Path.Combine(_folder, "outside");
        var own = Of(
            Channel(destination: Destination($$"""{"username":"u","password_file":"{{outside}}"}"""), id: "own"),
            $$""","device":{"id":"gw"},"mqtt":{"host":"broker","password_file":"{{outside}}"}""");
        await _rig.Keeper.ApplyAsync(System.Text.Encoding.UTF8.GetBytes(own), _folder, null);
        Assert.Equal(ConfigStatus.Applied, _rig.Report.Status);

        await _rig.OfferAsync("""{"patch":{"http":{"metrics_listen":"127.0.0.1:9100"}}}""");
        Assert.Equal(ConfigStatus.Applying, _rig.Report.Status);
        await _rig.ConfirmAsync();
        await _rig.OfferAsync("""{"patch":{"mqtt":{"host":"evil.example"}}}""");
        Refused("mqtt.password_file");
        await OfferAsync(Of(Channel(destination: Destination($$"""{"username":"u","password_file":"{{outside}}"}""", "https://evil.example:1"), id: "own")));
        Refused("channels[0].destination.auth.password_file");
    }

    private static string Destination(string auth, string url = "https://192.0.2.1:8080") =>
        $$"""{"type":"remote_icombuffer","url":"{{url}}","channel_id":"b","auth":{{auth}}}""";

    private static string Relay(string auth, string url = "https://192.0.2.1:8080") =>
        Of(Channel(destination: Destination(auth, url)), ""","device":{"id":"gw"}""");

    private Task OfferAsync(string config) => _rig.OfferAsync($$"""{"config":{{config}}}""");

    private void Refused(string path)
    {
        Assert.Equal(ConfigStatus.Failed, _rig.Report.Status);
        Assert.Contains(_rig.Report.Errors, e => e.Path == path);
    }
}
