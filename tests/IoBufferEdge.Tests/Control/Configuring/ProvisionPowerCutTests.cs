using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>
/// The power is cut after every single step of a provisioning and of a factory reset. The device comes up with the former configuration and the
/// former secrets, or with the new of both.
/// </summary>
public sealed class ProvisionPowerCutTests : IDisposable
{
    private static readonly string[] Names = ["a", "b", "c"];

    private readonly string _files = Directory.CreateTempSubdirectory("iobuffer-provision-cut-").FullName;
    private int _count;

    public void Dispose() => Directory.Delete(_files, recursive: true);

    [Fact]
    public async Task It_comes_up_as_it_was_or_provisioned_and_can_be_provisioned_again()
    {
        var outcomes = await CutAsync(
            async rig =>
            {
                await rig.OfferChannelAsync("before");
                await rig.ConfirmAsync();
            },
            rig => rig.Keeper.ProvisionAsync(New(), checkOnly: false));
        foreach (var (left, secrets) in outcomes)
        {
            using (var rig = new KeeperRig(left, null, secrets.Folder))
            {
                var provisioned = rig.Running.Device.Id == "gw-1";
                Assert.Equal("before", rig.Channels);
                Assert.All(Names, n => Assert.Equal(provisioned ? $"new {n}" : $"old {n}", secrets.ReadPassword(n)));
                await rig.Keeper.ProvisionAsync(New(), checkOnly: false);
                Assert.Equal("gw-1", rig.Running.Device.Id);
            }

            using var after = new KeeperRig(left, null, secrets.Folder);
            Assert.Equal(("gw-1", "before"), (after.Running.Device.Id, after.Channels));
            Assert.All(Names, n => Assert.Equal($"new {n}", secrets.ReadPassword(n)));
        }

        Assert.True(outcomes.Count > 20, $"{outcomes.Count} outcomes are too few.");
    }

    [Fact]
    public async Task It_comes_up_as_it_was_or_reset()
    {
        var outcomes = await CutAsync(
            async rig =>
            {
                await rig.Keeper.ProvisionAsync(New(), checkOnly: false);
                await rig.OfferChannelAsync("since");
                await rig.ConfirmAsync();
            },
            rig => rig.Keeper.ResetAsync());
        var resets = 0;
        foreach (var (left, secrets) in outcomes)
        {
            secrets.Set("since", "x"u8);
            using var rig = new KeeperRig(left, null, secrets.Folder);
            Assert.Equal("gw-1", rig.Running.Device.Id);
            Assert.Equal((rig.Channels == "", rig.Channels == ""), (!secrets.Has("since"), rig.Erased == 1));
            Assert.True(rig.Channels is "" or "since");
            Assert.All(Names, n => Assert.Equal($"new {n}", secrets.ReadPassword(n)));
            resets += rig.Erased;
        }

        Assert.True(resets > 0 && resets < outcomes.Count, $"{resets} of {outcomes.Count} were reset.");
    }

    /// <summary>The power goes while a start takes up what was kept, or resets the device: the next start does the rest.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_start_that_is_cut_is_made_up_for_by_the_next(bool reset)
    {
        for (var steps = 0; ; steps++)
        {
            var (folder, secrets) = (new PowerCutFolder(), NewSecrets());
            using (var rig = new KeeperRig(folder, null, secrets.Folder))
            {
                await rig.OfferChannelAsync("before");
                await rig.ConfirmAsync();
                Provisioning.Keep(new ConfigStore(folder), secrets, new ConfigStore(folder).Load(), New(), Provisioning.Nothing, false, out _);
                if (reset) await rig.Keeper.ResetAsync();
            }

            folder = folder.AfterCut().First().With(steps);
            try
            {
                using var cut = new KeeperRig(folder, null, secrets.Folder);
            }
            catch (PowerCutFolder.PowerCut)
            {
            }

            foreach (var left in folder.AfterCut())
            {
                using var rig = new KeeperRig(left, null, secrets.Folder);
                Assert.Equal(("gw-1", reset ? "" : "before"), (rig.Running.Device.Id, rig.Channels));
                Assert.All(Names, n => Assert.Equal($"new {n}", secrets.ReadPassword(n)));
            }

            if (!folder.IsOff) return;
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Secrets_that_a_start_could_not_install_any_more_are_installed_by_the_next(int installed)
    {
        var (folder, secrets) = (new PowerCutFolder(), NewSecrets());
        Provisioning.Keep(new ConfigStore(folder), secrets, new ConfigState(), New(), Provisioning.Nothing, false, out _);
        foreach (var name in Names[..installed]) secrets.Set(name, New().Secrets[name]);
        using var rig = new KeeperRig(folder, null, secrets.Folder);
        Assert.All(Names, n => Assert.Equal($"new {n}", secrets.ReadPassword(n)));
        Assert.Equal("gw-1", rig.Running.Device.Id);
    }

    /// <summary>All that may be found after the power was cut in any step of the second part.</summary>
    private async Task<List<(PowerCutFolder Left, SecretStore Secrets)>> CutAsync(Func<KeeperRig, Task> beforeAsync, Func<KeeperRig, Task> actAsync)
    {
        var outcomes = new List<(PowerCutFolder, SecretStore)>();
        for (var steps = 0; ; steps++)
        {
            var (folder, secrets) = (new PowerCutFolder(), NewSecrets());
            using (var rig = new KeeperRig(folder, null, secrets.Folder)) await beforeAsync(rig);
            folder = folder.With(steps);
            try
            {
                using var rig = new KeeperRig(folder, null, secrets.Folder);
                await actAsync(rig);
            }
            catch (PowerCutFolder.PowerCut)
            {
            }

            foreach (var left in folder.AfterCut())
            {
                var copy = NewSecrets();
                foreach (var secret in secrets.List()) copy.Set(secret.Name, secrets.Read(secret.Name));
                outcomes.Add((left, copy));
            }

            if (!folder.IsOff) return outcomes;
        }
    }

    private SecretStore NewSecrets()
    {
        var secrets = new SecretStore(Directory.CreateDirectory(Path.Combine(_files, $"{_count++}")).FullName, null);
        foreach (var name in Names) secrets.Set(name, System.Text.Encoding.UTF8.GetBytes($"old {name}"));
        return secrets;
    }

    private static Provision New() => ProvisionTests.Given(
        """{"device":{"id":"gw-1"},"mqtt":{"host":"b","password_secret":"a"}}""", [.. Names.Select(n => (n, $"new {n}"))]);
}
