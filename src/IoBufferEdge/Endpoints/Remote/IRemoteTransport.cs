using IoBufferEdge.Buffers;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// The way to another instance: one request, one answer; requests may overtake each other, be lost or arrive twice. Twin: the simulation's,
/// which does all of that.
/// </summary>
public interface IRemoteTransport : IAsyncDisposable
{
    /// <summary>Asks for the receiver's marks of this sender.</summary>
    /// <exception cref="EndpointException">No answer: unreachable, timed out, handshake failed.</exception>
    ValueTask<RemoteReply> AskMarksAsync(string sender, CancellationToken cancel);

    /// <summary>Sends a batch.</summary>
    /// <param name="parts">The batch's bytes in pieces, in order; they stay as they are until the call has completed.</param>
    /// <exception cref="EndpointException">No answer: whether it arrived is not known.</exception>
    ValueTask<RemoteReply> SendAsync(IReadOnlyList<ReadOnlyMemory<byte>> parts, CancellationToken cancel);
}

/// <summary>An answer of the receiver.</summary>
/// <param name="Status">As in HTTP: 200, 400, 401, 403, 404, 408, 409, 413, 415, 429, 503, 508 …</param>
public sealed record RemoteReply(int Status)
{
    /// <summary>The receiver's queue, "device/channel".</summary>
    public string? Receiver { get; init; }

    /// <summary>200: the newest message that is held durably, of the request's life. 409, and asked for: all marks of the sender.</summary>
    public IReadOnlyList<LifeMark> Marks { get; init; } = [];

    /// <summary>Why not, one word for programs: invalid, version, closed, after, too_large, loop, senders, no_room, stopping …</summary>
    public string? Code { get; init; }

    /// <summary>Why not, one sentence.</summary>
    public string? Error { get; init; }

    /// <summary>The message of the batch that will never be taken.</summary>
    public long Refused { get; init; }

    /// <summary>503, 429: ask again after this.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Simple form: the number that the message has here.</summary>
    public long Sequence { get; init; }

    /// <summary>Simple form: it was taken before, under the same key.</summary>
    public bool IsRepeated { get; init; }

    public bool IsTaken => Status is >= 200 and < 300;
}
