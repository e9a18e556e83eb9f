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
                var waiting = backoff.WaitAsync(default).AsTask();
                var delayMs = (backoff.NextAttemptIn ?? default).TotalMilliseconds;
                Assert.InRange(delayMs, 0, Math.Min(500 * Math.Pow(2, attempt - 1), 60_000));
                Assert.Equal(attempt, backoff.Attempts);
                _time.Advance(TimeSpan.FromMilliseconds(delayMs + 1));
                waiting.Wait(TimeSpan.FromSeconds(10));
                Assert.Null(backoff.NextAttemptIn);
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

    [Fact]
    public async Task What_is_left_of_a_wait_follows_no_clock_that_is_set_and_is_never_negative()
    {
        var time = new SeparateClocks();
        using var backoff = new Backoff(Retry, time, new Always(0.5));
        Assert.Null(backoff.NextAttemptIn);
        var waiting = backoff.WaitAsync(default).AsTask();
        Assert.Equal(250, backoff.NextAttemptIn!.Value.TotalMilliseconds, 0.01);
        time.WallAhead = TimeSpan.FromDays(300); // a time server is reached after a start without a clock
        Assert.Equal(250, backoff.NextAttemptIn!.Value.TotalMilliseconds, 0.01);
        time.Running = TimeSpan.FromMilliseconds(200);
        Assert.Equal(50, backoff.NextAttemptIn!.Value.TotalMilliseconds, 0.01);
        time.Running = TimeSpan.FromMilliseconds(252); // the timer is late
        Assert.Equal(TimeSpan.Zero, backoff.NextAttemptIn);
        time.Advance(TimeSpan.FromMilliseconds(251));
        await waiting;
        Assert.Null(backoff.NextAttemptIn);
    }

    private async Task<double> WaitOnceAsync(Backoff backoff)
    {
        var waiting = backoff.WaitAsync(default).AsTask();
        var delay = backoff.NextAttemptIn!.Value;
        _time.Advance(delay + TimeSpan.FromMilliseconds(1));
        await waiting;
        return delay.TotalMilliseconds;
    }

    private sealed class SeparateClocks : FakeTimeProvider
    {
        public TimeSpan WallAhead { get; set; }

        public TimeSpan Running { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + WallAhead;

        public override long GetTimestamp() => (long)(Running.TotalSeconds * TimestampFrequency);
    }

    private sealed class Always(double value) : Random
    {
        public override double NextDouble() => value;
    }
}
