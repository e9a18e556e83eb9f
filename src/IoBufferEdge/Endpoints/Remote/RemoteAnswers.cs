using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>What an answer of the receiver asks of the sender (rule 12).</summary>
internal enum RemoteVerdict
{
    /// <summary>2xx: taken, durably.</summary>
    Taken,

    /// <summary>503, 429: the same again after a while.</summary>
    NoRoom,

    /// <summary>409: what the sender believes of the receiver's marks is wrong; they are asked anew.</summary>
    OtherMarks,

    /// <summary>A 4xx that speaks of a message: <c>on_reject</c> applies to it.</summary>
    Refused,

    /// <summary>508: the receiver has had the message before.</summary>
    Loop,

    /// <summary>Anything else: something is to be put right on one of the two sides; tried again for ever.</summary>
    Failed,
}

/// <summary>The one place that tells the receiver's answers apart and puts them into the operator's words.</summary>
internal static class RemoteAnswers
{
    /// <summary>How long an answer to a batch is waited for.</summary>
    public static readonly TimeSpan BatchLimit = TimeSpan.FromSeconds(30);

    /// <summary>How long an answer to a question for marks is waited for: with the 10 s between them a dead peer is noticed within 30 s.</summary>
    public static readonly TimeSpan MarksLimit = TimeSpan.FromSeconds(15);

    /// <summary>408, 411 and 415 speak of the request, not of a message: no message is kept aside for them.</summary>
    public static RemoteVerdict Judge(RemoteReply reply) => reply.Status switch
    {
        >= 200 and < 300 => RemoteVerdict.Taken,
        429 or 503 => RemoteVerdict.NoRoom,
        409 => RemoteVerdict.OtherMarks,
        508 => RemoteVerdict.Loop,
        401 or 403 or 404 or 405 or 407 or 408 or 411 or 415 or 421 or 426 => RemoteVerdict.Failed,
        >= 400 and < 500 => RemoteVerdict.Refused,
        _ => RemoteVerdict.Failed,
    };

    /// <summary>One sentence that names the receiver, what it said, and the key to correct where there is one.</summary>
    public static string Sentence(RemoteReply reply, DestinationConfig config)
    {
        var said = string.IsNullOrEmpty(reply.Error) ? "" : $" It says: {reply.Error}";
        return reply.Status switch
        {
            401 => $"{config.Url} does not accept the account: correct auth (username and password).{said}",
            403 => $"{config.Url} does not let this account or device send to {config.ChannelId}: correct auth, or its source.{said}",
            404 => $"{config.Url} has no channel {config.ChannelId} that takes messages of other instances: correct channel_id or url.{said}",
            415 => $"{config.Url} cannot read what is sent: set compression to none, or update it.{said}",
            429 or 503 => $"{config.Url} has no room now.{said}",
            >= 300 and < 400 => $"{config.Url} points elsewhere (status {reply.Status}), which is not followed: correct url.{said}",
            508 => $"{config.ChannelId} at {config.Url} has had this message already: the channels form a loop.{said}",
            _ => $"{config.Url} answered with status {reply.Status}.{said}",
        };
    }

    /// <summary>Why there is no answer.</summary>
    public static string Sentence(Exception failure) => failure switch
    {
        EndpointException or NoAnswerException => failure.Message,
        OperationCanceledException => "The request was given up.",
        _ => $"{failure.GetType().Name}: {failure.Message}",
    };

    /// <summary>What is wrong with an answer that says that a request was taken, as "names … "; null: nothing is.</summary>
    public static string? Contradiction(RemoteReply reply, RemoteRequest request, string receiver)
    {
        if (reply.Receiver is { } name && name != receiver) return $"is {name} now and was {receiver} when it was asked for its marks.";
        return MarkOf(reply, request.Life) >= request.Last ? null : $"answers that it took messages up to {request.Last}, and names another mark.";
    }

    /// <summary>How far an answer says that a life is held; null: it does not speak of it.</summary>
    public static long? MarkOf(RemoteReply reply, long life) => new HeldMarks(reply.Marks, 0).MarkOf(life);

    /// <summary>Asks, and gives up after <paramref name="limit"/>.</summary>
    /// <exception cref="EndpointException">No answer.</exception>
    public static async Task<RemoteReply> WithinAsync(
        TimeSpan limit, Func<CancellationToken, ValueTask<RemoteReply>> askAsync, string url, TimeProvider time, CancellationToken cancel)
    {
        using var late = new CancellationTokenSource(limit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, late.Token);
        try
        {
            return await askAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new NoAnswerException($"{url} did not answer within {limit.TotalSeconds:0} s.");
        }
    }
}

/// <summary>The time to answer has passed. The link to the receiver goes on with one request at a time.</summary>
internal sealed class NoAnswerException(string message) : Exception(message);
