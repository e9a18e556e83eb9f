using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>One channel's side of the protocol, whatever carries it: takes batches and single messages, answers when they are durable.</summary>
public sealed class RemoteIntake
{
    /// <summary>Who may send; null: anyone.</summary>
    public AuthConfig? Auth { get; init; }

    /// <summary>The longest batch, uncompressed.</summary>
    public int MaxBatchBytes { get; init; }

    /// <summary>The longest message of the simple form.</summary>
    public int MaxMessageBytes { get; init; }

    /// <param name="batch">A whole batch, uncompressed; copied before the call completes.</param>
    public ValueTask<RemoteReply> TakeBatchAsync(ReadOnlyMemory<byte> batch, CancellationToken cancel) => throw new NotImplementedException();

    /// <summary>Simple form: one message with an idempotency key of its own.</summary>
    public ValueTask<RemoteReply> TakeOneAsync(ReadOnlyMemory<byte> message, string key, CancellationToken cancel) =>
        throw new NotImplementedException();

    public RemoteReply MarksOf(string sender) => throw new NotImplementedException();
}
