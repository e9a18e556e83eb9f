using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Gpio;

/// <summary>
/// A GPIO chip, found by its label: numbers like gpiochip0 change with the kernel. Real: <see cref="LinuxGpioChip"/>; twin: the
/// simulation's. <see cref="GpioLineDriver"/> makes a driver for a GpioController of it; where every microsecond counts its lines are used
/// as they are.
/// </summary>
public interface IGpioChip : IDisposable
{
    string Label { get; }

    int LineCount { get; }

    /// <summary>What is known of a line, held or not.</summary>
    /// <exception cref="IOException">There is no such line, or the chip has gone.</exception>
    GpioLineInfo Look(int line);

    /// <summary>Takes a line, with direction, bias, edges and as an output its first value in one step.</summary>
    /// <param name="active">First value of an output.</param>
    /// <param name="consumer">Who takes it, for whom it is in the way of; at most 31 bytes are kept.</param>
    /// <exception cref="IOException">There is no such line, it is in use (the message names by whom), or it can't do this.</exception>
    IGpioLine Request(int line, LineFlags flags, bool active, string consumer);
}

/// <param name="Name">As the board's device tree calls it; empty: it has none.</param>
/// <param name="Consumer">Who holds it; may be empty also when it is held.</param>
public readonly record struct GpioLineInfo(int Line, string Name, string Consumer, LineFlags Flags)
{
    public bool IsUsed => Flags.HasFlag(LineFlags.Used);

    /// <summary>Who holds it, for people.</summary>
    public string Holder => Consumer.Length > 0 ? Consumer : "somebody who gave no name";

    public bool IsOutput => Flags.HasFlag(LineFlags.Output);
}

/// <summary>A line that is held until it is disposed. Values are logical: with active low, active is the low level.</summary>
public interface IGpioLine : IDisposable
{
    /// <exception cref="IOException">The chip has gone.</exception>
    bool IsActive { get; }

    /// <summary>Switches an output. Allocates nothing.</summary>
    /// <exception cref="IOException">The chip has gone, or the line is an input.</exception>
    void Set(bool active);

    /// <summary>Changes direction, bias and edges; an output begins with this value.</summary>
    /// <exception cref="IOException">The line can't do this.</exception>
    void Configure(LineFlags flags, bool active);

    /// <summary>Waits for the next of the edges that are asked for. Null: the time is over, <see cref="Timeout.InfiniteTimeSpan"/> never is,
    /// or <see cref="EndWait"/> was called. One waiter at a time.</summary>
    /// <exception cref="IOException">The chip has gone.</exception>
    GpioEdge? WaitForEdge(TimeSpan timeout);

    /// <summary>Ends the wait under way, or else the next one.</summary>
    void EndWait();
}
