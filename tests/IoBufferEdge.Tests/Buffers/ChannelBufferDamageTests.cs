namespace IoBufferEdge.Tests.Buffers;

/// <summary>What the queue makes of a store that says what it lost.</summary>
public sealed class ChannelBufferDamageTests
{
    [Fact]
    public void What_is_lost_behind_the_last_block_is_counted_once()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.AppendAll(1, 100);
        rig.Elapse(1000);
        rig.Opening = opening => opening with { Lost = [new SequenceRange(101, 130)] };
        rig.Crash();
        Assert.Equal((30, 30, 130), (rig.Buffer.Ledger.Lost, rig.Buffer.Ledger.Imbalance, rig.Buffer.Ledger.Received));
        rig.AppendAll(201, 10);
        rig.Elapse(1000);
        rig.Crash();
        Assert.Equal((30, 0, 110), (rig.Buffer.Ledger.Lost, rig.Buffer.Ledger.Imbalance, rig.Buffer.Ledger.Received));
    }
}
