using System.Diagnostics;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// When each number was read first, to 20 ms, on a clock that runs only while a connection stands that has stood for a second: so long
/// a gateway with an acknowledging source holds confirmations back (hold_ms), and begins anew with every connection. The time in which a
/// busy machine ran none of us does not count.
/// </summary>
internal sealed class ReadTimes
{
    private static readonly TimeSpan s_hold = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_resolution = TimeSpan.FromMilliseconds(20);
    private readonly List<(long Number, TimeSpan At)> _marks = [];
    private TimeSpan _connectedBefore;
    private TimeSpan? _connectedAt;

    private TimeSpan Now
    {
        get
        {
            var counted = _connectedAt is { } since ? MachineTime.Elapsed - since - s_hold : TimeSpan.Zero;
            return counted > TimeSpan.Zero ? _connectedBefore + counted : _connectedBefore;
        }
    }

    public void Connected()
    {
        Disconnected();
        _connectedAt = MachineTime.Elapsed;
    }

    public void Disconnected()
    {
        _connectedBefore = Now;
        _connectedAt = null;
    }

    /// <summary>A number higher than all before was read.</summary>
    public void First(long number)
    {
        var now = Now;
        if (_marks.Count == 0 || now - _marks[^1].At >= s_resolution)
            _marks.Add((number, now));
    }

    /// <summary>How long ago a number was read first.</summary>
    public TimeSpan AgeOf(long number)
    {
        int low = 0, high = _marks.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_marks[middle].Number <= number)
                low = middle + 1;
            else
                high = middle;
        }

        return low == 0 ? Now : Now - _marks[low - 1].At;
    }
}

/// <summary>A clock that stands still while this process is not run: of each sleep of 10 ms at most 30 ms count.</summary>
internal static class MachineTime
{
    private static readonly TimeSpan s_step = TimeSpan.FromMilliseconds(10);
    private static long s_ticks;

    static MachineTime() => new Thread(Run) { IsBackground = true, Name = "machine time" }.Start();

    public static TimeSpan Elapsed => TimeSpan.FromTicks(Volatile.Read(ref s_ticks));

    private static void Run()
    {
        for (var last = Stopwatch.GetTimestamp(); ; last = Stopwatch.GetTimestamp())
        {
            Thread.Sleep(s_step);
            var passed = Stopwatch.GetElapsedTime(last);
            Interlocked.Add(ref s_ticks, Math.Min(passed.Ticks, 3 * s_step.Ticks));
        }
    }
}
