using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Simulation;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>A queue on the simulated disk in virtual time, driven by hand: what a source, a link and the power switch would do.</summary>
internal sealed class BufferRig
{
    private readonly QueueSettings _settings;
    private readonly long _memoryBytes;
    private SimulatedProcess _process;
    private int _life;

    public BufferRig(QueueSettings? settings = null, long memoryBytes = 4 << 20, int seed = 1)
    {
        _settings = settings ?? new QueueSettings();
        _memoryBytes = memoryBytes;
        Scheduler = new Scheduler(seed);
        Disk = new SimulatedDisk(Scheduler);
        _process = Scheduler.World;
        Start();
    }

    public Scheduler Scheduler { get; }

    public SimulatedDisk Disk { get; }

    public TimeProvider Time => _process.Time;

    public ChannelBuffer Buffer { get; private set; } = null!;

    public IBufferStore Store { get; private set; } = null!;

    public Committer Committer { get; private set; } = null!;

    public List<SequenceRange> Lost { get; } = [];

    /// <summary>What the store says of the queue at a start, changed.</summary>
    public Func<QueueOpening, QueueOpening> Opening { get; set; } = opening => opening;

    /// <summary>Kills the process, with or without the power, and starts the next life.</summary>
    public void Crash(bool power = false)
    {
        _process.Kill();
        if (power) Disk.PowerCut();
        Start();
    }

    public void Start()
    {
        _process = new SimulatedProcess(Scheduler, $"life{++_life}");
        Do(async () =>
        {
            var store = new SimulatedStore(Disk, _process);
            Store = store;
            var opening = await store.OpenAsync();
            var clock = new RunningClock(_process.Time, opening.RunningUs);
            Committer = new Committer(store, clock, _life, 50, 1L << 40, _process.Time, NullLogger.Instance);
            var queue = opening.Queues.Count > 0 ? Opening(opening.Queues[0]) : null;
            Buffer = new ChannelBuffer(
                queue ?? new QueueOpening { Id = "q", Number = 1 }, queue is null, _life, _settings, store, Committer,
                new MemoryBudget(_memoryBytes).OpenAccount(), clock, _process.Time);
            Buffer.OnLoss(Lost.Add);
            Committer.Start();
        });
    }

    /// <summary>Begins something in the process; a crash ends it.</summary>
    public void Begin(Func<Task> work) => _process.Start(work);

    /// <summary>Appends messages, has them refused one by one, and waits until all are parked for sure.</summary>
    public void Park(int from, int count, int bytes = 20)
    {
        AppendAll(from, count, bytes);
        Elapse(500);
        for (var i = 0; i < count; i++)
        {
            Buffer.BeginLink(1);
            Deliver(confirm: false, patienceMs: 1);
            Buffer.Park(Read(0, 0, 1).Messages[0].Sequence);
            Elapse(50);
        }

        Buffer.EndLink(new LinkEnd(true, "closed"));
        Elapse(500);
    }

    /// <summary>Runs something in the process to its end.</summary>
    public void Do(Func<Task> work)
    {
        var ended = false;
        _process.Start(async () =>
        {
            await work();
            ended = true;
        });
        if (!Scheduler.RunUntil(() => ended, TimeSpan.FromSeconds(60))) throw new InvalidOperationException(Scheduler.Violation ?? "It did not end.");
    }

    public void Elapse(double ms)
    {
        var passed = false;
        Scheduler.After(TimeSpan.FromMilliseconds(ms), () => passed = true);
        Scheduler.RunUntil(() => passed, TimeSpan.FromMilliseconds(ms));
        if (Scheduler.Violation is { } violation) throw new InvalidOperationException(violation);
    }

    /// <summary>Appends messages "from", "from + 1" … of so many bytes; how many were taken before one was refused.</summary>
    public int Append(int from, int count, int bytes = 20)
    {
        var taken = 0;
        while (taken < count && Buffer.TryAppend(Payload(from + taken, bytes), MessageFlags.None, out _)) taken++;
        Buffer.Publish();
        return taken;
    }

    /// <summary>Appends them all, waiting for room.</summary>
    public void AppendAll(int from, int count, int bytes = 20) => Do(async () =>
    {
        for (var i = from; i < from + count; i++)
        {
            while (!Buffer.TryAppend(Payload(i, bytes), MessageFlags.None, out _)) await Buffer.WaitForRoomAsync(bytes, default);
            Buffer.Publish();
        }
    });

    /// <summary>A page of what waits.</summary>
    public QueuePage Read(long from, int offset, int count)
    {
        QueuePage? page = null;
        Do(async () => page = await QueueReader.ReadAsync(Store, Buffer, from, offset, count));
        return page!;
    }

    /// <summary>Takes what can be delivered within so much time, confirming each run or not; the messages' numbers as appended.</summary>
    public List<int> Deliver(bool confirm = true, double patienceMs = 100)
    {
        var delivered = new List<int>();
        while (true)
        {
            DeliveryRun? taken = null;
            var ended = false;
            _process.Start(async () =>
            {
                var run = await Buffer.TakeRunAsync();
                if (run.Count > 0) taken = run;
                ended = true;
            });
            if (!Scheduler.RunUntil(() => ended, TimeSpan.FromMilliseconds(patienceMs)))
            {
                Buffer.StopTaking();
                Scheduler.RunUntil(() => ended, TimeSpan.FromSeconds(1));
                return delivered;
            }

            if (taken is not { } got) return delivered;
            for (var i = 0; i < got.Count; i++) delivered.Add(Number(got.Message(i).Span));
            if (confirm) Buffer.Confirm(got.LastSequence);
        }
    }

    public static byte[] Payload(int number, int bytes) => Encoding.ASCII.GetBytes($"{number}:".PadRight(bytes, '.'));

    private static int Number(ReadOnlySpan<byte> payload) => int.Parse(Encoding.ASCII.GetString(payload[..payload.IndexOf((byte)':')]));
}
