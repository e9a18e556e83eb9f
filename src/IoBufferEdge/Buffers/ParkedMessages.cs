namespace IoBufferEdge.Buffers;

/// <summary>A message that its destination refused and that is kept aside.</summary>
public sealed record ParkedMessage(long Sequence, byte[] Payload);

/// <summary>Looks at what is parked, and puts it back into the queue.</summary>
internal static class ParkedMessages
{
    public static async Task<IReadOnlyList<ParkedMessage>> ListAsync(IBufferStore store, int queue)
    {
        var collector = new Collector();
        await store.ReadParkedAsync(queue, collector);
        return collector.Messages;
    }

    /// <summary>
    /// Each gets a new number at the tail; its record is forgotten once the new message is secured. A crash in between replays it twice.
    /// </summary>
    public static async Task<int> ReplayAsync(IBufferStore store, ChannelBuffer queue, CancellationToken cancel)
    {
        var parked = await ListAsync(store, queue.Number);
        foreach (var message in parked)
        {
            long sequence;
            while (!queue.TryAppend(message.Payload, MessageFlags.None, out sequence)) await queue.WaitForRoomAsync(message.Payload.Length, cancel);
            queue.Publish();
            await queue.WaitSecuredAsync(sequence, cancel);
            queue.Unpark(message.Sequence, message.Payload.Length);
        }

        return parked.Count;
    }

    private sealed class Collector : IBlockVisitor
    {
        public List<ParkedMessage> Messages { get; } = [];

        public void Visit(ReadOnlySpan<byte> block)
        {
            if (BlockFormat.TryRead(block, out var read)) Messages.Add(new ParkedMessage(read.Header.FirstSequence, read.Payload.ToArray()));
        }
    }
}
