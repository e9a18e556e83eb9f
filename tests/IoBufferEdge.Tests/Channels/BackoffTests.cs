using CsCheck;
using IoBufferEdge.Channels;
using IoBufferEdge.Configuration;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Channels;

public sealed class BackoffTests
{
    private static readonly RetryConfig Retry = new() { InitialMs = 500, MaxMs = 60_000 };

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Delays_lie_between_zero_and_a_ceiling_that_doubles_up_to_the_maximum() =>
        Gen.Int.Sample(seed =>
        {
            using var backoff = new Backoff(Retry, _time, new Random(seed));
            for (var attempt = 1; attempt <= 12; attempt++)
            {
                var before = _time.GetUtcNow();
                var waiting = backoff.WaitAsync(default).AsTask();
                var delayMs = ((backoff.NextAttemptAt ?? before) - before).TotalMilliseconds;
                Assert.InRange(delayMs, 0, Math.Min(500 * Math.Pow(2, attempt - 1), 60_000));
                Assert.Equal(attempt, backoff.Attempts);
                _time.Advance(TimeSpan.FromMilliseconds(delayMs + 1));
                waiting.Wait(TimeSpan.FromSeconds(10));
                Assert.Null(backoff.NextAttemptAt);
            }
        }, iter: 50, threads: 1);

    [Fact]
    public async Task Reset_starts_from_the_initial_delay_again()
    {
        using var backoff = new Backoff(Retry, _time, new Always(0.999));
        await WaitOnceAsync(backoff);
        Assert.Equal(999, await WaitOnceAsync(backoff), 1.0);
        backoff.Reset();
        Assert.Equal(500, await WaitOnceAsync(backoff), 1.0);
    }

    [Fact]
    public async Task CutShort_ends_the_wait_under_way_and_no_later_one()
    {
        using var backoff = new Backoff(Retry, _time, new Always(0.5));
        backoff.CutShort();
        var waiting = backoff.WaitAsync(default).AsTask();
        Assert.False(waiting.IsCompleted);
        backoff.CutShort();
        await waiting;
        Assert.False(backoff.WaitAsync(default).AsTask().IsCompleted);
    }

    [Fact]
    public async Task A_cancelled_wait_throws()
    {
        using var backoff = new Backoff(Retry, _time, new Always(0.5));
        using var cancel = new CancellationTokenSource();
        var waiting = backoff.WaitAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    private async Task<double> WaitOnceAsync(Backoff backoff)
    {
        var before = _time.GetUtcNow();
        var waiting = backoff.WaitAsync(default).AsTask();
        var delay = backoff.NextAttemptAt!.Value - before;
        _time.Advance(delay + TimeSpan.FromMilliseconds(1));
        await waiting;
        return delay.TotalMilliseconds;
    }

    private sealed class Always(double value) : Random
    {
        public override double NextDouble() => value;
    }
}
