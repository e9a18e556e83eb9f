using System.Diagnostics;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// When each number was read first, to 20 ms, on a clock that runs only while a connection stands that has stood for a second: so long
/// a gateway with an acknowledging source holds confirmations back (hold_ms), and begins anew with every connection.
/// </summary>
internal sealed class ReadTimes
{
    private static readonly TimeSpan s_hold = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_resolution = TimeSpan.FromMilliseconds(20);
    private readonly List<(long Number, TimeSpan At)> _marks = [];
    private TimeSpan _connectedBefore;
    private long _connectedAt = -1;

    private TimeSpan Now
    {
        get
        {
            var counted = _connectedAt < 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(_connectedAt) - s_hold;
            return counted > TimeSpan.Zero ? _connectedBefore + counted : _connectedBefore;
        }
    }

    public void Connected()
    {
        Disconnected();
        _connectedAt = Stopwatch.GetTimestamp();
    }

    public void Disconnected()
    {
        _connectedBefore = Now;
        _connectedAt = -1;
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
