using System.Text;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Configuration;
using IoBufferEdge.Tests.Support;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>What an installer gives is taken as a whole, or not at all, and is what a device can always go back to.</summary>
public sealed class ProvisionTests : IDisposable
{
    private readonly PowerCutFolder _folder = new();
    private readonly string _files = Directory.CreateTempSubdirectory("iobuffer-provision-").FullName;
    private readonly SecretStore _secrets;
    private KeeperRig _rig;

    public ProvisionTests()
    {
        _secrets = new SecretStore(Path.Combine(_files, "secrets"), null);
        _rig = Rig();
    }

    private ConfigStore Store => new(_folder);

    public void Dispose()
    {
        _rig.Dispose();
        Directory.Delete(_files, recursive: true);
    }

    [Fact]
    public async Task A_gateway_that_runs_goes_over_to_it_and_keeps_what_it_does_not_say()
    {
        await KeepAsync("scale");
        var said = await _rig.Keeper.ProvisionAsync(
            Given("""{"device":{"id":"gw-1"},"mqtt":{"host":"b","username":"u","password_secret":"broker"}}""", ("broker", "hunter22")), checkOnly: false);
        Assert.StartsWith("gw-1 reports to b:1883 and has 1 channel. Secrets taken: broker.\nwarning: mqtt.tls: is off", said, StringComparison.Ordinal);
        Assert.Equal(("gw-1", "b", "scale"), (_rig.Running.Device.Id, _rig.Running.Mqtt!.Host, _rig.Channels));
        Assert.Equal("hunter22", _secrets.ReadPassword("broker"));
        Restart();
        Assert.Equal(("gw-1", "scale", ConfigOrigin.Factory), (_rig.Running.Device.Id, _rig.Channels, _rig.StartOrigin));
        Assert.Equal((ConfigStatus.Applied, "scale"), (_rig.Report.Status, _rig.Channels));
    }

    [Fact]
    public async Task What_is_wrong_is_told_all_at_once_and_nothing_is_taken()
    {
        await KeepAsync("scale");
        var before = _rig.Applied;
        var given = Given(
            """
            {"device":{"id":"GW 1"},"mqtt":{"host":"b","tls":{"enabled":true,"ca":"ca.pem"},"keepalive":7},"channels":[{"id":"c","auth":{"password":"x"}}]}
            """,
            ("ca.pem", "no certificate"), ("../up", "x"));
        var error = await Assert.ThrowsAsync<ConfigControlException>(() => _rig.Keeper.ProvisionAsync(given, checkOnly: false));
        var sentences = error.Message.Split('\n');
        foreach (var part in (string[])["device.id", "keepalive", "ca.pem\", which holds no certificate", "A secret's name", "password must not stand here"])
            Assert.Single(sentences, s => s.Contains(part, StringComparison.Ordinal));
        Assert.Contains(_secrets.Folder, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Path.GetTempPath(), error.Message.Replace(_secrets.Folder, "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Empty(_secrets.List());
        Assert.Null(Store.LoadFactory());
        Assert.Equal((before, "scale"), (_rig.Applied, _rig.Channels));
    }

    [Fact]
    public async Task To_be_checked_it_is_judged_and_nothing_is_taken()
    {
        Assert.StartsWith("The device reports to b:1883", await _rig.Keeper.ProvisionAsync(Given("""{"mqtt":{"host":"b"}}""", ("pw", "x")), checkOnly: true));
        Assert.Equal((0, 0, null), (_rig.Applied, _secrets.List().Count, Store.LoadFactory()));
    }

    [Fact]
    public async Task Certificates_are_named_as_they_are_given_and_judged_before()
    {
        using var certificates = new TestCertificates();
        var (cert, key) = certificates.Issue("gateway");
        await _rig.Keeper.ProvisionAsync(
            Given("""{"mqtt":{"host":"b","port":8883,"tls":{"enabled":true,"ca":"ca.pem","cert":"own.pem","key":"own.key"}}}""",
                ("ca.pem", File.ReadAllText(cert)), ("own.pem", File.ReadAllText(cert)), ("own.key", File.ReadAllText(key))), checkOnly: false);
        Assert.Equal(Path.Combine(_secrets.Folder, "own.key"), _rig.Running.Mqtt!.Tls.Key);
        Restart();
        Assert.Equal(Path.Combine(_secrets.Folder, "ca.pem"), _rig.Running.Mqtt!.Tls.Ca);
    }

    [Fact]
    public async Task The_same_again_is_nothing_new_and_leaves_what_was_set_since()
    {
        var given = Given("""{"mqtt":{"host":"b"}}""", ("broker", "first"), ("relay", "first"));
        await _rig.Keeper.ProvisionAsync(given, checkOnly: false);
        await KeepAsync("scale");
        _secrets.Set("broker", "changed"u8);
        var applied = _rig.Applied;
        foreach (var again in new[] { given, Given("""{"mqtt":{"host":"b"}}"""), Given("{}", ("broker", "first")) })
        {
            Assert.StartsWith("Nothing is new", await _rig.Keeper.ProvisionAsync(again, checkOnly: false));
            Restart();
            Assert.Equal("scale", _rig.Channels);
        }

        Assert.Equal("changed", _secrets.ReadPassword("broker"));
        await _rig.Keeper.ProvisionAsync(Given("{}", ("relay", "second")), checkOnly: false);
        Assert.Equal(("changed", "second", "scale"), (_secrets.ReadPassword("broker"), _secrets.ReadPassword("relay"), _rig.Channels));
        Assert.True(applied > 0);
    }

    [Fact]
    public async Task Kept_while_no_gateway_runs_it_is_taken_up_by_the_next_start_over_the_file()
    {
        var file = Path.Combine(_files, "gateway.json");
        File.WriteAllText(file, Document.Of(Document.Channel(id: "file"), ""","device":{"board":"revpi-connect"}"""));
        var given = Given("""{"device":{"id":"gw-1"},"mqtt":{"host":"b"}}""", ("broker", "hunter22"));
        Assert.NotNull(Provisioning.Keep(Store, _secrets, Store.Load(), given, Provisioning.Nothing, checkOnly: false, out _));
        Assert.Empty(_secrets.List());
        Restart(file);
        Assert.Equal(("gw-1", "revpi-connect", "file"), (_rig.Running.Device.Id, _rig.Running.Device.Board, _rig.Channels));
        Assert.Equal("hunter22", _secrets.ReadPassword("broker"));
        await KeepAsync("mqtt");
        Restart(file);
        Assert.Equal("mqtt", _rig.Channels);
        File.WriteAllText(file, Document.Of(Document.Channel(id: "other")));
        Restart(file);
        Assert.Equal("other", _rig.Channels);
    }

    [Fact]
    public void Of_two_that_wait_to_be_taken_up_both_are()
    {
        foreach (var (config, name) in new[] { ("""{"mqtt":{"host":"a"}}""", "one"), ("""{"mqtt":{"port":1884}}""", "two") })
            Provisioning.Keep(Store, _secrets, Store.Load(), Given(config, (name, $"new {name}")), Provisioning.Nothing, checkOnly: false, out _);
        _secrets.Set("one", "old"u8);
        Restart();
        Assert.Equal(("a", 1884), (_rig.Running.Mqtt!.Host, _rig.Running.Mqtt.Port));
        Assert.Equal(("new one", "new two"), (_secrets.ReadPassword("one"), _secrets.ReadPassword("two")));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Damage_to_both_generations_leaves_what_provisioning_gave_and_to_one_the_last_good(int damaged)
    {
        await _rig.Keeper.ProvisionAsync(Given(Document.Of(Document.Channel(id: "factory")), ("broker", "hunter22")), checkOnly: false);
        await KeepAsync("good");
        foreach (var name in new[] { ConfigStore.Present, ConfigStore.Previous }.Take(damaged)) _folder.Write(name, new byte[100]);
        Restart();
        Assert.Equal("factory", _rig.Channels);
        await KeepAsync("again");
        Restart();
        Assert.Equal("again", _rig.Channels);
    }

    [Fact]
    public async Task A_factory_reset_goes_back_to_it_with_its_secrets_and_without_what_came_since()
    {
        await _rig.Keeper.ProvisionAsync(Given("""{"device":{"id":"gw-1"},"mqtt":{"host":"b"}}""", ("broker", "delivered")), checkOnly: false);
        await KeepAsync("scale");
        await KeepAsync("other");
        _secrets.Set("broker", "changed"u8);
        _secrets.Set("relay", "since"u8);
        await _rig.Keeper.ResetAsync();
        await Assert.ThrowsAsync<ConfigControlException>(() => _rig.Keeper.ApplyAsync(Encoding.UTF8.GetBytes(Document.Of("")), "/", null));
        Restart();
        Assert.Equal(("gw-1", "b", ""), (_rig.Running.Device.Id, _rig.Running.Mqtt!.Host, _rig.Channels));
        Assert.Equal(1, _rig.Erased);
        Assert.Equal(["broker"], _secrets.List().Select(s => s.Name));
        Assert.Equal("delivered", _secrets.ReadPassword("broker"));

        // The message that lies retained on the broker configures it as it does a new device.
        await KeepAsync("other");
        _folder.Write(ConfigStore.Present, new byte[100]);
        Restart();
        Assert.Equal(0, _rig.Erased);
    }

    [Fact]
    public async Task A_device_that_was_never_provisioned_has_nothing_after_a_reset()
    {
        await KeepAsync("scale");
        await _rig.Keeper.ResetAsync();
        Restart(Path.Combine(_files, "none.json"));
        Assert.Equal("", _rig.Channels);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(" \n")]
    public async Task A_configuration_file_that_is_not_there_yet_or_empty_is_a_device_without_channels(string? content)
    {
        var file = Path.Combine(_files, "gateway.json");
        if (content is not null) File.WriteAllText(file, content);
        Restart(file);
        Assert.Equal(("", ConfigOrigin.BuiltIn), (_rig.Channels, _rig.StartOrigin));
        await KeepAsync("scale");
        Restart(file);
        Assert.Equal("scale", _rig.Channels);
    }

    internal static Provision Given(string config, params (string Name, string Value)[] secrets) => new(
        config, new(secrets.ToDictionary(s => s.Name, s => Encoding.UTF8.GetBytes(s.Value)), StringComparer.Ordinal));

    private async Task KeepAsync(string channel)
    {
        await _rig.OfferChannelAsync(channel);
        await _rig.ConfirmAsync();
        Assert.Equal((ConfigStatus.Applied, channel), (_rig.Report.Status, _rig.Channels));
    }

    private KeeperRig Rig(string? file = null) => new(_folder, file, _secrets.Folder);

    private void Restart(string? file = null)
    {
        _rig.Dispose();
        _rig = Rig(file);
    }
}
