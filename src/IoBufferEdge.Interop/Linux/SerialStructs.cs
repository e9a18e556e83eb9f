using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>struct termios2, 44 bytes: line settings with the baud rates as numbers.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct Termios2
{
    public InputModes Input;
    public uint Output;
    public ControlModes Control;
    public uint Local;
    public byte Discipline;
    public ControlCharacters Characters;
    public uint InputSpeed;
    public uint OutputSpeed;
}

/// <summary>c_cc of <see cref="Termios2"/>.</summary>
[InlineArray(19)]
public struct ControlCharacters
{
    /// <summary>VTIME, VMIN, VSTART, VSTOP.</summary>
    public const int Time = 5, Min = 6, Start = 8, Stop = 9;

    private byte _first;
}

[Flags]
public enum InputModes : uint
{
    None = 0,

    /// <summary>PARMRK: a damaged byte X arrives as FF 00 X, a break as FF 00 00, a true FF as FF FF.</summary>
    MarkErrors = 0x8,

    /// <summary>INPCK.</summary>
    CheckParity = 0x10,

    /// <summary>IXON: the peer's XOFF stops us.</summary>
    ObeyXoff = 0x400,

    /// <summary>IXOFF: we send XOFF when the kernel's buffer fills.</summary>
    SendXoff = 0x1000,
}

[Flags]
public enum ControlModes : uint
{
    /// <summary>CS5 is 0.</summary>
    None = 0,
    Bits6 = 0x10,
    Bits7 = 0x20,

    /// <summary>CS8, and CSIZE: the mask of all four.</summary>
    Bits8 = 0x30,
    TwoStopBits = 0x40,
    Receive = 0x80,
    Parity = 0x100,
    OddParity = 0x200,

    /// <summary>HUPCL: the last close, also that of a process that was killed, lets DTR and RTS go.</summary>
    HangUpOnClose = 0x400,

    /// <summary>CLOCAL: the carrier does not matter.</summary>
    Local = 0x800,

    /// <summary>BOTHER: the speeds are numbers.</summary>
    SpeedAsNumber = 0x1000,

    /// <summary>CMSPAR: mark with <see cref="OddParity"/>, else space.</summary>
    StickParity = 0x40000000,

    /// <summary>CRTSCTS.</summary>
    RtsCts = 0x80000000,
}

/// <summary>TIOCM_…</summary>
[Flags]
public enum ModemLines : uint
{
    None = 0,
    Dtr = 2,
    Rts = 4,
    Cts = 0x20,
    CarrierDetect = 0x40,
    Dsr = 0x100,
}

/// <summary>struct serial_icounter_struct, 80 bytes: what the driver has counted since it was loaded.</summary>
[StructLayout(LayoutKind.Sequential, Size = 80)]
public struct SerialCounters
{
    public int Cts, Dsr, Ring, CarrierDetect, Received, Sent, FrameErrors, Overruns, ParityErrors, Breaks, BufferOverruns;
}

/// <summary>struct serial_rs485, 32 bytes; delays in milliseconds.</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
public struct SerialRs485
{
    public Rs485Flags Flags;
    public uint DelayBeforeSendMs;
    public uint DelayAfterSendMs;
}

/// <summary>SER_RS485_…</summary>
[Flags]
public enum Rs485Flags : uint
{
    None = 0,
    Enabled = 1,
    RtsOnSend = 2,
    RtsAfterSend = 4,
    ReceiveDuringSend = 16,
}

/// <summary>struct serial_struct, 72 bytes on 64-bit machines; only its flags are used, the rest goes back as it came.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct SerialInfo
{
    [FieldOffset(16)]
    public int Flags;
}

/// <summary>struct pollfd.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollDescriptor
{
    public int Descriptor;
    public short Events;
    public short Happened;
}
