using System.Globalization;
using IoBufferEdge.Boards;

namespace IoBufferEdge.Tests.Boards;

public sealed class PressDetectorTests
{
    /// <summary>When it was seen pressed (+) and released (-), by an edge or a look at the line; what presses come out. All in ms.</summary>
    [Theory]
    [InlineData("+1000 -1200 -1250", "200")]
    [InlineData("+1000 +1050 -5000 -5050", "4000")]
    [InlineData("+1000 -1001 +1003 -1004 +1010 -1300 +1302 -1309 -1359", "299")]
    [InlineData("+1000 +1049 -1049 -1200", "")]
    [InlineData("+1000 +1050 -1300 +1349 -1500 -1550", "500")]
    [InlineData("+1000 -1200 +1300 -1400 -1450", "200 100")]
    public void A_level_counts_once_it_has_stood(string seen, string presses) => Assert.Equal(presses, Presses(new PressDetector(false), seen));

    [Theory]
    [InlineData("+1000 -3000 -3050", "")]
    [InlineData("-3000 +3002 -3004 -3054 +4000 -4100 -4150", "100")]
    public void A_press_under_way_at_the_start_does_not_count(string seen, string presses) =>
        Assert.Equal(presses, Presses(new PressDetector(true), seen));

    [Theory]
    [InlineData("+1000 -1060 -1120", "60")]
    [InlineData("+1000 +1002 +1004 -1200 -1202 -1260", "200")]
    [InlineData("+1000 -1040 -1100 +2000 -2100 -2150", "100")]
    public void Edges_that_were_lost_are_put_right_by_a_look_at_the_line(string seen, string presses) =>
        Assert.Equal(presses, Presses(new PressDetector(false), seen));

    [Fact]
    public void There_is_something_to_look_at_until_the_level_counts()
    {
        var contact = new PressDetector(false);
        Assert.True(contact.IsSettled);
        contact.See(true, TimeSpan.FromMilliseconds(1000));
        Assert.False(contact.IsSettled);
        contact.See(true, TimeSpan.FromMilliseconds(1050));
        Assert.True(contact.IsSettled);
    }

    /// <summary>A random contact against the rule read off its whole course.</summary>
    [Fact]
    public void However_it_bounces_each_standing_pair_of_levels_is_one_press()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var (contact, at, level, seen) = (new PressDetector(false), 1000, false, new List<int>());
            var (counted, pressedAt, expected) = (false, 0, new List<int>());
            for (var i = 0; i < 100; i++)
            {
                var since = at;
                if (contact.See(level = !level, TimeSpan.FromMilliseconds(at)) is { } press) seen.Add((int)press.TotalMilliseconds);
                at += random.Next(3) == 0 ? random.Next(50, 5000) : random.Next(1, 50);
                if (at - since < 50 || level == counted) continue;
                counted = level;
                if (level) pressedAt = since;
                else expected.Add(since - pressedAt);
            }

            if (contact.See(level, TimeSpan.FromMilliseconds(at)) is { } last) seen.Add((int)last.TotalMilliseconds);
            Assert.Equal(expected, seen);
        }
    }

    private static string Presses(PressDetector contact, string seen)
    {
        var presses = new List<double>();
        foreach (var step in seen.Split(' '))
        {
            var at = TimeSpan.FromMilliseconds(int.Parse(step[1..], CultureInfo.InvariantCulture));
            if (contact.See(step[0] == '+', at) is { } press) presses.Add(press.TotalMilliseconds);
        }

        return string.Join(' ', presses);
    }
}
