using System.Text;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Tests.Configuration;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>A configuration is tried, confirmed and kept, or it is taken back; nothing on the way locks the device out.</summary>
public sealed class ConfigKeeperTests : IDisposable
{
    private readonly PowerCutFolder _folder = new();
    private readonly string _files = Directory.CreateTempSubdirectory("iobuffer-keeper-").FullName;
    private KeeperRig _rig;

    public ConfigKeeperTests() => _rig = new KeeperRig(_folder);

    public void Dispose()
    {
        _rig.Dispose();
        Directory.Delete(_files, recursive: true);
    }

    [Fact]
    public async Task What_is_offered_runs_and_is_kept_once_MQTT_is_back()
    {
        var before = _rig.Report;
        Assert.Equal((ConfigStatus.Applied, null), (before.Status, before.Hash));
        await _rig.OfferChannelAsync("a");
        Assert.Equal((ConfigStatus.Applying, "a", true), (_rig.Report.Status, _rig.Channels, _rig.Held));
        Assert.Equal(TimeSpan.FromSeconds(60), _rig.Keeper.ConfirmWithin);
        await _rig.PassAsync(30);
        Assert.Equal(ConfigStatus.Applying, _rig.Report.Status);
        await _rig.ConfirmAsync();
        Assert.Equal((ConfigStatus.Applied, "a", false), (_rig.Report.Status, _rig.Report.Revision, _rig.Held));
        Assert.Equal(_rig.Report.Hash, _rig.Report.LastGoodHash);
        Assert.Null(_rig.Keeper.ConfirmWithin);
        Restart();
        Assert.Equal(("a", "a", ConfigStatus.Applied), (_rig.Channels, _rig.Report.Revision, _rig.Report.Status));
    }

    [Fact]
    public async Task What_is_not_confirmed_in_time_is_taken_back_and_the_same_message_does_not_start_it_again()
    {
        await KeepAsync("good");
        await _rig.OfferChannelAsync("bad", ""","confirm_timeout_s":10""");
        _rig.NotUp = null;
        await _rig.PassAsync(2);
        _rig.NotUp = "the broker is not connected";
        await _rig.PassAsync(7.9);
        Assert.Equal("bad", _rig.Channels);
        await _rig.PassAsync(0.1);
        Assert.Equal(("good", false), (_rig.Channels, _rig.Held));
        Assert.Equal((ConfigStatus.RolledBack, "bad"), (_rig.Report.Status, _rig.Report.Revision));
        Assert.Contains("within 10 s: the broker is not connected", Assert.Single(_rig.Report.Errors).Message, StringComparison.Ordinal);
        Assert.NotEqual(_rig.Report.Hash, _rig.Report.LastGoodHash);

        var applied = _rig.Applied;
        await _rig.OfferChannelAsync("bad", ""","confirm_timeout_s":10""");
        Restart();
        await _rig.OfferChannelAsync("bad", ""","confirm_timeout_s":10""");
        Assert.Equal((ConfigStatus.RolledBack, "good"), (_rig.Report.Status, _rig.Channels));
        Assert.Equal((0, true), (_rig.Applied, applied > 0));
        await _rig.OfferChannelAsync("better");
        Assert.Equal((ConfigStatus.Applying, "better"), (_rig.Report.Status, _rig.Channels));
    }

    [Fact]
    public async Task What_the_gateway_cannot_go_over_to_has_failed_and_stays_so()
    {
        await KeepAsync("good");
        _rig.Refuses = "bad";
        await _rig.OfferChannelAsync("bad");
        Assert.Equal((ConfigStatus.Failed, "good", false), (_rig.Report.Status, _rig.Channels, _rig.Held));
        Assert.Contains("the port is taken", Assert.Single(_rig.Report.Errors).Message, StringComparison.Ordinal);
        Restart();
        await _rig.OfferChannelAsync("bad");
        Assert.Equal((ConfigStatus.Failed, 0), (_rig.Report.Status, _rig.Applied));
    }

    [Fact]
    public async Task What_is_wrong_changes_nothing_and_every_error_comes_back_with_its_path()
    {
        await KeepAsync("good");
        var (applied, steps) = (_rig.Applied, _folder.Steps);
        await _rig.OfferAsync("""{"revision":7,"config":{"schema_version":2,"channels":[{"id":"A"}],"chanels":1}}""");
        Assert.Equal((ConfigStatus.Failed, "7", null), (_rig.Report.Status, _rig.Report.Revision, _rig.Report.Hash));
        Assert.Equal(["chanels", "schema_version", "channels[0].id", "channels[0].source", "channels[0].destination"], _rig.Report.Errors.Select(e => e.Path));
        Assert.Equal((applied, steps, "good"), (_rig.Applied, _folder.Steps, _rig.Channels));

        // What was missing may have come since: a secret, a file.
        await _rig.OfferAsync("{}");
        Assert.Contains("either config", Assert.Single(_rig.Report.Errors).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "line 1, column 1")]
    [InlineData("[]", "$")]
    [InlineData("""{"config":{},"config":{}}""", "$")]
    [InlineData("""{"config":{},"patch":{}}""", "$")]
    [InlineData("""{"config":{},"confirm_timeout_s":9}""", "confirm_timeout_s")]
    [InlineData("""{"config":{},"confirm_timeout_s":3601}""", "confirm_timeout_s")]
    [InlineData("""{"config":{},"confirm_timeout_s":"60"}""", "confirm_timeout_s")]
    [InlineData("""{"config":{},"revision":""}""", "revision")]
    [InlineData("""{"config":{},"revision":true}""", "revision")]
    [InlineData("""{"config":{},"more":1}""", "\"more\"")]
    [InlineData("""{"patch":{"mqtt":null}}""", "patch.mqtt")]
    public async Task A_message_that_is_none_is_told_where(string payload, string path)
    {
        await KeepAsync("good");
        await WithBrokerAsync();
        await _rig.OfferAsync(payload);
        Assert.Equal((ConfigStatus.Failed, path), (_rig.Report.Status, Assert.Single(_rig.Report.Errors).Path));
    }

    [Fact]
    public async Task A_message_that_is_too_large_or_too_deep_is_refused()
    {
        await _rig.Keeper.OfferAsync(new byte[ConfigOffer.MaxBytes + 1000]);
        await _rig.Keeper.HandleAsync(new byte[ConfigOffer.MaxBytes + 1]);
        Assert.Contains("at most", Assert.Single(_rig.Report.Errors).Message, StringComparison.Ordinal);
        await _rig.OfferAsync(new string('[', 40) + new string(']', 40));
        Assert.Contains("nested deeper than 32", Assert.Single(_rig.Report.Errors).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_patch_changes_the_present_one_and_a_whole_document_keeps_broker_and_device()
    {
        await KeepAsync("good");
        await WithBrokerAsync();
        await _rig.OfferAsync("""{"patch":{"device":{"id":"gw-1"},"http":{"metrics_listen":"127.0.0.1:9100"}}}""");
        await _rig.ConfirmAsync();
        Assert.Equal(("gw-1", "good", "broker"), (_rig.Running.Device.Id, _rig.Channels, _rig.Running.Mqtt?.Host));
        await _rig.OfferAsync("""{"patch":{"http":null}}""");
        await _rig.ConfirmAsync();
        Assert.Null(_rig.Running.Http);
        await _rig.OfferChannelAsync("next");
        Assert.Equal(("gw-1", "next", "broker"), (_rig.Running.Device.Id, _rig.Channels, _rig.Running.Mqtt?.Host));
    }

    [Fact]
    public async Task The_same_configuration_in_other_clothes_is_applied_already()
    {
        await KeepAsync("good");
        var applied = _rig.Applied;
        await _rig.OfferAsync("\n" + KeeperRig.Desired("good").Replace("\"revision\":\"good\"", "\"revision\":\"again\"", StringComparison.Ordinal));
        Assert.Equal((ConfigStatus.Applied, "again", applied), (_rig.Report.Status, _rig.Report.Revision, _rig.Applied));
    }

    [Fact]
    public async Task A_second_offer_takes_the_place_of_the_first_and_both_go_back_to_the_last_good_one()
    {
        await KeepAsync("good");
        await _rig.OfferChannelAsync("first");
        await _rig.PassAsync(50);
        await _rig.OfferAsync("{}");
        Assert.Equal((ConfigStatus.Failed, "first"), (_rig.Report.Status, _rig.Channels));
        await _rig.OfferChannelAsync("second");
        await _rig.PassAsync(50);
        Assert.Equal("second", _rig.Channels);
        await _rig.PassAsync(11);
        Assert.Equal(("good", "second"), (_rig.Channels, _rig.Report.Revision));

        await _rig.OfferChannelAsync("third");
        _rig.Refuses = "fourth";
        await _rig.OfferChannelAsync("fourth");
        Assert.Equal(("good", ConfigStatus.Failed, false), (_rig.Channels, _rig.Report.Status, _rig.Held));
    }

    [Fact]
    public async Task Without_room_for_the_mark_nothing_is_tried()
    {
        await KeepAsync("good");
        _folder.Refuses = true;
        await _rig.OfferChannelAsync("next");
        Assert.Equal((ConfigStatus.Failed, "good"), (_rig.Report.Status, _rig.Channels));
        _folder.Refuses = false;
        await _rig.OfferChannelAsync("next");
        _folder.Refuses = true;
        await _rig.ConfirmAsync();
        Assert.Equal((ConfigStatus.Applying, "next"), (_rig.Report.Status, _rig.Channels));
        await _rig.PassAsync(60);
        Assert.Equal((ConfigStatus.RolledBack, "good"), (_rig.Report.Status, _rig.Channels));
    }

    [Fact]
    public async Task From_the_command_line_it_is_confirmed_by_hand_or_kept_at_once()
    {
        await ApplyAsync("good", null);
        Assert.Equal((ConfigStatus.Applied, "good", false), (_rig.Report.Status, _rig.Channels, _rig.Held));
        await ApplyAsync("tried", 10);
        await _rig.ConfirmAsync();
        Assert.Equal((ConfigStatus.Applying, "tried"), (_rig.Report.Status, _rig.Channels));
        await _rig.PassAsync(7);
        Assert.Equal((ConfigStatus.RolledBack, "good"), (_rig.Report.Status, _rig.Channels));

        await ApplyAsync("tried", 10);
        await _rig.Keeper.ConfirmAsync();
        Assert.Equal(ConfigStatus.Applied, _rig.Report.Status);
        await Assert.ThrowsAsync<ConfigControlException>(_rig.Keeper.ConfirmAsync);
        await ApplyAsync("taken back", 10);
        Assert.Equal((ConfigStatus.Failed, "tried"), (_rig.Report.Status, _rig.Channels));
        await ApplyAsync("third", 10);
        await _rig.Keeper.RollbackAsync();
        Assert.Equal("tried", _rig.Channels);
        await _rig.Keeper.RollbackAsync();
        Restart();
        Assert.Equal("good", _rig.Channels);
    }

    [Fact]
    public async Task The_file_wins_when_it_changes_and_only_then()
    {
        var file = WriteFile("one");
        Restart(file);
        Assert.Equal("one", _rig.Channels);
        await KeepAsync("mqtt");
        Assert.Contains("has not changed", await _rig.Keeper.ReloadAsync(), StringComparison.Ordinal);
        Restart(file);
        Assert.Equal("mqtt", _rig.Channels);

        WriteFile("two");
        Assert.Contains("is applied", await _rig.Keeper.ReloadAsync(), StringComparison.Ordinal);
        Assert.Equal(("two", null), (_rig.Channels, _rig.Report.Revision));
        await _rig.OfferChannelAsync("mqtt");
        Restart(file);
        await _rig.OfferChannelAsync("mqtt");
        Assert.Equal("two", _rig.Channels);

        File.WriteAllText(file, "{");
        await Assert.ThrowsAsync<ConfigControlException>(_rig.Keeper.ReloadAsync);
        Restart(file);
        Assert.Equal(("two", "line 1, column 2"), (_rig.Channels, _rig.Problems[0].Path));
        WriteFile("three");
        Restart(file);
        Assert.Equal("three", _rig.Channels);
        Restart();
        Assert.Equal(ConfigOrigin.BuiltIn, _rig.StartOrigin);
    }

    private async Task KeepAsync(string channel)
    {
        await _rig.OfferChannelAsync(channel);
        await _rig.ConfirmAsync();
        Assert.Equal((ConfigStatus.Applied, channel), (_rig.Report.Status, _rig.Channels));
    }

    private async Task WithBrokerAsync()
    {
        await _rig.OfferAsync("""{"patch":{"mqtt":{"host":"broker"}}}""");
        await _rig.ConfirmAsync();
    }

    private Task ApplyAsync(string channel, int? seconds) => _rig.Keeper.ApplyAsync(
        Encoding.UTF8.GetBytes(Document.Of(Document.Channel(id: channel))), "/", seconds is { } s ? TimeSpan.FromSeconds(s) : null);

    private void Restart(string? file = null)
    {
        _rig.Dispose();
        _rig = new KeeperRig(_folder, file);
    }

    private string WriteFile(string channel)
    {
        var file = Path.Combine(_files, "gateway.json");
        File.WriteAllText(file, Document.Of(Document.Channel(id: channel)));
        return file;
    }
}
