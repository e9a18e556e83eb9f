namespace IoBufferEdge.Buffers;

/// <summary>
/// Sends once more what was delivered and is retained: a copy of each message gets a new number at the tail, in the old order, behind all
/// that waits. A block is in memory at a time. The copies are received, and delivered, like any other message; nothing marks them.
/// </summary>
internal static class RetainedMessages
{
    /// <summary>
    /// Completes when the copies are secured. After a crash in between the operator goes on from the last part that was answered: what that
    /// part had copied comes once more. What is no longer retained when its turn comes is passed over.
    /// </summary>
    /// <exception cref="StoreException">The store cannot be read now.</exception>
    public static async Task<SelectionOutcome> ReplayAsync(IBufferStore store, ChannelBuffer queue, MessageSelection selection, CancellationToken cancel)
    {
        var (messages, bytes, appended) = (0, 0L, 0L);
        var upTo = Math.Min(selection.UpTo ?? long.MaxValue, queue.Cursor);
        var next = queue.NextRetained(selection.From - 1);
        while (next <= upTo && messages < selection.Count)
        {
            var block = new Copies(queue, next.Value, upTo, selection.Count - messages);
            var reading = await store.ReadAsync(queue.Number, next.Value, block);
            foreach (var copy in block.Messages)
            {
                while (!queue.TryAppend(copy.Payload, copy.Flags, copy.Origin, out appended)) await queue.WaitForRoomAsync(copy.Payload.Length, cancel);
                (messages, bytes) = (messages + 1, bytes + copy.Payload.Length);
            }

            queue.Publish();
            next = reading.Status switch
            {
                BlockReadingStatus.Found => queue.NextRetained(Math.Max(next.Value, block.Last)),
                BlockReadingStatus.Damaged when reading.ResumeAt != long.MaxValue => queue.NextRetained(reading.ResumeAt - 1),
                _ => null,
            };
        }

        await queue.WaitSecuredAsync(appended, cancel);
        return new SelectionOutcome(messages, bytes, 0, next <= upTo ? next : null, upTo);
    }

    private readonly record struct Copy(byte[] Payload, MessageFlags Flags, MessageOrigin Origin);

    /// <summary>Of one block, what is wanted and may be sent.</summary>
    private sealed class Copies(ChannelBuffer queue, long from, long upTo, int count) : IBlockVisitor
    {
        public List<Copy> Messages { get; } = [];

        /// <summary>The last number that was looked at; 0: none.</summary>
        public long Last { get; private set; }

        public void Visit(ReadOnlySpan<byte> block)
        {
            if (!BlockFormat.TryRead(block, out var read)) return;
            var payload = read.Payload;
            var routes = read.ReadRoutes();
            for (var i = 0; i < read.Header.Count && Messages.Count < count; i++)
            {
                var sequence = read.Header.FirstSequence + i;
                var message = payload[..read.Length(i)];
                payload = payload[message.Length..];
                if (sequence < from) continue;
                Last = Math.Min(sequence, upTo); // a gap of a million numbers may lie before the block: it is passed in one step
                if (sequence > upTo) return;
                if (queue.NextRetained(sequence - 1) == sequence) Messages.Add(new Copy(message.ToArray(), read.Flags(i), read.Origin(i, routes)));
            }
        }
    }
}
