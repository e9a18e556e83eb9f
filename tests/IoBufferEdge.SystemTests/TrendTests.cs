using IoBufferEdge.Benchmarks.Loops;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The judge of the soak itself: it sees a leak in the noise, and takes no noise for one.</summary>
public class TrendTests
{
    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.001, 3.6)]
    [InlineData(-0.002, -7.2)]
    public void A_slow_leak_is_seen_among_peaks(double perSecond, double rise)
    {
        var random = new Random(1);
        var trend = new Trend();
        for (var second = 0; second <= 4200; second += 10)
        {
            // Warming up for ten minutes; then noise of 2, and one sample in five a peak of up to 40.
            var value = second < 600 ? second : 600 + perSecond * second + 2 * random.NextDouble();
            trend.Add(TimeSpan.FromSeconds(second), random.Next(5) == 0 ? value + 40 * random.NextDouble() : value);
        }

        Assert.InRange(trend.RiseAfter(TimeSpan.FromMinutes(10)), rise - 1, rise + 1);
    }

    [Fact]
    public void Too_few_samples_are_no_trend()
    {
        var trend = new Trend();
        trend.Add(TimeSpan.FromSeconds(1), 5);
        Assert.Equal(0, trend.RiseAfter(TimeSpan.Zero));
    }
}
