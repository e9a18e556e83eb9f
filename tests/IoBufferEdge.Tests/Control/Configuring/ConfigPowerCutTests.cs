using IoBufferEdge.Control.Configuring;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>The power is cut after every single step of a story; whatever is found then, the device comes up with a whole configuration.</summary>
public sealed class ConfigPowerCutTests
{
    /// <summary>Names the configuration that is the last good one after each part.</summary>
    private static readonly (string Good, Func<KeeperRig, Task> ActAsync)[] Story =
    [
        ("", rig => rig.OfferChannelAsync("a")),
        ("a", rig => rig.ConfirmAsync()),
        ("a", rig => rig.OfferChannelAsync("b")),
        ("a", rig => rig.PassAsync(60)),
        ("a", rig => rig.OfferChannelAsync("c")),
        ("a", rig => rig.OfferChannelAsync("d")),
        ("d", rig => rig.ConfirmAsync()),
        ("d", rig => rig.OfferChannelAsync("e")),
        ("d", async rig => await rig.Keeper.RollbackAsync()),
        ("a", async rig => await rig.Keeper.RollbackAsync()),
    ];

    [Fact]
    public async Task It_comes_up_with_the_new_or_the_last_good_one()
    {
        var (cuts, found) = (0, 0);
        for (var steps = 0; ; steps++)
        {
            var folder = new PowerCutFolder(steps);
            var allowed = await PlayAsync(folder);
            foreach (var left in folder.AfterCut())
            {
                found++;
                using var rig = new KeeperRig(left);
                Assert.Contains(rig.Channels == BuiltIn ? "" : rig.Channels, allowed);
                Assert.NotEqual(ConfigStatus.Applying, rig.Report.Status);
                Assert.False(rig.Held);

                // And it goes on from there.
                await rig.OfferChannelAsync("z");
                await rig.ConfirmAsync();
                using var after = new KeeperRig(left);
                Assert.Equal("z", after.Channels);
            }

            if (!folder.IsOff) break;
            cuts++;
        }

        Assert.True(cuts > 40 && found > 150, $"{cuts} cuts with {found} outcomes are too few to be the story.");
    }

    /// <summary>What was rolled back does not come again with the retained message, wherever the power was cut behind it.</summary>
    [Fact]
    public async Task A_wish_that_was_being_tried_is_not_tried_again()
    {
        for (var steps = 0; ; steps++)
        {
            var folder = new PowerCutFolder(steps);
            var wasTried = false;
            try
            {
                using var rig = new KeeperRig(folder);
                await rig.OfferChannelAsync("a");
                wasTried = rig.Channels == "a";
                await rig.PassAsync(60);
            }
            catch (PowerCutFolder.PowerCut)
            {
            }

            foreach (var left in folder.AfterCut())
            {
                using var rig = new KeeperRig(left);
                await rig.OfferChannelAsync("a");
                if (wasTried) Assert.Equal((ConfigStatus.RolledBack, BuiltIn), (rig.Report.Status, rig.Channels));
            }

            if (!folder.IsOff) return;
        }
    }

    private static string BuiltIn { get; } = string.Join(' ', IoBufferEdge.Configuration.DefaultConfig.Load().Channels.Select(c => c.Id));

    /// <summary>Returns the channels that the device may come up with.</summary>
    private static async Task<HashSet<string>> PlayAsync(PowerCutFolder folder)
    {
        var (good, next) = ("", "");
        try
        {
            using var rig = new KeeperRig(folder);
            foreach (var part in Story)
            {
                next = part.Good;
                await part.ActAsync(rig);
                good = part.Good;
            }
        }
        catch (PowerCutFolder.PowerCut)
        {
        }

        return [good, next];
    }
}
