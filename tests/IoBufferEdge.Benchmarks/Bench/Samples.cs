using System.Globalization;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>What was measured, by name; one figure a round.</summary>
public sealed class Samples
{
    private readonly Dictionary<string, List<double>> _samples = [];

    public IReadOnlyList<double> Of(string name) => _samples[name];

    public bool Has(string name) => _samples.ContainsKey(name);

    public int Count(string name) => _samples.TryGetValue(name, out var list) ? list.Count : 0;

    public void Add(string name, double value)
    {
        if (!_samples.TryGetValue(name, out var list))
            _samples[name] = list = [];
        list.Add(value);
    }

    public double Median(string name)
    {
        var sorted = _samples[name].Order().ToArray();
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>Writes the last figure of each name that begins so to standard error.</summary>
    public void Show(string prefix) => Console.Error.WriteLine("  " + string.Join("  ", _samples
        .Where(sample => sample.Key.StartsWith(prefix, StringComparison.Ordinal))
        .Select(sample => string.Create(CultureInfo.InvariantCulture, $"{sample.Key} {sample.Value[^1]:#,0.###}"))));
}
