using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>The content of <c>state</c>: the device as a whole. Keys that the machine has nothing for are left out.</summary>
public sealed record GatewayMessage
{
    public required DateTimeOffset At { get; init; }

    public required string BootId { get; init; }

    /// <summary>Whether <see cref="At"/>, and every other time of this run, can be believed.</summary>
    public bool? TimeSynced { get; init; }

    public required string Version { get; init; }

    public required GatewayState State { get; init; }

    [JsonPropertyName("uptime_s")]
    public TimeSpan Uptime { get; init; }

    public string? ConfigHash { get; init; }

    public string? ConfigError { get; init; }

    /// <summary>The cause that the LEDs show.</summary>
    public required string LedCode { get; init; }

    public IReadOnlyList<string> Channels { get; init; } = [];

    /// <summary>The firmware image; left out where there is none.</summary>
    public ImageStatus? Image { get; init; }

    public string? StoreError { get; init; }

    public long DiskUsedBytes { get; init; }

    public long DiskMaxBytes { get; init; }

    public long DiskFreeBytes { get; init; }

    public long DiskWrittenBytes { get; init; }

    /// <summary>Of the eMMC's life, in tenths: 10 means up to 10 %.</summary>
    public int? FlashLifeUsedPercent { get; init; }

    public double? TemperatureC { get; init; }

    public long MemoryUsedBytes { get; init; }

    public long MemoryMaxBytes { get; init; }

    internal static string Condition(GatewayStatus status, DeviceReadings readings) => string.Join('|',
        status.State, status.Version, status.ConfigHash, status.ConfigError, status.LedCode, status.Store.Error, readings.TimeSynced,
        status.Image, readings.FlashLifeUsedPercent, string.Join(',', status.Channels.Select(c => c.Id)));

    internal static byte[] Write(GatewayStatus status, DeviceReadings readings) => JsonSerializer.SerializeToUtf8Bytes(new GatewayMessage
    {
        At = status.TakenAt,
        BootId = readings.BootId,
        TimeSynced = readings.TimeSynced,
        Version = status.Version,
        State = status.State,
        Uptime = status.Uptime,
        ConfigHash = status.ConfigHash,
        ConfigError = status.ConfigError,
        LedCode = status.LedCode,
        Channels = [.. status.Channels.Select(c => c.Id)],
        Image = status.Image,
        StoreError = status.Store.Error,
        DiskUsedBytes = status.Store.Usage.DiskBytes,
        DiskMaxBytes = status.Store.DeviceMaxBytes,
        DiskFreeBytes = status.Store.Usage.FreeBytes,
        DiskWrittenBytes = status.Store.Usage.WrittenBytes,
        FlashLifeUsedPercent = readings.FlashLifeUsedPercent,
        TemperatureC = readings.TemperatureC,
        MemoryUsedBytes = status.MemoryUsedBytes,
        MemoryMaxBytes = status.MemoryTotalBytes,
    }, MqttJson.Default.GatewayMessage);
}

/// <summary>The content of <c>channel/ID/state</c>: what <c>iobuffer status --json</c> says of the channel, and when.</summary>
internal static class ChannelMessage
{
    /// <summary>All that an operator wants to know at once; figures that traffic moves are none of it.</summary>
    public static string Condition(ChannelStatus channel) => string.Join('|',
        channel.Name, channel.State, channel.Source, channel.Destination, channel.Delivery,
        channel.SourceStatus.State, channel.SourceStatus.Detail, channel.SourceStatus.Connections,
        channel.DestinationStatus.State, channel.DestinationStatus.Detail, channel.DestinationStatus.Connections,
        channel.LastError, channel.LostRanges.Count, channel.Ledger.Imbalance != 0, channel.Ledger.Parked, channel.Ledger.Discarded,
        string.Join('|', channel.Alerts.Select(a => a.Key)));

    public static string Figures(ChannelStatus channel) =>
        FormattableString.Invariant($"{channel.Ledger.Received} {channel.Ledger.Delivered} {channel.Ledger.Buffered} {channel.Ledger.Repeated}");

    public static byte[] Write(GatewayStatus status, ChannelStatus channel, DeviceReadings readings)
    {
        var json = JsonSerializer.SerializeToNode(channel, ControlJson.Default.ChannelStatus)!.AsObject();
        json.Insert(0, "at", JsonValue.Create(status.TakenAt));
        json.Insert(1, "boot_id", JsonValue.Create(readings.BootId));
        if (readings.TimeSynced is { } synced) json.Insert(2, "time_synced", JsonValue.Create(synced));
        return Encoding.UTF8.GetBytes(json.ToJsonString());
    }
}

/// <summary>The content of <c>metrics</c>: what moved since the last one.</summary>
/// <param name="IntervalS">Over so many seconds.</param>
public sealed record RatesMessage(DateTimeOffset At, string BootId, double IntervalS, IReadOnlyList<ChannelRates> Channels)
{
    public static RatesMessage Of(GatewayStatus from, GatewayStatus to, TimeSpan interval, string bootId)
    {
        var before = from.Channels.ToDictionary(c => c.Id, StringComparer.Ordinal);
        var rates = from channel in to.Channels
                    where before.ContainsKey(channel.Id)
                    select ChannelRates.Of(before[channel.Id], channel, interval.TotalSeconds);
        return new RatesMessage(to.TakenAt, bootId, Math.Round(interval.TotalSeconds, 3), [.. rates]);
    }
}

/// <summary>Messages and payload bytes a second, and what waits.</summary>
public sealed record ChannelRates(
    string Id, double ReceivedPerS, double ReceivedBytesPerS, double DeliveredPerS, double DeliveredBytesPerS, long Buffered, long BufferedBytes)
{
    internal static ChannelRates Of(ChannelStatus from, ChannelStatus to, double seconds)
    {
        double Rate(Func<LedgerStatus, long> figure) => Math.Round(Math.Max(0, figure(to.Ledger) - figure(from.Ledger)) / seconds, 3);
        return new ChannelRates(
            to.Id, Rate(l => l.Received), Rate(l => l.ReceivedBytes), Rate(l => l.Delivered), Rate(l => l.DeliveredBytes),
            to.Ledger.Buffered, to.BufferedBytes);
    }
}

/// <summary>JSON of everything that is published: snake_case, times in seconds, null left out.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(SecondsConverter), typeof(SnakeCaseConverter<GatewayState>)])]
[JsonSerializable(typeof(GatewayMessage))]
[JsonSerializable(typeof(RatesMessage))]
[JsonSerializable(typeof(EventMessage))]
[JsonSerializable(typeof(AlertMessage))]
internal sealed partial class MqttJson : JsonSerializerContext;
