using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Simulation.Chain;

/// <summary>How badly the way between two instances behaves; changed while it runs.</summary>
public sealed class RemoteWeather
{
    public double RequestLoss { get; set; }

    public double AnswerLoss { get; set; }

    /// <summary>The share of requests that arrive once more, up to a minute later: after lives, wipes and restores.</summary>
    public double Duplicates { get; set; }

    /// <summary>The share of requests that arrive cut off, or with a byte changed.</summary>
    public double Damage { get; set; }

    public int LatencyMaxMs { get; set; } = 3;

    public bool Cut { get; set; }
}

/// <summary>
/// The twin of the HTTP way between two instances: each request and each answer goes its own way, so they overtake each other, get lost,
/// arrive twice or damaged, and the process at either end dies in between. The receiver's code is the real one, found in its process's hub.
/// </summary>
public sealed class SimulatedRemote(
    Scheduler scheduler, Random random, RemoteWeather weather, SimulatedProcess process, Func<(SimulatedProcess Process, RemoteHub Hub)?> receiver)
    : IRemoteTransport
{
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(30);
    private const string Channel = "c";
    private bool _disposed;

    public ValueTask<RemoteReply> AskMarksAsync(string sender, CancellationToken cancel) =>
        SendAsync(intake => intake.MarksOfAsync(sender, default), null, cancel);

    public ValueTask<RemoteReply> SendAsync(IReadOnlyList<ReadOnlyMemory<byte>> parts, CancellationToken cancel)
    {
        var bytes = parts.SelectMany(part => part.ToArray()).ToArray();
        if (random.NextDouble() < weather.Duplicates)
            scheduler.After(TimeSpan.FromMilliseconds(random.Next(60_000)), () => Arrive(intake => intake.TakeBatchAsync(bytes, default), Over()));
        var sent = random.NextDouble() < weather.Damage ? Damaged(bytes) : bytes;
        return SendAsync(intake => intake.TakeBatchAsync(sent, default), bytes, cancel);
    }

    public ValueTask DisposeAsync()
    {
        _disposed = true;
        return default;
    }

    private async ValueTask<RemoteReply> SendAsync(Func<RemoteIntake, ValueTask<RemoteReply>> ask, byte[]? batch, CancellationToken cancel)
    {
        await process.OperateAsync();
        if (_disposed) throw new ObjectDisposedException(nameof(SimulatedRemote));
        scheduler.Trace.Add(scheduler, "remote.request", process.Name, batch?.Length ?? 0);
        var call = new Call();
        if (!weather.Cut && random.NextDouble() >= weather.RequestLoss) scheduler.After(Latency(), () => Arrive(ask, call));
        scheduler.After(RequestTimeout, () => call.End(null));
        await call.Ended.EndOrAsync(cancel);
        var reply = call.Reply;
        scheduler.Trace.Add(scheduler, "remote.answer", process.Name, reply?.Status ?? 0, reply?.Marks.Count > 0 ? reply.Marks[^1].Sequence : 0);
        return reply ?? throw new EndpointException("The simulated receiver did not answer.");
    }

    /// <summary>The request is there. A dead receiver refuses the connection; one that dies before its answer is out resets it.</summary>
    private void Arrive(Func<RemoteIntake, ValueTask<RemoteReply>> ask, Call call)
    {
        if (weather.Cut) return;
        if (receiver() is not { } there || !there.Process.Alive)
        {
            scheduler.After(Latency(), () => call.End(null));
            return;
        }

        if (random.Next(5) > 0) WatchForDeath(there.Process, call);
        there.Process.Start(async () =>
        {
            await there.Process.OperateAsync();
            var reply = there.Hub.Find(Channel) is { } intake ? await ask(intake) : new RemoteReply(404) { Error = "There is no such channel." };
            await there.Process.OperateAsync();
            scheduler.World.Post(_ => Return(reply, call), null);
        });
    }

    /// <summary>A process that is killed resets its connections; one time in five nobody hears of it, as when its machine loses power.</summary>
    private void WatchForDeath(SimulatedProcess dying, Call call)
    {
        if (!dying.Alive) call.End(null);
        else if (!call.IsOver) scheduler.After(TimeSpan.FromMilliseconds(50), () => WatchForDeath(dying, call));
    }

    private void Return(RemoteReply reply, Call call)
    {
        if (weather.Cut) return;
        if (random.NextDouble() < weather.AnswerLoss) scheduler.After(TimeSpan.FromMilliseconds(random.Next(200)), () => call.End(null));
        else scheduler.After(Latency(), () => call.End(reply));
    }

    /// <summary>Nobody waits for this one's answer.</summary>
    private static Call Over()
    {
        var call = new Call();
        call.End(null);
        return call;
    }

    private TimeSpan Latency() => TimeSpan.FromMilliseconds(random.NextDouble() * weather.LatencyMaxMs);

    private byte[] Damaged(byte[] bytes)
    {
        if (random.Next(2) == 0) return bytes[..random.Next(bytes.Length)];
        byte[] changed = [.. bytes];
        changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
        return changed;
    }

    /// <summary>A request under way: what comes first, its answer or the news that there will be none, ends it.</summary>
    private sealed class Call
    {
        public TaskCompletionSource Ended { get; } = new();

        public RemoteReply? Reply { get; private set; }

        public bool IsOver => Ended.Task.IsCompleted;

        public void End(RemoteReply? reply)
        {
            if (!IsOver) Reply = reply;
            Ended.TrySetResult();
        }
    }
}
