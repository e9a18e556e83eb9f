using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>One promise each: what a queue does when it is full, slow, old, damaged, stopped, and what it writes when all is well.</summary>
public sealed class ChannelBufferTests
{
    private static readonly LinkEnd Orderly = new(true, "closed");
    private static readonly LinkEnd Reset = new(false, "reset");

    [Fact]
    public void No_number_is_given_before_its_reservation_is_synced()
    {
        var rig = new BufferRig();
        Assert.Equal(0, rig.Append(1, 1));
        rig.Elapse(50);
        Assert.Equal(1, rig.Append(1, 1));
    }

    [Fact]
    public void What_is_confirmed_in_time_is_never_written()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        for (var i = 0; i < 100; i++)
        {
            rig.Buffer.BeginLink(int.MaxValue);
            rig.AppendAll(i * 10, 10);
            Assert.Equal(Enumerable.Range(i * 10, 10), rig.Deliver(patienceMs: 1));
            rig.Buffer.EndLink(Orderly);
        }

        rig.Elapse(500);
        var status = rig.Buffer.Ledger;
        Assert.Equal((1000, 1000, 0), (status.Received, status.Delivered, status.Imbalance));
        Assert.Equal(0, rig.Disk.BlockBytes);
    }

    [Fact]
    public void Durable_first_delivers_only_what_is_synced()
    {
        var rig = new BufferRig(new QueueSettings { Delivery = DeliveryMode.DurableFirst });
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Disk.CommitFailureRate = 1;
        rig.AppendAll(1, 10);
        Assert.Empty(rig.Deliver());
        rig.Disk.CommitFailureRate = 0;
        rig.Elapse(6000);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 10), rig.Deliver());
    }

    [Fact]
    public void Cut_through_goes_on_delivering_while_the_disk_fails()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        rig.Disk.CommitFailureRate = 1;
        rig.AppendAll(1, 500);
        Assert.Equal(Enumerable.Range(1, 500), rig.Deliver());
        Assert.Equal(500, rig.Buffer.Ledger.Delivered);
    }

    [Fact]
    public void With_nothing_confirmed_and_a_failing_disk_nothing_more_is_taken()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.Disk.CommitFailureRate = 1;
        rig.Append(1, 1);
        rig.Elapse(1000);
        Assert.Equal(0, rig.Append(2, 1));
    }

    [Fact]
    public void The_unsecured_bound_stops_the_source_until_a_commit()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxUnsecuredBytes = 1000, CommitBytes = 1 << 20 } });
        rig.Elapse(50);
        Assert.Equal(10, rig.Append(1, 100, bytes: 100));
        rig.Elapse(300);
        Assert.Equal(10, rig.Append(11, 100, bytes: 100));
    }

    [Fact]
    public void A_message_larger_than_every_bound_still_passes()
    {
        var rig = new BufferRig(
            new QueueSettings { Buffer = new BufferConfig { MaxUnsecuredBytes = 1000, CommitBytes = 1000, MaxBytes = 1000 } }, memoryBytes: 200_000);
        rig.Elapse(50);
        rig.AppendAll(1, 1, bytes: 700_000);
        rig.Elapse(300);
        rig.Crash();
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([1], rig.Deliver());
    }

    [Fact]
    public void Block_stops_at_the_quota_and_goes_on_with_room()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxBytes = 1000 } });
        rig.Elapse(50);
        Assert.Equal(10, rig.Append(1, 100, bytes: 100));
        rig.Elapse(500);
        Assert.Equal(0, rig.Append(11, 100, bytes: 100));
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(10, rig.Deliver().Count);
        Assert.Equal(10, rig.Append(11, 100, bytes: 100));
    }

    [Fact]
    public void Drop_newest_takes_and_counts_what_it_discards()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxBytes = 1000, WhenFull = WhenFull.DropNewest } });
        rig.Elapse(50);
        Assert.Equal(15, rig.Append(1, 15, bytes: 100));
        rig.Elapse(500);
        var ledger = rig.Buffer.Ledger;
        Assert.Equal((15, 10, 5, 0), (ledger.Received, ledger.Buffered, ledger.Discarded, ledger.Imbalance));
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 10), rig.Deliver());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Drop_oldest_keeps_the_newest_and_stays_dropped_after_a_crash(bool crash)
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxBytes = 10_000, WhenFull = WhenFull.DropOldest } });
        rig.Elapse(50);
        rig.AppendAll(1, 500, bytes: 100);
        rig.Elapse(1000);
        if (crash) rig.Crash(power: true);
        rig.Elapse(50);
        var ledger = rig.Buffer.Ledger;
        Assert.Equal((500, 0), (ledger.Received, ledger.Imbalance));
        Assert.InRange(ledger.Buffered, 90, 100);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(501 - (int)ledger.Buffered, (int)ledger.Buffered), rig.Deliver());
        Assert.Equal((0L, 0L), (rig.Buffer.Ledger.Buffered, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void What_is_too_old_is_discarded_counted_and_never_sent()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { TtlS = 10 } });
        rig.Elapse(50);
        rig.AppendAll(1, 50);
        rig.Elapse(11_000);
        rig.AppendAll(51, 50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(51, 50), rig.Deliver());
        var ledger = rig.Buffer.Ledger;
        Assert.Equal((100, 50, 50, 0), (ledger.Received, ledger.Delivered, ledger.Discarded, ledger.Imbalance));
    }

    [Fact]
    public void A_backlog_much_larger_than_its_memory_comes_out_in_order()
    {
        var rig = new BufferRig(memoryBytes: 600_000);
        rig.Elapse(50);
        rig.AppendAll(1, 5000, bytes: 1000);
        Assert.InRange(rig.Buffer.MemoryUsedBytes, 1, 600_000);
        rig.Elapse(1000);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 5000), rig.Deliver());
        Assert.InRange(rig.Buffer.MemoryUsedBytes, 1, 600_000 + 300_000);
        Assert.Equal((5000L, 0L), (rig.Buffer.Ledger.Delivered, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void One_damaged_block_is_named_and_the_rest_is_delivered()
    {
        var rig = new BufferRig(memoryBytes: 600_000);
        rig.Elapse(50);
        rig.AppendAll(1, 3000, bytes: 1000);
        rig.Elapse(1000);
        rig.Crash();
        Assert.True(rig.Disk.FlipBit());
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        var delivered = rig.Deliver();
        var lost = Assert.Single(rig.Lost);
        Assert.Equal(3000 - lost.Count, delivered.Count);
        Assert.Equal(delivered.Order(), delivered);
        Assert.DoesNotContain(delivered, n => lost.Contains(n));
        Assert.Equal((lost.Count, lost.Count), (rig.Buffer.Ledger.Lost, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void A_message_that_is_being_parked_is_not_dropped_as_the_oldest()
    {
        var rig = new BufferRig(new QueueSettings { Buffer = new BufferConfig { MaxBytes = 200, WhenFull = WhenFull.DropOldest } });
        rig.Elapse(50);
        rig.AppendAll(1, 10);
        rig.Elapse(500);
        rig.Buffer.BeginLink(maxInFlightMessages: 1);
        Assert.Equal([1], rig.Deliver(confirm: false, patienceMs: 5));
        rig.Disk.CommitFailureRate = 1;
        rig.Buffer.Park(1);
        rig.Do(() =>
        {
            _ = rig.Buffer.WaitForRoomAsync(20, default).AsTask();
            return Task.CompletedTask;
        });
        rig.Disk.CommitFailureRate = 0;
        rig.Elapse(6000);
        Assert.Equal((1L, 0L), (rig.Buffer.Ledger.Parked, rig.Buffer.Ledger.Imbalance));
        Assert.Equal(9, rig.Buffer.Ledger.Buffered + rig.Buffer.Ledger.Discarded);
        rig.Buffer.BeginLink(int.MaxValue);
        var dropped = (int)rig.Buffer.Ledger.Discarded;
        Assert.Equal(Enumerable.Range(2 + dropped, 9 - dropped), rig.Deliver());
        Assert.Equal(0, rig.Buffer.Ledger.Imbalance);
    }

    [Fact]
    public void Nothing_behind_a_parked_message_is_sent_before_its_record_is_synced()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.AppendAll(1, 10);
        rig.Buffer.BeginLink(maxInFlightMessages: 1);
        Assert.Equal([1], rig.Deliver(confirm: false, patienceMs: 5));
        rig.Disk.CommitFailureRate = 1;
        rig.Buffer.BeginLink(maxInFlightMessages: 1);
        Assert.Equal([1], rig.Deliver(confirm: false, patienceMs: 5));
        rig.Buffer.Park(rig.Buffer.Cursor + 1);
        rig.Buffer.EndLink(Orderly);
        rig.Buffer.BeginLink(maxInFlightMessages: 1);
        Assert.Empty(rig.Deliver());
        rig.Disk.CommitFailureRate = 0;
        rig.Elapse(6000);
        rig.Buffer.BeginLink(maxInFlightMessages: 1);
        Assert.Equal(Enumerable.Range(2, 9), rig.Deliver());
        Assert.Equal((1L, 9L, 0L), (rig.Buffer.Ledger.Parked, rig.Buffer.Ledger.Delivered, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void After_a_crash_no_more_is_repeated_than_the_cursor_may_lag()
    {
        var rig = new BufferRig(new QueueSettings { Delivery = DeliveryMode.DurableFirst });
        rig.Elapse(50);
        rig.AppendAll(1, 20_000);
        rig.Elapse(500);
        rig.Disk.CommitFailureRate = 1;
        rig.Buffer.BeginLink(int.MaxValue);
        var delivered = rig.Deliver();
        rig.Disk.CommitFailureRate = 0;
        rig.Crash();
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        var again = rig.Deliver();
        Assert.Equal(20_000, again[^1]);
        Assert.InRange(delivered[^1] - again[0] + 1, 0, 1024 + 4096);
    }

    [Fact]
    public void On_a_full_medium_sources_stop_the_backlog_is_delivered_and_with_room_all_goes_on()
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        rig.AppendAll(1, 20_000);
        rig.Elapse(500);
        rig.Disk.Full = true;
        rig.Append(20_001, 10);
        rig.Elapse(1000);
        Assert.True(rig.Committer.Failure is { OutOfSpace: true });
        Assert.Equal(0, rig.Append(20_011, 1));
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, 20_010), rig.Deliver(patienceMs: 2000));
        rig.Disk.Full = false;
        rig.Elapse(2000);
        Assert.Null(rig.Committer.Failure);
        rig.Buffer.EndLink(Orderly);
        Assert.Equal(5, rig.Append(20_011, 5));
        rig.Elapse(1000);
        rig.Crash(power: true);
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(20_015, rig.Deliver()[^1]);
    }
}
