using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Interop;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>A slab made by hand, and runs over it: what the buffer hands to a destination.</summary>
internal static class Messages
{
    public static DeliveryRun Run(long firstSequence, params IReadOnlyList<byte[]> payloads)
    {
        var slab = new Slab(
            new NativeMemoryBlock(Slab.CapacityFor(payloads.Count, payloads.Sum(p => p.Length)) + 1), firstSequence, default);
        foreach (var payload in payloads) slab.Append(payload, MessageFlags.None, 0);
        return new DeliveryRun(slab, 0, payloads.Count);
    }

    /// <summary>Messages of equal length, each filled from its number.</summary>
    public static DeliveryRun Numbered(long firstSequence, int count, int bytes) =>
        Run(firstSequence, [.. Enumerable.Range(0, count).Select(i => Payload(firstSequence + i, bytes))]);

    public static byte[] Payload(long sequence, int bytes)
    {
        var payload = new byte[bytes];
        for (var i = 0; i < bytes; i++) payload[i] = (byte)(sequence * 31 + i);
        return payload;
    }
}

/// <summary>Records what a link reports, and lets a test wait for it.</summary>
internal sealed class RecordingSink : IDeliverySink
{
    private readonly Lock _lock = new();
    private readonly List<(Func<bool> Condition, TaskCompletionSource Done)> _waiters = [];

    public long WindowLimitBytes { get; set; } = 512 * 1024;

    public long ResendBytes { get; set; } = 2 << 20;

    /// <summary>What the link said last may be unread at the peer without its window showing it.</summary>
    public long HiddenLastBytes { get; private set; }

    public long ConfirmedUpTo { get; private set; }

    public int Confirmations { get; private set; }

    /// <summary>What the link said last is unread or unacknowledged at the peer.</summary>
    public long OutstandingLastBytes { get; private set; }

    public List<(long Sequence, bool Permanent, string Reason)> Rejections { get; } = [];

    public void Confirmed(long upTo)
    {
        lock (_lock)
        {
            Assert.True(upTo > ConfirmedUpTo, $"{upTo} confirmed after {ConfirmedUpTo}");
            ConfirmedUpTo = upTo;
            Confirmations++;
        }

        Wake();
    }

    public void Rejected(long sequence, bool permanent, string reason)
    {
        lock (_lock) Rejections.Add((sequence, permanent, reason));
        Wake();
    }

    public void SetAside(long sequence, string reason) => throw new NotSupportedException("No TCP link sets anything aside.");

    public long WindowBytes(long outstandingBytes, long hiddenBytes)
    {
        lock (_lock) (OutstandingLastBytes, HiddenLastBytes) = (outstandingBytes, hiddenBytes);
        return Math.Max(WindowLimitBytes / 4, Math.Min(WindowLimitBytes, ResendBytes - hiddenBytes));
    }

    public ISenderQueue Queue => throw new NotSupportedException("No TCP link asks for it.");

    public Task ConfirmedAsync(long upTo) => When(() => ConfirmedUpTo >= upTo);

    public Task RejectedAsync(int count) => When(() => Rejections.Count >= count);

    private Task When(Func<bool> condition)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock) _waiters.Add((condition, done));
        Wake();
        return done.Task;
    }

    private void Wake()
    {
        lock (_lock)
            foreach (var (condition, done) in _waiters)
                if (condition()) done.TrySetResult();
    }
}

/// <summary>The other side's application: reads what it is told to read.</summary>
internal sealed class Peer(IConnection connection) : IDisposable
{
    public IConnection Connection => connection;

    public async Task<byte[]> ReadAsync(int count)
    {
        var bytes = new byte[count];
        for (var read = 0; read < count;)
        {
            var now = await connection.ReceiveAsync(bytes.AsMemory(read), CancellationToken.None);
            Assert.True(now > 0, $"The sender closed after {read} of {count} bytes.");
            read += now;
        }

        return bytes;
    }

    /// <summary>Reads to the sender's FIN.</summary>
    public async Task<byte[]> ReadToEndAsync()
    {
        var all = new MemoryStream();
        var bytes = new byte[64 * 1024];
        while (await connection.ReceiveAsync(bytes, CancellationToken.None) is > 0 and var count) all.Write(bytes, 0, count);
        return all.ToArray();
    }

    public async Task WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await connection.SendAsync(bytes, CancellationToken.None)..];
    }

    /// <summary>Closes: FIN when everything was read, else RST.</summary>
    public void Dispose() => connection.Dispose();
}
