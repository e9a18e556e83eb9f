using IoBufferEdge.Buffers;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>However much was parked, looking at it and putting it back needs the memory of one message.</summary>
public sealed class ParkedMessagesTests
{
    [Fact]
    public void So_many_are_listed_as_an_answer_holds_and_all_are_replayed_in_order()
    {
        const int Parked = ParkedMessages.ListMax + 50;
        var rig = new BufferRig();
        rig.Elapse(100); // until numbers are reserved
        Assert.True(rig.Buffer.TryAppend(BufferRig.Payload(1, 100), MessageFlags.Damaged, out _));
        rig.AppendAll(2, Parked - 1, bytes: 100);
        rig.Elapse(1000);
        for (var i = 1; i <= Parked; i++)
        {
            rig.Buffer.BeginLink(1);
            Assert.Equal([i], rig.Deliver(confirm: false, patienceMs: 1));
            rig.Buffer.Park(i);
            rig.Elapse(50);
        }

        IReadOnlyList<ParkedMessage> listed = [];
        rig.Do(async () => listed = await ParkedMessages.ListAsync(rig.Store, 1));
        Assert.Equal(Enumerable.Range(1, ParkedMessages.ListMax), listed.Select(m => (int)m.Sequence));
        Assert.All(listed, m => Assert.Equal((100, 32), (m.Bytes, m.Preview.Length)));

        var replayed = 0;
        rig.Do(async () => replayed = (await ParkedMessages.ReplayAsync(rig.Store, rig.Buffer, new MessageSelection(), default)).Messages);
        rig.Elapse(1000);
        Assert.Equal((Parked, 0), (replayed, rig.Buffer.Ledger.Parked));
        Assert.Equal([MessageFlags.Damaged, MessageFlags.None], rig.Read(0, 0, 2).Messages.Select(m => m.Flags));
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, Parked), rig.Deliver());
    }
}
