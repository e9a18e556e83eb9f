using System.Globalization;
using IoBufferEdge.Control;
using Microsoft.Extensions.Hosting.Systemd;

namespace IoBufferEdge.Daemon;

/// <summary>
/// Looks at the gateway every few seconds, judges its progress, and tells systemd: STATUS always, WATCHDOG only while nothing stands still
/// through our own fault. A gateway whose status no longer answers ends the pings by itself, and is unhealthy.
/// </summary>
internal sealed class StatusWatch(IGatewayControl gateway, HealthWatch health, SystemdNotifier systemd, TimeProvider time)
{
    private static readonly TimeSpan TooOld = TimeSpan.FromSeconds(30);
    private static readonly HealthReport NoAnswer = new(["The gateway's status has not answered for 30 s."], null);

    private HealthReport _report = new([], null);
    private long _lookedAt = time.GetTimestamp();

    /// <summary>The newest judgement.</summary>
    public HealthReport Report => time.GetElapsedTime(Volatile.Read(ref _lookedAt)) < TooOld ? Volatile.Read(ref _report) : NoAnswer;

    public async Task RunAsync(TimeSpan every, CancellationToken cancel)
    {
        var watchdog = WatchdogInterval();
        if (watchdog is { } interval && interval / 3 < every) every = interval / 3;
        using var timer = new PeriodicTimer(every, time);
        do
        {
            var status = gateway.Status;
            var report = health.Judge(status);
            Volatile.Write(ref _report, report);
            Volatile.Write(ref _lookedAt, time.GetTimestamp());
            if (systemd.IsEnabled) Notify(status, report, watchdog is not null);
        }
        while (await TickAsync(timer, cancel));
    }

    private void Notify(GatewayStatus status, HealthReport report, bool watchdog)
    {
        var buffered = status.Channels.Sum(c => c.Ledger.Buffered);
        var connected = status.Channels.Count(c => c.State == ChannelState.Running);
        var line = report.IsHealthy
            ? $"{connected} of {status.Channels.Count} channels connected, {buffered} messages buffered"
            : report.ToString().Replace('\n', ' ');
        systemd.Notify(new ServiceState($"STATUS={line}" + (watchdog && !report.NeedsRestart ? "\nWATCHDOG=1" : "")));
    }

    private static async ValueTask<bool> TickAsync(PeriodicTimer timer, CancellationToken cancel)
    {
        try
        {
            return await timer.WaitForNextTickAsync(cancel);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Null where systemd asked for no pings.</summary>
    private static TimeSpan? WatchdogInterval()
    {
        var asked = Environment.GetEnvironmentVariable("WATCHDOG_USEC");
        return long.TryParse(asked, CultureInfo.InvariantCulture, out var us) && us > 0 ? TimeSpan.FromMicroseconds(us) : null;
    }
}
