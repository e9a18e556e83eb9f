using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Endpoints.Tcp;
using IoBufferEdge.Tests.Support;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>A remote destination in virtual time, between a queue and a receiver that a test plays by hand.</summary>
internal sealed class RemoteRig
{
    public const string Sender = "gateway/scale";
    public const string Receiver = "centre/inbox";
    public const long Life = 0xA;

    private readonly CancellationTokenSource _stop = new();
    private Task<LinkEnd>? _watching;
    private Task _sending = Task.CompletedTask;

    public RemoteRig(Func<DestinationConfig, DestinationConfig>? configure = null, int seed = 1)
    {
        Scheduler = new Scheduler(seed);
        Transport = new HandTransport();
        Queue = new HandQueue();
        Sink = new RemoteSink(Queue);
        var destination = new DestinationConfig
        {
            Type = EndpointType.RemoteIcombuffer, Url = "http://centre:8080", ChannelId = "inbox", Instance = Sender,
        };
        var channel = new ChannelConfig
        {
            Id = "scale", Source = new SourceConfig { Type = EndpointType.Udp }, Destination = configure?.Invoke(destination) ?? destination,
        };
        Log = new LogLines();
        Context = new EndpointContext(null!, new MemoryBudget(8 << 20), Scheduler.World.Time, Scheduler.Derive("product"), Log)
        {
            NewRemote = _ => Transport,
        };
        Destination = new RemoteDestination(channel, Context);
    }

    public Scheduler Scheduler { get; }

    public HandTransport Transport { get; }

    public HandQueue Queue { get; }

    public RemoteSink Sink { get; }

    public LogLines Log { get; }

    public EndpointContext Context { get; }

    public RemoteDestination Destination { get; }

    public IDestinationLink? Link { get; private set; }

    public LinkEnd? End => _watching is { IsCompletedSuccessfully: true } ended ? ended.Result : null;

    public IEnumerable<string> Alerts => Destination.Alerts(Queue).Select(a => a.Key);

    /// <summary>Lets so much time pass, and everything happen that is due by then.</summary>
    public void Pass(double seconds = 0)
    {
        Scheduler.RunUntil(() => false, TimeSpan.FromSeconds(seconds));
        Assert.Null(Scheduler.Violation);
    }

    /// <summary>Connects, and watches the link.</summary>
    public void Connect()
    {
        Scheduler.Run(
            async () =>
            {
                if (Link is null) await Destination.OpenAsync();
                else await Link.DisposeAsync();
                Link = await Destination.ConnectAsync(CancellationToken.None);
                _watching = Link.WatchAsync(Sink, _stop.Token);
            },
            TimeSpan.FromMinutes(1));
        Pass();
    }

    /// <summary>Connects in vain; the sentence why.</summary>
    public string FailToConnect()
    {
        var sentence = "";
        Scheduler.Run(
            async () =>
            {
                await Destination.OpenAsync();
                sentence = (await Assert.ThrowsAsync<EndpointException>(() => Destination.ConnectAsync(CancellationToken.None).AsTask())).Message;
            },
            TimeSpan.FromMinutes(1));
        return sentence;
    }

    /// <summary>Hands a run of equal messages to the link; the task ends when it has taken them.</summary>
    public Task Send(long first, int count = 1, int bytes = 10) => Send(Messages.Numbered(first, count, bytes));

    /// <summary>One after the other, as a channel hands them over.</summary>
    public Task Send(DeliveryRun run)
    {
        var link = Link!;
        var taken = new TaskCompletionSource();
        var before = _sending;
        _sending = taken.Task;
        Scheduler.World.Start(async () =>
        {
            try
            {
                await before;
                await link.SendAsync(run, CancellationToken.None);
                taken.SetResult();
            }
            catch (IOException e)
            {
                taken.SetException(e);
            }
        });
        Pass();
        return taken.Task;
    }

    public void Stop()
    {
        _stop.Cancel();
        Pass();
    }

    /// <summary>The receiver's marks as they would be after its taking all up to here.</summary>
    public void Holds(params LifeMark[] marks) => Transport.Marks = new RemoteReply(200) { Receiver = Receiver, Marks = marks };
}

/// <summary>A queue whose lives are set by hand.</summary>
internal sealed class HandQueue : ISenderQueue
{
    private readonly List<(long Life, long First)> _lives = [(RemoteRig.Life, 1)];

    public long SecuredSequence { get; set; }

    public ReceiverNote Receiver { get; set; } = ReceiverNote.None;

    /// <summary>The route of every message; null: they came in here.</summary>
    public string? Route { get; set; }

    public void AddLife(long life, long first) => _lives.Add((life, first));

    public long LifeOf(long sequence, out long lastOfLife)
    {
        var at = _lives.FindLastIndex(l => l.First <= sequence);
        lastOfLife = at + 1 < _lives.Count ? _lives[at + 1].First - 1 : long.MaxValue;
        return _lives[at].Life;
    }

    public bool Knows(long life) => _lives.Exists(l => l.Life == life);

    public (MessageFlags Flags, MessageOrigin Origin) Describe(in SlabMessage message)
    {
        var sequence = message.Slab.FirstSequence + message.Index;
        return (message.Slab.Flags(message.Index), new MessageOrigin(Route, LifeOf(sequence, out _), sequence, sequence * 1000));
    }

    public void NoteReceiver(ReceiverNote note) => Receiver = note;

    public void BeginLifeAt(long sequence)
    {
        _lives.RemoveAll(l => l.First >= sequence);
        _lives.Add((0xBEEF, sequence));
    }
}

/// <summary>Notes what the link reports, in order.</summary>
internal sealed class RemoteSink(ISenderQueue queue) : IDeliverySink
{
    public long ConfirmedUpTo { get; private set; }

    public List<string> Reports { get; } = [];

    public Action<long>? OnConfirmed { get; set; }

    public ISenderQueue Queue => queue;

    public void Confirmed(long upTo)
    {
        Assert.True(upTo > ConfirmedUpTo, $"{upTo} confirmed after {ConfirmedUpTo}");
        ConfirmedUpTo = upTo;
        Reports.Add($"confirmed {upTo}");
        OnConfirmed?.Invoke(upTo);
    }

    public void Rejected(long sequence, bool permanent, string reason) => Reports.Add($"rejected {sequence} {permanent}: {reason}");

    public void SetAside(long sequence, string reason) => Reports.Add($"aside {sequence}");

    public long WindowBytes(long outstandingBytes, long hiddenBytes) => throw new NotSupportedException();
}

/// <summary>Requests that a test answers; marks are answered at once unless it says otherwise.</summary>
internal sealed class HandTransport : IRemoteTransport
{
    public List<HandRequest> Sent { get; } = [];

    /// <summary>What a question for marks is answered with; null: with nothing.</summary>
    public RemoteReply? Marks { get; set; } = new(200) { Receiver = RemoteRig.Receiver };

    public int Asked { get; private set; }

    /// <summary>The requests that nothing has come of yet.</summary>
    public IEnumerable<HandRequest> Open => Sent.Where(r => !r.IsEnded);

    public async ValueTask<RemoteReply> AskMarksAsync(string sender, CancellationToken cancel)
    {
        Assert.Equal(RemoteRig.Sender, sender);
        Asked++;
        if (Marks is { } marks) return marks;
        var never = new TaskCompletionSource<RemoteReply>();
        await using var given = cancel.UnsafeRegister(static n => ((TaskCompletionSource<RemoteReply>)n!).TrySetCanceled(), never);
        return await never.Task;
    }

    public async ValueTask<RemoteReply> SendAsync(IReadOnlyList<ReadOnlyMemory<byte>> parts, CancellationToken cancel)
    {
        var request = new HandRequest(parts);
        Sent.Add(request);
        await using var given = cancel.UnsafeRegister(static r => ((HandRequest)r!).GiveUp(), request);
        return await request.Answer;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A batch that was sent.</summary>
internal sealed class HandRequest
{
    private readonly TaskCompletionSource<RemoteReply> _answer = new();

    public HandRequest(IReadOnlyList<ReadOnlyMemory<byte>> parts)
    {
        Bytes = [.. parts.SelectMany(p => p.ToArray())];
        Assert.True(RemoteBatch.TryRead(Bytes, out var batch, out var error), error);
        Batch = batch;
    }

    public byte[] Bytes { get; }

    public RemoteBatch Batch { get; }

    public Task<RemoteReply> Answer => _answer.Task;

    public bool IsEnded => _answer.Task.IsCompleted;

    public bool WasGivenUp => _answer.Task.IsCanceled;

    public string Range => $"{Batch.FirstSequence}..{Batch.LastSequence} after {Batch.After}";

    public void Take(string receiver = RemoteRig.Receiver) => Reply(
        new RemoteReply(200) { Receiver = receiver, Marks = [new LifeMark(Batch.Life, Batch.LastSequence, Batch.LastSequence)] });

    public void Refuse(int status, string? error = null, TimeSpan? retryAfter = null, long refused = 0) =>
        Reply(new RemoteReply(status) { Receiver = RemoteRig.Receiver, Error = error, RetryAfter = retryAfter, Refused = refused });

    public void Reply(RemoteReply reply) => _answer.SetResult(reply);

    public void Fail(string sentence) => _answer.SetException(new EndpointException(sentence));

    public void GiveUp() => _answer.TrySetCanceled();
}
