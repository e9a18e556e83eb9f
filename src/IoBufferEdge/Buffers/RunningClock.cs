namespace IoBufferEdge.Buffers;

/// <summary>
/// Running time of the gateway over all its lives, in µs: it counts only while the gateway runs and never jumps, so ages stay true
/// on a device whose wall clock is set late or wrong. Beside it the wall clock, for dates that people read.
/// </summary>
public sealed class RunningClock(TimeProvider time, long baseUs)
{
    private readonly long _startedAt = time.GetTimestamp();

    public long NowUs => baseUs + (long)(time.GetElapsedTime(_startedAt).TotalMicroseconds);

    public long UnixUs => (time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
}
