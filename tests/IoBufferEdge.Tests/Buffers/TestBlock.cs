using System.Text;
using IoBufferEdge.Buffers;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>A block of messages whose payloads name queue and number, so that every reader can tell whether it got the right one.</summary>
public sealed class TestBlock : PendingBlock
{
    private readonly int _queue;
    private readonly int _messageBytes;
    private readonly QueueTotals _before;

    public TestBlock(int queue, long first, long last, int messageBytes = 32)
    {
        (_queue, _messageBytes) = (queue, messageBytes);
        (FirstSequence, LastSequence) = (first, last);
        _before = new QueueTotals(first - 1, (first - 1) * messageBytes);
        EncodedLength = BlockFormat.EncodedLength(Count, Count * messageBytes);
    }

    private int Count => (int)(LastSequence - FirstSequence + 1);

    public static byte[] Payload(int queue, long sequence, int bytes)
    {
        var payload = new byte[bytes];
        new Random(unchecked((int)(queue * 1_000_003L + sequence))).NextBytes(payload);
        Encoding.ASCII.GetBytes($"{queue}:{sequence};", payload);
        return payload;
    }

    public override void EncodeTo(Span<byte> destination)
    {
        BlockFormat.WriteHeader(destination, new BlockHeader
        {
            FirstSequence = FirstSequence,
            Life = 1,
            TotalsBefore = _before,
            OldestRunningUs = FirstSequence,
            Count = Count,
            PayloadBytes = Count * _messageBytes,
        });
        var at = BlockFormat.HeaderBytes + Count * BlockFormat.PerMessageBytes;
        for (var i = 0; i < Count; i++)
        {
            BlockFormat.WriteEntry(destination, i, _messageBytes, MessageFlags.None, i);
            Payload(_queue, FirstSequence + i, _messageBytes).CopyTo(destination[(at + i * _messageBytes)..]);
        }

        BlockFormat.Seal(destination);
    }
}

/// <summary>Keeps the numbers of the blocks that it was shown, and checks every payload.</summary>
public sealed class TestVisitor(int queue) : IBlockVisitor
{
    public List<SequenceRange> Seen { get; } = [];

    public void Visit(ReadOnlySpan<byte> block)
    {
        Assert.True(BlockFormat.TryRead(block, out var read));
        var at = 0;
        for (var i = 0; i < read.Header.Count; i++)
        {
            Assert.Equal(TestBlock.Payload(queue, read.Header.FirstSequence + i, read.Length(i)), read.Payload.Slice(at, read.Length(i)));
            at += read.Length(i);
        }

        Seen.Add(new SequenceRange(read.Header.FirstSequence, read.Header.LastSequence));
    }
}
