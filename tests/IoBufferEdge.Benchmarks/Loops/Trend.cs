namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// How much a figure has risen over the time that it was sampled: the median slope of all pairs of samples (Theil and Sen) times that
/// time. Peaks and dips of less than a quarter of the samples do not move it, whatever their height.
/// </summary>
public sealed class Trend
{
    private readonly List<(double Seconds, double Value)> _samples = [];

    public int Count => _samples.Count;

    public double Last => _samples[^1].Value;

    public double Lowest => _samples.Min(sample => sample.Value);

    public double Highest => _samples.Max(sample => sample.Value);

    public void Add(TimeSpan at, double value) => _samples.Add((at.TotalSeconds, value));

    /// <summary>The rise between the first and the last sample from <paramref name="warmUp"/> on; 0 with fewer than two of them.</summary>
    public double RiseAfter(TimeSpan warmUp)
    {
        var samples = _samples.Where(sample => sample.Seconds >= warmUp.TotalSeconds).ToArray();
        var slopes = new List<double>(samples.Length * samples.Length / 2);
        for (var i = 0; i < samples.Length; i++)
        {
            for (var j = i + 1; j < samples.Length; j++)
                slopes.Add((samples[j].Value - samples[i].Value) / (samples[j].Seconds - samples[i].Seconds));
        }

        if (slopes.Count == 0)
            return 0;
        slopes.Sort();
        return slopes[slopes.Count / 2] * (samples[^1].Seconds - samples[0].Seconds);
    }
}
