namespace IoBufferEdge.Buffers;

/// <summary>A message that its destination refused and that is kept aside.</summary>
/// <param name="Preview">Its first bytes.</param>
/// <param name="Origin">Where it came into the chain of instances; no route: here.</param>
public sealed record ParkedMessage(long Sequence, MessageFlags Flags, int Bytes, byte[] Preview, MessageOrigin Origin = default);

/// <summary>Looks at what is parked, puts it back into the queue, or drops it; one message is in memory at a time.</summary>
internal static class ParkedMessages
{
    public const int ListMax = 1000;

    /// <summary>So many are dropped in one batch.</summary>
    public const int DropBatch = 256;

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
    public static async Task<SelectionOutcome> ReplayAsync(IBufferStore store, ChannelBuffer queue, MessageSelection selection, CancellationToken cancel)
    {
        var walk = await Walk.BeginAsync(store, queue, selection);
        while (await walk.NextAsync() is { } sequence)
        {
            try
            {
                if (await walk.ReadAsync(sequence, int.MaxValue) is not { } message) continue;
                long appended;
                while (!queue.TryAppend(message.Preview, message.Flags, message.Origin, out appended)) await queue.WaitForRoomAsync(message.Bytes, cancel);
                queue.Publish();
                await queue.WaitSecuredAsync(appended, cancel);
                queue.Unpark(sequence, message.Bytes);
            }
            catch
            {
                queue.ReleaseParked(sequence);
                throw;
            }
        }

        return walk.Outcome;
    }

    /// <summary>
    /// Drops them for good, <see cref="DropBatch"/> in one batch: after a crash each is parked or discarded. Completes when that is durable.
    /// </summary>
    public static async Task<SelectionOutcome> DropAsync(IBufferStore store, ChannelBuffer queue, MessageSelection selection, CancellationToken cancel)
    {
        var walk = await Walk.BeginAsync(store, queue, selection);
        var batch = new List<(long Sequence, int Bytes)>(DropBatch);
        try
        {
            while (await walk.NextAsync() is { } sequence)
            {
                batch.Add((sequence, 0));
                if (await walk.ReadAsync(sequence, 0) is { } message) batch[^1] = (sequence, message.Bytes);
                else batch.RemoveAt(batch.Count - 1);
                if (batch.Count == DropBatch) await SendAsync();
            }

            if (batch.Count > 0) await SendAsync();
            return walk.Outcome;
        }
        catch
        {
            foreach (var (sequence, _) in batch) queue.ReleaseParked(sequence);
            throw;
        }

        Task SendAsync()
        {
            (long, int)[] sent = [.. batch];
            batch.Clear(); // from here on the queue has them, also when nobody waits any more
            return queue.DropParkedAsync(sent, cancel);
        }
    }

    /// <summary>The numbers of a selection, in order, each claimed for this command.</summary>
    private sealed class Walk
    {
        private readonly IBufferStore _store;
        private readonly ChannelBuffer _queue;
        private readonly int _count;
        private readonly long _upTo;
        private long _from;
        private bool _ended;
        private int _messages;
        private int _busy;
        private long _bytes;

        private Walk(IBufferStore store, ChannelBuffer queue, MessageSelection selection, long upTo) =>
            (_store, _queue, _count, _from, _upTo) = (store, queue, selection.Count, selection.From, upTo);

        public SelectionOutcome Outcome => new(_messages, _bytes, _busy, _ended ? null : _from, _upTo);

        public static async ValueTask<Walk> BeginAsync(IBufferStore store, ChannelBuffer queue, MessageSelection selection) =>
            new(store, queue, selection, selection.UpTo ?? await NewestAsync(store, queue));

        public async ValueTask<long?> NextAsync()
        {
            var first = new First(0);
            while (_messages < _count)
            {
                if (await first.FindAsync(_store, _queue.Number, _from) is not { } message || message.Sequence > _upTo)
                {
                    _ended = true;
                    return null;
                }

                _from = message.Sequence + 1;
                if (_queue.TryClaimParked(message.Sequence)) return message.Sequence;
                _busy++;
            }

            return null;
        }

        /// <summary>A claimed message; null, and no longer claimed, when another command has settled it before the claim.</summary>
        public async ValueTask<ParkedMessage?> ReadAsync(long sequence, int previewBytes)
        {
            var found = await new First(previewBytes).FindAsync(_store, _queue.Number, sequence);
            if (found?.Sequence != sequence)
            {
                _queue.ReleaseParked(sequence);
                return null;
            }

            _messages++;
            _bytes += found.Bytes;
            return found;
        }

        /// <summary>The newest number that is parked, by halving: nobody need read all of them.</summary>
        private static async ValueTask<long> NewestAsync(IBufferStore store, ChannelBuffer queue)
        {
            var first = new First(0);
            var (newest, above) = (0L, queue.LastSequence + 1);
            while (newest + 1 < above)
            {
                var middle = newest + ((above - newest) / 2);
                if (await first.FindAsync(store, queue.Number, middle) is { } found) newest = found.Sequence;
                else above = middle;
            }

            return newest;
        }
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
