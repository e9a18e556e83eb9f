namespace IoBufferEdge.Buffers;

/// <summary>A message that its destination refused and that is kept aside.</summary>
/// <param name="Preview">Its first bytes.</param>
/// <param name="Origin">Where it came into the chain of instances; no route: here.</param>
public sealed record ParkedMessage(long Sequence, MessageFlags Flags, int Bytes, byte[] Preview, MessageOrigin Origin = default);

/// <summary>Looks at what is parked, and puts it back into the queue; one message is in memory at a time.</summary>
internal static class ParkedMessages
{
    public const int ListMax = 1000;
    private const int PreviewBytes = 32;

    /// <summary>The first ones, at most <see cref="ListMax"/>.</summary>
    public static async Task<IReadOnlyList<ParkedMessage>> ListAsync(IBufferStore store, int queue)
    {
        var parked = new List<ParkedMessage>();
        var first = new First(PreviewBytes);
        for (var from = 0L; parked.Count < ListMax && await first.FindAsync(store, queue, from) is { } message; from = message.Sequence + 1)
            parked.Add(message);
        return parked;
    }

    /// <summary>
    /// Each gets a new number at the tail; its record is forgotten once the new message is secured. A crash in between replays it twice.
    /// What is parked again meanwhile is not taken up again.
    /// </summary>
    public static async Task<int> ReplayAsync(IBufferStore store, ChannelBuffer queue, CancellationToken cancel)
    {
        var (count, upTo) = (0, queue.LastSequence);
        var first = new First(int.MaxValue);
        for (var from = 0L; await first.FindAsync(store, queue.Number, from) is { } message && message.Sequence <= upTo; from = message.Sequence + 1)
        {
            long sequence;
            while (!queue.TryAppend(message.Preview, message.Flags, message.Origin, out sequence)) await queue.WaitForRoomAsync(message.Bytes, cancel);
            queue.Publish();
            await queue.WaitSecuredAsync(sequence, cancel);
            queue.Unpark(message.Sequence, message.Bytes);
            count++;
        }

        return count;
    }

    private sealed class First(int previewBytes) : IBlockVisitor
    {
        private ParkedMessage? _message;

        public async ValueTask<ParkedMessage?> FindAsync(IBufferStore store, int queue, long from)
        {
            _message = null;
            await store.ReadParkedAsync(queue, from, this);
            return _message;
        }

        public void Visit(ReadOnlySpan<byte> block)
        {
            if (!BlockFormat.TryRead(block, out var read)) return;
            var payload = read.Payload;
            var preview = payload[..Math.Min(previewBytes, payload.Length)].ToArray();
            _message = new ParkedMessage(read.Header.FirstSequence, read.Flags(0), payload.Length, preview, read.Origin(0, read.ReadRoutes()));
        }
    }
}
