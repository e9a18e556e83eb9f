using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>What was delivered and stays for a replay: as much as was asked for, what was delivered and nothing else, whatever dies.</summary>
public sealed class RetainedMessagesTests
{
    private const int Bytes = 100;
    private static readonly MessageSelection All = new();

    private static QueueSettings Retaining(long bytes) =>
        new() { Buffer = new BufferConfig { RetainBytes = bytes }, Delivery = DeliveryMode.DurableFirst };

    [Fact]
    public void The_newest_delivered_messages_come_once_more_in_order_behind_all_that_waits()
    {
        var rig = Delivered(1, 200, Retaining(50 * Bytes));
        rig.AppendAll(201, 2, Bytes);
        var outcome = Replay(rig, All);
        Assert.Null(outcome.Next);
        var delivered = Deliver(rig);
        Assert.Equal([201, 202], delivered.Take(2));
        var copies = delivered.Skip(2).ToList();
        Assert.Equal(outcome.Messages, copies.Count);
        Assert.Equal(Enumerable.Range(200 - copies.Count + 1, copies.Count), copies);
        Assert.InRange(copies.Count, 50, 100); // a mark is set at a batch: between two of them lies what was delivered meanwhile
        Assert.Equal(0, rig.Buffer.Ledger.Imbalance);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void They_outlive_a_crash_and_the_bound_holds_behind_it(bool power)
    {
        var rig = Delivered(1, 100, Retaining(50 * Bytes));
        for (var life = 0; life < 5; life++)
        {
            rig.Crash(power);
            rig.AppendAll(101 + (life * 20), 20, Bytes);
            Deliver(rig);
        }

        var outcome = Replay(rig, All);
        var copies = Deliver(rig);
        Assert.Equal(outcome.Messages, copies.Count);
        Assert.Equal(Enumerable.Range(200 - copies.Count + 1, copies.Count), copies);
        Assert.InRange(copies.Count, 50, 100);
    }

    [Fact]
    public void A_part_tells_where_to_go_on_and_single_numbers_can_be_asked_for()
    {
        var rig = Delivered(1, 40, Retaining(1 << 20));
        var first = Replay(rig, new MessageSelection(Count: 15));
        Assert.Equal((15, 15L * Bytes, 16L, 40L), (first.Messages, first.Bytes, first.Next, first.UpTo));
        var second = Replay(rig, new MessageSelection(16, 40, 100));
        Assert.Equal((25, null), (second.Messages, second.Next));
        Assert.Equal(1, Replay(rig, new MessageSelection(7, 7)).Messages);
        Assert.Equal([.. Enumerable.Range(1, 40), 7], Deliver(rig));
        Assert.Equal((81, 81, 0), (rig.Buffer.Ledger.Received, rig.Buffer.Ledger.Delivered, rig.Buffer.Ledger.Imbalance));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_was_parked_or_purged_is_not_taken_for_delivered(bool crash)
    {
        var rig = Delivered(1, 10, Retaining(1 << 20));
        rig.Park(11, 2, Bytes);
        rig.AppendAll(13, 5, Bytes);
        rig.Do(() => rig.Buffer.PurgeAsync(default));
        rig.AppendAll(18, 3, Bytes);
        Deliver(rig);
        if (crash) rig.Crash(power: true);
        Replay(rig, All);
        Assert.Equal([.. Enumerable.Range(1, 10), 18, 19, 20], Deliver(rig));
    }

    [Fact]
    public void The_gap_of_a_restart_before_what_waits_is_passed_in_one_step()
    {
        var rig = Delivered(1, 10, Retaining(1 << 20));
        rig.Crash(power: true);
        rig.AppendAll(11, 3, Bytes);
        rig.Elapse(1000);
        rig.Disk.ReadTimeMax = TimeSpan.FromMilliseconds(2); // a read for each number of the gap would take a quarter of an hour
        Assert.Equal((10, null), (Replay(rig, All) is var outcome ? outcome.Messages : 0, outcome.Next));
        Assert.Equal([11, 12, 13, .. Enumerable.Range(1, 10)], Deliver(rig));
    }

    [Fact]
    public void Without_retain_bytes_nothing_is_kept()
    {
        var rig = Delivered(1, 50, new QueueSettings { Delivery = DeliveryMode.DurableFirst });
        Assert.Equal(0, Replay(rig, All).Messages);
        Assert.Equal(0, rig.Disk.BlockBytes);
    }

    [Fact]
    public void Set_to_zero_what_was_kept_goes()
    {
        var rig = Delivered(1, 50, Retaining(1 << 20));
        rig.Buffer.Configure(new QueueSettings { Delivery = DeliveryMode.DurableFirst });
        rig.AppendAll(51, 1, Bytes);
        Deliver(rig);
        Assert.Equal(0, Replay(rig, All).Messages);
        Assert.Equal(0, rig.Disk.BlockBytes);
    }

    [Fact]
    public void What_is_kept_gives_way_where_the_devices_quota_is_full()
    {
        var rig = Delivered(1, 50, Retaining(1 << 20));
        rig.Committer.Limit(50, 1);
        rig.AppendAll(51, 1, Bytes);
        rig.Elapse(1000);
        Assert.Equal(0, Replay(rig, All).Messages);
        Assert.Equal([51], Deliver(rig));
    }

    private static BufferRig Delivered(int from, int count, QueueSettings settings)
    {
        var rig = new BufferRig(settings);
        for (var next = from; next < from + count; next += 10)
        {
            rig.AppendAll(next, Math.Min(10, from + count - next), Bytes);
            Deliver(rig);
        }

        return rig;
    }

    private static List<int> Deliver(BufferRig rig)
    {
        rig.Elapse(300);
        rig.Buffer.BeginLink(int.MaxValue);
        var delivered = rig.Deliver();
        rig.Buffer.EndLink(new LinkEnd(true, "closed"));
        rig.Elapse(500);
        return delivered;
    }

    private static SelectionOutcome Replay(BufferRig rig, MessageSelection selection)
    {
        SelectionOutcome? outcome = null;
        rig.Do(async () => outcome = await RetainedMessages.ReplayAsync(rig.Store, rig.Buffer, selection, default));
        return outcome!;
    }
}
