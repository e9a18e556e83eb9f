using IoBufferEdge.Configuration;
using IoBufferEdge.Interop.Linux;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Opens real serial ports: exclusively (TIOCEXCL and flock), and with what the hardware was asked for or not at all: every setting is
/// read back. The kernel's open raises DTR and RTS before any setting can be made, unless the driver's RS485 mode is on already (device
/// tree) and keeps RTS to itself. So the first call behind the open takes RTS back, or gives it to the driver, where RTS drives an
/// RS485 transmitter: it is keyed for a few microseconds at most, with nothing to send.
/// </summary>
public sealed class LinuxSerialPorts(DriverLines driverLines, TimeProvider time) : ISerialPorts
{
    /// <summary>A divider hits a rate by so much, or characters fall apart.</summary>
    private const double BaudTolerance = 0.025;

    public ISerialPort? Open(SerialSettings settings, Action changed)
    {
        var lines = settings.Rs485.Mode == Rs485Mode.Gpio ? driverLines.Take(settings) : null;
        var handle = SerialCalls.Open(settings.Port, out var error);
        if (error is SerialCalls.NoEntry or SerialCalls.NoDeviceOrAddress or SerialCalls.NoDevice or SerialCalls.InputOutput) return null;
        if (error != 0) throw CannotOpen(settings, error);
        try
        {
            var direction = Rs485Direction.Take(handle, settings);
            MakeExclusive(handle, settings);
            if (!Configure(handle, settings)) return Gone(handle);
            var lowLatency = SerialCalls.SetLowLatency(handle, settings.LowLatency) == 1;
            var tellsLastBit = SerialCalls.IsTransmitterEmpty(handle) >= 0;
            Action<bool>? switchDriver = direction switch
            {
                Rs485Mode.Rts => on => SerialCalls.SetModemLines(handle, ModemLines.Rts, on),
                Rs485Mode.Gpio => lines!.Set,
                _ => null,
            };
            if (switchDriver is not null && !tellsLastBit)
            {
                throw new EndpointException(
                    $"The driver of {settings.Port} can't tell when the last bit has left (TIOCSERGETLSR): rs485 mode "
                    + $"{EndpointValidator.Word(direction)} would cut frames. Use mode kernel, or none for an adapter that switches by itself.");
            }

            return new LinuxSerialPort(handle, new SerialFacts(settings, direction, lowLatency, tellsLastBit), switchDriver, time, changed);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    public void Release(SerialSettings settings) => driverLines.Release(settings.Port);

    private static void MakeExclusive(SafeFileHandle handle, SerialSettings settings)
    {
        if (SerialCalls.Lock(handle) < 0)
            throw new EndpointException($"{settings.Port} is in use by another program, or by another channel under another name.");
        SerialCalls.SetExclusive(handle);
    }

    /// <summary>False: the device has gone meanwhile.</summary>
    private static bool Configure(SafeFileHandle handle, SerialSettings settings)
    {
        var result = SerialCalls.GetTermios(handle, out var termios);
        if (result == SerialCalls.NotATerminal) throw new EndpointException($"{settings.Port} is not a serial port.");
        if (result < 0 && !IsGone(result))
            throw new EndpointException($"The driver of {settings.Port} does not tell its settings (TCGETS2): {SerialCalls.Describe(result)}.");
        if (result < 0) return false;
        termios.Input = InputModes.MarkErrors | (settings.HasParity ? InputModes.CheckParity : InputModes.None)
            | (settings.FlowControl == "XON/XOFF" ? InputModes.ObeyXoff | InputModes.SendXoff : InputModes.None);
        termios.Output = 0;
        termios.Local = 0;
        termios.Control = Control(settings);
        termios.InputSpeed = termios.OutputSpeed = (uint)settings.BaudRate;
        termios.Characters[ControlCharacters.Time] = 0;
        termios.Characters[ControlCharacters.Min] = 1;
        termios.Characters[ControlCharacters.Start] = 0x11;
        termios.Characters[ControlCharacters.Stop] = 0x13;
        result = SerialCalls.SetTermios(handle, termios);
        if (result < 0 && !IsGone(result)) throw Refused(settings, $"the settings {settings}: {SerialCalls.Describe(result)}");
        if (result < 0 || SerialCalls.GetTermios(handle, out var granted) < 0) return false;
        CheckGranted(settings, termios, granted);
        SerialCalls.DiscardInput(handle);
        return true;
    }

    private static ControlModes Control(SerialSettings settings) =>
        ControlModes.Receive | ControlModes.Local | ControlModes.SpeedAsNumber
        | (settings.Rs485.Mode == Rs485Mode.Rts ? ControlModes.HangUpOnClose : ControlModes.None)
        | settings.DataBits switch { 5 => ControlModes.None, 6 => ControlModes.Bits6, 7 => ControlModes.Bits7, _ => ControlModes.Bits8 }
        | (settings.StopBits > 1 ? ControlModes.TwoStopBits : ControlModes.None)
        | settings.Parity switch
        {
            "Even" => ControlModes.Parity,
            "Odd" => ControlModes.Parity | ControlModes.OddParity,
            "Mark" => ControlModes.Parity | ControlModes.OddParity | ControlModes.StickParity,
            "Space" => ControlModes.Parity | ControlModes.StickParity,
            _ => ControlModes.None,
        }
        | (settings.FlowControl == "RTS/CTS" ? ControlModes.RtsCts : ControlModes.None);

    /// <summary>A driver that can't do what it was asked for does something else and says so only here.</summary>
    private static void CheckGranted(SerialSettings settings, in Termios2 wanted, in Termios2 granted)
    {
        var differing = wanted.Control ^ granted.Control;
        if ((differing & ControlModes.Bits8) != ControlModes.None) throw Refused(settings, $"{settings.DataBits} data bits");
        if ((differing & (ControlModes.Parity | ControlModes.OddParity | ControlModes.StickParity)) != ControlModes.None)
            throw Refused(settings, $"parity {settings.Parity}");
        if ((differing & ControlModes.TwoStopBits) != ControlModes.None) throw Refused(settings, $"{settings.StopBits} stop bits");
        if ((differing & ControlModes.RtsCts) != ControlModes.None) throw Refused(settings, "flow control RTS/CTS");
        var error = Math.Abs((double)granted.OutputSpeed - settings.BaudRate) / settings.BaudRate;
        if (error > BaudTolerance) throw Refused(settings, $"{settings.BaudRate} baud; the nearest that it offers is {granted.OutputSpeed}");
    }

    private static EndpointException Refused(SerialSettings settings, string what) =>
        new($"The hardware of {settings.Port} does not offer {what}.");

    private static EndpointException CannotOpen(SerialSettings settings, int error) => new(error switch
    {
        SerialCalls.AccessDenied or SerialCalls.NotPermitted =>
            $"{settings.Port} may not be opened by this user: add it to the group of the device (dialout on Debian).",
        SerialCalls.Busy => $"{settings.Port} is in use by another program.",
        _ => $"{settings.Port} cannot be opened: {SerialCalls.Describe(error)}.",
    });

    private static bool IsGone(int error) =>
        error is SerialCalls.InputOutput or SerialCalls.NoDevice or SerialCalls.NoDeviceOrAddress;

    private static ISerialPort? Gone(SafeFileHandle handle)
    {
        handle.Dispose();
        return null;
    }
}

/// <summary>What an open port was found to offer.</summary>
internal sealed record SerialFacts(SerialSettings Settings, Rs485Mode Direction, bool LowLatency, bool TellsLastBit)
{
    public override string ToString() =>
        $"{Settings}{(LowLatency ? ", low latency" : "")}{(Direction == Rs485Mode.None ? "" : $", RS485 by {Direction.ToString().ToLowerInvariant()}")}, "
        + (TellsLastBit ? "last bit told by the driver" : "last bit computed");
}
