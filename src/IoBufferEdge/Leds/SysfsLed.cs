using System.Globalization;
using System.Text;

namespace IoBufferEdge.Leds;

/// <summary>
/// One LED of the kernel's LED class. Blinking is the kernel's: its <c>pattern</c> trigger goes on by itself and costs no wake-up here.
/// </summary>
/// <param name="folder"><c>/sys/class/leds/NAME</c>.</param>
internal sealed class SysfsLed(string folder) : Led
{
    private bool? _offersPattern;

    /// <summary>
    /// False: this kernel offers no <c>pattern</c> trigger. The kernel makes the trigger's files anew, for root alone, whenever the trigger is
    /// written: until udev has given them to the service's user, this is refused, and the next call goes on from there.
    /// </summary>
    public override bool TryPlay(LedBlink blink)
    {
        var offersPattern = OffersPattern;
        if (blink.IsSteady)
        {
            Set(blink.Steps[0].On);
            return true;
        }

        if (!offersPattern) return false;
        Choose("pattern");
        Write("pattern", blink.ToKernel(Brightness));
        Write("repeat", "-1");
        return true;
    }

    /// <summary>Takes the LED from whatever blinks it.</summary>
    public override void Set(bool on)
    {
        Choose("none");
        Write("brightness", (on ? Brightness : 0).ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>The kernel's LED belongs to nobody: there is nothing to let go.</summary>
    public override void Dispose()
    {
    }

    /// <summary>Asked before the first change: <c>trigger</c> lists what there is.</summary>
    private bool OffersPattern => _offersPattern ??= Read("trigger").Contains("pattern", StringComparison.Ordinal);

    private int Brightness => int.TryParse(Read("max_brightness"), CultureInfo.InvariantCulture, out var max) ? max : 1;

    /// <summary>The one that is chosen stands in brackets.</summary>
    private void Choose(string trigger)
    {
        if (!Read("trigger").Contains($"[{trigger}]", StringComparison.Ordinal)) Write("trigger", trigger);
    }

    private string Read(string file) => File.ReadAllText(Path.Combine(folder, file)).Trim();

    /// <summary>Files of sysfs are there or not; they are never made.</summary>
    private void Write(string file, string text)
    {
        using var target = new FileStream(Path.Combine(folder, file), FileMode.Truncate, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        target.Write(Encoding.ASCII.GetBytes(text));
    }
}
