using System.Diagnostics;
using System.Globalization;
using System.Text;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>
/// A LED of the kernel's LED class that nobody's circuit drives: what the kernel makes of it comes out here (Documentation/leds/uleds.rst,
/// struct uleds_user_dev: name[64], int max_brightness). It stays until the end of the process.
/// Seen from outside, it is told apart as a person would: by counting flashes.
/// </summary>
internal sealed class LabLed
{
    private const int NameBytes = 64;

    private readonly FileStream _device;
    private readonly string _folder;
    private readonly List<(long At, bool On)> _changes = [];
    private volatile bool _on;

    public LabLed(string name)
    {
        _folder = Path.Combine("/sys/class/leds", name);
        _device = new FileStream("/dev/uleds", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        var led = new byte[NameBytes + sizeof(int)];
        Encoding.ASCII.GetBytes(name, led);
        BitConverter.TryWriteBytes(led.AsSpan(NameBytes), 255);
        _device.Write(led);
        new Thread(Watch) { IsBackground = true }.Start();
    }

    /// <summary>Whether it was switched at all since <see cref="Reset"/>.</summary>
    public bool HasChanged
    {
        get { lock (_changes) return _changes.Count > 0; }
    }

    /// <summary>What it does, in the words of the table in hardware/README.md; what it did in ms, where those have none for it.</summary>
    public string Words
    {
        get
        {
            var now = Stopwatch.GetTimestamp();
            List<(long At, bool On)> changes;
            bool on;
            lock (_changes) (changes, on) = ([.. _changes.Where(c => Stopwatch.GetElapsedTime(c.At, now) < TimeSpan.FromSeconds(6))], _on);
            return changes.Count == 0 ? on ? "on" : "off" : Name(changes);
        }
    }

    /// <summary>Off, and nothing that blinks it.</summary>
    public void Reset()
    {
        File.WriteAllText(Path.Combine(_folder, "trigger"), "none");
        File.WriteAllText(Path.Combine(_folder, "brightness"), "0");
        Wait.Until(() => !_on, 5, "the LED to be off");
        lock (_changes) _changes.Clear();
    }

    /// <summary>The last six seconds hold two rounds of everything there is.</summary>
    private static string Name(List<(long At, bool On)> changes)
    {
        List<double> lit = [], dark = [];
        for (var i = 1; i < changes.Count; i++)
            (changes[i - 1].On ? lit : dark).Add(Stopwatch.GetElapsedTime(changes[i - 1].At, changes[i].At).TotalMilliseconds);
        if (lit.Count > 2 && dark.Count > 2)
        {
            if (Are(lit, 100) && Are(dark, 900)) return "1 Hz";
            if (Are(lit, 125) && Are(dark, 125)) return "4 Hz";
            if (Are(lit, 250) && Are(dark, 250)) return "alternating";
            var rounds = Rounds(changes);
            if (Are(lit, 200) && Are([.. dark.Where(ms => ms > 750)], 1200) && dark.TrueForAll(ms => ms > 750 || IsAbout(ms, 300)) && rounds.Count == 1)
                return rounds[0] == 1 ? "1 flash" : $"{rounds[0]} flashes";
        }

        return string.Join(' ', lit.Zip(dark, (on, off) => string.Create(CultureInfo.InvariantCulture, $"{on:0}/{off:0}")));
    }

    /// <summary>How many flashes lie between two long pauses: one number, if all rounds have as many.</summary>
    private static List<int> Rounds(List<(long At, bool On)> changes)
    {
        List<int> rounds = [];
        var flashes = -1;
        for (var i = 1; i < changes.Count; i++)
        {
            if (!changes[i].On) continue;
            if (Stopwatch.GetElapsedTime(changes[i - 1].At, changes[i].At).TotalMilliseconds > 750)
            {
                if (flashes > 0) rounds.Add(flashes);
                flashes = 0;
            }

            if (flashes >= 0) flashes++;
        }

        return [.. rounds.Distinct()];
    }

    private static bool Are(List<double> durations, double ms) => durations.Count > 0 && durations.TrueForAll(d => IsAbout(d, ms));

    /// <summary>A tick of the kernel's timers (10 ms) and what the host takes from the guest.</summary>
    private static bool IsAbout(double ms, double wanted) => Math.Abs(ms - wanted) < 24 + (wanted / 20);

    private void Watch()
    {
        var brightness = new byte[sizeof(int)];
        try
        {
            while (_device.Read(brightness) == brightness.Length)
            {
                var on = BitConverter.ToInt32(brightness) > 0;
                lock (_changes)
                {
                    if (on == _on) continue;
                    _changes.Add((Stopwatch.GetTimestamp(), _on = on));
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
        }
    }
}
