using System.Globalization;

namespace IoBufferEdge.Leds;

/// <summary>
/// One LED of the kernel's LED class. Blinking is the kernel's: its <c>pattern</c> trigger goes on by itself and costs no wake-up here.
/// </summary>
/// <param name="folder"><c>/sys/class/leds/NAME</c>.</param>
internal sealed class SysfsLed(string folder) : Led
{
    private bool? _offersPattern;

    /// <summary>False: this kernel offers no <c>pattern</c> trigger.</summary>
    public override bool TryPlay(LedBlink blink)
    {
        var offersPattern = OffersPattern;
        if (blink.IsSteady)
        {
            Set(blink.Steps[0].On);
            return true;
        }

        if (!offersPattern) return false;
        Write("trigger", "pattern");
        Write("pattern", blink.ToKernel(Brightness));
        Write("repeat", "-1");
        return true;
    }

    /// <summary>Takes the LED from whatever blinks it.</summary>
    public override void Set(bool on)
    {
        Write("trigger", "none");
        Write("brightness", (on ? Brightness : 0).ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>The kernel's LED belongs to nobody: there is nothing to let go.</summary>
    public override void Dispose()
    {
    }

    /// <summary>Asked before the first change: <c>trigger</c> lists what there is.</summary>
    private bool OffersPattern => _offersPattern ??= Read("trigger").Contains("pattern", StringComparison.Ordinal);

    private int Brightness => int.TryParse(Read("max_brightness"), CultureInfo.InvariantCulture, out var max) ? max : 1;

    private string Read(string file) => File.ReadAllText(Path.Combine(folder, file)).Trim();

    /// <summary>Files of sysfs are there or not; they are never made.</summary>
    private void Write(string file, string text)
    {
        var path = Path.Combine(folder, file);
        if (!File.Exists(path)) throw new FileNotFoundException($"{path} is not there.", path);
        File.WriteAllText(path, text);
    }
}
