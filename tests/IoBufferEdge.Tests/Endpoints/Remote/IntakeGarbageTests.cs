using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>A batch costs some garbage, a message none: the heap is small, and messages come by the thousand.</summary>
public sealed class IntakeGarbageTests
{
    [Fact]
    public async Task A_batch_of_many_messages_costs_what_one_of_few_does()
    {
        var intake = new RemoteIntake("here/in", new FakeTimeProvider());
        var sink = new CountingSink();
        using var stop = new CancellationTokenSource();
        var serving = intake.ServeAsync(sink, stop.Token);
        var last = 0L;
        long GarbageOf(int messages)
        {
            var first = last;
            last += messages;
            var batch = TestBatch.Write(TestBatch.Sender, TestBatch.LifeA, first == 0 ? default : new(TestBatch.LifeA, first), 0,
                [.. Enumerable.Range(1, messages).Select(i => new TestMessage(first + i, "x", Origin: i % 2 == 0 ? new($"a{i % 8}/b", 1, 1, 1) : default))]);
            var before = GC.GetAllocatedBytesForCurrentThread();
            var reply = intake.TakeBatchAsync(batch, default);
            var garbage = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(reply.IsCompletedSuccessfully);
            Assert.Equal(200, reply.Result.Status);
            return garbage;
        }

        _ = (GarbageOf(10), GarbageOf(2000));
        var few = GarbageOf(10);
        Assert.InRange(GarbageOf(2000), 0, few + 1000);
        Assert.Equal(4020, sink.Count);
        stop.Cancel();
        await serving;
    }

    /// <summary>Takes everything at once and keeps nothing but the newest mark.</summary>
    private sealed class CountingSink : IMessageSink
    {
        private LifeMark _mark;

        public int Count { get; private set; }

        public long SecuredSequence => Count;

        public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence) => throw new NotSupportedException();

        public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence)
        {
            _mark = new LifeMark(stamp.Identity.Life, stamp.Identity.Sequence, stamp.Identity.Sequence);
            sequence = ++Count;
            return true;
        }

        public HeldMarks HeldFrom(string sender) => Count == 0 ? HeldMarks.None : new HeldMarks([_mark], Count);

        public long? FindKey(UInt128 key) => null;

        public void Publish()
        {
        }

        public ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel) => default;

        public ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel) => default;
    }
}
