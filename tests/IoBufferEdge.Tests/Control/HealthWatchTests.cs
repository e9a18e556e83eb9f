using IoBufferEdge.Control;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control;

public class HealthWatchTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly HealthWatch _watch;

    public HealthWatchTests() => _watch = new HealthWatch(_time, TimeSpan.FromSeconds(30));

    [Fact]
    public void A_channel_that_secures_nothing_is_our_fault()
    {
        var waiting = Snapshots.Gateway(Snapshots.Channel() with { UnsecuredMessages = 5, SecuredSequence = 10 });
        Assert.True(_watch.Judge(waiting).IsHealthy);
        _time.Advance(TimeSpan.FromSeconds(29));
        Assert.True(_watch.Judge(waiting).IsHealthy);
        _time.Advance(TimeSpan.FromSeconds(1));
        var report = _watch.Judge(waiting);
        Assert.True(report.NeedsRestart);
        Assert.Equal("Channel scale has not secured a message for 30 s although 5 wait.", report.ToString());
    }

    [Fact]
    public void Progress_however_slow_is_health()
    {
        for (var secured = 10; secured < 20; secured++)
        {
            var slow = Snapshots.Channel() with { UnsecuredMessages = 5, SecuredSequence = secured };
            Assert.True(_watch.Judge(Snapshots.Gateway(slow)).IsHealthy);
            _time.Advance(TimeSpan.FromSeconds(29));
        }
    }

    [Fact]
    public void A_peer_that_is_away_is_not_our_fault()
    {
        var away = Snapshots.Gateway(Snapshots.Channel() with { State = ChannelState.Waiting, UnsecuredMessages = 0, Cursor = 1 });
        _watch.Judge(away);
        _time.Advance(TimeSpan.FromDays(3));
        Assert.True(_watch.Judge(away).IsHealthy);
    }

    [Fact]
    public void A_failing_store_is_unhealthy_but_no_restart_mends_it()
    {
        var failing = Snapshots.Gateway(Snapshots.Channel() with { UnsecuredMessages = 5 });
        failing = failing with { Store = failing.Store with { Error = "No space left on device" } };
        _watch.Judge(failing);
        _time.Advance(TimeSpan.FromMinutes(5));
        var report = _watch.Judge(failing);
        Assert.False(report.IsHealthy);
        Assert.False(report.NeedsRestart);
        Assert.StartsWith("The store fails: No space left on device\nChannel scale", report.ToString(), StringComparison.Ordinal);
    }
}
