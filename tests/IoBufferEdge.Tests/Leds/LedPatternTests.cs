using IoBufferEdge.Control;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Leds;
using IoBufferEdge.Tests.Control;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Leds;

public class LedPatternTests
{
    private static readonly ChannelStatus Healthy = Snapshots.Channel() with { Ledger = new LedgerStatus { Received = 5, Delivered = 5 } };

    private static readonly ChannelStatus Waits = Healthy with { Ledger = new LedgerStatus { Received = 5, Delivered = 2, Buffered = 3 } };

    private static readonly EndpointStatus NoPort = EndpointStatus.Closed with { State = EndpointState.Waiting };

    /// <summary>One status per cause.</summary>
    private static readonly Dictionary<string, GatewayStatus> Examples = new(StringComparer.Ordinal)
    {
        ["identify"] = With(Healthy) with { Identifying = true },
        ["stopped"] = With(Healthy) with { State = GatewayState.Stopping },
        ["starting"] = With(Healthy) with { State = GatewayState.Starting },
        ["updating"] = Updated(UpdateState.Installing),
        ["message_loss"] = With(Healthy with { LostRanges = [new SequenceRange(3, 4)] }),
        ["storage_failed"] = Failing("No space left on device"),
        ["storage_nearly_full"] = With(Waits with { MaxBytes = 1000, BufferedBytes = 800 }),
        ["port_fault"] = With(Healthy with { Source = "serial /dev/ttyUSB0", SourceStatus = NoPort }),
        ["channel_failed"] = With(Healthy with { State = ChannelState.Failed }),
        ["config_refused"] = With(Healthy) with { ConfigError = "channels[0].id: is missing" },
        ["provisioning_refused"] = With(Healthy) with { Image = new ImageStatus("0.1.0", "a", false, ProvisioningError: "it is wrong") },
        ["unprovisioned"] = Snapshots.Gateway(),
        ["no_channels"] = With(Healthy with { State = ChannelState.Disabled }),
        ["silent"] = With(Healthy with { Alerts = [new("silent", "no message")] }),
        ["connection_resets"] = With(Healthy with { Alerts = [new("destination_resets", "three times")] }),
        ["rejected"] = With(Waits with { State = ChannelState.Blocked }),
        ["not_delivering"] = With(Waits with { StandingStill = TimeSpan.FromSeconds(30) }),
        ["paused"] = With(Waits with { State = ChannelState.Paused }),
        ["buffering"] = With(Waits with { State = ChannelState.Waiting, StandingStill = TimeSpan.FromDays(1) }),
        ["offline"] = With(Healthy with { State = ChannelState.Waiting }),
        ["broker_away"] = With(Healthy) with { Mqtt = new MqttStatus { Broker = "b:8883", Since = Snapshots.Noon.AddSeconds(-30) } },
        ["update_failed"] = Updated(UpdateState.RolledBack),
        ["running"] = With(Healthy),
    };

    [Fact]
    public void Every_cause_is_shown_where_it_holds()
    {
        Assert.Equal(LedPattern.Causes.Select(c => c.Pattern.Code), Examples.Keys);
        foreach (var (code, status) in Examples) Assert.Equal(code, status.LedCode);
    }

    [Fact]
    public void An_update_that_failed_is_shown_until_the_next_boot()
    {
        Assert.Equal("update_failed", Updated(UpdateState.Failed).LedCode);
        Assert.Equal("running", (Updated(UpdateState.Failed) with { BootId = "the next one" }).LedCode);
        Assert.Equal("running", Updated(UpdateState.Installed).LedCode);
        Assert.Equal("running", Updated(UpdateState.Confirmed).LedCode);
    }

    [Fact]
    public void Of_two_causes_the_more_severe_one_is_shown()
    {
        var ranks = LedPattern.Causes.Select(c => c.Pattern.Code).ToList();
        var channels = Examples.Values.Where(s => s is { Identifying: false, State: GatewayState.Running, ConfigError: null, Store.Error: null });
        foreach (var a in channels)
        {
            // A channel that is disabled, or none at all, is no cause beside one that is not.
            foreach (var b in channels.Where(b => new[] { a, b }.All(s => s.LedCode is not ("no_channels" or "unprovisioned"))))
            {
                var both = a with { Channels = [.. a.Channels, .. b.Channels], Mqtt = a.Mqtt ?? b.Mqtt, Image = Both(a.Image, b.Image) };
                Assert.Equal(ranks[Math.Min(ranks.IndexOf(a.LedCode), ranks.IndexOf(b.LedCode))], both.LedCode);
            }
        }
    }

    [Fact]
    public void A_broker_that_is_away_for_a_moment_is_not_shown_and_one_that_is_there_is_not_either()
    {
        var mqtt = Examples["broker_away"].Mqtt!;
        Assert.Equal("running", (With(Healthy) with { Mqtt = mqtt with { Since = Snapshots.Noon.AddSeconds(-29) } }).LedCode);
        Assert.Equal("running", (With(Healthy) with { Mqtt = mqtt with { Connected = true } }).LedCode);
        Assert.Equal("buffering", (Examples["buffering"] with { Mqtt = mqtt }).LedCode);
    }

    [Fact]
    public void Only_a_gateway_that_moves_its_messages_looks_healthy() =>
        Assert.All(LedPattern.Causes.Where(c => c.Pattern.Code != "running"), cause =>
            Assert.False(cause.Pattern.Stat == LedBlink.Heartbeat && cause.Pattern.Err == LedBlink.Off, cause.Pattern.Code));

    [Fact]
    public void Delivery_that_moves_however_slowly_looks_healthy_and_one_that_stands_does_not()
    {
        var time = new FakeTimeProvider();
        var progress = new DeliveryProgress(time);
        for (var cursor = 1; cursor < 10; cursor++)
        {
            Assert.Equal("running", With(progress.Note(Waits with { Cursor = cursor })).LedCode);
            time.Advance(TimeSpan.FromSeconds(29));
        }

        Assert.Equal("running", With(progress.Note(Waits with { Cursor = 9 })).LedCode);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("not_delivering", With(progress.Note(Waits with { Cursor = 9 })).LedCode);
        Assert.Equal("running", With(progress.Note(Healthy with { Cursor = 9 })).LedCode);
        Assert.Equal(TimeSpan.Zero, progress.Note(Waits with { Cursor = 9 }).StandingStill);
    }

    [Fact]
    public void The_kernel_gets_hard_edges() =>
        Assert.Equal("255 200 255 0 0 300 0 0 255 200 255 0 0 1200 0 0", LedBlink.TwoFlashes.ToKernel(255));

    [Fact]
    public void The_table_in_the_hardware_readme_is_what_the_leds_do()
    {
        var path = Path.Combine(RepositoryRoot.Path, "hardware", "README.md");
        var rows = LedPattern.Causes.Select(c => c.Pattern)
            .Select(p => $"| `{p.Code}` | {p.Stat.Words} | {p.Err.Words} | {p.Meaning} | {(p.Remedy.Length == 0 ? "–" : p.Remedy)} |");
        var table = string.Join('\n', ["| Code | STAT (green) | ERR (red) | What it means | What helps |", "|---|---|---|---|---|", .. rows]);
        Assert.True(File.ReadAllText(path).Contains(table, StringComparison.Ordinal), $"hardware/README.md should have this table:\n{table}");
    }

    private static GatewayStatus With(ChannelStatus channel) => Snapshots.Gateway(channel);

    private static GatewayStatus Updated(UpdateState state)
    {
        var status = With(Healthy);
        var update = new UpdateStatus(state, "It says so.", Snapshots.Noon, status.BootId);
        return status with { Image = new ImageStatus("0.1.0", "a", false, update) };
    }

    /// <summary>What both of them tell; of two updates the one that is being installed.</summary>
    private static ImageStatus? Both(ImageStatus? a, ImageStatus? b) => a is null || b is null ? a ?? b : a with
    {
        Update = a.Update is null || b.Update is { Status: UpdateState.Installing } ? b.Update : a.Update,
        ProvisioningError = a.ProvisioningError ?? b.ProvisioningError,
    };

    private static GatewayStatus Failing(string error)
    {
        var status = With(Healthy);
        return status with { Store = status.Store with { Error = error } };
    }
}
