using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>
/// What the serial and GPIO calls take from the kernel's headers, compared with those headers by a C table, compiled for x64 and for arm64.
/// </summary>
public sealed class SerialAbiTests
{
    private static readonly List<(string C, long Value)> Table =
    [
        ("sizeof(struct termios2)", Unsafe.SizeOf<Termios2>()),
        ("offsetof(struct termios2, c_cflag)", Offset<Termios2>(nameof(Termios2.Control))),
        ("offsetof(struct termios2, c_line)", Offset<Termios2>(nameof(Termios2.Discipline))),
        ("offsetof(struct termios2, c_cc)", Offset<Termios2>(nameof(Termios2.Characters))),
        ("offsetof(struct termios2, c_ispeed)", Offset<Termios2>(nameof(Termios2.InputSpeed))),
        ("offsetof(struct termios2, c_ospeed)", Offset<Termios2>(nameof(Termios2.OutputSpeed))),
        ("sizeof(struct serial_icounter_struct)", Unsafe.SizeOf<SerialCounters>()),
        ("offsetof(struct serial_icounter_struct, frame)", Offset<SerialCounters>(nameof(SerialCounters.FrameErrors))),
        ("offsetof(struct serial_icounter_struct, overrun)", Offset<SerialCounters>(nameof(SerialCounters.Overruns))),
        ("offsetof(struct serial_icounter_struct, parity)", Offset<SerialCounters>(nameof(SerialCounters.ParityErrors))),
        ("offsetof(struct serial_icounter_struct, brk)", Offset<SerialCounters>(nameof(SerialCounters.Breaks))),
        ("offsetof(struct serial_icounter_struct, buf_overrun)", Offset<SerialCounters>(nameof(SerialCounters.BufferOverruns))),
        ("sizeof(struct serial_rs485)", Unsafe.SizeOf<SerialRs485>()),
        ("offsetof(struct serial_rs485, delay_rts_before_send)", Offset<SerialRs485>(nameof(SerialRs485.DelayBeforeSendMs))),
        ("offsetof(struct serial_rs485, delay_rts_after_send)", Offset<SerialRs485>(nameof(SerialRs485.DelayAfterSendMs))),
        ("sizeof(struct serial_struct)", Unsafe.SizeOf<SerialInfo>()),
        ("offsetof(struct serial_struct, flags)", Offset<SerialInfo>(nameof(SerialInfo.Flags))),
        ("sizeof(struct pollfd)", Unsafe.SizeOf<PollDescriptor>()),
        ("offsetof(struct pollfd, revents)", Offset<PollDescriptor>(nameof(PollDescriptor.Happened))),
        ("TCGETS2", SerialCalls.GetTermios2Request), ("TCSETS2", SerialCalls.SetTermios2Request), ("TCFLSH", SerialCalls.FlushRequest),
        ("TIOCEXCL", SerialCalls.ExclusiveRequest), ("TIOCOUTQ", SerialCalls.OutputQueueRequest), ("TIOCMGET", SerialCalls.GetModemRequest),
        ("TIOCMBIS", SerialCalls.SetModemBitsRequest), ("TIOCMBIC", SerialCalls.ClearModemBitsRequest),
        ("TIOCGSERIAL", SerialCalls.GetSerialRequest), ("TIOCSSERIAL", SerialCalls.SetSerialRequest),
        ("TIOCGRS485", SerialCalls.GetRs485Request), ("TIOCSRS485", SerialCalls.SetRs485Request),
        ("TIOCSERGETLSR", SerialCalls.LineStatusRequest), ("TIOCGICOUNT", SerialCalls.CountersRequest),
        ("TCIFLUSH", SerialCalls.FlushInput), ("TCOFLUSH", SerialCalls.FlushOutput), ("TIOCSER_TEMT", SerialCalls.TransmitterEmpty),
        ("ASYNC_LOW_LATENCY", SerialCalls.LowLatencyFlag),
        ("O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC", SerialCalls.OpenFlags),
        ("LOCK_EX | LOCK_NB", SerialCalls.LockExclusive | SerialCalls.LockNonBlocking),
        ("EFD_CLOEXEC | EFD_NONBLOCK", SerialCalls.CloseOnExec | SerialCalls.NonBlocking),
        ("POLLIN", SerialCalls.ReadReady), ("POLLERR", SerialCalls.Error), ("POLLHUP", SerialCalls.HangUp),
        ("-EPERM", SerialCalls.NotPermitted), ("-ENOENT", SerialCalls.NoEntry), ("-EINTR", SerialCalls.Interrupted),
        ("-EIO", SerialCalls.InputOutput), ("-ENXIO", SerialCalls.NoDeviceOrAddress), ("-EAGAIN", SerialCalls.TryAgain),
        ("-EACCES", SerialCalls.AccessDenied), ("-EBUSY", SerialCalls.Busy), ("-ENODEV", SerialCalls.NoDevice),
        ("-ENOTTY", SerialCalls.NotATerminal),
        ("PARMRK", (long)InputModes.MarkErrors), ("INPCK", (long)InputModes.CheckParity), ("IXON", (long)InputModes.ObeyXoff),
        ("IXOFF", (long)InputModes.SendXoff),
        ("CS5", (long)ControlModes.None), ("CS6", (long)ControlModes.Bits6), ("CS7", (long)ControlModes.Bits7),
        ("CS8", (long)ControlModes.Bits8), ("CSIZE", (long)ControlModes.Bits8), ("CSTOPB", (long)ControlModes.TwoStopBits),
        ("CREAD", (long)ControlModes.Receive), ("PARENB", (long)ControlModes.Parity), ("PARODD", (long)ControlModes.OddParity),
        ("HUPCL", (long)ControlModes.HangUpOnClose), ("CLOCAL", (long)ControlModes.Local), ("BOTHER", (long)ControlModes.SpeedAsNumber),
        ("CMSPAR", (long)ControlModes.StickParity),
        ("CRTSCTS", (long)ControlModes.RtsCts),
        ("VTIME", ControlCharacters.Time), ("VMIN", ControlCharacters.Min), ("VSTART", ControlCharacters.Start),
        ("VSTOP", ControlCharacters.Stop),
        ("TIOCM_DTR", (long)ModemLines.Dtr), ("TIOCM_RTS", (long)ModemLines.Rts), ("TIOCM_CTS", (long)ModemLines.Cts),
        ("TIOCM_CAR", (long)ModemLines.CarrierDetect), ("TIOCM_DSR", (long)ModemLines.Dsr),
        ("SER_RS485_ENABLED", (long)Rs485Flags.Enabled), ("SER_RS485_RTS_ON_SEND", (long)Rs485Flags.RtsOnSend),
        ("SER_RS485_RTS_AFTER_SEND", (long)Rs485Flags.RtsAfterSend), ("SER_RS485_RX_DURING_TX", (long)Rs485Flags.ReceiveDuringSend),
        ("MCL_CURRENT", LinuxMemory.LockCurrent), ("MCL_FUTURE", LinuxMemory.LockFuture), ("MCL_ONFAULT", LinuxMemory.LockOnFault),
        ("SCHED_FIFO", LinuxThreads.RealTimePolicy), ("sizeof(struct sched_param)", sizeof(int)),
        ("sizeof(struct timespec)", Unsafe.SizeOf<LinuxThreads.TimeSpec>()),
        ("M_TRIM_THRESHOLD", LinuxMemory.TrimThreshold), ("M_MMAP_THRESHOLD", LinuxMemory.MmapThreshold),
        ("M_ARENA_MAX", LinuxMemory.ArenaMax),
        ("CLOCK_MONOTONIC", LinuxThreads.MonotonicClock), ("TIMER_ABSTIME", LinuxThreads.AbsoluteTime),
        ("GPIO_GET_CHIPINFO_IOCTL", GpioCalls.ChipInfoRequest), ("GPIO_V2_GET_LINEINFO_IOCTL", GpioCalls.LineInfoRequest),
        ("GPIO_V2_GET_LINE_IOCTL", GpioCalls.LineRequest), ("GPIO_V2_LINE_SET_CONFIG_IOCTL", GpioCalls.SetConfigRequest),
        ("GPIO_V2_LINE_GET_VALUES_IOCTL", GpioCalls.GetValuesRequest), ("GPIO_V2_LINE_SET_VALUES_IOCTL", GpioCalls.SetValuesRequest),
        ("GPIO_MAX_NAME_SIZE", Unsafe.SizeOf<GpioName>()), ("sizeof(struct gpiochip_info)", Unsafe.SizeOf<GpioChipRecord>()),
        ("offsetof(struct gpiochip_info, label)", Offset<GpioChipRecord>(nameof(GpioChipRecord.Label))),
        ("offsetof(struct gpiochip_info, lines)", Offset<GpioChipRecord>(nameof(GpioChipRecord.Lines))),
        ("sizeof(struct gpio_v2_line_info)", Unsafe.SizeOf<GpioLineRecord>()),
        ("offsetof(struct gpio_v2_line_info, consumer)", Offset<GpioLineRecord>(nameof(GpioLineRecord.Consumer))),
        ("offsetof(struct gpio_v2_line_info, offset)", Offset<GpioLineRecord>(nameof(GpioLineRecord.Offset))),
        ("offsetof(struct gpio_v2_line_info, flags)", Offset<GpioLineRecord>(nameof(GpioLineRecord.Flags))),
        ("sizeof(struct gpio_v2_line_config)", Unsafe.SizeOf<GpioLineConfigRecord>()),
        ("offsetof(struct gpio_v2_line_config, num_attrs)", Offset<GpioLineConfigRecord>(nameof(GpioLineConfigRecord.AttributeCount))),
        ("offsetof(struct gpio_v2_line_config, attrs[0].attr.id)", Offset<GpioLineConfigRecord>(nameof(GpioLineConfigRecord.AttributeId))),
        ("offsetof(struct gpio_v2_line_config, attrs[0].attr.values)", Offset<GpioLineConfigRecord>(nameof(GpioLineConfigRecord.AttributeValues))),
        ("offsetof(struct gpio_v2_line_config, attrs[0].mask)", Offset<GpioLineConfigRecord>(nameof(GpioLineConfigRecord.AttributeMask))),
        ("GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES", GpioLineConfigRecord.OutputValues),
        ("sizeof(struct gpio_v2_line_request)", Unsafe.SizeOf<GpioLineRequestRecord>()),
        ("offsetof(struct gpio_v2_line_request, consumer)", Offset<GpioLineRequestRecord>(nameof(GpioLineRequestRecord.Consumer))),
        ("offsetof(struct gpio_v2_line_request, config)", Offset<GpioLineRequestRecord>(nameof(GpioLineRequestRecord.Config))),
        ("offsetof(struct gpio_v2_line_request, num_lines)", Offset<GpioLineRequestRecord>(nameof(GpioLineRequestRecord.LineCount))),
        ("offsetof(struct gpio_v2_line_request, fd)", Offset<GpioLineRequestRecord>(nameof(GpioLineRequestRecord.Descriptor))),
        ("sizeof(struct gpio_v2_line_values)", Unsafe.SizeOf<GpioLineValues>()),
        ("offsetof(struct gpio_v2_line_values, mask)", Offset<GpioLineValues>(nameof(GpioLineValues.Mask))),
        ("sizeof(struct gpio_v2_line_event)", Unsafe.SizeOf<GpioEdge>()),
        ("offsetof(struct gpio_v2_line_event, id)", Offset<GpioEdge>(nameof(GpioEdge.Kind))),
        ("offsetof(struct gpio_v2_line_event, seqno)", Offset<GpioEdge>(nameof(GpioEdge.Sequence))),
        ("GPIO_V2_LINE_EVENT_RISING_EDGE", GpioEdge.Rising),
        ("GPIO_V2_LINE_FLAG_USED", (long)LineFlags.Used), ("GPIO_V2_LINE_FLAG_ACTIVE_LOW", (long)LineFlags.ActiveLow),
        ("GPIO_V2_LINE_FLAG_INPUT", (long)LineFlags.Input), ("GPIO_V2_LINE_FLAG_OUTPUT", (long)LineFlags.Output),
        ("GPIO_V2_LINE_FLAG_EDGE_RISING", (long)LineFlags.RisingEdge), ("GPIO_V2_LINE_FLAG_EDGE_FALLING", (long)LineFlags.FallingEdge),
        ("GPIO_V2_LINE_FLAG_BIAS_PULL_UP", (long)LineFlags.PullUp), ("GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN", (long)LineFlags.PullDown),
    ];

    [Theory]
    [InlineData("gcc", "", Architecture.X64)]
    [InlineData("aarch64-linux-gnu-gcc", "qemu-aarch64-static", Architecture.Arm64)]
    public async Task Numbers_and_layouts_are_those_of_the_kernels_headers(string compiler, string emulator, Architecture target)
    {
        var native = RuntimeInformation.ProcessArchitecture == target;
        if (native) (compiler, emulator) = ("gcc", "");
        Assert.SkipUnless(Tools.IsInstalled(compiler), $"{compiler} is not installed; scripts/test.sh installs it.");
        Assert.SkipUnless(native || (emulator.Length > 0 && Tools.IsInstalled(emulator)), $"nothing here runs {target} programs.");
        var folder = Directory.CreateTempSubdirectory("iobuffer-abi-").FullName;
        try
        {
            var (source, program) = (Path.Combine(folder, "table.c"), Path.Combine(folder, "table"));
            await File.WriteAllTextAsync(source, Program());
            await Tools.RunAsync(compiler, "-static", "-Wall", "-Werror", "-o", program, source);
            var printed = native ? await Tools.RunAsync(program) : await Tools.RunAsync(emulator, program);
            var values = printed.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => long.Parse(line, CultureInfo.InvariantCulture)).ToList();
            Assert.Equal(Table.Select(row => $"{row.C} = {row.Value}"), Table.Zip(values, (row, value) => $"{row.C} = {value}"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Program() => $$"""
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <malloc.h>
        #include <poll.h>
        #include <sched.h>
        #include <stddef.h>
        #include <stdio.h>
        #include <time.h>
        #include <sys/eventfd.h>
        #include <sys/file.h>
        #include <sys/mman.h>
        #include <asm/termbits.h>
        #include <asm/ioctls.h>
        #include <linux/gpio.h>
        #include <linux/serial.h>
        #include <linux/tty_flags.h>
        #define TIOCM_DTR 0x002
        #define TIOCM_RTS 0x004
        #include <asm/termios.h>
        int main(void) {
        {{string.Concat(Table.Select(row => $"  printf(\"%lld\\n\", (long long)({row.C}));\n"))}}
          return 0;
        }
        """;

    private static long Offset<T>(string field) => Marshal.OffsetOf<T>(field);
}
