using IoBufferEdge.Configuration;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Gpio;

/// <summary>A line as the configuration or a board file names it.</summary>
public static class ConfiguredLine
{
    /// <summary>Takes it, with the polarity that it is named with.</summary>
    /// <param name="openChip">Opens a chip by its label.</param>
    /// <param name="active">First value of an output.</param>
    /// <param name="consumer">Who takes it, for whom it is in the way of.</param>
    /// <exception cref="IOException">There is no such chip or line, or it is in use (the message names by whom).</exception>
    public static IGpioLine Request(Func<string, IGpioChip> openChip, GpioLineConfig line, LineFlags flags, bool active, string consumer)
    {
        using var chip = openChip(line.Chip);
        var number = GpioLineDriver.LineOf(chip, line.Line);
        return chip.Request(number, flags | (line.ActiveLow ? LineFlags.ActiveLow : LineFlags.None), active, consumer);
    }
}
