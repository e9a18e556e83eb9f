namespace IoBufferEdge.Endpoints.Serial;

/// <summary>Opens serial ports. Real: <see cref="LinuxSerialPorts"/>. Twin: the simulation's line, on virtual time.</summary>
public interface ISerialPorts
{
    /// <summary>Opens a port exclusively, with these settings and nothing left of what came before. Null: the device is not there.</summary>
    /// <param name="changed">Called when something has arrived or the port has ended; from any thread, must not wait.</param>
    /// <exception cref="EndpointException">In use, not permitted, no serial port, or the hardware refuses a setting.</exception>
    ISerialPort? Open(SerialSettings settings, Action changed);

    /// <summary>The port has no user any more: what was held for it beyond its openings is let go.</summary>
    void Release(SerialSettings settings);
}

/// <summary>An open serial port, until it is disposed or its device goes. One reader and one writer at a time.</summary>
public interface ISerialPort : IDisposable
{
    /// <summary>Takes the oldest arrival, or what fits of it. Bytes of two arrivals are never joined.</summary>
    SerialArrival TryRead(Span<byte> bytes);

    /// <summary>Everything that has arrived was taken.</summary>
    bool IsDrained { get; }

    /// <summary>Hands bytes to the driver; may take fewer than offered, none when its queue is full.</summary>
    /// <exception cref="IOException">The port has ended.</exception>
    int Write(ReadOnlySpan<byte> bytes);

    /// <summary>How far the sending has come.</summary>
    SerialOutput Output { get; }

    /// <summary>Takes back what has not been sent yet.</summary>
    void DiscardOutput();

    /// <summary>Where an RS485 driver is switched from here: sends whole frames with the driver on. Else null.</summary>
    IDrivenSender? Driven { get; }

    /// <summary>Line errors since it was opened.</summary>
    SerialErrors Errors { get; }

    /// <summary>What the driver made of the settings, for the status: one short phrase.</summary>
    string Summary { get; }

    /// <summary>Why the port has ended; null while it stands.</summary>
    string? End { get; }
}

/// <summary>Sends through an RS485 driver that it switches.</summary>
public interface IDrivenSender
{
    /// <summary>Completes when the last bit has left and the driver is off again.</summary>
    /// <exception cref="IOException">The transmitter is stuck, or the port has gone.</exception>
    ValueTask SendAsync(ReadOnlyMemory<byte> frame, CancellationToken cancel);

    /// <summary>The thread that switches runs before all ordinary ones.</summary>
    bool IsRealTime { get; }

    /// <summary>How late the driver was switched off: counts and microseconds.</summary>
    IEnumerable<KeyValuePair<string, long>> Lateness { get; }
}

/// <param name="Count">Bytes read; 0: nothing has arrived (or a break alone).</param>
/// <param name="At">When the last of them had arrived: timestamp of the clock, taken as soon as the driver told.</param>
/// <param name="Kind">What is special about it.</param>
/// <param name="Together">How many bytes the driver handed over at that moment, these among them: the first of them began so many
/// characters before.</param>
public readonly record struct SerialArrival(int Count, long At, ArrivalKind Kind, int Together)
{
    public bool IsNone => Count == 0 && Kind != ArrivalKind.Break;
}

public enum ArrivalKind : byte
{
    Ordinary,

    /// <summary>One byte with a parity or frame error.</summary>
    Damaged,

    /// <summary>A break: no byte.</summary>
    Break,
}

/// <param name="QueuedBytes">In the driver's queue.</param>
/// <param name="LastBitOut">Queue, FIFO and shift register are empty; null: this port can't tell.</param>
public readonly record struct SerialOutput(int QueuedBytes, bool? LastBitOut);

/// <summary>Line errors; −1: the driver does not count.</summary>
public readonly record struct SerialErrors(long Parity, long Frame, long Break, long Overrun, long BufferOverrun);
