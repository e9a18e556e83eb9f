using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Tests.Support;
using static IoBufferEdge.Tests.Endpoints.Remote.TestBatch;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>The batch format: what is written is read again, what is damaged is not, and the published test vectors hold.</summary>
public sealed class RemoteBatchTests
{
    private static readonly MessageOrigin Forwarded = new("plant-a/scale>site/all", 77, 5, 1_700_000_000_000_000);

    [Fact]
    public void What_is_written_is_read_again()
    {
        var random = new Random(5);
        var longest = string.Join('>', Enumerable.Range(0, 16).Select(i => $"{new string('d', 64)}/{new string((char)('a' + i), 64)}"));
        string[] routes = ["a/b", "plant-a/scale>site/all", longest];
        using var writer = new RemoteBatchWriter(new MemoryBudget(1 << 20));
        for (var round = 0; round < 200; round++)
        {
            var life = random.NextInt64(1, long.MaxValue);
            var after = random.Next(2) == 0 ? MessageIdentity.None : At(random.Next(2) == 0 ? life : 99, random.Next(1, 10));
            var sequence = 10L;
            var messages = Enumerable.Range(0, random.Next(1, random.Next(2, 3000))).Select(i =>
            {
                var text = new string((char)('a' + i % 26), random.Next(20));
                var origin = random.Next(3) == 0
                    ? new MessageOrigin(null, 0, 0, random.NextInt64())
                    : new MessageOrigin(routes[random.Next(3)], random.NextInt64(), random.NextInt64(), random.NextInt64());
                return new TestMessage(sequence += random.Next(1, 4), text, (MessageFlags)random.Next(8), origin);
            }).ToArray();

            // All payloads in one piece or each in one of its own: the receiver cannot tell.
            writer.Begin(Sender, life, after, 7);
            foreach (var m in messages) Assert.True(writer.TryAdd(m.Sequence, m.Text.Length, m.Flags, m.Origin));
            writer.AddPayload(Encoding.Latin1.GetBytes(string.Concat(messages.Select(m => m.Text))));
            var bytes = Join(writer.Finish());
            Assert.Equal(Write(Sender, life, after, 7, messages), bytes);

            Assert.True(RemoteBatch.TryRead(bytes, out var batch, out var error), error);
            Assert.Equal((life, after, 7L, messages.Length), (batch.Life, batch.After, batch.Claimed, batch.Count));
            Assert.Equal((messages[0].Sequence, messages[^1].Sequence), (batch.FirstSequence, batch.LastSequence));
            Assert.Equal(Sender, Encoding.ASCII.GetString(batch.Sender));
            Assert.Equal(messages, Read(batch));
        }
    }

    [Fact]
    public void A_flipped_bit_anywhere_is_refused_with_a_reason()
    {
        var good = Write(Sender, LifeA, At(LifeA, 3), 9, new(4, "one"), new(9, "", MessageFlags.Damaged), new(10, "three", Origin: Forwarded));
        Assert.True(RemoteBatch.TryRead(good, out _, out var none));
        Assert.Empty(none);
        for (var bit = 0; bit < good.Length * 8; bit++)
        {
            var bad = good.ToArray();
            bad[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(RemoteBatch.TryRead(bad, out _, out var error), $"Bit {bit} may be flipped.");
            Assert.EndsWith(".", error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_truncated_or_prolonged_batch_is_refused_with_a_reason()
    {
        var good = Write(Sender, LifeA, MessageIdentity.None, 0, new(1, "one"), new(2, "two", Origin: Forwarded));
        for (var length = 0; length < good.Length; length++)
        {
            Assert.False(RemoteBatch.TryRead(good.AsMemory(0, length), out _, out var error), $"{length} of {good.Length} bytes are taken for a batch.");
            Assert.EndsWith(".", error, StringComparison.Ordinal);
        }

        Assert.False(RemoteBatch.TryRead((byte[])[.. good, 0], out _, out _));
    }

    [Theory]
    [MemberData(nameof(Vectors))]
    public void The_published_batches_are_read_and_written_as_they_say(string name)
    {
        var vector = Vector("batches", name);
        var bytes = Convert.FromHexString(Text(vector, "hex"));
        var expected = vector.GetProperty("messages").EnumerateArray().Select(m => new TestMessage(
            m.GetProperty("sequence").GetInt64(),
            Encoding.Latin1.GetString(Convert.FromHexString(Text(m, "payload"))),
            (MessageFlags)m.GetProperty("flags").GetInt32(),
            m.TryGetProperty("route", out var route)
                ? new(route.GetString(), Life(m, "first_life"), m.GetProperty("first_sequence").GetInt64(), m.GetProperty("received_us").GetInt64())
                : new(null, 0, 0, m.GetProperty("received_us").GetInt64()))).ToArray();
        var after = vector.GetProperty("after") is { ValueKind: JsonValueKind.Object } a ? At(Life(a, "life"), a.GetProperty("sequence").GetInt64()) : default;
        var (sender, life, claimed) = (Text(vector, "sender"), Life(vector, "life"), vector.GetProperty("claimed").GetInt64());

        Assert.True(RemoteBatch.TryRead(bytes, out var batch, out var error), error);
        Assert.Equal((sender, life, after, claimed), (Encoding.ASCII.GetString(batch.Sender), batch.Life, batch.After, batch.Claimed));
        Assert.Equal(expected, Read(batch));
        Assert.Equal(Text(vector, "hex"), Convert.ToHexStringLower(Write(sender, life, after, claimed, expected)));
    }

    [Theory]
    [MemberData(nameof(NotBatches))]
    public void What_is_published_as_no_batch_is_none(string name)
    {
        var bytes = Convert.FromHexString(Text(Vector("not_batches", name), "hex"));
        Assert.False(RemoteBatch.TryRead(bytes, out _, out var error));
        Assert.NotEmpty(error);
        Assert.Equal(name == "version 2", RemoteBatch.IsNewer(bytes));
        // Each for a reason of its own, not because its checksum is wrong as well.
        var fits = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(bytes.Length - 4)) == BlockFormat.Checksum(bytes.AsSpan(0, bytes.Length - 4));
        Assert.Equal(name is not ("the checksum is of other bytes" or "the last byte is missing"), fits);
    }

    [Fact]
    public void Payloads_are_not_copied_and_messages_cost_no_garbage()
    {
        var payload = new byte[3000];
        using var writer = new RemoteBatchWriter(new MemoryBudget(1 << 20));
        long Garbage(int messages)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            writer.Begin(Sender, LifeA, MessageIdentity.None, 0);
            for (var i = 1; i <= messages; i++) writer.TryAdd(i, 1, MessageFlags.None, Forwarded);
            writer.AddPayload(payload.AsMemory(0, messages));
            var parts = writer.Finish();
            var garbage = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(System.Runtime.InteropServices.MemoryMarshal.TryGetArray(parts[2], out var part) && part.Array == payload);
            return garbage;
        }

        _ = Garbage(3000);
        Assert.InRange(Garbage(3000), 0, 200);
    }

    [Fact]
    public void The_257th_route_does_not_fit_and_nothing_of_it_is_added()
    {
        using var writer = new RemoteBatchWriter(new MemoryBudget(1 << 20));
        writer.Begin(Sender, LifeA, MessageIdentity.None, 0);
        for (var i = 1; i <= RemoteBatch.RoutesMax; i++) Assert.True(writer.TryAdd(i, 0, MessageFlags.None, new($"d{i}/c", 1, 1, 1)));
        Assert.False(writer.TryAdd(300, 5, MessageFlags.None, new("other/c", 1, 1, 1)));
        Assert.True(writer.TryAdd(300, 0, MessageFlags.None, new("d1/c", 1, 1, 1)));
        Assert.True(RemoteBatch.TryRead(Join(writer.Finish()), out var batch, out var error), error);
        Assert.Equal((257, 256), (batch.Count, batch.RouteCount));
    }

    [Fact]
    public void The_writer_refuses_what_no_reader_would_take()
    {
        using var writer = new RemoteBatchWriter(new MemoryBudget(1 << 20));
        Assert.Throws<ArgumentException>(() => writer.Begin("no-channel", LifeA, default, 0));
        writer.Begin(Sender, LifeA, At(LifeA, 5), 0);
        Assert.Throws<InvalidOperationException>(() => writer.Finish());
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.TryAdd(5, 0, MessageFlags.None, default));
        Assert.True(writer.TryAdd(6, 2, MessageFlags.None, default));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.TryAdd(6, 0, MessageFlags.None, default));
        writer.AddPayload(new byte[1]);
        Assert.Throws<InvalidOperationException>(() => writer.Finish());
    }

    [Theory]
    [InlineData("a/b", true)]
    [InlineData("0_-/9", true)]
    [InlineData("a", false)]
    [InlineData("a/", false)]
    [InlineData("/b", false)]
    [InlineData("a/b/c", false)]
    [InlineData("A/b", false)]
    [InlineData("-a/b", false)]
    [InlineData("a/b>", false)]
    [InlineData("a/\u0161", false)]
    public void Names_are_two_ids(string name, bool isName)
    {
        Assert.Equal(isName, RemoteName.IsName(name));
        Assert.Equal(isName, RemoteName.IsName(Encoding.UTF8.GetBytes(name)));
        Assert.False(RemoteName.IsName(name + new string('x', 130)));
    }

    public static TheoryData<string> Vectors => [.. Names("batches")];

    public static TheoryData<string> NotBatches => [.. Names("not_batches")];

    internal static JsonElement Vector(string kind, string name) =>
        Published().GetProperty(kind).EnumerateArray().Single(vector => Text(vector, "name") == name);

    internal static IEnumerable<string> Names(string kind) => Published().GetProperty(kind).EnumerateArray().Select(vector => Text(vector, "name"));

    internal static long Life(JsonElement element, string property) => Convert.ToInt64(Text(element, property), 16);

    internal static string Text(JsonElement element, string property) => element.GetProperty(property).GetString()!;

    private static JsonElement Published() =>
        JsonDocument.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, "src/IoBufferEdge/Endpoints/Remote/vectors.json"))).RootElement;

    private static List<TestMessage> Read(RemoteBatch batch)
    {
        var routes = new List<string>();
        foreach (var route in batch.Routes) routes.Add(Encoding.ASCII.GetString(route));
        var messages = new List<TestMessage>();
        foreach (var message in batch)
        {
            var origin = new MessageOrigin(
                message.Route < 0 ? null : routes[message.Route], message.FirstLife, message.FirstSequence, message.ReceivedUnixUs);
            messages.Add(new TestMessage(message.Sequence, Encoding.Latin1.GetString(message.Payload.Span), message.Flags, origin));
        }

        return messages;
    }
}
