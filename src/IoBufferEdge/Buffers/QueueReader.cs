namespace IoBufferEdge.Buffers;

/// <summary>A message that waits in a queue, or a piece of a large one.</summary>
/// <param name="ReceivedAt">By the wall clock at the time when it was written; as true as that clock.</param>
/// <param name="Bytes">Of the whole message.</param>
/// <param name="Piece">As many of them as were asked for.</param>
/// <param name="Origin">Where it came into the chain of instances; no route: here.</param>
public sealed record QueuedMessage(long Sequence, DateTimeOffset ReceivedAt, MessageFlags Flags, int Bytes, byte[] Piece, MessageOrigin Origin = default);

/// <param name="Messages">In order; the first may begin, and the last may end, inside a message.</param>
/// <param name="LastSequence">The newest number of the queue.</param>
public sealed record QueuePage(IReadOnlyList<QueuedMessage> Messages, long LastSequence);

/// <summary>
/// Looks at what waits in a queue, in memory or on disk, and disturbs nothing: delivery goes on beside it, and what it delivers meanwhile is
/// no longer shown. A page holds <see cref="PageBytes"/> at most, so that whoever looks at a gigabyte needs no more memory than that.
/// </summary>
internal static class QueueReader
{
    public const int PageBytes = 192 * 1024;

    /// <summary>What a message takes in a page beside its bytes.</summary>
    private const int EntryBytes = 32;

    /// <param name="from">Messages at or above this number.</param>
    /// <param name="offset">Bytes of the message <paramref name="from"/> itself that are not wanted again.</param>
    /// <param name="count">So many messages at most.</param>
    /// <exception cref="StoreException">The store cannot be read now.</exception>
    public static async ValueTask<QueuePage> ReadAsync(IBufferStore store, ChannelBuffer queue, long from, int offset, int count)
    {
        var page = new Page(queue, from, offset, count);
        while (!page.IsFull && queue.NextWaiting(page.From) is { } next)
        {
            if (queue.CopyFromMemory(next, page)) continue;
            page.SkipTo(next);
            var reading = await store.ReadAsync(queue.Number, next, page);
            if (reading.Status == BlockReadingStatus.Damaged) page.SkipTo(reading.ResumeAt);
            else if (page.From == next) page.SkipTo(queue.FirstInMemory(next + 1)); // not on disk, and delivered meanwhile or lost
        }

        return new QueuePage(page.Messages, queue.LastSequence);
    }

    /// <summary>A page as it fills.</summary>
    internal sealed class Page(ChannelBuffer queue, long from, int offset, int count) : IBlockVisitor
    {
        private int _offset = offset;
        private int _bytesLeft = PageBytes;
        private bool _ends;

        public List<QueuedMessage> Messages { get; } = [];

        /// <summary>The next message that is wanted.</summary>
        public long From { get; private set; } = from;

        public bool IsFull => _ends || _bytesLeft == 0 || Messages.Count == count;

        public void SkipTo(long sequence)
        {
            if (sequence <= From) return;
            (From, _offset) = (sequence, 0);
        }

        public void Add(long sequence, DateTimeOffset receivedAt, MessageFlags flags, ReadOnlySpan<byte> payload, in MessageOrigin origin)
        {
            SkipTo(sequence);
            var start = Math.Min(_offset, payload.Length);
            var piece = payload[start..Math.Min(payload.Length, start + _bytesLeft)].ToArray();
            Messages.Add(new QueuedMessage(sequence, receivedAt, flags, payload.Length, piece, origin));
            _bytesLeft = Math.Max(0, _bytesLeft - piece.Length - EntryBytes - (origin.Route?.Length ?? 0));
            _ends = start + piece.Length < payload.Length;
            SkipTo(sequence + 1);
        }

        void IBlockVisitor.Visit(ReadOnlySpan<byte> block)
        {
            if (!BlockFormat.TryRead(block, out var read)) return;
            var payload = read.Payload;
            var routes = read.ReadRoutes();
            for (var i = 0; i < read.Header.Count && !IsFull; i++)
            {
                var sequence = read.Header.FirstSequence + i;
                var message = payload[..read.Length(i)];
                payload = payload[message.Length..];
                if (sequence < From) continue;
                if (queue.NextWaiting(sequence) != sequence) SkipTo(sequence + 1); // discarded, parked or delivered since it was written
                else Add(sequence, ReceivedAt(read, i), read.Flags(i), message, read.Origin(i, routes));
            }
        }
    }

    private static DateTimeOffset ReceivedAt(in Block block, int index) =>
        At(block.Header.BuiltAtUnixUs, block.Header.BuiltAtRunningUs - block.ReceivedRunningUs(index));

    /// <summary>The wall clock so long before a moment that is known by it.</summary>
    internal static DateTimeOffset At(long unixUs, long beforeUs) =>
        DateTimeOffset.UnixEpoch.AddTicks((unixUs - beforeUs) * TimeSpan.TicksPerMicrosecond);
}
