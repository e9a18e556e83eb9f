namespace IoBufferEdge.Control.Mqtt;

/// <summary>The content of <c>alert/ID</c>: one condition that stands, from its beginning to its end.</summary>
/// <param name="Id"><c>CHANNEL.CODE</c>, or the code alone where the whole device is concerned.</param>
/// <param name="Since">When it was seen first in this run, by the wall clock.</param>
/// <param name="Message">One sentence.</param>
public sealed record AlertMessage(string Id, string? Channel, string Code, DateTimeOffset Since, string Message);

/// <summary>The conditions that stand, each with its beginning.</summary>
internal sealed class StandingAlerts
{
    private readonly Dictionary<string, AlertMessage> _standing = new(StringComparer.Ordinal);

    public IReadOnlyCollection<AlertMessage> Standing => _standing.Values;

    public void Observe(GatewayStatus status)
    {
        var now = Conditions(status).ToDictionary(a => a.Id, StringComparer.Ordinal);
        foreach (var ended in _standing.Keys.Except(now.Keys).ToList()) _standing.Remove(ended);
        foreach (var alert in now.Values)
            _standing[alert.Id] = _standing.TryGetValue(alert.Id, out var former) ? alert with { Since = former.Since } : alert;
    }

    /// <summary>What an operator may have to act on; the same as the command line's notes and the LEDs' causes.</summary>
    public static IEnumerable<AlertMessage> Conditions(GatewayStatus status)
    {
        var store = status.Store;
        if (store.Error is { } error) yield return Device(store.OutOfSpace ? "storage_full" : "storage_failed", error);
        if (store.Salvage is { } salvage) yield return Device("store_salvaged", salvage);
        if (status.ConfigError is { } refused) yield return Device("config_refused", refused);
        if (status.UpdateFault is { } update) yield return Device("update_failed", update);
        if (status.Image?.ProvisioningError is { } provisioning) yield return Device("provisioning_refused", provisioning);
        foreach (var channel in status.Channels)
        {
            if (channel.Ledger.Imbalance != 0) yield return Of(channel, "ledger_imbalance", $"The ledger does not balance by {channel.Ledger.Imbalance}.");
            if (channel.LostRanges.Count > 0)
                yield return Of(channel, "messages_lost", $"Lost or already delivered: {string.Join(", ", channel.LostRanges)}.");
            if (channel.PortFaults.ToList() is { Count: > 0 } faults) yield return Of(channel, "port_fault", string.Join("; ", faults));
            if (channel.State == ChannelState.Failed) yield return Of(channel, "channel_failed", channel.LastError ?? "An endpoint cannot be opened.");
            if (channel.State == ChannelState.Blocked)
                yield return Of(channel, "rejected", channel.LastError ?? "The destination refuses the message at the head of the queue.");
            if (channel.Ledger.Parked > 0) yield return Of(channel, "parked", $"Messages that the destination refused lie aside: {channel.Ledger.Parked}.");
            foreach (var (code, sentence) in channel.Alerts) yield return Of(channel, code, sentence);
        }

        AlertMessage Device(string code, string message) => new(code, null, code, status.TakenAt, message);

        AlertMessage Of(ChannelStatus channel, string code, string message) => new($"{channel.Id}.{code}", channel.Id, code, status.TakenAt, message);
    }
}
