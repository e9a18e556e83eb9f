using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using IoBufferEdge.Buffers;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// An answer as it goes over the wire: <c>{"receiver":"dev/ch","life":"16 hex","mark":7}</c>, or with all marks of the sender, or with what
/// is wrong. Keys that are not known are skipped; what comes from the network is bounded and checked.
/// </summary>
internal sealed record RemoteReplyJson
{
    private const int TextMax = 300;

    public string? Receiver { get; init; }

    public string? Life { get; init; }

    public long Mark { get; init; }

    public IReadOnlyList<RemoteMarkJson?>? Marks { get; init; }

    public string? Error { get; init; }

    public string? Reason { get; init; }

    public long Refused { get; init; }

    /// <exception cref="EndpointException">It says that something was taken, but not in these words.</exception>
    public static RemoteReply Parse(int status, ReadOnlySpan<byte> body, TimeSpan? retryAfter, string url)
    {
        var taken = status is >= 200 and < 300;
        try
        {
            var answer = JsonSerializer.Deserialize(body, RemoteJson.Default.RemoteReplyJson) ?? throw new JsonException();
            return new RemoteReply(status)
            {
                Receiver = Bounded(answer.Receiver),
                Marks = answer.ReadMarks(),
                Error = Bounded(answer.Reason ?? answer.Error),
                Refused = answer.Refused,
                RetryAfter = retryAfter,
            };
        }
        catch (Exception e) when (e is JsonException or FormatException or OverflowException)
        {
            // An error may come from a proxy on the way, which has other words for it.
            if (!taken) return new RemoteReply(status) { RetryAfter = retryAfter };
            throw new EndpointException($"{url} does not answer like another instance: correct url.", e);
        }
    }

    private IReadOnlyList<LifeMark> ReadMarks()
    {
        if (Marks is { } marks)
        {
            return marks.Count > HeldMarks.LivesKept ? throw new FormatException() : [.. marks.Select(ReadMark)];
        }

        return Life is null ? [] : [new LifeMark(ReadLife(Life), Positive(Mark), Mark)];
    }

    private static LifeMark ReadMark(RemoteMarkJson? mark) => mark is null ? throw new FormatException()
        : new LifeMark(ReadLife(mark.Life), Positive(mark.Mark), Math.Max(mark.Mark, mark.Claimed));

    private static long ReadLife(string? hex) => hex is { Length: 16 }
        ? unchecked((long)ulong.Parse(hex, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture))
        : throw new FormatException();

    private static long Positive(long mark) => mark >= 0 ? mark : throw new FormatException();

    /// <summary>For logs and the status: short, on one line.</summary>
    private static string? Bounded(string? text) => text is null ? null
        : string.Concat(text.Take(TextMax).Select(c => char.IsControl(c) ? ' ' : c)).Trim();
}

/// <summary>How far a life is held.</summary>
internal sealed record RemoteMarkJson
{
    public string? Life { get; init; }

    public long Mark { get; init; }

    public long Claimed { get; init; }
}

/// <summary>JSON of the way between instances.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip)]
[JsonSerializable(typeof(RemoteReplyJson))]
internal sealed partial class RemoteJson : JsonSerializerContext;
