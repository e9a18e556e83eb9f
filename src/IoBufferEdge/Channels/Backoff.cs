using IoBufferEdge.Configuration;

namespace IoBufferEdge.Channels;

/// <summary>
/// How long to wait before the next attempt: exponential (×2) from <c>initial_ms</c> to <c>max_ms</c> with full jitter, for ever.
/// Success does not reset it, <see cref="Reset"/> does: a peer that accepts and closes at once must not be hammered.
/// One waiter at a time; <see cref="CutShort"/> from any thread.
/// </summary>
public sealed class Backoff : IDisposable
{
    private readonly RetryConfig _retry;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly AsyncSignal _signal;
    private long _ceilingMs;
    private long _endsAt;
    private volatile bool _waiting;

    public Backoff(RetryConfig retry, TimeProvider time, Random random)
    {
        _retry = retry;
        _time = time;
        _random = random;
        _signal = new AsyncSignal(time);
        _ceilingMs = retry.InitialMs;
    }

    /// <summary>Attempts waited for since the last <see cref="Reset"/>.</summary>
    public int Attempts { get; private set; }

    /// <summary>
    /// How much of the wait under way is left, by the clock that nobody sets, and zero where its end is late; null: none is. From any thread.
    /// </summary>
    public TimeSpan? NextAttemptIn
    {
        get
        {
            if (!_waiting) return null;
            var left = _time.GetElapsedTime(_time.GetTimestamp(), Volatile.Read(ref _endsAt));
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>The next delay: between 0 and the present ceiling, which doubles.</summary>
    public TimeSpan NextDelay()
    {
        Attempts++;
        var delay = TimeSpan.FromMilliseconds(_random.NextDouble() * _ceilingMs);
        _ceilingMs = Math.Min(_ceilingMs * 2, _retry.MaxMs);
        return delay;
    }

    /// <summary>Waits for <see cref="NextDelay"/>.</summary>
    public async ValueTask WaitAsync(CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var delay = NextDelay();
        Volatile.Write(ref _endsAt, _time.GetTimestamp() + (long)(delay.TotalSeconds * _time.TimestampFrequency));
        _waiting = true;
        await using (cancel.UnsafeRegister(static s => ((Backoff)s!)._signal.Set(), this))
            await _signal.WaitAsync(delay);
        _waiting = false;
        cancel.ThrowIfCancellationRequested();
    }

    /// <summary>Starts from <c>initial_ms</c> again.</summary>
    public void Reset()
    {
        Attempts = 0;
        _ceilingMs = _retry.InitialMs;
    }

    /// <summary>Ends the wait under way; does nothing when there is none.</summary>
    public void CutShort()
    {
        if (_waiting) _signal.Set();
    }

    public void Dispose() => _signal.Dispose();
}
