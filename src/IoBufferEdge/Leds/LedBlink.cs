using System.Globalization;

namespace IoBufferEdge.Leds;

/// <param name="Ms">How long, in milliseconds.</param>
public readonly record struct LedStep(bool On, int Ms);

/// <summary>What one LED does, over and over: steps, and the words that the table in hardware/README.md has for them.</summary>
public sealed class LedBlink
{
    private LedBlink(string words, params LedStep[] steps) => (Words, Steps) = (words, steps);

    public static LedBlink Off { get; } = new("off", new LedStep(false, 1000));

    public static LedBlink On { get; } = new("on", new LedStep(true, 1000));

    /// <summary>A short flash each second.</summary>
    public static LedBlink Heartbeat { get; } = new("1 Hz", new(true, 100), new(false, 900));

    public static LedBlink Fast { get; } = new("4 Hz", new(true, 125), new(false, 125));

    /// <summary>The two of them, shown together, alternate.</summary>
    public static LedBlink AlternatingFirst { get; } = new("alternating", new(true, 250), new(false, 250));

    public static LedBlink AlternatingSecond { get; } = new("alternating", new(false, 250), new(true, 250));

    public static LedBlink OneFlash { get; } = Flashes(1);

    public static LedBlink TwoFlashes { get; } = Flashes(2);

    public static LedBlink ThreeFlashes { get; } = Flashes(3);

    public static LedBlink FourFlashes { get; } = Flashes(4);

    public string Words { get; }

    public IReadOnlyList<LedStep> Steps { get; }

    /// <summary>Never changes.</summary>
    public bool IsSteady => Steps.Count == 1;

    /// <summary>
    /// The steps as the kernel's <c>pattern</c> trigger takes them: pairs of brightness and milliseconds. Each is followed by the same
    /// brightness for 0 ms, without which the kernel fades from one to the next (Documentation/ABI sysfs-class-led-trigger-pattern).
    /// </summary>
    public string ToKernel(int brightness) => string.Join(' ', Steps.Select(step =>
    {
        var level = step.On ? brightness : 0;
        return string.Create(CultureInfo.InvariantCulture, $"{level} {step.Ms} {level} 0");
    }));

    /// <summary>Flashes that can be counted, then a pause that can't be taken for one.</summary>
    private static LedBlink Flashes(int count) => new(
        count == 1 ? "1 flash" : $"{count} flashes",
        [.. Enumerable.Range(1, count).SelectMany(n => new LedStep[] { new(true, 200), new(false, n == count ? 1200 : 300) })]);
}
