using System.Text.Json.Serialization;
using IoBufferEdge.Buffers;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Leds;

namespace IoBufferEdge;

/// <summary>Where the process is in its life.</summary>
public enum GatewayState
{
    Starting,
    Running,
    Stopping,
}

/// <summary>
/// What the gateway is doing, as one immutable snapshot: the only thing that the CLI, the metrics, the LEDs and MQTT read, so that
/// all of them tell the same. Taken on demand; the data path never calls it.
/// </summary>
public sealed record GatewayStatus
{
    public string? DeviceId { get; init; }

    public required string Version { get; init; }

    /// <summary>The kernel's id of this boot; empty where it has none.</summary>
    public string BootId { get; init; } = "";

    public required GatewayState State { get; init; }

    public DateTimeOffset TakenAt { get; init; }

    /// <summary>Since this process began.</summary>
    [JsonPropertyName("uptime_s")]
    public TimeSpan Uptime { get; init; }

    /// <summary>Lowercase hex hash (XXH128) of the applied configuration, its whole document, or null for the built-in one.</summary>
    public string? ConfigHash { get; init; }

    /// <summary>Where the applied configuration came from, and why the last one offered was refused, if it was.</summary>
    public string? ConfigError { get; init; }

    /// <summary>What became of the configuration wished for last.</summary>
    public ConfigReport? Config { get; init; }

    /// <summary>How long is left to confirm the configuration that runs; null: it is kept.</summary>
    [JsonPropertyName("confirm_within_s")]
    public TimeSpan? ConfirmWithin { get; init; }

    /// <summary>Somebody looks for this device: its LEDs alternate.</summary>
    public bool Identifying { get; init; }

    /// <summary>Code of the cause that the LEDs show: <c>running</c>, <c>buffering</c>, …</summary>
    public string LedCode => LedPattern.Of(this).Code;

    public required StoreStatus Store { get; init; }

    /// <summary>Null: no broker is configured.</summary>
    public MqttStatus? Mqtt { get; init; }

    /// <summary>The firmware image; null: the gateway was installed by itself.</summary>
    public ImageStatus? Image { get; init; }

    /// <summary>Why the last update is not the one that runs; told until the next one or the next boot.</summary>
    internal string? UpdateFault => Image?.Update is { Status: UpdateState.Failed or UpdateState.RolledBack } update && update.BootId == BootId
        ? $"{update.Version ?? "it"} {(update.Status == UpdateState.Failed ? "was not installed" : "was taken back")}: {update.Message}"
        : null;

    public long MemoryUsedBytes { get; init; }

    public long MemoryTotalBytes { get; init; }

    public IReadOnlyList<ChannelStatus> Channels { get; init; } = [];

    /// <summary>Queues in the store that no channel uses today.</summary>
    public IReadOnlyList<IdleQueue> IdleQueues { get; init; } = [];
}

/// <param name="Error">Why the last batch failed; null while the store works.</param>
/// <param name="Salvage">What the start had to salvage; null after an ordinary start.</param>
/// <param name="LastCommitMs">How long the last batch took, sync included.</param>
/// <param name="DeviceMaxBytes">Quota of the device.</param>
public sealed record StoreStatus(
    string? Error, bool OutOfSpace, string? Salvage, long Generation, long Life, double LastCommitMs, long DeviceMaxBytes,
    StoreUsage Usage);

/// <param name="Buffered">Messages that wait there.</param>
public sealed record IdleQueue(string Id, long Buffered, long BufferedBytes, long Parked);

public enum ChannelState
{
    /// <summary><c>enabled: false</c>.</summary>
    Disabled,

    /// <summary>An endpoint cannot be opened; tried again with backoff.</summary>
    Failed,

    /// <summary>Delivery stands still because an operator paused it.</summary>
    Paused,

    /// <summary>No peer: connecting, waiting for a client, or waiting out a backoff.</summary>
    Waiting,

    /// <summary>Connected; nothing to deliver, or delivering.</summary>
    Running,

    /// <summary>The peer refuses the message at the head of the queue (<c>on_reject: block</c>).</summary>
    Blocked,
}

public sealed record ChannelStatus
{
    public required string Id { get; init; }

    public string? Name { get; init; }

    public required ChannelState State { get; init; }

    /// <summary>Type and address in one line: <c>tcp_server 0.0.0.0:7000</c>.</summary>
    public required string Source { get; init; }

    public required string Destination { get; init; }

    public EndpointStatus SourceStatus { get; init; } = EndpointStatus.Closed;

    public EndpointStatus DestinationStatus { get; init; } = EndpointStatus.Closed;

    public required LedgerStatus Ledger { get; init; }

    /// <summary><c>cut_through</c> or <c>durable_first</c>, as in effect.</summary>
    public required string Delivery { get; init; }

    /// <summary>Received and neither synced nor confirmed yet: in no column of the ledger.</summary>
    public long UnsecuredMessages { get; init; }

    public long UnsecuredBytes { get; init; }

    public long BufferedBytes { get; init; }

    public long MaxBytes { get; init; }

    /// <summary>Payload of delivered messages that is kept on disk for a replay.</summary>
    public long RetainedBytes { get; init; }

    /// <summary>The number from which on they are kept; null: none are.</summary>
    public long? RetainedFrom { get; init; }

    public long MemoryUsedBytes { get; init; }

    /// <summary>Age of the oldest undelivered message in running time; null when there is none.</summary>
    [JsonPropertyName("oldest_age_s")]
    public TimeSpan? OldestAge { get; init; }

    /// <summary>Something is left to deliver.</summary>
    internal bool MessagesWait => Ledger.Buffered + UnsecuredMessages > 0;

    /// <summary>How long the cursor has not moved although messages wait; zero otherwise. As fine as the status is looked at.</summary>
    [JsonPropertyName("standing_still_s")]
    public TimeSpan StandingStill { get; init; }

    /// <summary>The serial ports that are missing or can't be opened, and why.</summary>
    internal IEnumerable<string> PortFaults
    {
        get
        {
            if (State == ChannelState.Disabled) yield break;
            if (HasPortFault(Source, SourceStatus)) yield return $"source: {SourceStatus.Detail ?? Source}";
            if (HasPortFault(Destination, DestinationStatus)) yield return $"destination: {DestinationStatus.Detail ?? Destination}";
        }
    }

    private bool HasPortFault(string endpoint, EndpointStatus status) =>
        endpoint.StartsWith("serial ", StringComparison.Ordinal)
        && (status.State == EndpointState.Waiting || (State == ChannelState.Failed && status.State != EndpointState.Connected));

    public string? LastError { get; init; }

    public DateTimeOffset? LastErrorAt { get; init; }

    /// <summary>Until the next attempt; null when none is waited for.</summary>
    [JsonPropertyName("next_retry_in_s")]
    public TimeSpan? NextRetryIn { get; init; }

    /// <summary>Standing conditions that an operator should know: <c>destination_resets</c>, <c>silent</c>, … with one sentence
    /// each.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Alerts { get; init; } = [];

    /// <summary>Ranges of sequence numbers that are lost (or were delivered before a mark that proves them missing).</summary>
    public IReadOnlyList<SequenceRange> LostRanges { get; init; } = [];

    public long LastSequence { get; init; }

    public long SecuredSequence { get; init; }

    public long Cursor { get; init; }

    public long Retries { get; init; }

    /// <summary>Messages confirmed before they had to be written: flash writes saved.</summary>
    public long ElidedMessages { get; init; }

    public long WrittenMessages { get; init; }
}

/// <summary>The conservation ledger: received = delivered + buffered + parked + discarded, in messages. <see cref="Repeated"/> stands
/// beside it.</summary>
public sealed record LedgerStatus
{
    public long Received { get; init; }

    public long Delivered { get; init; }

    public long Buffered { get; init; }

    public long Parked { get; init; }

    public long Discarded { get; init; }

    /// <summary>Messages sent more than once.</summary>
    public long Repeated { get; init; }

    public long ReceivedBytes { get; init; }

    public long DeliveredBytes { get; init; }

    /// <summary>Messages that damage destroyed: they make the balance fail on purpose.</summary>
    public long Lost { get; init; }

    /// <summary>0, or an alarm: messages unaccounted for.</summary>
    public long Imbalance => Received - Delivered - Buffered - Parked - Discarded;
}
