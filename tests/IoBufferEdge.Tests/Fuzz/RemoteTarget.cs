using System.Buffers.Binary;
using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// A batch as it comes over the network, and with a checksum that fits (the harness puts one in). What is read stays inside of its bytes and,
/// written again, is the same; the intake answers every batch with a status that it may have, takes its messages once and in order, and says
/// to a repeated one that it is known.
/// </summary>
internal sealed class RemoteTarget : FuzzTarget
{
    private const int MaxMessageBytes = 512;
    private const string Instance = "here/in";

    private readonly MemoryBudget _memory = new(4 << 20);

    public override string Name => "remote-batch";

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        "IOBM\x01\0"u8.ToArray(), "here/in"u8.ToArray(), ">a/b"u8.ToArray(), "a/b>"u8.ToArray(), "\x03\0a/b"u8.ToArray(), [1, 0, 0, 0, 0, 0, 0, 0], new byte[8],
        new byte[40], [255, 255, 255, 127], [255, 255, 255, 15], [0, 0, 0, 16], [1, 0],
    ];

    public override void Judge(byte[] input, Behaviours seen)
    {
        JudgeBatch(input, seen);
        if (input.Length < RemoteBatch.TrailerBytes) return;
        var sealedInput = input.ToArray();
        BinaryPrimitives.WriteUInt32LittleEndian(sealedInput.AsSpan(^4..), BlockFormat.Checksum(sealedInput.AsSpan(..^4)));
        JudgeBatch(sealedInput, seen);
    }

    /// <summary>Half of the changes keep a batch a batch: those to its bytes alone rarely reach beyond the reader.</summary>
    public override byte[] Mutate(byte[] input, byte[] other, Random random)
    {
        return random.Next(2) == 0 && RemoteBatch.TryRead(input, out var batch, out _) ? Rewrite(batch, random) : base.Mutate(input, other, random);
    }

    /// <summary>The batch with a few fields changed and messages left out, doubled or made longer.</summary>
    private byte[] Rewrite(RemoteBatch batch, Random random)
    {
        var routes = RoutesOf(batch);
        using var writer = new RemoteBatchWriter(_memory);
        var life = random.Next(8) == 0 ? random.NextInt64(1, 4) : batch.Life;
        var after = random.Next(8) switch
        {
            0 => MessageIdentity.None,
            1 => new MessageIdentity(random.NextInt64(1, 4), random.Next(1, 20)),
            _ => batch.After.Life == batch.Life ? batch.After with { Life = life } : batch.After,
        };
        writer.Begin(random.Next(20) == 0 ? Instance : Encoding.ASCII.GetString(batch.Sender), life, after, random.Next(50));
        var last = after.Life == life ? after.Sequence : 0;
        foreach (var message in batch)
        {
            for (var copies = random.Next(10) switch { 0 => 0, 1 => 2, _ => 1 }; copies > 0 && writer.Count < 100; copies--)
            {
                last = Math.Max(last + 1, random.Next(4) == 0 ? last + random.Next(1, 100) : message.Sequence);
                var route = random.Next(6) switch { 0 => null, 1 => $"d{random.Next(4)}/c>x/y", _ when message.Route >= 0 => routes[message.Route], _ => null };
                var payload = random.Next(12) == 0 ? new byte[random.Next(MaxMessageBytes + 20)] : message.Payload;
                var origin = new MessageOrigin(route, message.FirstLife, message.FirstSequence, message.ReceivedUnixUs);
                if (!writer.TryAdd(last, payload.Length, (MessageFlags)random.Next(8), origin)) break;
                writer.AddPayload(payload);
            }

            if (last > long.MaxValue / 2) break;
        }

        return writer.Count == 0 ? [] : [.. writer.Finish().SelectMany(part => part.ToArray())];
    }

    private static List<string> RoutesOf(RemoteBatch batch)
    {
        var routes = new List<string>();
        foreach (var route in batch.Routes) routes.Add(Encoding.ASCII.GetString(route));
        return routes;
    }

    private void JudgeBatch(byte[] bytes, Behaviours seen)
    {
        var isBatch = RemoteBatch.TryRead(bytes, out var batch, out var error);
        Assert.Equal(isBatch, error.Length == 0);
        // The sentence without its numbers: which of the reasons it was.
        seen.Saw(isBatch, string.Concat(error.Where(c => !char.IsAsciiDigit(c))), 0);
        var replies = new List<RemoteReply>();
        var sink = Offer(bytes, isBatch ? batch.After : MessageIdentity.None, replies);
        if (!isBatch)
        {
            Assert.All(replies, reply => Assert.True(reply.Status is 400 or 415, $"Status {reply.Status} for: {error}"));
            Assert.Empty(sink.Messages);
            return;
        }

        JudgeWrittenAgain(batch);
        JudgeTaken(batch, sink, replies, seen);
    }

    /// <summary>To a queue that holds what the batch follows: twice.</summary>
    private static MemorySink Offer(byte[] bytes, MessageIdentity held, List<RemoteReply> replies)
    {
        var scheduler = new Scheduler(1);
        var sink = new MemorySink(scheduler.World.Time);
        scheduler.Run(
            async () =>
            {
                if (!held.IsNone && RemoteBatch.TryRead(bytes, out var batch, out _))
                    sink.TryAppendRemote([], MessageFlags.None, new() { Sender = Encoding.ASCII.GetString(batch.Sender), Identity = held }, out _);
                var intake = new RemoteIntake(Instance, scheduler.World.Time) { MaxMessageBytes = MaxMessageBytes };
                using var stop = new CancellationTokenSource();
                var serving = intake.ServeAsync(sink, stop.Token);
                for (var i = 0; i < 2; i++) replies.Add(await intake.TakeBatchAsync(bytes, default));
                stop.Cancel();
                await serving;
            },
            TimeSpan.FromMinutes(1));
        return sink;
    }

    private static void JudgeTaken(RemoteBatch batch, MemorySink sink, List<RemoteReply> replies, Behaviours seen)
    {
        var (first, again) = (replies[0], replies[1]);
        seen.Saw(first.Status, Math.Min(batch.Count, 9), batch.RouteCount > 0);
        Assert.Equal((first.Status, first.Code, first.Refused), (again.Status, again.Code, again.Refused));
        Assert.True(first.Status is 200 or 413 or 508, $"Status {first.Status}: {first.Error}");
        var taken = sink.Messages.Where(message => message.Stamp.Identity != batch.After).ToList();
        var next = 0;
        foreach (var message in batch)
        {
            if (first.Status == 508 || next == taken.Count) break;
            Assert.Equal((batch.Life, message.Sequence), (taken[next].Stamp.Identity.Life, taken[next].Stamp.Identity.Sequence));
            Assert.Equal(message.Flags, taken[next].Flags);
            Assert.True(message.Payload.Span.SequenceEqual(taken[next].Payload));
            next++;
        }

        Assert.Equal(next, taken.Count);
        if (first.Status == 200) Assert.Equal((batch.Count, batch.LastSequence), (next, first.Marks.Single().Sequence));
        if (first.Status == 508) Assert.Empty(taken);
    }

    private void JudgeWrittenAgain(RemoteBatch batch)
    {
        var routes = RoutesOf(batch);
        using var writer = new RemoteBatchWriter(_memory);
        writer.Begin(Encoding.ASCII.GetString(batch.Sender), batch.Life, batch.After, batch.Claimed);
        foreach (var message in batch)
        {
            var origin = new MessageOrigin(
                message.Route < 0 ? null : routes[message.Route], message.FirstLife, message.FirstSequence, message.ReceivedUnixUs);
            Assert.True(writer.TryAdd(message.Sequence, message.Payload.Length, message.Flags, origin));
            writer.AddPayload(message.Payload);
        }

        var written = writer.Finish().SelectMany(part => part.ToArray()).ToArray();
        Assert.True(RemoteBatch.TryRead(written, out var again, out var error), error);
        var messages = again.GetEnumerator();
        foreach (var message in batch)
        {
            Assert.True(messages.MoveNext());
            var other = messages.Current;
            Assert.Equal((message.Sequence, message.ReceivedUnixUs, message.Flags), (other.Sequence, other.ReceivedUnixUs, other.Flags));
            Assert.True(message.Payload.Span.SequenceEqual(other.Payload.Span));
        }

        Assert.False(messages.MoveNext());
    }
}
