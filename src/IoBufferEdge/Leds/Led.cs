using IoBufferEdge.Boards;
using IoBufferEdge.Configuration;
using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Leds;

/// <summary>What lights an LED: the kernel's LED class, or a GPIO line, which is held until this is disposed.</summary>
internal abstract class Led : IDisposable
{
    /// <summary>Shows a blink from now on by itself. False: it can't blink by itself; nothing was changed.</summary>
    /// <exception cref="IOException">The LED is not there, is in use, or refuses.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not switch it.</exception>
    public abstract bool TryPlay(LedBlink blink);

    /// <summary>Switches it on or off, whatever it showed before; exceptions as above.</summary>
    public abstract void Set(bool on);

    public abstract void Dispose();
}

/// <summary>An LED on a plain GPIO line, which is taken when it is switched for the first time, with that value.</summary>
internal sealed class LineLed(Func<string, IGpioChip> openChip, GpioLineConfig config, LedRole role) : Led
{
    private IGpioLine? _line;

    public override bool TryPlay(LedBlink blink)
    {
        if (!blink.IsSteady) return false;
        Set(blink.Steps[0].On);
        return true;
    }

    public override void Set(bool on)
    {
        if (_line is { } held) held.Set(on);
        else _line = ConfiguredLine.Request(openChip, config, LineFlags.Output, on, $"iobufferedge:led:{EndpointValidator.Word(role)}");
    }

    public override void Dispose() => _line?.Dispose();
}
