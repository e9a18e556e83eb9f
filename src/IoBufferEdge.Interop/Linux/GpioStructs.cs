using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace IoBufferEdge.Interop.Linux;

/// <summary>GPIO_V2_LINE_FLAG_…: how a line is requested, and what the kernel says of one.</summary>
[Flags]
public enum LineFlags : ulong
{
    None = 0,

    /// <summary>Held by somebody: a program or the kernel.</summary>
    Used = 1,
    ActiveLow = 2,
    Input = 4,
    Output = 8,
    RisingEdge = 16,
    FallingEdge = 32,
    PullUp = 256,
    PullDown = 512,
}

/// <summary>The GPIO_MAX_NAME_SIZE bytes in which the kernel keeps names: UTF-8, closed by a zero.</summary>
[InlineArray(32)]
internal struct GpioName
{
    private byte _first;

    public static GpioName From(string text)
    {
        var name = default(GpioName);
        Encoding.UTF8.GetEncoder().Convert(text, ((Span<byte>)name)[..31], flush: true, out _, out _, out _);
        return name;
    }

    public override readonly string ToString()
    {
        ReadOnlySpan<byte> bytes = this;
        var end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }
}

/// <summary>struct gpiochip_info, 68 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioChipRecord
{
    public GpioName Name;
    public GpioName Label;
    public uint Lines;
}

/// <summary>struct gpio_v2_line_info, 256 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 256)]
internal struct GpioLineRecord
{
    public GpioName Name;
    public GpioName Consumer;
    public uint Offset;
    public uint AttributeCount;
    public LineFlags Flags;
}

/// <summary>struct gpio_v2_line_config, 272 bytes; of its attributes only the first is used, for the first values of outputs.</summary>
[StructLayout(LayoutKind.Explicit, Size = 272)]
internal struct GpioLineConfigRecord
{
    /// <summary>GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES.</summary>
    public const uint OutputValues = 2;

    [FieldOffset(0)]
    public LineFlags Flags;

    [FieldOffset(8)]
    public uint AttributeCount;

    [FieldOffset(32)]
    public uint AttributeId;

    [FieldOffset(40)]
    public ulong AttributeValues;

    [FieldOffset(48)]
    public ulong AttributeMask;

    /// <summary>One line; as an output it begins with this value.</summary>
    public static GpioLineConfigRecord Of(LineFlags flags, bool active)
    {
        var config = new GpioLineConfigRecord { Flags = flags };
        if (!flags.HasFlag(LineFlags.Output)) return config;
        (config.AttributeCount, config.AttributeId) = (1, OutputValues);
        (config.AttributeValues, config.AttributeMask) = (active ? 1u : 0u, 1);
        return config;
    }
}

/// <summary>struct gpio_v2_line_request, 592 bytes; of its 64 lines only the first is used.</summary>
[StructLayout(LayoutKind.Explicit, Size = 592)]
internal struct GpioLineRequestRecord
{
    [FieldOffset(0)]
    public uint FirstOffset;

    [FieldOffset(256)]
    public GpioName Consumer;

    [FieldOffset(288)]
    public GpioLineConfigRecord Config;

    [FieldOffset(560)]
    public uint LineCount;

    [FieldOffset(588)]
    public int Descriptor;
}

/// <summary>struct gpio_v2_line_values, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioLineValues
{
    public ulong Bits;
    public ulong Mask;
}

/// <summary>struct gpio_v2_line_event, 48 bytes: an edge and when the kernel saw it (CLOCK_MONOTONIC).</summary>
[StructLayout(LayoutKind.Sequential, Size = 48)]
public struct GpioEdge
{
    /// <summary>GPIO_V2_LINE_EVENT_RISING_EDGE.</summary>
    internal const uint Rising = 1;

    /// <summary>Nanoseconds of CLOCK_MONOTONIC, which is the clock of TimeProvider.GetTimestamp on Linux too.</summary>
    public long TimestampNs;
    internal uint Kind;
    internal uint Offset;

    /// <summary>Counts the edges of a request, those that did not fit the kernel's buffer too.</summary>
    public uint Sequence;

    /// <summary>The line became active; with active low, its level fell.</summary>
    public bool IsRising
    {
        readonly get => Kind == Rising;
        set => Kind = value ? Rising : Rising + 1;
    }
}
