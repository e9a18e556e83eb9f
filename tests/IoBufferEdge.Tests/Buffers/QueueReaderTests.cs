using System.Text;
using IoBufferEdge.Buffers;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>Looking at a queue shows what waits in it, wherever it lies, and changes nothing.</summary>
public sealed class QueueReaderTests
{
    [Fact]
    public void What_is_in_memory_is_shown_and_stays()
    {
        var rig = new BufferRig();
        rig.AppendAll(1, 5);
        Assert.Equal([1, 2, 3, 4, 5], Numbers(ReadAll(rig)));
        Assert.Equal([1, 2], Numbers(rig.Read(0, 0, 2).Messages));
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([1, 2, 3, 4, 5], rig.Deliver());
        Assert.Empty(ReadAll(rig));
    }

    [Fact]
    public void What_a_former_life_left_on_disk_is_shown_with_what_came_since()
    {
        var rig = new BufferRig(memoryBytes: 1 << 20);
        rig.AppendAll(1, 3000, bytes: 1000);
        rig.Elapse(1000);
        rig.Crash();
        rig.AppendAll(3001, 10);
        Assert.Equal(Enumerable.Range(1, 3010), Numbers(ReadAll(rig)));
        Assert.Equal(3010, rig.Buffer.Ledger.Buffered + rig.Buffer.UnsecuredMessages);
        var page = rig.Read(0, 0, int.MaxValue);
        Assert.InRange(page.Messages.Sum(m => m.Piece.Length), 1, QueueReader.PageBytes);
    }

    [Fact]
    public void A_large_message_comes_in_pieces()
    {
        var rig = new BufferRig();
        rig.AppendAll(1, 1);
        rig.AppendAll(2, 1, bytes: 500_000);
        rig.AppendAll(3, 1);
        rig.Elapse(1000);
        foreach (var crash in (bool[])[false, true])
        {
            if (crash) rig.Crash();
            var messages = ReadAll(rig);
            Assert.Equal([1, 2, 3], Numbers(messages));
            Assert.Equal(BufferRig.Payload(2, 500_000), messages[1].Piece);
        }
    }

    [Fact]
    public void What_was_parked_does_not_wait()
    {
        var rig = new BufferRig();
        rig.AppendAll(1, 3);
        rig.Elapse(1000);
        rig.Buffer.BeginLink(1);
        rig.Deliver(confirm: false);
        rig.Buffer.Park(1);
        rig.Elapse(1000);
        Assert.Equal([2, 3], Numbers(ReadAll(rig)));
    }

    /// <summary>Every page until nothing is left, pieces put together.</summary>
    private static List<QueuedMessage> ReadAll(BufferRig rig)
    {
        var all = new List<QueuedMessage>();
        while (true)
        {
            var unfinished = all.Count > 0 && all[^1].Piece.Length < all[^1].Bytes ? all[^1] : null;
            var page = rig.Read(unfinished?.Sequence ?? (all.Count == 0 ? 0 : all[^1].Sequence + 1), unfinished?.Piece.Length ?? 0, 700);
            if (page.Messages.Count == 0) return all;
            foreach (var message in page.Messages)
            {
                if (unfinished?.Sequence == message.Sequence) all[^1] = message with { Piece = [.. unfinished.Piece, .. message.Piece] };
                else all.Add(message);
            }
        }
    }

    private static IEnumerable<int> Numbers(IEnumerable<QueuedMessage> messages) =>
        messages.Select(m => int.Parse(Encoding.ASCII.GetString(m.Piece)[..Array.IndexOf(m.Piece, (byte)':')]));
}
