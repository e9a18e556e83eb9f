using System.Globalization;
using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control;

/// <summary>The status as one screen of text: the whole gateway, a row per channel, and beneath it what needs an operator.</summary>
public static class StatusText
{
    private static readonly string[] Header =
    [
        "CHANNEL", "STATE", "SOURCE", "DESTINATION", "RECEIVED", "DELIVERED", "BUFFERED", "PARKED", "DISCARDED", "OLDEST", "RETRY IN",
    ];

    private const int FirstNumber = 4;

    /// <summary>How the summary of a source for other instances begins.</summary>
    private const string RemoteSource = "remote_icombuffer as ";

    public static string Render(GatewayStatus status)
    {
        var text = new StringBuilder();
        var device = status.DeviceId is null ? "" : $" {status.DeviceId}";
        var config = status.ConfigHash is { Length: >= 8 } hash ? $"config {hash[..8]}" : "built-in config";
        text.AppendLine($"IoBufferEdge {status.Version}{device}: {Word(status.State)} for {Span(status.Uptime)}, {config}, LEDs {status.LedCode}");
        var store = status.Store;
        text.AppendLine($"store {Size(store.Usage.DiskBytes)} of {Size(store.DeviceMaxBytes)}, "
            + $"{Size(store.Usage.FreeBytes)} free on the medium, {Size(store.Usage.WrittenBytes)} written; "
            + $"memory {Size(status.MemoryUsedBytes)} of {Size(status.MemoryTotalBytes)}");
        if (status.Mqtt is { } mqtt)
            text.AppendLine($"broker {mqtt.Broker}: {(mqtt.Connected ? "connected" : "not connected")} for {Span(status.TakenAt - mqtt.Since)}");
        if (status.Image is { } image)
        {
            var proving = image.Proving ? ", which has yet to prove itself" : "";
            text.AppendLine($"image {image.Version} in slot {image.Slot}{proving}");
            if (image.Update is { Status: UpdateState.Installing } update) text.AppendLine($"update: {update.Percent ?? 0} %, {update.Message}");
        }

        text.AppendLine();
        AppendTable(text, status.Channels);
        foreach (var note in Notes(status)) text.Append("!! ").AppendLine(note);
        return text.ToString();
    }

    /// <summary>Only the channels' rows, for <c>channel list</c>.</summary>
    public static string RenderChannels(IReadOnlyList<ChannelStatus> channels)
    {
        var text = new StringBuilder();
        AppendTable(text, channels);
        return text.ToString();
    }

    public static string RenderParked(IReadOnlyList<ParkedEntry> parked)
    {
        var text = new StringBuilder();
        foreach (var message in parked) text.AppendLine($"{message.Sequence}  {message.Bytes} bytes  {message.Preview}");
        text.AppendLine(parked.Count < ParkedMessages.ListMax ? $"{parked.Count} parked" : $"the first {parked.Count}; status says how many there are");
        return text.ToString();
    }

    public static string RenderSecrets(IReadOnlyList<SecretEntry> secrets)
    {
        if (secrets.Count == 0) return "no secrets\n";
        var text = new StringBuilder();
        var width = secrets.Max(s => s.Name.Length);
        foreach (var secret in secrets)
        {
            var at = secret.ChangedAt.UtcDateTime.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);
            text.AppendLine($"{secret.Name.PadRight(width)}  {secret.Bytes} bytes  {at} UTC{(secret.IsCredential ? "  from systemd" : "")}");
        }

        return text.ToString();
    }

    private static void AppendTable(StringBuilder text, IReadOnlyList<ChannelStatus> channels)
    {
        if (channels.Count == 0)
        {
            text.AppendLine("no channels");
            return;
        }

        string[][] rows = [Header, .. channels.Select(Row)];
        var widths = Header.Select((_, column) => rows.Max(row => row[column].Length)).ToArray();
        foreach (var row in rows)
        {
            var cells = row.Select((cell, column) => column < FirstNumber ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]));
            text.AppendLine(string.Join("  ", cells).TrimEnd());
        }
    }

    private static string[] Row(ChannelStatus channel) =>
    [
        channel.Id, Word(channel.State),
        Endpoint(channel.Source, channel.SourceStatus), Endpoint(channel.Destination, channel.DestinationStatus),
        Number(channel.Ledger.Received), Number(channel.Ledger.Delivered), Number(channel.Ledger.Buffered), Number(channel.Ledger.Parked),
        Number(channel.Ledger.Discarded),
        channel.OldestAge is { } age ? Span(age) : "-", channel.NextRetryIn is { } next ? Span(next) : "-",
    ];

    /// <summary>A star where a peer is connected; other instances by name, since they come and go without a connection.</summary>
    private static string Endpoint(string endpoint, EndpointStatus status)
    {
        if (status.State != EndpointState.Connected) return endpoint;
        return endpoint.StartsWith(RemoteSource, StringComparison.Ordinal) ? $"{endpoint} * from {status.Detail}" : $"{endpoint} *";
    }

    /// <summary>What an operator may have to act on, the worst first.</summary>
    private static IEnumerable<string> Notes(GatewayStatus status)
    {
        foreach (var channel in status.Channels.Where(c => c.Ledger.Imbalance != 0))
        {
            var ledger = channel.Ledger;
            yield return $"{channel.Id}: THE LEDGER DOES NOT BALANCE by {ledger.Imbalance}: received {ledger.Received}, but delivered "
                + $"{ledger.Delivered} + buffered {ledger.Buffered} + parked {ledger.Parked} + discarded {ledger.Discarded}"
                + (ledger.Lost > 0 ? $"; {ledger.Lost} lost to damage" : "");
        }

        if (status.Store.Error is { } error) yield return $"store: {(status.Store.OutOfSpace ? "out of space: " : "")}{error}";
        if (status.Store.Salvage is { } salvage) yield return $"store: {salvage}";
        if (status.ConfirmWithin is { } left) yield return $"configuration: waits for its confirmation, {Span(left)} are left; then the former one comes back";
        if (status.Config is { Status: ConfigStatus.Failed or ConfigStatus.RolledBack } report)
        {
            var what = report.Status == ConfigStatus.Failed ? "failed" : "was rolled back";
            var errors = string.Join("; ", report.Errors.Select(e => $"{e.Path}: {e.Message}"));
            yield return $"configuration: {report.Revision ?? report.Hash ?? "the one offered"} {what}: {errors}";
        }
        if (status.Mqtt is { Connected: false, LastError: { } noBroker }) yield return $"broker: {noBroker}";
        if (status.Mqtt?.Refusal is { } refusal) yield return $"broker: {refusal}";
        if (status.ConfigError is { } configError) yield return $"configuration: {configError}";
        if (status.UpdateFault is { } update) yield return $"update: {update}";
        if (status.Image?.ProvisioningError is { } provisioning) yield return $"provisioning: {provisioning}";
        if (status.Channels.Count == 0)
            yield return "unprovisioned: no channel is configured; iobuffer provision, iobuffer config apply or config/desired over MQTT does that";
        foreach (var channel in status.Channels)
        {
            if (channel.LostRanges.Count > 0)
                yield return $"{channel.Id}: lost or already delivered: {string.Join(", ", channel.LostRanges)}";
            foreach (var fault in channel.PortFaults) yield return $"{channel.Id}: {fault}";
            foreach (var (alert, sentence) in channel.Alerts) yield return $"{channel.Id}: {alert}: {sentence}";
            if (channel.LastError is { } last && !channel.PortFaults.Any(fault => fault.EndsWith(last, StringComparison.Ordinal)))
                yield return $"{channel.Id}: {last}" + (channel.LastErrorAt is { } at ? $" ({Span(status.TakenAt - at)} ago)" : "");
        }

        foreach (var queue in status.IdleQueues)
            yield return $"queue {queue.Id} belongs to no channel: {queue.Buffered} buffered, {queue.Parked} parked";
    }

    internal static string Word<T>(T state)
        where T : struct, Enum => state.ToString().ToLowerInvariant();

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>The largest two units: <c>3 h 12 min</c>.</summary>
    internal static string Span(TimeSpan span) => span switch
    {
        { TotalSeconds: < 10 } => string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, span.TotalSeconds):0.0} s"),
        { TotalMinutes: < 1 } => $"{span.Seconds} s",
        { TotalHours: < 1 } => $"{span.Minutes} min {span.Seconds} s",
        { TotalDays: < 1 } => $"{span.Hours} h {span.Minutes} min",
        _ => $"{span.Days} d {span.Hours} h",
    };

    public static string Size(long bytes) => bytes switch
    {
        < 1000 => $"{bytes} B",
        < 1_000_000 => Scaled(bytes / 1e3, "kB"),
        < 1_000_000_000 => Scaled(bytes / 1e6, "MB"),
        _ => Scaled(bytes / 1e9, "GB"),
    };

    private static string Scaled(double value, string unit) => string.Create(CultureInfo.InvariantCulture, $"{value:0.0} {unit}");
}
