using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>What an operator drops, puts back and purges: each message in one column of the ledger, whatever dies meanwhile.</summary>
public sealed class OperatorTests
{
    private static readonly LinkEnd Orderly = new(true, "closed");
    private static readonly MessageSelection All = new();

    [Fact]
    public void What_is_dropped_is_discarded_for_good()
    {
        var rig = new BufferRig();
        rig.Park(1, 600);
        Assert.Equal((600, 0), (rig.Buffer.Ledger.Parked, rig.Buffer.Ledger.Discarded));
        var outcome = Drop(rig, new MessageSelection(From: 7, UpTo: 7));
        Assert.Equal((1, 20L, null), (outcome.Messages, outcome.Bytes, outcome.Next));
        Assert.Equal(0, Drop(rig, new MessageSelection(From: 7, UpTo: 7)).Messages);

        var part = Drop(rig, new MessageSelection(Count: 300));
        Assert.Equal((300, 302L, 600L), (part.Messages, part.Next, part.UpTo));
        foreach (var power in (bool[])[false, true])
        {
            rig.Crash(power);
            Assert.Equal((299, 301, 0), (rig.Buffer.Ledger.Parked, rig.Buffer.Ledger.Discarded, rig.Buffer.Ledger.Imbalance));
            Assert.Equal(299, Listed(rig).Count);
        }

        var rest = Drop(rig, new MessageSelection(part.Next!.Value, part.UpTo));
        Assert.Equal((299, null), (rest.Messages, rest.Next));
        Assert.Empty(Listed(rig));
        Assert.Equal((600, 600, 0), (rig.Buffer.Ledger.Received, rig.Buffer.Ledger.Discarded, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void A_crash_while_messages_are_dropped_leaves_each_parked_or_discarded()
    {
        const int Parked = 40;
        var outcomes = new HashSet<long>();
        for (var ms = 0.0; ms < 25; ms += 0.5)
        {
            var rig = new BufferRig(seed: (int)(ms * 10) + 1);
            rig.Park(1, Parked);
            rig.Begin(async () =>
            {
                // In several batches, so that a crash finds some of them done.
                for (var from = 1; from <= Parked; from += 10)
                    await ParkedMessages.DropAsync(rig.Store, rig.Buffer, new MessageSelection(from, from + 9), default);
            });
            rig.Elapse(ms);
            rig.Crash(power: true);
            var ledger = rig.Buffer.Ledger;
            Assert.Equal((Parked, Parked, 0), (ledger.Received, ledger.Parked + ledger.Discarded, ledger.Imbalance));
            Assert.Equal(ledger.Parked, Listed(rig).Count);
            Assert.Equal(0, ledger.Discarded % 10);
            outcomes.Add(ledger.Discarded);
        }

        Assert.True(outcomes.Count >= 3, $"the crashes found only {string.Join(", ", outcomes)} discarded");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_drop_beside_a_replay_and_another_of_each_takes_every_message_once(int seed)
    {
        const int Parked = 60;
        var rig = new BufferRig(seed: seed);
        rig.Park(1, Parked);
        rig.Disk.CommitFailureRate = 0.2;
        rig.Disk.ReadTimeMax = TimeSpan.FromMilliseconds(2);
        var outcomes = new List<(bool Drop, SelectionOutcome Outcome)>();
        for (var i = 0; i < 4; i++)
        {
            var drop = i % 2 == 1;
            rig.Begin(async () => outcomes.Add((drop, drop
                ? await ParkedMessages.DropAsync(rig.Store, rig.Buffer, new MessageSelection(From: 20), default)
                : await ParkedMessages.ReplayAsync(rig.Store, rig.Buffer, All, default))));
            rig.Elapse(7);
        }

        rig.Elapse(60_000);
        rig.Disk.CommitFailureRate = 0;
        rig.Elapse(10_000);
        Assert.Equal(4, outcomes.Count);
        var dropped = outcomes.Where(o => o.Drop).Sum(o => o.Outcome.Messages);
        var replayed = outcomes.Where(o => !o.Drop).Sum(o => o.Outcome.Messages);
        Assert.Equal(Parked, dropped + replayed);
        var ledger = rig.Buffer.Ledger;
        Assert.Equal((0, (long)dropped, (long)replayed, 0), (ledger.Parked, ledger.Discarded, ledger.Buffered, ledger.Imbalance));
        Assert.Empty(Listed(rig));
        rig.Buffer.BeginLink(int.MaxValue);
        var delivered = rig.Deliver();
        Assert.Equal(replayed, delivered.Distinct().Count());
        Assert.Equal(replayed, delivered.Count);
    }

    [Fact]
    public void What_is_parked_after_a_drop_began_stays()
    {
        var rig = new BufferRig();
        rig.Park(1, 5);
        var part = Drop(rig, new MessageSelection(Count: 2));
        rig.Park(6, 3);
        Assert.Equal(3, Drop(rig, new MessageSelection(part.Next!.Value, part.UpTo)).Messages);
        Assert.Equal([6, 7, 8], Listed(rig).Select(m => (int)m.Sequence));
    }

    [Fact]
    public void A_purge_takes_all_that_waits_in_memory_and_on_disk_and_of_former_lives()
    {
        var rig = new BufferRig(memoryBytes: 1 << 20);
        rig.AppendAll(1, 3000, bytes: 1000);
        rig.Elapse(1000);
        rig.Crash();
        rig.AppendAll(3001, 10, bytes: 1000); // the last of them are not on disk yet
        Assert.Equal(new QueueTotals(3010, 3_010_000), Purge(rig));
        foreach (var crash in (bool[])[false, true])
        {
            if (crash) rig.Crash(power: true);
            var ledger = rig.Buffer.Ledger;
            Assert.Equal((3010, 3010, 0, 0), (ledger.Received, ledger.Discarded, ledger.Buffered, ledger.Imbalance));
            Assert.Equal(0, rig.Buffer.BufferedBytes);
            Assert.Empty(rig.Read(0, 0, 10).Messages);
        }

        Assert.Equal(default, Purge(rig));
        rig.AppendAll(3011, 3);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([3011, 3012, 3013], rig.Deliver());
    }

    [Fact]
    public void What_is_in_flight_is_delivered_and_what_comes_behind_a_purge_is_too()
    {
        var rig = new BufferRig();
        rig.AppendAll(1, 200, bytes: 2000);
        rig.Elapse(1000);
        rig.Buffer.BeginLink(int.MaxValue);
        DeliveryRun taken = default;
        rig.Do(async () => taken = await rig.Buffer.TakeRunAsync());
        var purging = Task.FromResult<QueueTotals>(default);
        rig.Do(() =>
        {
            purging = rig.Buffer.PurgeAsync(default);
            return Task.CompletedTask;
        });
        rig.AppendAll(201, 5, bytes: 2000);
        rig.Elapse(1000);
        QueueTotals purged = default;
        rig.Do(async () => purged = await purging);
        Assert.Equal(new QueueTotals(200 - taken.Count, (200 - taken.Count) * 2000L), purged);
        rig.Buffer.Confirm(taken.LastSequence);
        Assert.Equal([201, 202, 203, 204, 205], rig.Deliver());
        rig.Elapse(1000);
        var ledger = rig.Buffer.Ledger;
        Assert.Equal((205, taken.Count + 5, 200 - taken.Count, 0), (ledger.Received, ledger.Delivered, ledger.Discarded, ledger.Imbalance));
        Assert.Equal((410_000L, (taken.Count + 5) * 2000L), (ledger.ReceivedBytes, ledger.DeliveredBytes));
    }

    /// <summary>Part of it is on disk, part in memory only: neither waits for the peer.</summary>
    [Fact]
    public void A_purge_is_done_while_the_peer_confirms_nothing()
    {
        var rig = new BufferRig();
        rig.AppendAll(1, 100, bytes: 2000);
        rig.Elapse(1000);
        rig.Buffer.BeginLink(int.MaxValue);
        DeliveryRun taken = default;
        rig.Do(async () => taken = await rig.Buffer.TakeRunAsync());
        Assert.InRange(taken.Count, 1, 99);
        QueueTotals purged = default;
        rig.Do(async () =>
        {
            for (var i = 101; i <= 110; i++) Assert.True(rig.Buffer.TryAppend(BufferRig.Payload(i, 2000), MessageFlags.None, out _));
            purged = await rig.Buffer.PurgeAsync(default);
        });
        Assert.Equal(110 - taken.Count, purged.Messages);
        Assert.Equal((0, taken.Count), (rig.Buffer.UnsecuredMessages, rig.Buffer.Ledger.Buffered));
        rig.Crash(power: true);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, taken.Count), rig.Deliver());
        Assert.Equal((110, 110 - taken.Count, 0), (rig.Buffer.Ledger.Received, rig.Buffer.Ledger.Discarded, rig.Buffer.Ledger.Imbalance));
    }

    [Fact]
    public void A_second_purge_is_refused_while_one_is_under_way()
    {
        var rig = new BufferRig();
        rig.AppendAll(1, 10);
        rig.Elapse(500);
        var purged = 0L;
        rig.Begin(async () => purged = (await rig.Buffer.PurgeAsync(default)).Messages);
        rig.Do(() => Assert.ThrowsAsync<InvalidOperationException>(() => rig.Buffer.PurgeAsync(default)));
        rig.Elapse(500);
        Assert.Equal(10, purged);
    }

    /// <summary>Appends, deliveries, parks, purges and crashes at random: in the end each message is in one place.</summary>
    [Fact]
    public void However_purges_and_crashes_fall_every_message_is_delivered_parked_or_discarded_once()
    {
        for (var seed = 1; seed <= 60; seed++)
        {
            var random = new Random(seed);
            var rig = new BufferRig(memoryBytes: 1 << 20, seed: seed);
            var (appended, delivered) = (0, new HashSet<int>());
            for (var step = 0; step < 12; step++)
            {
                var count = random.Next(1, 120);
                rig.AppendAll(appended + 1, count, bytes: random.Next(20, 3000));
                appended += count;
                rig.Buffer.BeginLink(int.MaxValue);
                DeliveryRun taken = default;
                if (random.Next(2) == 0) rig.Do(async () => taken = random.Next(2) == 0 ? default : await rig.Buffer.TakeRunAsync());
                if (random.Next(2) == 0) rig.Elapse(500);
                var isCrash = random.Next(3) == 0;
                if (isCrash) rig.Elapse(500); // what is not secured dies with the process, and that is no fault
                rig.Begin(() => rig.Buffer.PurgeAsync(default));
                rig.Elapse(random.NextDouble() * 15);
                if (isCrash)
                {
                    rig.Crash(power: random.Next(2) == 0);
                }
                else
                {
                    if (taken.Count > 0)
                    {
                        for (var i = 0; i < taken.Count; i++) Note(taken.Message(i).Span, delivered, seed);
                        rig.Buffer.Confirm(taken.LastSequence);
                    }

                    rig.Elapse(500);
                    rig.Buffer.EndLink(Orderly);
                }

                var ledger = rig.Buffer.Ledger;
                Assert.True(ledger.Imbalance == 0, $"seed {seed}: {ledger}");
                rig.Elapse(500);
            }

            rig.Buffer.BeginLink(int.MaxValue);
            foreach (var number in rig.Deliver()) Assert.True(delivered.Add(number), $"seed {seed}: {number} came twice");
            rig.Elapse(1000);
            var end = rig.Buffer.Ledger;
            Assert.True(end.Imbalance == 0 && end.Buffered == 0, $"seed {seed}: {end}");
            Assert.True(delivered.Count + end.Discarded == appended, $"seed {seed}: {appended} appended, {delivered.Count} delivered, {end}");
            Assert.True(end.Lost == 0 && rig.Lost.Count == 0, $"seed {seed}: lost {string.Join(", ", rig.Lost)}");
        }
    }

    [Fact]
    public void A_queue_that_is_forgotten_is_gone_after_a_crash()
    {
        var rig = new BufferRig();
        rig.Park(1, 3);
        rig.AppendAll(4, 50);
        rig.Elapse(1000);
        rig.Buffer.Dispose();
        rig.Disk.CommitFailureRate = 0.5;
        rig.Do(() => rig.Committer.ForgetAsync(1));
        rig.Disk.CommitFailureRate = 0;
        rig.Crash(power: true);
        Assert.Equal(0, rig.Buffer.Ledger.Received + rig.Buffer.Ledger.Parked);
    }

    private static void Note(ReadOnlySpan<byte> payload, HashSet<int> delivered, int seed)
    {
        var number = int.Parse(payload[..payload.IndexOf((byte)':')]);
        Assert.True(delivered.Add(number), $"seed {seed}: {number} came twice");
    }

    private static SelectionOutcome Drop(BufferRig rig, MessageSelection selection)
    {
        SelectionOutcome? outcome = null;
        rig.Do(async () => outcome = await ParkedMessages.DropAsync(rig.Store, rig.Buffer, selection, default));
        return outcome!;
    }

    private static QueueTotals Purge(BufferRig rig)
    {
        QueueTotals purged = default;
        rig.Do(async () => purged = await rig.Buffer.PurgeAsync(default));
        return purged;
    }

    private static IReadOnlyList<ParkedMessage> Listed(BufferRig rig)
    {
        IReadOnlyList<ParkedMessage> listed = [];
        rig.Do(async () => listed = await ParkedMessages.ListAsync(rig.Store, 1));
        return listed;
    }
}
