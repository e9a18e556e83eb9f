using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>What the simulation's seeds found in the queue, each as the shortest story that shows it.</summary>
public sealed class ChannelBufferFoundTests
{
    private static readonly LinkEnd Orderly = new(true, "closed");
    private static readonly LinkEnd Reset = new(false, "reset");

    [Fact]
    public void A_source_that_waits_for_room_when_the_channel_stops_is_told_so()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxBytes = 100 } });
        rig.Elapse(50);
        Assert.Equal(5, rig.Append(1, 6));
        Task waiting = Task.CompletedTask;
        rig.Do(() =>
        {
            waiting = rig.Buffer.WaitForRoomAsync(20, default).AsTask();
            rig.Buffer.Receive(false);
            return Task.CompletedTask;
        });
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 5), rig.Deliver());
        Assert.True(waiting.IsCanceled);
        Assert.Equal(0, rig.Append(6, 1));
        rig.Buffer.Receive(true);
        Assert.Equal(1, rig.Append(6, 1));
    }

    [Fact]
    public void A_loss_right_before_a_life_s_gap_holds_nothing_up_while_the_sources_are_quiet()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.AppendAll(1, 5);
        rig.Elapse(500);
        rig.Crash();
        rig.Elapse(50);
        rig.AppendAll(6, 5);
        rig.Elapse(500);
        Assert.True(rig.Disk.FlipBit());
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(6, 5), rig.Deliver());
    }

    [Fact]
    public void A_source_goes_on_when_a_full_medium_has_room_again_though_nothing_waits_to_be_written()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.AppendAll(1, 5);
        rig.Disk.Full = true;
        rig.Elapse(500);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 5), rig.Deliver());
        rig.Buffer.EndLink(Orderly);
        var waiting = Task.CompletedTask;
        rig.Do(() =>
        {
            waiting = rig.Buffer.WaitForRoomAsync(20, default).AsTask();
            return Task.CompletedTask;
        });
        rig.Elapse(1000);
        Assert.False(waiting.IsCompleted);
        rig.Disk.Full = false;
        rig.Elapse(2000);
        Assert.True(waiting.IsCompleted);
    }
}
