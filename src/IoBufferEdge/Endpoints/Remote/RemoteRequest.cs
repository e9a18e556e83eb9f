using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>One batch on its way: messages of one life, and what became of them. Used by its link's loop alone.</summary>
internal sealed class RemoteRequest : IDisposable
{
    private readonly RemoteBatchWriter _writer;

    private RemoteRequest(RemoteBatchWriter writer)
    {
        _writer = writer;
        Parts = writer.Finish();
        Bytes = writer.LengthBytes;
    }

    /// <summary>The batch as it goes over the wire, in pieces.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Parts { get; }

    public long Bytes { get; }

    public required long Life { get; init; }

    public required long First { get; init; }

    public required long Last { get; init; }

    /// <summary>The message that it names as the one before its first.</summary>
    public required MessageIdentity After { get; init; }

    public MessageIdentity LastIdentity => new(Life, Last);

    public RemoteExchange Exchange { get; } = new();

    /// <summary>When it was sent last, as a timestamp.</summary>
    public long SentAt { get; set; }

    /// <summary>It is to be sent, again perhaps: the receiver had no room.</summary>
    public bool IsToBeSent => !Exchange.IsUnderWay && !Exchange.IsAnswered;

    /// <summary>Taken, and nobody reads its messages any more.</summary>
    public bool IsTaken => Exchange is { IsAnswered: true, Reply.IsTaken: true };

    /// <summary>One before it was put off while this one was under way: what comes back, other than that it was taken, says nothing.</summary>
    public bool IsOvertaken { get; set; }

    /// <summary>When the answer to a later one was seen to cover it, as a timestamp; null: none has.</summary>
    public long? CoveredAt { get; set; }

    /// <summary>Takes what waits, as much as is of one life and fits, at least one message.</summary>
    /// <param name="after">The message that the receiver has taken, or will have, before the first.</param>
    public static RemoteRequest Take(
        RemoteBacklog backlog, ISenderQueue queue, DestinationConfig config, MessageIdentity after, MemoryBudget memory)
    {
        var first = backlog.FirstSequence ?? throw new InvalidOperationException("Nothing waits.");
        var life = queue.LifeOf(first, out var lastOfLife);
        var secured = Math.Min(queue.SecuredSequence, lastOfLife);
        var writer = new RemoteBatchWriter(memory);
        writer.Begin(config.Instance, life, after, secured > 0 && queue.LifeOf(secured, out _) == life ? secured : 0);
        var last = first;
        while (backlog.TryTake(lastOfLife, out var run))
        {
            var count = AddMessages(writer, run, queue, config.BatchBytes);
            if (count > 0)
            {
                writer.AddPayload(run.Slice(0, count).Payload);
                last = run.FirstSequence + count - 1;
            }

            if (count == run.Count) continue;
            backlog.PutBack(run.Slice(count, run.Count - count));
            break;
        }

        return new RemoteRequest(writer) { Life = life, First = first, Last = last, After = after };
    }

    public void Dispose()
    {
        Exchange.Dispose();
        _writer.Dispose();
    }

    /// <returns>How many of the run are in the batch.</returns>
    private static int AddMessages(RemoteBatchWriter writer, in DeliveryRun run, ISenderQueue queue, int batchBytes)
    {
        for (var i = 0; i < run.Count; i++)
        {
            var length = run.Message(i).Length;
            var (flags, origin) = queue.Describe(run.At(i));
            var bytes = RemoteBatch.EntryBytes + length + (origin.Route is { } route ? sizeof(ushort) + route.Length : 0);
            if (writer.Count > 0 && writer.LengthBytes + bytes > batchBytes) return i;
            if (!writer.TryAdd(run.FirstSequence + i, length, flags, origin)) return i;
        }

        return run.Count;
    }
}
