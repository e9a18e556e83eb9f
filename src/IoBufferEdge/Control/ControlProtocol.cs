using System.Text.Json;
using System.Text.Json.Serialization;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control;

/// <summary>One line from a client of the control socket: <c>{"command":"channel pause","channel":"scale"}</c>.</summary>
public sealed record ControlRequest
{
    public required string Command { get; init; }

    public string? Channel { get; init; }

    /// <summary>channel resume: how, where the receiver does not hold what it should.</summary>
    public ResumeChoice? Choice { get; init; }

    /// <summary>queue peek and replay, park replay and drop, tap: the first number wanted.</summary>
    public long From { get; init; }

    /// <summary>queue replay, park replay and drop: the last number wanted; left out: the newest that is there now.</summary>
    public long? UpTo { get; init; }

    /// <summary>queue peek: bytes of the message <see cref="From"/> itself that are not wanted again.</summary>
    public int Offset { get; init; }

    /// <summary>secret set: the secret's name.</summary>
    public string? Secret { get; init; }

    /// <summary>secret set: its value, in base64.</summary>
    public byte[]? Value { get; init; }

    /// <summary>config apply: the document.</summary>
    public string? Document { get; init; }

    /// <summary>config apply: where relative file names in it start.</summary>
    public string? Folder { get; init; }

    /// <summary>config apply: how long is left to confirm it; left out: it is kept at once.</summary>
    public int? ConfirmTimeoutS { get; init; }

    /// <summary>provision: what an installer gives.</summary>
    public Provision? Provision { get; init; }

    /// <summary>provision: say what is wrong, and take nothing.</summary>
    public bool CheckOnly { get; init; }

    /// <summary>queue peek and replay, park replay and drop: so many messages at most.</summary>
    public int Count { get; init; } = int.MaxValue;
}

/// <summary>The one line that answers it. <see cref="Error"/> is null exactly when <see cref="Ok"/>.</summary>
public sealed record ControlResponse
{
    public bool Ok { get; init; }

    /// <summary>One sentence for the operator.</summary>
    public string? Error { get; init; }

    /// <summary>What was done, in one sentence.</summary>
    public string? Message { get; init; }

    public GatewayStatus? Status { get; init; }

    public IReadOnlyList<ParkedEntry>? Parked { get; init; }

    /// <summary>queue peek: what waits, as much as fits a line; the last may be a piece of a large message.</summary>
    public IReadOnlyList<QueuedEntry>? Queued { get; init; }

    /// <summary>queue peek: the newest number of the queue.</summary>
    public long? LastSequence { get; init; }

    /// <summary>tap: what went over the channel's lines, and the <c>from</c> of the request that goes on.</summary>
    public IReadOnlyList<TappedEntry>? Tapped { get; init; }

    public long? Next { get; init; }

    /// <summary>secret list: never their values.</summary>
    public IReadOnlyList<SecretEntry>? Secrets { get; init; }

    /// <summary>park replay and drop, queue replay and purge: how far it is.</summary>
    public CommandProgress? Progress { get; init; }

    /// <summary>The config commands: what became of the configuration wished for last.</summary>
    public ConfigReport? Config { get; init; }

    /// <summary>support bundle: a tar.gz, in base64.</summary>
    public byte[]? Bundle { get; init; }

    /// <summary>config show: the document that runs, without passwords.</summary>
    public string? Document { get; init; }

    public static ControlResponse Done(string message) => new() { Ok = true, Message = message };

    public static ControlResponse Failed(string error) => new() { Error = error };
}

/// <summary>What one request of a command did; a long one is asked for in parts.</summary>
/// <param name="Busy">Messages left out because another command has them.</param>
/// <param name="Next">The <c>from</c> of the request that goes on; left out at the end.</param>
/// <param name="UpTo">Its <c>up_to</c>.</param>
public sealed record CommandProgress(long Messages, long Bytes, int Busy, long? Next, long? UpTo);

/// <param name="Preview">The first bytes in hex.</param>
public sealed record ParkedEntry(long Sequence, int Bytes, string Preview);

/// <param name="Flags">partial, split, damaged.</param>
/// <param name="Bytes">Of the whole message.</param>
/// <param name="Payload">Base64, from the wanted offset on.</param>
/// <param name="Origin">Where a message from another instance came into the chain; null: it came in here.</param>
public sealed record QueuedEntry(
    long Sequence, DateTimeOffset ReceivedAt, IReadOnlyList<string> Flags, int Bytes, byte[] Payload, OriginEntry? Origin = null);

/// <param name="End">source or destination.</param>
/// <param name="Direction">received or sent.</param>
/// <param name="Bytes">Of the whole piece.</param>
/// <param name="Payload">Base64; of a large piece the beginning.</param>
public sealed record TappedEntry(long Number, DateTimeOffset At, string End, string Direction, string? Peer, int Bytes, byte[] Payload);

/// <param name="Path">The instances passed, oldest first, each as "device/channel".</param>
/// <param name="Life">Of the first one's queue, 16 hex digits; null, as is <paramref name="Sequence"/>, where the message came without.</param>
/// <param name="ReceivedAt">By the first one's clock.</param>
public sealed record OriginEntry(IReadOnlyList<string> Path, string? Life, long? Sequence, DateTimeOffset ReceivedAt)
{
    internal static OriginEntry? Of(in MessageOrigin origin) => origin.Route is not { } route
        ? null
        : new OriginEntry(
            route.Split('>'), origin.Life == 0 ? null : $"{origin.Life:x16}", origin.Sequence == 0 ? null : origin.Sequence,
            DateTimeOffset.UnixEpoch.AddTicks(Math.Clamp(origin.ReceivedUnixUs, 0, MaxUnixUs) * TimeSpan.TicksPerMicrosecond));

    private static readonly long MaxUnixUs = (DateTimeOffset.MaxValue.Ticks - DateTimeOffset.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
}

/// <summary>
/// JSON of the control socket and of <c>--json</c>: snake_case, times in seconds, null left out. The ledger's keys are
/// <c>received, delivered, buffered, parked, discarded, repeated</c>.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip,
    Converters =
    [
        typeof(SecondsConverter), typeof(CountersConverter), typeof(TextsConverter),
        typeof(SnakeCaseConverter<GatewayState>), typeof(SnakeCaseConverter<ChannelState>), typeof(SnakeCaseConverter<EndpointState>),
        typeof(SnakeCaseConverter<ResumeChoice>), typeof(SnakeCaseConverter<ConfigSeverity>),
    ])]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(ControlResponse))]
[JsonSerializable(typeof(GatewayStatus))]
[JsonSerializable(typeof(ConfigReport))]
[JsonSerializable(typeof(IReadOnlyList<ChannelStatus>))]
[JsonSerializable(typeof(IReadOnlyList<ParkedEntry>))]
[JsonSerializable(typeof(QueuedEntry))]
[JsonSerializable(typeof(TappedEntry))]
public sealed partial class ControlJson : JsonSerializerContext;

internal sealed class SnakeCaseConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false)
    where T : struct, Enum;

/// <summary>A span of time as seconds, to the millisecond.</summary>
internal sealed class SecondsConverter : JsonConverter<TimeSpan>
{
    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        TimeSpan.FromSeconds(reader.GetDouble());

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) =>
        writer.WriteNumberValue(Math.Round(value.TotalSeconds, 3));
}

/// <summary>Named counts as an object, in their order.</summary>
internal sealed class CountersConverter : PairsConverter<long>
{
    protected override long ReadValue(ref Utf8JsonReader reader) => reader.GetInt64();

    protected override void WriteValue(Utf8JsonWriter writer, long value) => writer.WriteNumberValue(value);
}

/// <summary>Named sentences as an object, in their order.</summary>
internal sealed class TextsConverter : PairsConverter<string>
{
    protected override string ReadValue(ref Utf8JsonReader reader) => reader.GetString() ?? "";

    protected override void WriteValue(Utf8JsonWriter writer, string value) => writer.WriteStringValue(value);
}

internal abstract class PairsConverter<T> : JsonConverter<IReadOnlyList<KeyValuePair<string, T>>>
{
    public override IReadOnlyList<KeyValuePair<string, T>> Read(
        ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw new JsonException();
        var pairs = new List<KeyValuePair<string, T>>();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            reader.Read();
            pairs.Add(new(name, ReadValue(ref reader)));
        }

        return pairs;
    }

    public override void Write(Utf8JsonWriter writer, IReadOnlyList<KeyValuePair<string, T>> value, JsonSerializerOptions options)
    {
        writer.WriteStartObject();
        foreach (var (name, item) in value)
        {
            writer.WritePropertyName(name);
            WriteValue(writer, item);
        }

        writer.WriteEndObject();
    }

    protected abstract T ReadValue(ref Utf8JsonReader reader);

    protected abstract void WriteValue(Utf8JsonWriter writer, T value);
}
