namespace IoBufferEdge.Endpoints.Serial;

/// <summary>How late an RS485 driver was switched off, in buckets an eighth of an octave wide. One writer; readers from any thread.</summary>
internal sealed class LatenessHistogram(long allowedNs)
{
    private const int PerOctave = 8;
    private readonly long[] _buckets = new long[40 * PerOctave];
    private long _count;
    private long _maxNs;
    private long _beyond;

    public void Add(long lateNs)
    {
        lateNs = Math.Max(lateNs, 1);
        _buckets[Math.Min((int)(Math.Log2(lateNs) * PerOctave), _buckets.Length - 1)]++;
        _maxNs = Math.Max(_maxNs, lateNs);
        if (lateNs > allowedNs) _beyond++;
        Volatile.Write(ref _count, _count + 1);
    }

    /// <summary>Microseconds: half of all, 99 of 100, the worst; and how many were beyond what is allowed.</summary>
    public IEnumerable<KeyValuePair<string, long>> Snapshot() =>
    [
        new("rs485_frames", Volatile.Read(ref _count)), new("rs485_release_p50_us", Quantile(0.5)), new("rs485_release_p99_us", Quantile(0.99)),
        new("rs485_release_max_us", _maxNs / 1000), new("rs485_released_late", _beyond),
    ];

    private long Quantile(double share)
    {
        var wanted = (long)Math.Ceiling(Volatile.Read(ref _count) * share);
        for (var i = 0; i < _buckets.Length; i++)
        {
            wanted -= _buckets[i];
            if (wanted <= 0) return (long)(Math.Min(Math.Pow(2, (i + 1.0) / PerOctave), _maxNs) / 1000);
        }

        return _maxNs / 1000;
    }
}
