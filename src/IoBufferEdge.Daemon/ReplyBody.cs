using System.Globalization;
using System.Text.Json.Serialization;
using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Daemon;

/// <summary>An answer's body. Lives are hexadecimal text: JSON's numbers are doubles to many who read them.</summary>
internal sealed record ReplyBody
{
    public string? Receiver { get; init; }

    public string? Life { get; init; }

    public long? Mark { get; init; }

    public long? Sequence { get; init; }

    public bool? Repeated { get; init; }

    /// <summary>Why not: a word for programs, and a sentence.</summary>
    public string? Code { get; init; }

    public string? Error { get; init; }

    public long? Refused { get; init; }

    public IReadOnlyList<MarkBody>? Marks { get; init; }

    /// <summary>All marks of the sender, an empty list for none.</summary>
    public static ReplyBody OfMarks(RemoteReply reply) =>
        Refusal(reply) with { Marks = reply.IsTaken ? [.. reply.Marks.Select(m => new MarkBody(m))] : null };

    /// <summary>The mark where the batch was taken; else why not.</summary>
    public static ReplyBody OfBatch(RemoteReply reply) => reply.IsTaken && reply.Marks is [.., var mark]
        ? new() { Receiver = reply.Receiver, Life = MarkBody.Text(mark.Life), Mark = mark.Sequence }
        : Refusal(reply) with
        {
            Refused = reply.Refused > 0 ? reply.Refused : null,
            Marks = reply.Marks.Count > 0 || reply.Status == 409 ? [.. reply.Marks.Select(m => new MarkBody(m))] : null,
        };

    public static ReplyBody OfOne(RemoteReply reply) => reply.IsTaken
        ? new() { Receiver = reply.Receiver, Sequence = reply.Sequence, Repeated = reply.IsRepeated }
        : Refusal(reply);

    private static ReplyBody Refusal(RemoteReply reply) => new() { Receiver = reply.Receiver, Code = reply.Code, Error = reply.Error };
}

internal sealed record MarkBody(string Life, long Mark, long Claimed)
{
    public MarkBody(LifeMark mark)
        : this(Text(mark.Life), mark.Sequence, mark.Claimed)
    {
    }

    public static string Text(long life) => life.ToString("x16", CultureInfo.InvariantCulture);
}

[JsonSerializable(typeof(ReplyBody))]
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
internal sealed partial class ReplyJson : JsonSerializerContext;
