using IoBufferEdge.Endpoints.Remote;
using static IoBufferEdge.Tests.Endpoints.Remote.IntakeRig;
using static IoBufferEdge.Tests.Endpoints.Remote.TestBatch;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>The receiver's side of rule 12, one rule after the other.</summary>
public sealed class RemoteIntakeTests
{
    private static readonly MessageIdentity None = MessageIdentity.None;

    public static TheoryData<string> Rules => [.. RemoteBatchTests.Names("rules")];

    [Theory]
    [MemberData(nameof(Rules))]
    public void The_published_rules_hold(string name) => Run(async rig =>
    {
        var rule = RemoteBatchTests.Vector("rules", name);
        IEnumerable<(long Life, long Mark)> Marks(string property) => rule.GetProperty(property).EnumerateArray()
            .Select(mark => (RemoteBatchTests.Life(mark, "life"), mark.GetProperty("mark").GetInt64()));
        var (life, after) = (RemoteBatchTests.Life(rule, "life"), rule.GetProperty("after"));
        var sequences = rule.GetProperty("sequences").EnumerateArray().Select(s => s.GetInt64()).ToArray();
        rig.HoldAll(Marks("held"));
        var before = rig.Sink.Messages.Count;

        var isFirst = after.ValueKind == System.Text.Json.JsonValueKind.Null;
        var predecessor = isFirst ? None : At(RemoteBatchTests.Life(after, "life"), after.GetProperty("sequence").GetInt64());
        var reply = await rig.SendAsync(Of(life, predecessor, sequences));
        Assert.Equal((rule.GetProperty("status").GetInt32(), rule.GetProperty("code").GetString()), (reply.Status, reply.Code));
        Assert.Equal(rule.GetProperty("taken").EnumerateArray().Select(s => TextOf(life, s.GetInt64())), rig.Texts.Skip(before));
        Assert.Equal(Marks("held_then"), MarksOf(await rig.AskAsync()));
        Assert.Equal(Marks("held_then").Where(mark => reply.Status == 409 || mark.Life == life), MarksOf(reply));
        Assert.Equal(Instance, reply.Receiver);
    });

    [Fact]
    public void Nothing_is_answered_before_it_is_durable() => Run(
        async rig =>
        {
            var taken = rig.SendAsync(Of(LifeA, None, 1, 2));
            await rig.SettleAsync();
            var known = rig.SendAsync(Of(LifeA, None, 1));
            var asked = rig.AskAsync();
            var refused = rig.SendAsync(Of(LifeB, At(LifeA, 9), 1));
            await rig.Scheduler.World.Delay(TimeSpan.FromSeconds(10));
            rig.Sink.Secure(1);
            await rig.SettleAsync();
            Assert.DoesNotContain(true, new[] { taken, known, asked, refused }.Select(task => task.IsCompleted));
            rig.Sink.Secure(2);
            Assert.Equal([200, 200, 200, 409], (await Task.WhenAll(taken, known, asked, refused)).Select(reply => reply.Status));
            foreach (var task in new[] { taken, known, asked, refused }) Assert.Equal([(LifeA, 2L)], MarksOf(await task));
        },
        securesAtOnce: false);

    [Fact]
    public void Batches_that_follow_each_other_are_secured_together() => Run(
        async rig =>
        {
            Task<RemoteReply>[] requests =
                [rig.SendAsync(Of(LifeA, None, 1)), rig.SendAsync(Of(LifeA, At(LifeA, 1), 2)), rig.SendAsync(Of(LifeB, At(LifeA, 2), 1))];
            await rig.SettleAsync();
            Assert.Equal((3, 3), (rig.Sink.Messages.Count, rig.Sink.WaitingForSecured));
            rig.Sink.Secure(3);
            Assert.Equal([(LifeA, 1L), (LifeA, 2L), (LifeB, 1L)], (await Task.WhenAll(requests)).SelectMany(MarksOf));
        },
        securesAtOnce: false);

    [Fact]
    public void A_request_that_overtook_others_waits_for_them() => Run(async rig =>
    {
        var third = rig.SendAsync(Of(LifeB, At(LifeA, 4), 1, 2));
        await rig.SettleAsync();
        var second = rig.SendAsync(Of(LifeA, At(LifeA, 2), 3, 4));
        await rig.SettleAsync();
        Assert.Empty(rig.Texts);
        var first = rig.SendAsync(Of(LifeA, None, 1, 2));
        Assert.Equal([200, 200, 200], (await Task.WhenAll(first, second, third)).Select(reply => reply.Status));
        Assert.Equal(["a1:1", "a1:2", "a1:3", "a1:4", TextOf(LifeB, 1), TextOf(LifeB, 2)], rig.Texts);
        Assert.True(rig.Scheduler.Now < TimeSpan.FromSeconds(1));
        Assert.InRange(rig.Counter("waited"), 2, 3);
    });

    [Fact]
    public void A_request_whose_predecessor_does_not_come_is_refused_after_two_seconds() => Run(async rig =>
    {
        var request = rig.SendAsync(Of(LifeA, At(LifeA, 2), 3));
        Assert.Equal(RemoteIntake.PatienceMax, await rig.TimeOfAsync(request));
        Assert.Equal((409, "after", 1L), ((await request).Status, (await request).Code, rig.Counter("refused_after")));
    });

    [Fact]
    public void Sixteen_wait_and_one_more_is_refused_at_once() => Run(async rig =>
    {
        var waiting = Enumerable.Range(1, RemoteIntake.WaitingMax).Select(n => rig.SendAsync(Of(LifeA, At(LifeA, n), n + 1))).ToArray();
        await rig.SettleAsync();
        var oneMore = rig.SendAsync(Of(LifeA, At(LifeA, 17), 18));
        Assert.Equal(TimeSpan.Zero, await rig.TimeOfAsync(oneMore));
        Assert.Equal(409, (await oneMore).Status);
        // Another sender is not concerned.
        Assert.Equal(200, (await rig.SendAsync(From("other/line", LifeA, None, 1))).Status);
        Assert.Equal(200, (await rig.SendAsync(Of(LifeA, None, 1))).Status);
        Assert.All(await Task.WhenAll(waiting), reply => Assert.Equal(200, reply.Status));
        Assert.Equal(Enumerable.Range(1, 17).Select(n => TextOf(LifeA, n)), rig.Texts.Skip(1));
    });

    [Fact]
    public void Without_room_a_part_is_taken_and_the_rest_asked_for_again() => Run(async rig =>
    {
        rig.Sink.SetRoom(8);
        var first = rig.SendAsync(Of(LifeA, None, 1, 2, 3));
        var second = rig.SendAsync(Of(LifeA, At(LifeA, 3), 4));
        Assert.Equal(RemoteIntake.PatienceMax, await rig.TimeOfAsync(first));
        // Who waits for what found no room is told so: its sender has nothing to look for among the marks.
        Assert.Equal([503, 503], (await Task.WhenAll(first, second)).Select(reply => reply.Status));
        Assert.Equal(RemoteIntake.RetryAfter, (await first).RetryAfter);
        Assert.Equal(["a1:1", "a1:2"], rig.Texts);

        var again = rig.SendAsync(Of(LifeA, None, 1, 2, 3));
        await rig.SettleAsync();
        Assert.Equal(1, rig.Sink.WaitingForRoom);
        rig.Sink.SetRoom(long.MaxValue);
        Assert.Equal([(LifeA, 3L)], MarksOf(await again));
        Assert.Equal(200, (await rig.SendAsync(Of(LifeA, At(LifeA, 3), 4))).Status);
        Assert.Equal(["a1:1", "a1:2", "a1:3", "a1:4"], rig.Texts);
        Assert.Equal((4L, 2L, 2L), (rig.Counter("messages"), rig.Counter("repeated"), rig.Counter("no_room")));
    });

    [Fact]
    public void A_message_that_is_too_long_is_named_and_those_before_it_are_taken() => Run(
        async rig =>
        {
            byte[] Batch() => Write(Sender, LifeA, None, 0, new(1, "short"), new(2, "much too long"), new(3, "x"));
            var reply = await rig.SendAsync(Batch());
            Assert.Equal((413, "too_large", 2L), (reply.Status, reply.Code, reply.Refused));
            Assert.Equal([(LifeA, 1L)], MarksOf(reply));
            Assert.Equal(2, (await rig.SendAsync(Batch())).Refused);
            Assert.Equal(["short"], rig.Texts);
            // Parked by its sender, it leaves a gap.
            Assert.Equal(200, (await rig.SendAsync(Write(Sender, LifeA, At(LifeA, 1), 0, new TestMessage(3, "x")))).Status);
        },
        maxMessageBytes: 5);

    [Fact]
    public void What_is_no_batch_or_too_large_is_refused() => Run(async rig =>
    {
        Assert.Equal(400, (await rig.SendAsync([1, 2, 3])).Status);
        var newer = Of(LifeA, None, 1);
        newer[4] = 2;
        Assert.Equal(415, (await rig.SendAsync(newer)).Status);
        var small = new RemoteIntake(Instance, rig.Scheduler.World.Time) { MaxBatchBytes = 100 };
        using var stop = new CancellationTokenSource();
        var serving = small.ServeAsync(rig.Sink, stop.Token);
        Assert.Equal(413, (await small.TakeBatchAsync(Of(LifeA, None, 1, 2, 3), default)).Status);
        stop.Cancel();
        await serving;
        Assert.Empty(rig.Texts);
    });

    [Fact]
    public void Loops_are_refused() => Run(async rig =>
    {
        byte[] Via(string route) => Write(Sender, LifeA, None, 0, new(1, "own"), new(2, "x", Origin: new(route, 5, 5, 5)));
        var hops = Enumerable.Range(0, 16).Select(i => $"d{i}/c").ToArray();
        foreach (var refused in new[] { Via(Instance), Via($"a/b>{Instance}>c/d"), From(Instance, LifeA, None, 1), Via(string.Join('>', hops)) })
            Assert.Equal((508, "loop"), ((await rig.SendAsync(refused)).Status, (await rig.SendAsync(refused)).Code));
        Assert.Empty(rig.Texts);
        Assert.NotNull(rig.Intake.LastRefusal);
        Assert.Equal(200, (await rig.SendAsync(Via("here/in2>her/e"))).Status);
        var lastHop = new TestMessage(1, "x", Origin: new(string.Join('>', hops[1..]), 5, 5, 5));
        Assert.Equal(200, (await rig.SendAsync(Write("b/c", LifeA, None, 0, lastHop))).Status);
    });

    [Fact]
    public void Where_a_message_came_from_is_kept_and_costs_no_string() => Run(async rig =>
    {
        var origin = new MessageOrigin("a/b>c/d", 77, 5, 1234);
        var own = new TestMessage(41, "own", MessageFlags.Damaged, new(null, 0, 0, 99));
        await rig.SendAsync(Write(Sender, LifeA, None, 44, own, new(42, "1", Origin: origin), new(43, "2", Origin: origin)));
        await rig.SendAsync(Write(Sender, LifeA, At(LifeA, 43), 45, new(44, "3", Origin: origin), new(45, "own")));
        var messages = rig.Sink.Messages;
        Assert.Equal(new MessageOrigin(Sender, LifeA, 41, 99), messages[0].Stamp.Origin);
        Assert.Equal((MessageFlags.Damaged, At(LifeA, 41), 44L), (messages[0].Flags, messages[0].Stamp.Identity, messages[0].Stamp.Claimed));
        Assert.Equal(origin with { Route = $"a/b>c/d>{Sender}" }, messages[1].Stamp.Origin);
        Assert.Same(messages[1].Stamp.Origin.Route, messages[2].Stamp.Origin.Route);
        Assert.Same(messages[1].Stamp.Origin.Route, messages[3].Stamp.Origin.Route);
        Assert.Same(messages[0].Stamp.Origin.Route, messages[4].Stamp.Origin.Route);
        Assert.Equal([(LifeA, 45L, 45L)], (await rig.AskAsync()).Marks.Select(mark => (mark.Life, mark.Sequence, mark.Claimed)));
    });

    [Fact]
    public void As_many_senders_as_can_be_told_apart_and_no_more() => Run(async rig =>
    {
        for (var i = 0; i < 300; i++) Assert.Empty((await rig.AskAsync($"asks-{i}/only")).Marks);
        for (var i = 0; i < RemoteIntake.SendersMax; i++) Assert.Equal(200, (await rig.SendAsync(From($"d{i}/c", LifeA, None, 1))).Status);
        var reply = await rig.SendAsync(From("late/c", LifeA, None, 1));
        Assert.Equal((403, "senders"), (reply.Status, reply.Code));
        Assert.Equal(200, (await rig.AskAsync("late/c")).Status);
        Assert.Equal(400, (await rig.AskAsync("no name")).Status);
        Assert.Equal(200, (await rig.SendAsync(From("d0/c", LifeA, At(LifeA, 1), 2))).Status);
    });

    [Fact]
    public void A_channel_that_stops_answers_everything_under_way() => Run(
        async rig =>
        {
            var secured = rig.SendAsync(Of(LifeA, None, 1));
            await rig.SettleAsync();
            rig.Sink.SetRoom(0);
            var early = rig.SendAsync(Of(LifeA, At(LifeA, 7), 8));
            var noRoom = rig.SendAsync(Of(LifeA, At(LifeA, 1), 2));
            var post = rig.PostAsync("x", "key");
            await rig.SettleAsync();
            Assert.Equal(2, rig.Sink.WaitingForRoom);
            rig.Stop();
            await rig.SettleAsync();
            foreach (var task in new[] { early, noRoom, post, rig.SendAsync(Of(LifeA, At(LifeA, 1), 2)), rig.PostAsync("x", "key"), rig.AskAsync() })
                Assert.Equal((503, "stopping"), ((await task).Status, (await task).Code));
            Assert.False(rig.Serving.IsCompleted || secured.IsCompleted, "What was taken is waited for.");
            rig.Sink.Secure(1);
            Assert.Equal(200, (await secured).Status);
            await rig.Serving;
        },
        securesAtOnce: false);

    [Fact]
    public void A_channel_that_gives_up_acknowledges_nothing() => Run(
        async rig =>
        {
            Task<RemoteReply>[] requests = [rig.SendAsync(Of(LifeA, None, 1)), rig.PostAsync("x", "key"), rig.AskAsync()];
            await rig.SettleAsync();
            rig.Stop();
            rig.Sink.GiveUp();
            Assert.All(await Task.WhenAll(requests), reply => Assert.Equal(503, reply.Status));
            await rig.Serving;
        },
        securesAtOnce: false);

    [Fact]
    public void Before_it_serves_it_refuses() => Run(async rig =>
        Assert.Equal(503, (await new RemoteIntake(Instance, rig.Scheduler.World.Time).TakeBatchAsync(Of(LifeA, None, 1), default)).Status));

    [Fact]
    public void Who_no_longer_waits_holds_up_nobody() => Run(
        async rig =>
        {
            rig.Sink.SetRoom(4);
            using var gone = new CancellationTokenSource();
            Task<RemoteReply>[] left = [rig.SendAsync(Of(LifeA, None, 1, 2), gone.Token), rig.SendAsync(Of(LifeA, At(LifeA, 7), 8), gone.Token)];
            await rig.SettleAsync();
            gone.Cancel();
            foreach (var task in left) await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
            rig.Sink.SetRoom(long.MaxValue);
            var next = rig.SendAsync(Of(LifeA, At(LifeA, 1), 2, 3));
            await rig.SettleAsync();
            Assert.Equal(["a1:1", "a1:2", "a1:3"], rig.Texts);
            rig.Sink.Secure(3);
            Assert.Equal(200, (await next).Status);
        },
        securesAtOnce: false);

    /// <summary>Whatever single batch comes: the plainest receiver that rule 12 allows says the same.</summary>
    [Fact]
    public void Any_batch_in_any_state_is_judged_like_by_the_reference()
    {
        for (var seed = 1; seed <= 40; seed++)
        {
            Run(
                async rig =>
                {
                    var random = new Random(seed);
                    var reference = new ReferenceReceiver();
                    for (var i = 0; i < 60; i++)
                    {
                        var life = random.Next(1, 5);
                        var after = random.Next(4) > 0 ? reference.Head : random.Next(3) == 0 ? None : At(random.Next(1, 5), random.Next(1, 12));
                        var first = (long)random.Next(1, 12);
                        if (random.Next(2) == 0 && reference.Head.Life == life) first = reference.Head.Sequence + random.Next(1, 3);
                        if (after.Life == life && first <= after.Sequence) first = after.Sequence + random.Next(1, 3);
                        var sequences = Enumerable.Range(0, random.Next(1, 4)).Select(n => first + n * random.Next(1, 3) + n).Distinct().Order().ToArray();
                        var (status, code) = reference.Take(life, after, sequences);
                        var reply = await rig.SendAsync(Of(life, after, sequences));
                        Assert.Equal((status, code), (reply.Status, reply.Code));
                        Assert.Equal(reference.Marks, MarksOf(await rig.AskAsync()));
                        Assert.Equal(reference.Taken, rig.Texts);
                    }
                },
                seed: seed);
        }
    }
}
