namespace IoBufferEdge.Simulation;

/// <summary>
/// One thread, one seed, virtual time: everything that a scenario does, in the product and around it, is a step of this loop.
///
/// A step is a continuation that somebody posted or a timer that came due. Runnable steps are picked in seeded random order, because
/// a thread pool promises none; steps that share a due time likewise. When nothing is runnable, time jumps to the next timer.
/// The same seed gives the same steps bit for bit: <see cref="Trace.Hash"/> over all events proves it.
/// Limits: a continuation that leaves this thread (thread pool, ConfigureAwait(false)) is reported as a violation and dropped;
/// so is a run whose steps go on without time moving (livelock).
/// </summary>
public sealed class Scheduler
{
    private const int StepsWithoutTimeMax = 2_000_000;

    private readonly int _thread = Environment.CurrentManagedThreadId;
    private readonly Random _random;
    private readonly List<Step> _ready = [];
    private readonly PriorityQueue<Step, (long At, long Tie)> _timers = new();
    private int _stepsAtThisTime;

    public Scheduler(int seed)
    {
        Seed = seed;
        _random = Derive("scheduler");
        World = new SimulatedProcess(this, "world");
    }

    public int Seed { get; }

    /// <summary>Virtual time since the start, in ticks of 100 ns.</summary>
    public long NowTicks { get; private set; }

    public TimeSpan Now => new(NowTicks);

    public long Steps { get; private set; }

    public Trace Trace { get; } = new();

    /// <summary>What is around the product: networks, peers, the hand that pulls the plug. Never killed.</summary>
    public SimulatedProcess World { get; }

    /// <summary>The first thing found wrong, one sentence; the run ends there.</summary>
    public string? Violation { get; private set; }

    /// <summary>Randomness for one purpose: what one part draws changes nothing for the others.</summary>
    public Random Derive(string purpose)
    {
        var hash = Trace.Mix((ulong)Seed * 0x9E3779B97F4A7C15UL, purpose);
        return new Random((int)(hash ^ (hash >> 32)));
    }

    public void Violate(string sentence)
    {
        if (Violation is not null) return;
        Violation = sentence;
        Trace.Add(this, "VIOLATION", sentence);
    }

    /// <summary>Runs <paramref name="action"/> after <paramref name="delay"/> as a step of the world.</summary>
    public void After(TimeSpan delay, Action action) => At(NowTicks + delay.Ticks, action);

    /// <summary>Same at an absolute time; steps of the world at one time run in random order.</summary>
    public void At(long ticks, Action action) =>
        _timers.Enqueue(new Step(World, static state => ((Action)state!)(), action, null, 0), (Math.Max(ticks, NowTicks), _random.Next()));

    /// <summary>Runs until <paramref name="done"/>, a violation, the end of all work, or <paramref name="limit"/> of virtual time from now.</summary>
    /// <returns>True when <paramref name="done"/> was reached.</returns>
    public bool RunUntil(Func<bool> done, TimeSpan limit)
    {
        var end = NowTicks + limit.Ticks;
        var before = SynchronizationContext.Current;
        try
        {
            while (Violation is null)
            {
                if (done()) return true;
                if (!Advance(end)) return false;
            }

            return false;
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    /// <summary>Runs <paramref name="main"/> in the world to its end, at most <paramref name="limit"/> of virtual time.</summary>
    /// <exception cref="InvalidOperationException">It failed, found something wrong, or did not end.</exception>
    public void Run(Func<Task> main, TimeSpan limit)
    {
        var ended = false;
        World.Start(async () =>
        {
            await main();
            ended = true;
        });
        if (!RunUntil(() => ended, limit)) throw new InvalidOperationException(Violation ?? $"Not at its end after {limit} of virtual time.");
    }

    internal void Post(SimulatedProcess process, SendOrPostCallback callback, object? state)
    {
        if (Environment.CurrentManagedThreadId != _thread)
        {
            Violation ??= $"A continuation of {process.Name} left the simulation's thread: {Environment.StackTrace}";
            return;
        }

        if (process.Alive) _ready.Add(new Step(process, callback, state, null, 0));
    }

    internal void Arm(VirtualTimer timer, long atTicks, int version) =>
        _timers.Enqueue(new Step(timer.Process, VirtualTimer.Fire, timer, timer, version), (Math.Max(atTicks, NowTicks), _random.Next()));

    /// <summary>One step; false when nothing is left to do before <paramref name="endTicks"/>.</summary>
    private bool Advance(long endTicks)
    {
        if (_ready.Count == 0 && !CollectDue(endTicks)) return false;
        var pick = _ready.Count == 1 ? 0 : _random.Next(_ready.Count);
        var step = _ready[pick];
        _ready[pick] = _ready[^1];
        _ready.RemoveAt(_ready.Count - 1);
        if (!step.Runnable) return true;

        Steps++;
        if (++_stepsAtThisTime > StepsWithoutTimeMax) Violate($"Livelock: {StepsWithoutTimeMax} steps at {Now} and time does not move.");
        SynchronizationContext.SetSynchronizationContext(step.Process);
        step.Callback(step.State);
        return true;
    }

    /// <summary>Moves time to the next timer and makes everything due then runnable.</summary>
    private bool CollectDue(long endTicks)
    {
        while (_timers.TryPeek(out var due, out var order))
        {
            if (_ready.Count > 0 && order.At > NowTicks) return true;
            if (order.At > endTicks)
            {
                NowTicks = endTicks;
                return false;
            }

            _timers.Dequeue();
            if (!due.Runnable) continue;
            if (order.At > NowTicks) _stepsAtThisTime = 0;
            NowTicks = order.At;
            _ready.Add(due);
        }

        return _ready.Count > 0;
    }

    private readonly record struct Step(SimulatedProcess Process, SendOrPostCallback Callback, object? State, VirtualTimer? Timer, int Version)
    {
        /// <summary>False once its process is dead or its timer was changed meanwhile.</summary>
        public bool Runnable => Process.Alive && (Timer is null || Timer.IsArmed(Version));
    }
}

/// <summary>
/// One operating system process: the context that its continuations return to, and its clock. <see cref="Kill"/> is kill -9: none
/// of its continuations and timers ever runs again, and nobody is told.
/// </summary>
public sealed class SimulatedProcess : SynchronizationContext
{
    public SimulatedProcess(Scheduler scheduler, string name)
    {
        Scheduler = scheduler;
        Name = name;
        Time = new VirtualTime(this);
    }

    public Scheduler Scheduler { get; }

    public string Name { get; }

    public VirtualTime Time { get; }

    public bool Alive { get; private set; } = true;

    public void Kill() => Alive = false;

    /// <summary>Told before every operation on the medium and the network; may kill the process.</summary>
    public Action? Operation { get; set; }

    /// <summary>
    /// An operation begins. Where the process dies right here, what called never goes on: the task does not complete.
    /// </summary>
    public ValueTask OperateAsync()
    {
        if (Operation is null) return default;
        Operation();
        return Alive ? default : new ValueTask(new TaskCompletionSource().Task);
    }

    /// <summary>The same where nothing can be awaited: the caller's code goes on in a dead process, and reaches nothing any more.</summary>
    public void Operate() => Operation?.Invoke();

    /// <summary>Starts <paramref name="main"/> as a step of this process. An exception that leaves it is a violation.</summary>
    public void Start(Func<Task> main) => Post(
        static async state =>
        {
            var (process, main) = ((SimulatedProcess, Func<Task>))state!;
            try
            {
                await main();
            }
            catch (Exception e)
            {
                if (process.Alive) process.Scheduler.Violate($"{process.Name} ended with {e}");
            }
        },
        (this, main));

    public Task Delay(TimeSpan delay) => Task.Delay(delay, Time);

    public override void Post(SendOrPostCallback d, object? state) => Scheduler.Post(this, d, state);

    public override void Send(SendOrPostCallback d, object? state) => d(state);

    public override SynchronizationContext CreateCopy() => this;
}

/// <summary>The clock of one process. All clocks show the same running time; the wall clock may be set wrong on purpose.</summary>
public sealed class VirtualTime(SimulatedProcess process) : TimeProvider
{
    private static readonly DateTimeOffset Epoch = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>How far this process's wall clock is off.</summary>
    public TimeSpan WallClockError { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override long GetTimestamp() => process.Scheduler.NowTicks;

    public override DateTimeOffset GetUtcNow() => Epoch + process.Scheduler.Now + WallClockError;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new VirtualTimer(process, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }
}

/// <summary>A timer in virtual time. Changing it leaves the old entry in the queue, told apart by its version.</summary>
internal sealed class VirtualTimer(SimulatedProcess process, TimerCallback callback, object? state) : ITimer
{
    private int _version;
    private long _periodTicks;
    private bool _armed;

    public SimulatedProcess Process => process;

    public static void Fire(object? state)
    {
        var timer = (VirtualTimer)state!;
        timer._armed = timer._periodTicks > 0;
        if (timer._armed) Arm(timer, timer._periodTicks);
        timer.Run();
    }

    public bool IsArmed(int version) => _armed && _version == version;

    public bool Change(TimeSpan dueTime, TimeSpan period)
    {
        _version++;
        _armed = dueTime != Timeout.InfiniteTimeSpan;
        _periodTicks = period == Timeout.InfiniteTimeSpan ? 0 : period.Ticks;
        if (_armed) Arm(this, dueTime.Ticks);
        return true;
    }

    public void Dispose()
    {
        _version++;
        _armed = false;
    }

    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }

    private static void Arm(VirtualTimer timer, long delayTicks) =>
        timer.Process.Scheduler.Arm(timer, timer.Process.Scheduler.NowTicks + delayTicks, timer._version);

    private void Run() => callback(state);
}

internal static class Waiting
{
    /// <summary>
    /// Waits for the source's end or the token's. <c>Task.WaitAsync</c> will not do: it and <c>WhenAny</c> finish on the thread pool when
    /// what they wait for runs its continuations asynchronously.
    /// </summary>
    public static async Task EndOrAsync(this TaskCompletionSource source, CancellationToken cancel)
    {
        await using var cancelled = cancel.UnsafeRegister(static (s, token) => ((TaskCompletionSource)s!).TrySetCanceled(token), source);
        await source.Task;
    }
}
