namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Tells from arrival times where the line was silent for long enough to end a frame. Bytes that came together were on the wire one
/// behind the other: the silence before them ended when the first of them began, so their wire time is no part of it. That no more
/// bytes have come proves a silence only after what the hardware may hold back (<see cref="SerialSettings.DeliverySlack"/>).
/// </summary>
internal sealed class SilenceClock(SerialSettings settings, double configuredGapMs, TimeProvider time)
{
    private long _lastAt;

    /// <summary>Bytes of a frame have come, and its end has not been seen.</summary>
    public bool IsInFrame { get; private set; }

    public TimeSpan Gap { get; } = settings.IdleGap(configuredGapMs);

    /// <summary>The line was silent before this arrival for long enough, or it is a break.</summary>
    public bool EndsFrameBefore(in SerialArrival arrival) =>
        IsInFrame && (arrival.Kind == ArrivalKind.Break
            || time.GetElapsedTime(_lastAt, arrival.At) - settings.WireTime(arrival.Together) >= Gap);

    public void Note(in SerialArrival arrival)
    {
        _lastAt = arrival.At;
        IsInFrame |= arrival.Count > 0;
    }

    /// <summary>How long until the frame has ended, if nothing more comes; zero: it has. Infinite while there is none.</summary>
    public TimeSpan UntilEnd => IsInFrame ? Left(Gap + settings.DeliverySlack) : Timeout.InfiniteTimeSpan;

    /// <summary>The same for one who can tell otherwise that the frame is whole.</summary>
    public TimeSpan UntilSilent => IsInFrame ? Left(Gap) : Timeout.InfiniteTimeSpan;

    public void Reset() => IsInFrame = false;

    private TimeSpan Left(TimeSpan silence)
    {
        var left = silence - time.GetElapsedTime(_lastAt);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
