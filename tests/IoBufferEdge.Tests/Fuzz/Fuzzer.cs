using System.Diagnostics;
using System.Globalization;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>An input that broke something, cut down as far as it went.</summary>
internal sealed record FuzzFailure(byte[] Input, string Reason);

/// <summary>What came of fuzzing a target.</summary>
internal sealed record FuzzResult(long Executions, int Behaviours, TimeSpan Time, FuzzFailure? Failure)
{
    /// <summary>What the process holds more than before, apart from the inputs that are kept: a leak, where nothing else runs in it.</summary>
    public long GrownBytes { get; init; }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Executions:N0} inputs in {Time.TotalSeconds:0.0} s ({Executions / Time.TotalSeconds:N0} a second), {Behaviours} behaviours, "
        + $"{GrownBytes / 1e6:0.0} MB more held than before");
}

/// <summary>
/// A seeded mutation fuzzer: judges every input of the corpus, then random changes to them, and keeps what made the parser do something
/// new, to change it further. One seed gives the same inputs on every machine; how many of them, the time decides. An input that takes
/// longer than <see cref="InputTimeMax"/>, or allocates more than its target allows, has failed as well.
/// Limits: without instrumented code, "new" is what a target says of its parser's answers, not which branches it took.
/// </summary>
internal sealed class Fuzzer(FuzzTarget target, IReadOnlyList<byte[]> corpus, int seed, Action<string> log)
{
    public static readonly TimeSpan InputTimeMax = TimeSpan.FromSeconds(20);

    private const int PoolMax = 2000;
    private const int ExecutionsMin = 200;
    private static readonly TimeSpan ProgressEvery = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ShrinkTimeMax = TimeSpan.FromSeconds(10);

    private readonly Random _random = new(seed);
    private readonly Behaviours _seen = new();
    private readonly List<byte[]> _pool = [.. corpus];
    private readonly Stopwatch _clock = new();
    private volatile byte[] _present = [];
    private long _presentSince;
    private long _executions;
    private volatile FuzzFailure? _failure;

    /// <summary>Returns when the time is over or an input has failed.</summary>
    /// <param name="time">Zero: the corpus alone.</param>
    public FuzzResult Run(TimeSpan time)
    {
        var before = HeldBytes();
        _clock.Start();
        var thread = new Thread(() => RunInputs(time)) { IsBackground = true, Name = $"fuzz {target.Name}" };
        thread.Start();
        var nextProgress = ProgressEvery;
        while (!thread.Join(TimeSpan.FromMilliseconds(200)))
        {
            if (_clock.Elapsed > nextProgress) log($"  {target.Name}: {Result(_failure)}");
            if (_clock.Elapsed > nextProgress) nextProgress += ProgressEvery;
            if (_clock.Elapsed.Ticks - Interlocked.Read(ref _presentSince) > InputTimeMax.Ticks)
                return Result(new FuzzFailure(_present, $"It had not been judged after {InputTimeMax.TotalSeconds} s."));
        }

        return Result(_failure) with { GrownBytes = HeldBytes() - before };
    }

    private long HeldBytes() => GC.GetTotalMemory(forceFullCollection: true) - _pool.Sum(input => (long)input.Length);

    private FuzzResult Result(FuzzFailure? failure) => new(Interlocked.Read(ref _executions), _seen.Count, _clock.Elapsed, failure);

    private void RunInputs(TimeSpan time)
    {
        foreach (var input in corpus)
        {
            if (Fails(input) is not { } reason) continue;
            _failure = new FuzzFailure(input, reason);
            return;
        }

        while (time > TimeSpan.Zero && (_clock.Elapsed < time || _executions < corpus.Count + ExecutionsMin))
        {
            var input = target.Mutate(Pick(), Pick(), _random);
            if (Fails(input) is { } reason)
            {
                _failure = Shrink(new FuzzFailure(input, reason));
                return;
            }

            if (_seen.AnyNew) Keep(input);
        }
    }

    private string? Fails(byte[] input)
    {
        _present = input;
        Interlocked.Exchange(ref _presentSince, _clock.Elapsed.Ticks);
        Interlocked.Increment(ref _executions);
        _seen.AnyNew = false;
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            target.Judge(input, _seen);
        }
        catch (Exception e)
        {
            return $"{e.GetType().Name}: {e.Message}\n{e.StackTrace}";
        }

        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        return allocated > target.AllocatedBytesMax ? $"{input.Length} bytes made it allocate {allocated} bytes." : null;
    }

    /// <summary>Half of the time one of those kept last: what is new leads to what is newer.</summary>
    private byte[] Pick()
    {
        if (_pool.Count == 0) return [];
        var newest = Math.Min(_pool.Count, 20);
        return _random.Next(2) == 0 ? _pool[_random.Next(_pool.Count)] : _pool[^(1 + _random.Next(newest))];
    }

    private void Keep(byte[] input)
    {
        if (_pool.Count < PoolMax) _pool.Add(input);
        else _pool[_random.Next(_pool.Count)] = input;
    }

    /// <summary>Takes away pieces, half of it first, single bytes last, as long as it still fails.</summary>
    private FuzzFailure Shrink(FuzzFailure failure)
    {
        var until = _clock.Elapsed + ShrinkTimeMax;
        for (var piece = failure.Input.Length / 2; piece > 0 && _clock.Elapsed < until; piece /= 2)
        {
            for (var at = 0; at + piece <= failure.Input.Length && _clock.Elapsed < until;)
            {
                byte[] shorter = [.. failure.Input[..at], .. failure.Input[(at + piece)..]];
                if (Fails(shorter) is { } reason) failure = new FuzzFailure(shorter, reason);
                else at += piece;
            }
        }

        return failure;
    }
}
