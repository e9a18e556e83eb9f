using System.Text.Json;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>The content of <c>event</c>: something that happened, as two snapshots a second apart tell it.</summary>
/// <param name="Number">Counts the events of this run from 1: a gap is what found no room while there was no broker.</param>
/// <param name="Kind">started, led, config_applied, channel_added, channel_removed, channel_state, source_state, destination_state, update, alert_raised
/// or alert_cleared.</param>
/// <param name="Text">What it is now.</param>
public sealed record EventMessage(DateTimeOffset At, string BootId, long Number, string Kind, string? Channel, string Text);

/// <summary>Numbers what happened between two snapshots. What comes and goes between two looks is not seen.</summary>
internal sealed class EventSource
{
    private long _number;

    public IEnumerable<EventMessage> Compare(GatewayStatus? before, GatewayStatus now, string bootId) =>
        Differences(before, now).Select(d => new EventMessage(now.TakenAt, bootId, ++_number, d.Kind, d.Channel, d.Text)).ToList();

    private static IEnumerable<(string Kind, string? Channel, string Text)> Differences(GatewayStatus? before, GatewayStatus now)
    {
        if (before is null)
        {
            yield return ("started", null, now.Version);
            // The start that found it out came before this process.
            if (now.Image?.Update is { Status: UpdateState.RolledBack } back && back.BootId == now.BootId) yield return ("update", null, Said(back));
            yield break;
        }

        if (now.Image?.Update is { } update && update != before.Image?.Update) yield return ("update", null, Said(update));
        if (before.ConfigHash != now.ConfigHash) yield return ("config_applied", null, now.ConfigHash ?? "built-in");
        var former = before.Channels.ToDictionary(c => c.Id, StringComparer.Ordinal);
        foreach (var gone in former.Keys.Except(now.Channels.Select(c => c.Id))) yield return ("channel_removed", gone, "removed");
        foreach (var channel in now.Channels)
        {
            if (!former.TryGetValue(channel.Id, out var was))
            {
                yield return ("channel_added", channel.Id, StatusText.Word(channel.State));
                continue;
            }

            if (was.State != channel.State) yield return ("channel_state", channel.Id, Said(StatusText.Word(channel.State), channel.LastError));
            if (was.SourceStatus.State != channel.SourceStatus.State) yield return ("source_state", channel.Id, Said(channel.SourceStatus));
            if (was.DestinationStatus.State != channel.DestinationStatus.State)
                yield return ("destination_state", channel.Id, Said(channel.DestinationStatus));
        }

        var (alerts, alertsBefore) = (StandingAlerts.Conditions(now).ToList(), StandingAlerts.Conditions(before).ToList());
        foreach (var alert in alerts.ExceptBy(alertsBefore.Select(a => a.Id), a => a.Id))
            yield return ("alert_raised", alert.Channel, $"{alert.Code}: {alert.Message}");
        foreach (var alert in alertsBefore.ExceptBy(alerts.Select(a => a.Id), a => a.Id)) yield return ("alert_cleared", alert.Channel, alert.Code);
        if (before.LedCode != now.LedCode) yield return ("led", null, now.LedCode);
    }

    private static string Said(UpdateStatus update)
    {
        var status = JsonNamingPolicy.SnakeCaseUpper.ConvertName(update.Status.ToString());
        var version = update.Version is { } known ? $" {known}" : "";
        return $"{status}{version}{(update.Percent is { } percent ? $" {percent} %" : "")}: {update.Message}";
    }

    private static string Said(EndpointStatus status) => Said(StatusText.Word(status.State), status.Detail);

    private static string Said(string word, string? detail) => detail is null ? word : $"{word}: {detail}";
}
