using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>Rule 12 in the queue: marks and their messages are of one batch, origins and lives stay with the messages, whatever dies.</summary>
public sealed class ChannelBufferRemoteTests
{
    private static readonly QueueSettings Receiving = new()
    {
        Delivery = DeliveryMode.DurableFirst,
        SourceAcknowledges = true,
        Buffer = new BufferConfig { CommitBytes = 4096 },
    };

    [Fact]
    public void After_any_crash_a_queue_holds_exactly_the_messages_that_its_marks_say()
    {
        for (var seed = 1; seed <= 60; seed++) CrashesOf(seed);
    }

    [Fact]
    public void What_is_secured_survives_a_power_cut_with_its_mark()
    {
        var rig = new BufferRig(Receiving);
        rig.Elapse(50);
        for (var i = 1; i <= 10; i++) Append(rig, "gw-1/a", new MessageIdentity(5, i * 2), 10);
        rig.Buffer.Publish();
        var held = rig.Buffer.HeldFrom("gw-1/a");
        Assert.Equal((20, 10), (held.Head.Sequence, held.SecuredBy - (rig.Buffer.LastSequence - 10)));
        rig.Do(async () => await rig.Buffer.WaitSecuredAsync(held.SecuredBy, default));
        rig.Crash(power: true);
        Assert.Equal([new LifeMark(5, 20, 20)], rig.Buffer.HeldFrom("gw-1/a").Lives);
        Assert.Empty(rig.Buffer.HeldFrom("gw-2/a").Lives);
    }

    [Fact]
    public void The_last_64_lives_of_a_sender_are_kept()
    {
        var rig = new BufferRig(Receiving);
        rig.Elapse(50);
        for (var life = 1; life <= 70; life++) Append(rig, "gw-1/a", new MessageIdentity(life, 3), 10);
        rig.Buffer.Publish();
        var before = rig.Buffer.HeldFrom("gw-1/a").Lives;
        rig.Elapse(100);
        rig.Crash();
        foreach (var lives in (IReadOnlyList<LifeMark>[])[before, rig.Buffer.HeldFrom("gw-1/a").Lives])
        {
            Assert.Equal(Enumerable.Range(7, 64).Select(l => (long)l), lives.Select(l => l.Life));
            Assert.Equal(70, lives[^1].Life);
        }
    }

    [Fact]
    public void An_idempotency_key_is_known_with_its_message_and_the_last_1024_are()
    {
        var rig = new BufferRig(Receiving);
        rig.Elapse(50);
        for (var key = 1; key <= 1100; key++) AppendKey(rig, (UInt128)key);
        rig.Buffer.Publish();
        rig.Elapse(500);
        AppendKey(rig, 1101);
        rig.Buffer.Publish();
        rig.Elapse(500);
        AppendKey(rig, 5000);
        Assert.NotNull(rig.Buffer.FindKey(5000));
        rig.Crash(power: true);
        Assert.Null(rig.Buffer.FindKey(5000));
        Assert.Equal(1101, Waiting(rig).Count);
        Assert.Null(rig.Buffer.FindKey(1));
        Assert.Equal(1024, Enumerable.Range(1, 1101).Count(k => rig.Buffer.FindKey((UInt128)k) is not null));
        Assert.Equal(rig.Buffer.FindKey(1100) + 1, rig.Buffer.FindKey(1101));
    }

    [Fact]
    public void Origins_stay_with_messages_in_memory_on_disk_parked_and_replayed()
    {
        var rig = new BufferRig(Receiving);
        rig.Elapse(50);
        var origin = new MessageOrigin("gw-1/a>gw-2/b", 77, 12345, 1_700_000_000_123_456);
        rig.Append(1, 2);
        for (var i = 0; i < 3; i++)
        {
            var stamp = new RemoteStamp { Key = 9, Origin = origin with { Sequence = 10 + i } };
            Assert.True(rig.Buffer.TryAppendRemote(BufferRig.Payload(3 + i, 20), MessageFlags.Partial, stamp, out _));
        }

        rig.Append(6, 1);
        MessageOrigin[] expected = [default, default, origin with { Sequence = 10 }, origin with { Sequence = 11 }, origin with { Sequence = 12 }, default];
        Assert.Equal(expected, Waiting(rig));
        rig.Elapse(500);
        Assert.Equal(expected, Waiting(rig));
        rig.Crash(power: true);
        Assert.Equal(expected, Waiting(rig));

        rig.Elapse(50);
        rig.Buffer.BeginLink(1);
        var run = Take(rig);
        rig.Buffer.Confirm(run.LastSequence);
        var second = Take(rig);
        Assert.Null(rig.Buffer.Describe(second.At(0)).Origin.Route);
        Assert.Equal(rig.Buffer.LifeOf(second.FirstSequence, out _), rig.Buffer.Describe(second.At(0)).Origin.Life);
        rig.Buffer.Confirm(second.LastSequence);
        var third = Take(rig);
        Assert.Equal((MessageFlags.Partial, expected[2]), rig.Buffer.Describe(third.At(0)));
        rig.Buffer.Park(third.FirstSequence);
        rig.Elapse(500);
        rig.Crash();
        rig.Elapse(50);
        rig.Do(async () => Assert.Equal(1, (await ParkedMessages.ReplayAsync(rig.Store, rig.Buffer, new MessageSelection(), default)).Messages));
        Assert.Equal([.. expected[3..], expected[2]], Waiting(rig));
    }

    [Fact]
    public void Each_number_keeps_the_life_that_it_was_given()
    {
        var rig = new BufferRig(Receiving);
        var known = new Dictionary<long, long>();
        for (var i = 0; i < 70; i++)
        {
            rig.Elapse(20);
            if (i % 7 == 0) rig.Append(i, 1);
            if (i % 7 == 0) known.Add(rig.Buffer.LastSequence, rig.Buffer.LifeOf(rig.Buffer.LastSequence, out _));
            rig.Elapse(300);
            rig.Crash();
            foreach (var (sequence, life) in known)
            {
                Assert.Equal(life, rig.Buffer.LifeOf(sequence, out var last));
                Assert.InRange(last, sequence, long.MaxValue);
                Assert.True(rig.Buffer.Knows(life));
            }
        }

        Assert.Equal(10, known.Values.Distinct().Count());
        Assert.False(rig.Buffer.Knows(4711));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_the_receiver_is_known_to_hold_is_written_with_the_cursor_and_never_ahead_of_it(bool power)
    {
        var rig = new BufferRig();
        rig.Elapse(50);
        var life = rig.Buffer.LifeOf(long.MaxValue, out _);
        rig.Buffer.NoteReceiver(ReceiverNote.None with { Name = "site/in" });
        rig.AppendAll(1, 20);
        rig.Elapse(500);
        rig.Buffer.BeginLink(1);
        for (var i = 0; i < 5; i++) rig.Buffer.Confirm(Take(rig).LastSequence);
        Assert.Equal(new MessageIdentity(life, rig.Buffer.Cursor), rig.Buffer.Receiver.LastDelivered);
        rig.Elapse(1000);
        var parked = Take(rig);
        rig.Buffer.Park(parked.FirstSequence);
        rig.Elapse(1000);
        rig.Buffer.Confirm(Take(rig).LastSequence);
        rig.Crash(power);

        // The cursor stands on what was parked; what was delivered is what counts, and the last confirmation was not synced.
        Assert.Equal(new ReceiverNote("site/in", new MessageIdentity(life, parked.FirstSequence - 1), null), rig.Buffer.Receiver);
        rig.Buffer.NoteReceiver(rig.Buffer.Receiver with { LastDelivered = new MessageIdentity(life, 1), Alarm = "restored" });
        rig.Elapse(500);
        rig.Crash(power);
        Assert.Equal(new ReceiverNote("site/in", new MessageIdentity(life, 1), "restored"), rig.Buffer.Receiver);
    }

    [Fact]
    public void What_waits_can_be_given_new_lives()
    {
        var rig = new BufferRig(Receiving);
        rig.Elapse(50);
        rig.AppendAll(1, 4);
        var first = rig.Buffer.LastSequence - 1;
        rig.Elapse(500);
        rig.Crash();
        rig.Elapse(50);
        rig.AppendAll(5, 2);
        var (old, present) = (rig.Buffer.LifeOf(first - 1, out _), rig.Buffer.LifeOf(rig.Buffer.LastSequence, out _));
        rig.Buffer.BeginLifeAt(first);
        Assert.Equal(old, rig.Buffer.LifeOf(first, out _)); // not before it is durable
        rig.Elapse(500);
        var (renamed, renamedPresent) = (rig.Buffer.LifeOf(first, out _), rig.Buffer.LifeOf(rig.Buffer.LastSequence, out _));
        Assert.Equal(4, new[] { old, present, renamed, renamedPresent }.Distinct().Count());
        rig.Elapse(500);
        rig.Crash(power: true);
        Assert.Equal(old, rig.Buffer.LifeOf(first - 1, out var lastOfOld));
        Assert.Equal(first - 1, lastOfOld);
        Assert.Equal((renamed, renamedPresent), (rig.Buffer.LifeOf(first, out _), rig.Buffer.LifeOf(rig.Buffer.LastSequence, out _)));
        rig.Elapse(50);
        rig.Buffer.BeginLink(int.MaxValue);
        Assert.Equal([1, 2, 3, 4, 5, 6], rig.Deliver());
        Assert.Empty(rig.Lost);
    }

    private static void CrashesOf(int seed)
    {
        var random = new Random(seed);
        var rig = new BufferRig(Receiving, seed: seed);
        string[] senders = ["gw-1/a", "gw-2/b"];
        var sent = senders.ToDictionary(s => s, _ => new List<MessageIdentity>());
        var life = 100L;
        for (var round = 0; round < 40; round++)
        {
            rig.Disk.CommitFailureRate = random.Next(4) == 0 ? 0.3 : 0;
            foreach (var sender in senders)
            {
                // What the sender knows to be held is where it goes on; a new life now and then, and gaps between its numbers.
                var held = sent[sender].Take(sent[sender].IndexOf(rig.Buffer.HeldFrom(sender).Head) + 1).ToList();
                var next = held.Count == 0 || random.Next(4) == 0 ? new MessageIdentity(++life, random.Next(1, 1000)) : Behind(held[^1], random);
                for (var count = random.Next(30); count > 0; count--, next = Behind(next, random))
                {
                    if (!Append(rig, sender, next, random.Next(1, 3000))) break;
                    held.Add(next);
                }

                sent[sender] = held;
            }

            rig.Buffer.Publish();
            rig.Elapse(random.Next(30));
            if (random.Next(2) == 0) continue;
            rig.Crash(power: random.Next(2) == 0);
            rig.Elapse(20);
            var there = Waiting(rig);
            foreach (var sender in senders)
            {
                var marks = rig.Buffer.HeldFrom(sender);
                Assert.Equal(sent[sender].Take(sent[sender].IndexOf(marks.Head) + 1), there.Where(o => o.Route == sender).Select(Identity));
            }
        }

        Assert.True(Waiting(rig).Count > 100);
        rig.Disk.CommitFailureRate = 0;
        rig.Elapse(2000);
        Assert.Equal(senders.Sum(s => sent[s].IndexOf(rig.Buffer.HeldFrom(s).Head) + 1), Waiting(rig).Count);
    }

    private static bool Append(BufferRig rig, string sender, MessageIdentity identity, int bytes) => rig.Buffer.TryAppendRemote(
        BufferRig.Payload(1, bytes + 3), MessageFlags.None,
        new RemoteStamp { Sender = sender, Identity = identity, Origin = new MessageOrigin(sender, identity.Life, identity.Sequence, 1) }, out _);

    private static void AppendKey(BufferRig rig, UInt128 key) => Assert.True(rig.Buffer.TryAppendRemote(
        BufferRig.Payload(1, 20), MessageFlags.None, new RemoteStamp { Key = key, Origin = new MessageOrigin("http", 0, 0, 1) }, out _));

    private static MessageIdentity Behind(MessageIdentity identity, Random random) =>
        identity with { Sequence = identity.Sequence + (random.Next(5) == 0 ? random.Next(1, 50) : 1) };

    private static MessageIdentity Identity(MessageOrigin origin) => new(origin.Life, origin.Sequence);

    private static DeliveryRun Take(BufferRig rig)
    {
        DeliveryRun run = default;
        rig.Do(async () => run = await rig.Buffer.TakeRunAsync());
        return run;
    }

    private static List<MessageOrigin> Waiting(BufferRig rig)
    {
        var all = new List<MessageOrigin>();
        for (var from = 0L; ;)
        {
            var page = rig.Read(from, 0, int.MaxValue);
            if (page.Messages.Count == 0) return all;
            all.AddRange(page.Messages.Select(m => m.Origin));
            from = page.Messages[^1].Sequence + 1;
        }
    }
}
