using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>Rule 14 in the queue: what a reset leaves in doubt is kept, repeated, and written back by a planned stop.</summary>
public sealed class ChannelBufferRepeatTests
{
    private static readonly LinkEnd Orderly = new(true, "closed");
    private static readonly LinkEnd Reset = new(false, "reset");

    [Fact]
    public void After_a_reset_what_was_delivered_last_is_repeated_within_its_bound_and_again_after_the_next()
    {
        var rig = new BufferRig(new QueueSettings { WindowBytes = 300, ResendBytes = 1000 });
        rig.Elapse(50);
        rig.AppendAll(1, 100, bytes: 100);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Deliver();
        rig.Buffer.EndLink(Reset);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(90, 11), rig.Deliver(confirm: false));
        rig.Buffer.EndLink(Orderly);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(90, 11), rig.Deliver());
        rig.Buffer.EndLink(Orderly);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Empty(rig.Deliver());
        Assert.Equal((100L, 22L), (rig.Buffer.Ledger.Delivered, rig.Buffer.Ledger.Repeated));
    }

    [Fact]
    public void A_planned_stop_writes_back_what_the_peer_may_not_have_read()
    {
        var rig = new BufferRig(new QueueSettings { WindowBytes = 300, ResendBytes = 1000 });
        rig.Elapse(50);
        rig.AppendAll(1, 100, bytes: 100);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Deliver();
        rig.Buffer.EndLink(Reset);
        rig.Do(async () =>
        {
            rig.Buffer.Flush(true);
            rig.Buffer.WriteBackKept();
            Assert.True(await rig.Buffer.WaitFlushedAsync(TimeSpan.FromSeconds(5), rig.Time));
        });
        Assert.Equal((11L, 89L, 0L), (rig.Buffer.Ledger.Buffered, rig.Buffer.Ledger.Delivered, rig.Buffer.Ledger.Imbalance));
        rig.Crash();
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(90, 11), rig.Deliver());
        Assert.Empty(rig.Lost);
    }

    [Fact]
    public void A_message_parked_behind_what_a_stop_writes_back_stays_parked()
    {
        var rig = new BufferRig(new QueueSettings { Delivery = DeliveryMode.DurableFirst, WindowBytes = 300, ResendBytes = 1000 });
        rig.Elapse(50);
        rig.AppendAll(1, 3, bytes: 100);
        rig.Elapse(500);
        rig.Buffer.BeginLink(maxInFlightMessages: 1);
        rig.Do(async () =>
        {
            rig.Buffer.Confirm((await rig.Buffer.TakeRunAsync()).LastSequence);
            rig.Buffer.Park((await rig.Buffer.TakeRunAsync()).FirstSequence);
        });
        rig.Elapse(500);
        rig.Buffer.EndLink(Reset);
        rig.Do(async () =>
        {
            rig.Buffer.Flush(true);
            rig.Buffer.WriteBackKept();
            Assert.True(await rig.Buffer.WaitFlushedAsync(TimeSpan.FromSeconds(5), rig.Time));
        });
        rig.Crash();
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([1, 3], rig.Deliver());
        Assert.Equal((1L, 0L, 0L), (rig.Buffer.Ledger.Parked, rig.Buffer.Ledger.Imbalance, rig.Buffer.Ledger.Lost));
    }

    [Fact]
    public void A_stop_writes_back_even_if_the_life_could_not_begin_before()
    {
        var rig = new BufferRig(new QueueSettings { WindowBytes = 300, ResendBytes = 1000 });
        rig.Elapse(50);
        rig.AppendAll(1, 10, bytes: 100);
        rig.Elapse(500);
        rig.Disk.CommitFailureRate = 1;
        rig.Crash();
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 10), rig.Deliver());
        rig.Buffer.EndLink(Reset);
        rig.Disk.CommitFailureRate = 0;
        rig.Do(async () =>
        {
            rig.Buffer.Flush(true);
            rig.Buffer.WriteBackKept();
            Assert.True(await rig.Buffer.WaitFlushedAsync(TimeSpan.FromSeconds(20), rig.Time));
        });
        Assert.Equal((10L, 0L), (rig.Buffer.Ledger.Buffered, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void A_repeat_ends_before_what_is_being_discarded()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxBytes = 200, WhenFull = WhenFull.DropOldest } });
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.AppendAll(1, 3);
        Assert.Equal([1, 2, 3], rig.Deliver());
        rig.Buffer.EndLink(Reset);
        rig.AppendAll(4, 10);
        rig.Elapse(500);
        rig.Disk.CommitFailureRate = 1;
        rig.Do(() =>
        {
            _ = rig.Buffer.WaitForRoomAsync(20, default).AsTask();
            return Task.CompletedTask;
        });
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([1, 2, 3], rig.Deliver(confirm: false));
    }

    [Fact]
    public void A_run_the_window_before_it_and_what_is_asked_with_behind_it_are_never_more_than_is_kept()
    {
        var rig = new BufferRig(new QueueSettings { WindowBytes = 1500, ResendBytes = 4000 });
        rig.Elapse(50);
        rig.AppendAll(1, 100, bytes: 100);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Do(async () => Assert.Equal(5, (await rig.Buffer.TakeRunAsync()).Count));
    }

    [Theory]
    [InlineData(10, 50, 30_600, 11)]
    [InlineData(50, 100, 100, 61)]
    public void A_large_message_and_what_is_asked_with_behind_it_push_nothing_out_of_what_is_kept_until_it_was_read(
        int countBehind, int bytesBehind, long outstandingBytes, int firstRepeated)
    {
        var rig = new BufferRig(new QueueSettings { WindowBytes = 1500, ResendBytes = 4000 });
        rig.Elapse(50);
        rig.AppendAll(1, 50, bytes: 100);
        rig.AppendAll(51, 1, bytes: 30_000);
        rig.AppendAll(52, countBehind, bytesBehind);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Deliver();
        rig.Buffer.WindowFor(outstandingBytes, hiddenBytes: 0);
        rig.Buffer.EndLink(Reset);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(firstRepeated, 52 + countBehind - firstRepeated), rig.Deliver());
    }

    [Fact]
    public void A_message_that_only_begins_before_what_is_kept_is_kept()
    {
        var rig = new BufferRig(new QueueSettings { WindowBytes = 1500, ResendBytes = 4000 });
        rig.Elapse(50);
        rig.AppendAll(1, 1, bytes: 2_000);
        rig.AppendAll(2, 31, bytes: 100);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Deliver();
        rig.Buffer.EndLink(Reset);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 32), rig.Deliver());
    }

    [Fact]
    public void What_was_discarded_between_takes_nothing_from_what_is_kept()
    {
        var rig = new BufferRig(new QueueSettings
        {
            WindowBytes = 1500, ResendBytes = 4000, Buffer = new BufferConfig { MaxBytes = 20_000, WhenFull = WhenFull.DropOldest },
        });
        rig.Elapse(50);
        rig.AppendAll(1, 20, bytes: 100);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Do(async () =>
        {
            while (rig.Buffer.Cursor < 20) rig.Buffer.Confirm((await rig.Buffer.TakeRunAsync()).LastSequence);
        });
        rig.AppendAll(21, 1, bytes: 19_000);
        rig.AppendAll(22, 1, bytes: 2_000);
        rig.Elapse(500);
        Assert.Equal([22], rig.Deliver());
        rig.Buffer.EndLink(Reset);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([.. Enumerable.Range(1, 20), 22], rig.Deliver());
    }

    [Fact]
    public void What_is_in_flight_and_held_is_bounded_in_memory()
    {
        var rig = new BufferRig(memoryBytes: 1 << 20);
        rig.Elapse(50);
        rig.AppendAll(1, 600, bytes: 10_000);
        rig.Elapse(500);
        rig.Buffer.BeginLink(int.MaxValue);
        var first = rig.Deliver(confirm: false);
        Assert.InRange(rig.Buffer.MemoryUsedBytes, 1, 4 << 20);
        rig.Buffer.EndLink(Orderly);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 600), rig.Deliver());
        Assert.InRange(first.Count, 100, 400);
    }
}
