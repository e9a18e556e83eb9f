using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Mqtt;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>When which topic is due, and what is in it.</summary>
public sealed class StatusPublisherTests
{
    private const string Root = LinkRig.Root;

    private readonly FakeTimeProvider _time = new(Snapshots.Noon);
    private readonly StatusPublisher _publisher;
    private MqttTarget _target = LinkRig.Target();
    private GatewayStatus _status = Snapshots.Gateway(Snapshots.Channel() with { Alerts = [] });

    public StatusPublisherTests() => _publisher = new StatusPublisher(null, new DeviceReadings("/nowhere"), _time);

    [Fact]
    public void A_condition_is_told_once_a_second_at_most_figures_every_five_and_all_of_it_every_minute()
    {
        Take();
        var topic = Root + "channel/scale/state";
        var told = 0;
        for (var tenth = 0; tenth < 100; tenth++)
        {
            Change(c => c with { LastError = $"error {tenth}" });
            told += Take(0.1).Count(m => m.Topic == topic);
        }

        Assert.InRange(told, 9, 10);
        Take(10);
        told = 0;
        for (var second = 0; second < 20; second++)
        {
            Change(c => c with { Ledger = c.Ledger with { Received = c.Ledger.Received + 1, Delivered = c.Ledger.Delivered + 1 } });
            told += Take(1).Count(m => m.Topic == topic);
        }

        Assert.InRange(told, 3, 4);
        Take(60);
        Assert.DoesNotContain(Take(30), m => m.Retained);
        Assert.Equal([Root + "state", topic], Take(31).Where(m => m.Retained).Select(m => m.Topic));
    }

    [Fact]
    public void An_alert_begins_stands_and_is_cleared_by_an_empty_message()
    {
        Take();
        Change(c => c with { Alerts = [new("silent", "Nothing for 5 min.")] });
        var raised = Take(1).Single(m => m.Topic == Root + "alert/scale.silent");
        Assert.Equal(("scale", "silent", "Nothing for 5 min."), (Text(raised, "channel"), Text(raised, "code"), Text(raised, "message")));
        var since = Text(raised, "since");
        Change(c => c with { Alerts = [new("silent", "Nothing for 6 min.")] });
        Assert.Equal(since, Text(Take(60).Single(m => m.Topic == Root + "alert/scale.silent"), "since"));
        Change(c => c with { Alerts = [] });
        var cleared = Take(1).Single(m => m.Topic == Root + "alert/scale.silent");
        Assert.Equal((0, true), (cleared.Payload.Length, cleared.Retained));
        Assert.DoesNotContain(Take(60), m => m.Topic == Root + "alert/scale.silent");
    }

    [Fact]
    public void A_channel_that_is_gone_leaves_nothing_behind_in_Home_Assistant_either()
    {
        _target = LinkRig.Target(new HomeAssistantConfig { Prefix = "ha" });
        Assert.Contains(Take(), m => m.Topic == "ha/sensor/iobuffer_gw-0017/scale_state/config");
        _status = _status with { Channels = [] };
        var cleared = Take(1).Where(m => m.Retained && m.Payload.IsEmpty).Select(m => m.Topic).ToList();
        Assert.Contains(Root + "channel/scale/state", cleared);
        Assert.Equal(5, cleared.Count(t => t.StartsWith("ha/", StringComparison.Ordinal) && t.Contains("/scale_", StringComparison.Ordinal)));
    }

    [Fact]
    public void Another_connection_is_told_everything_again()
    {
        var first = Take().Where(m => m.Retained).Select(m => m.Topic).ToList();
        _publisher.Forget();
        Assert.Equal(first, Take().Where(m => m.Retained).Select(m => m.Topic));
    }

    [Fact]
    public void Events_wait_in_order_for_a_broker_and_the_oldest_goes_when_there_are_too_many()
    {
        for (var i = 0; i < StatusPublisher.BacklogMax + 50; i++)
        {
            Change(c => c with { State = i % 2 == 0 ? ChannelState.Running : ChannelState.Paused });
            _publisher.Observe(_target, _status);
        }

        var numbers = Take(0).Where(m => m.Topic == Root + "event").Select(m => (long)Json(m)["number"]!).ToList();
        Assert.Equal(StatusPublisher.BacklogMax, numbers.Count);
        Assert.Equal(Enumerable.Range(0, numbers.Count).Select(i => numbers[0] + i), numbers);
        Assert.Equal(numbers[0] - 1, _publisher.Dropped);
    }

    [Fact]
    public void What_was_not_confirmed_is_sent_again()
    {
        _publisher.Observe(_target, _status);
        var first = _publisher.Due(1000).Single(m => m.Topic == Root + "event");
        Assert.Same(first, _publisher.Due(1000).Single(m => m.Topic == Root + "event"));
        _publisher.Sent([first]);
        Assert.DoesNotContain(_publisher.Due(1000), m => m.Topic == Root + "event");
    }

    [Fact]
    public void Rates_are_what_moved_since_the_last_ones()
    {
        Take();
        Change(c => c with { Ledger = c.Ledger with { Received = c.Ledger.Received + 50, Delivered = c.Ledger.Delivered + 25 } });
        var metrics = Take(10).Single(m => m.Topic == Root + "metrics");
        Assert.Equal((0, false), (metrics.QoS, metrics.Retained));
        var channel = Json(metrics)["channels"]![0]!;
        Assert.Equal((5, 2.5), ((double)channel["received_per_s"]!, (double)channel["delivered_per_s"]!));
    }

    [Fact]
    public void Readings_come_from_the_kernels_files_and_are_left_out_where_there_are_none()
    {
        var root = Directory.CreateTempSubdirectory("iobuffer-sys-").FullName;
        Write("sys/class/thermal/thermal_zone0/temp", "48312\n");
        Write("sys/block/mmcblk0/device/life_time", "0x02 0x01\n");
        Write("proc/sys/kernel/random/boot_id", "4f6a\n");
        Directory.CreateDirectory(Path.Combine(root, "run/systemd/timesync"));
        var readings = new DeviceReadings(root);
        Assert.Equal((48.3, 20, false, "4f6a"), (readings.TemperatureC, readings.FlashLifeUsedPercent, readings.TimeSynced, readings.BootId));
        Write("run/systemd/timesync/synchronized", "");
        Assert.True(readings.TimeSynced);
        Directory.Delete(root, recursive: true);
        Assert.Equal((null, null, null, ""), (
            new DeviceReadings(root).TemperatureC, new DeviceReadings(root).FlashLifeUsedPercent, new DeviceReadings(root).TimeSynced,
            new DeviceReadings(root).BootId));

        void Write(string name, string text)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(root, name))!);
            File.WriteAllText(Path.Combine(root, name), text);
        }
    }

    private List<MqttMessage> Take(double seconds = 0)
    {
        _time.Advance(TimeSpan.FromSeconds(seconds));
        _publisher.Observe(_target, _status with { TakenAt = _time.GetUtcNow() });
        var due = _publisher.Due(1000);
        _publisher.Sent(due);
        return [.. due];
    }

    private void Change(Func<ChannelStatus, ChannelStatus> change) => _status = _status with { Channels = [.. _status.Channels.Select(change)] };

    private static JsonNode Json(MqttMessage message) => JsonNode.Parse(Encoding.UTF8.GetString(message.Payload.Span))!;

    private static string? Text(MqttMessage message, string key) => (string?)Json(message)[key];
}
