using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>Batches for tests: each message's payload is its text.</summary>
internal static class TestBatch
{
    public const string Sender = "press-1/line";
    public const long LifeA = 0xA1;
    public const long LifeB = unchecked((long)0xF0000000000000B2);

    private static readonly MemoryBudget Memory = new(1 << 20);

    /// <summary>Messages of one life, "L:n" each.</summary>
    public static byte[] Of(long life, MessageIdentity after, params long[] sequences) => From(Sender, life, after, sequences);

    public static byte[] From(string sender, long life, MessageIdentity after, params long[] sequences) =>
        Write(sender, life, after, 0, [.. sequences.Select(sequence => new TestMessage(sequence, TextOf(life, sequence)))]);

    public static byte[] Write(string sender, long life, MessageIdentity after, long claimed, params TestMessage[] messages)
    {
        using var writer = new RemoteBatchWriter(Memory);
        writer.Begin(sender, life, after, claimed);
        foreach (var message in messages)
        {
            var payload = Encoding.Latin1.GetBytes(message.Text);
            Assert.True(writer.TryAdd(message.Sequence, payload.Length, message.Flags, message.Origin));
            writer.AddPayload(payload);
        }

        var length = writer.LengthBytes;
        var bytes = Join(writer.Finish());
        Assert.Equal(length, bytes.Length);
        return bytes;
    }

    public static byte[] Join(IReadOnlyList<ReadOnlyMemory<byte>> parts) => [.. parts.SelectMany(part => part.ToArray())];

    public static string TextOf(long life, long sequence) => $"{life:x}:{sequence}";

    public static MessageIdentity At(long life, long sequence) => new(life, sequence);
}

internal sealed record TestMessage(long Sequence, string Text, MessageFlags Flags = MessageFlags.None, MessageOrigin Origin = default);
