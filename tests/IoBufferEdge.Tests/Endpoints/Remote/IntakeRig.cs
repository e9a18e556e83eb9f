using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>An intake at work over a sink in memory, in virtual time.</summary>
internal sealed class IntakeRig
{
    public const string Instance = "here/in";

    private readonly CancellationTokenSource _stop = new();

    private IntakeRig(Scheduler scheduler, MemorySink sink, int maxMessageBytes)
    {
        (Scheduler, Sink) = (scheduler, sink);
        Intake = new RemoteIntake(Instance, scheduler.World.Time) { MaxMessageBytes = maxMessageBytes };
        Serving = Intake.ServeAsync(sink, _stop.Token);
    }

    public Scheduler Scheduler { get; }

    public MemorySink Sink { get; }

    public RemoteIntake Intake { get; }

    /// <summary>Ends when the intake has stopped and nothing is under way any more.</summary>
    public Task Serving { get; }

    public IEnumerable<string> Texts => Sink.Messages.Select(message => message.Text);

    /// <summary>Runs a test's body in virtual time, at most two minutes of it.</summary>
    public static void Run(Func<IntakeRig, Task> body, bool securesAtOnce = true, int maxMessageBytes = 1 << 20, int seed = 1)
    {
        var scheduler = new Scheduler(seed);
        scheduler.Run(
            async () =>
            {
                var sink = new MemorySink(scheduler.World.Time) { SecuresAtOnce = securesAtOnce };
                var rig = new IntakeRig(scheduler, sink, maxMessageBytes);
                await body(rig);
                rig.Stop();
                await rig.Serving;
            },
            TimeSpan.FromMinutes(2));
    }

    public void Stop() => _stop.Cancel();

    public Task<RemoteReply> SendAsync(byte[] batch, CancellationToken cancel = default) => Intake.TakeBatchAsync(batch, cancel).AsTask();

    public Task<RemoteReply> PostAsync(string message, string key) => Intake.TakeOneAsync(System.Text.Encoding.Latin1.GetBytes(message), key, default).AsTask();

    public Task<RemoteReply> AskAsync(string sender = TestBatch.Sender) => Intake.MarksOfAsync(sender, default).AsTask();

    /// <summary>Lets everything run that can run without time passing, and a little more.</summary>
    public Task SettleAsync() => Scheduler.World.Delay(TimeSpan.FromMilliseconds(1));

    public async Task<TimeSpan> TimeOfAsync(Task task)
    {
        var began = Scheduler.Now;
        await task;
        return Scheduler.Now - began;
    }

    public long Counter(string name) => Intake.Counters.Single(counter => counter.Key == name).Value;

    public void HoldAll(IEnumerable<(long Life, long Mark)> marks)
    {
        foreach (var (life, mark) in marks)
            Sink.TryAppendRemote([], MessageFlags.None, new() { Sender = TestBatch.Sender, Identity = new(life, mark) }, out _);
    }

    public static IEnumerable<(long Life, long Mark)> MarksOf(RemoteReply reply) => reply.Marks.Select(mark => (mark.Life, mark.Sequence));
}
