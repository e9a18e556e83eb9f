using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>What happened in the runs of a model, by name.</summary>
internal sealed class ModelFigures
{
    public SortedDictionary<string, long> Counts { get; } = new(StringComparer.Ordinal);

    public void Count(string name, long times = 1) => Counts[name] = Counts.GetValueOrDefault(name) + times;

    public void Add(ModelFigures other)
    {
        foreach (var (name, count) in other.Counts) Count(name, count);
    }
}

/// <summary>Senders, a bad network and the intake under test, on one seed in virtual time. Faults end after a minute; then all must drain.</summary>
internal sealed class RemoteWorld
{
    public const string Receiver = "here/in";
    private static readonly TimeSpan FaultsEnd = TimeSpan.FromSeconds(60);

    private readonly Scheduler _scheduler;
    private readonly List<ModelSender> _senders;
    private MemorySink _sink;
    private RemoteIntake _intake;
    private CancellationTokenSource _stop = new();
    private Task _serving = Task.CompletedTask;
    private int _receiverLife;

    public RemoteWorld(int seed, int senders)
    {
        _scheduler = new Scheduler(seed);
        Random = _scheduler.Derive("world");
        _sink = new MemorySink(Time) { SecuresAtOnce = false };
        _senders = [.. Enumerable.Range(1, senders).Select(i => new ModelSender(this, $"sender-{i}/out"))];
        _intake = new RemoteIntake(Receiver, Time);
    }

    public Random Random { get; }

    public TimeProvider Time => _scheduler.World.Time;

    public bool HasFaults => _scheduler.Now < FaultsEnd;

    public ModelFigures Figures { get; } = new();

    public Task DelayAsync(int maxMs) => _scheduler.World.Delay(TimeSpan.FromMilliseconds(Random.Next(1, maxMs)));

    public void Begin(Func<Task> work) => _scheduler.World.Start(work);

    public void Violate(string sentence) => _scheduler.Violate(sentence);

    /// <summary>Null: all went well.</summary>
    public string? Run()
    {
        var world = _scheduler.World;
        world.Start(StartIntakeAsync);
        world.Start(SecureAsync);
        world.Start(TroubleReceiverAsync);
        foreach (var sender in _senders)
        {
            world.Start(sender.ProduceAsync);
            world.Start(sender.TroubleAsync);
            sender.Start();
        }

        var drained = _scheduler.RunUntil(() => !HasFaults && _senders.TrueForAll(sender => sender.IsDone), FaultsEnd * 4);
        foreach (var counter in _intake.Counters.Where(c => c.Key is "repeated" or "waited" or "refused_after")) Figures.Count(counter.Key, counter.Value);
        if (_scheduler.Violation is { } violation) return violation;
        if (!drained)
        {
            return $"Not everything is delivered at {_scheduler.Now}: {string.Join("; ", _senders)}; the receiver has secured "
                + $"{_sink.SecuredSequence} of {_sink.Messages.Count}, {_sink.WaitingForRoom} wait for room, {_sink.WaitingForSecured} to be secured; "
                + string.Join(' ', _intake.Counters.Select(counter => $"{counter.Key} {counter.Value}"));
        }

        return _senders.Select(sender => sender.FailureOf(Received(sender, _sink.Messages))).FirstOrDefault(failure => failure is not null);
    }

    /// <summary>Whether the receiver would still have this message after a power cut now.</summary>
    public bool IsDurable(string text) => _sink.Messages.Take((int)_sink.SecuredSequence).Any(message => message.Text == text);

    /// <summary>One request over the network. Null: no answer in time; whether it arrived, or will, is not known.</summary>
    public async Task<RemoteReply?> ExchangeAsync(Func<RemoteIntake, ValueTask<RemoteReply>> request)
    {
        var answer = new TaskCompletionSource<RemoteReply?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var copies = !HasFaults ? 1 : Random.Next(10) switch { 0 => 0, 1 or 2 => 2, _ => 1 };
        Figures.Count(copies switch { 0 => "requests lost", 2 => "requests doubled", _ => "requests" });
        if (copies > 0) _scheduler.World.Start(() => ArriveAsync(request, answer, isLate: false));
        if (copies > 1) _scheduler.World.Start(() => ArriveAsync(request, answer, isLate: true));
        _scheduler.After(TimeSpan.FromSeconds(5), () => answer.TrySetResult(null));
        return await answer.Task;
    }

    private async Task ArriveAsync(Func<RemoteIntake, ValueTask<RemoteReply>> request, TaskCompletionSource<RemoteReply?> answer, bool isLate)
    {
        await DelayAsync(isLate ? 20_000 : Random.Next(8) == 0 ? 4000 : 100);
        var (life, reply) = (_receiverLife, await request(_intake));
        if (life != _receiverLife || HasFaults && Random.Next(10) == 0)
        {
            Figures.Count("answers lost");
            return;
        }

        await DelayAsync(100);
        answer.TrySetResult(reply);
    }

    private async Task SecureAsync()
    {
        while (true)
        {
            await DelayAsync(200);
            if (_sink.Messages.Count is var count && count > _sink.SecuredSequence) _sink.Secure(count);
        }
    }

    private async Task TroubleReceiverAsync()
    {
        while (HasFaults)
        {
            await DelayAsync(10_000);
            switch (Random.Next(3))
            {
                case 0:
                    Figures.Count("no room");
                    _sink.SetRoom(Random.Next(60));
                    await DelayAsync(5000);
                    _sink.SetRoom(long.MaxValue);
                    break;
                case 1:
                    Figures.Count("receiver stopped");
                    _stop.Cancel();
                    await _serving;
                    await DelayAsync(1000);
                    await StartIntakeAsync();
                    break;
                default:
                    Figures.Count("power cut");
                    _receiverLife++;
                    _sink = _sink.AfterPowerCut();
                    await StartIntakeAsync();
                    break;
            }
        }
    }

    private Task StartIntakeAsync()
    {
        _stop = new CancellationTokenSource();
        _intake = new RemoteIntake(Receiver, Time);
        _serving = _intake.ServeAsync(_sink, _stop.Token);
        return Task.CompletedTask;
    }

    private static List<string> Received(ModelSender sender, IReadOnlyList<SinkMessage> messages) =>
        [.. messages.Where(message => message.Stamp.Sender == sender.Name).Select(message => message.Text)];
}
