using System.Threading.Tasks.Sources;

namespace IoBufferEdge;

/// <summary>
/// Wakes one waiting loop. A <see cref="Set"/> before the wait is remembered, several count as one. Waiting allocates nothing:
/// loops that wait here once per batch of messages stay free of garbage. The wait ends by the signal or by its time-out, never
/// by a cancellation token: who wants a loop to stop sets its flag and then the signal.
/// One waiter at a time; any number of setters, from any thread.
/// </summary>
public sealed class AsyncSignal : IValueTaskSource<bool>, IDisposable
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private ManualResetValueTaskSourceCore<bool> _source = new() { RunContinuationsAsynchronously = true };
    private ITimer? _timer;
    private bool _set;
    private bool _waiting;
    private int _waitNumber;

    public AsyncSignal(TimeProvider time) => _time = time;

    /// <summary>Wakes the waiter, or the next one.</summary>
    public void Set() => Complete(signaled: true, waitNumber: null);

    /// <summary>Completes with true when the signal is set, with false when <paramref name="timeout"/> has passed.</summary>
    public ValueTask<bool> WaitAsync(TimeSpan timeout)
    {
        lock (_lock)
        {
            if (_waiting) throw new InvalidOperationException("AsyncSignal has one waiter at a time.");
            if (_set || timeout == TimeSpan.Zero)
            {
                var signaled = _set;
                _set = false;
                return new ValueTask<bool>(signaled);
            }

            _waiting = true;
            _waitNumber++;
            _source.Reset();
            if (timeout != Timeout.InfiniteTimeSpan) Arm(timeout);
            return new ValueTask<bool>(this, _source.Version);
        }
    }

    /// <summary>Completes when the signal is set.</summary>
    public ValueTask<bool> WaitAsync() => WaitAsync(Timeout.InfiniteTimeSpan);

    public void Dispose() => _timer?.Dispose();

    private void Arm(TimeSpan timeout)
    {
        // A timer that fires late, for a wait that has ended, is told apart by the number of the wait it was armed for.
        _armedFor = _waitNumber;
        if (_timer is null)
            _timer = _time.CreateTimer(static s => ((AsyncSignal)s!).OnTimer(), this, timeout, Timeout.InfiniteTimeSpan);
        else
            _timer.Change(timeout, Timeout.InfiniteTimeSpan);
        _timerDue = _time.GetTimestamp() + (long)(timeout.TotalSeconds * _time.TimestampFrequency);
    }

    private int _armedFor;
    private long _timerDue;

    private void OnTimer()
    {
        lock (_lock)
        {
            if (!_waiting || _armedFor != _waitNumber) return;
            var early = _timerDue - _time.GetTimestamp();
            if (early > _time.TimestampFrequency / 1000)
            {
                _timer!.Change(TimeSpan.FromSeconds((double)early / _time.TimestampFrequency), Timeout.InfiniteTimeSpan);
                return;
            }
        }

        Complete(signaled: false, _armedFor);
    }

    private void Complete(bool signaled, int? waitNumber)
    {
        lock (_lock)
        {
            if (!_waiting)
            {
                _set |= signaled;
                return;
            }

            if (waitNumber is { } number && number != _waitNumber) return;
            _waiting = false;
        }

        _source.SetResult(signaled);
    }

    bool IValueTaskSource<bool>.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}
