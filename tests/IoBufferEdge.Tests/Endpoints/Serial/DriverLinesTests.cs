using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>The GPIO lines of an RS485 transmitter: off from the first moment on, off behind every frame however it ends.</summary>
public sealed class DriverLinesTests
{
    private readonly SimulatedGpio _gpio = new("panel", ["", "", "", "RS485_DE"], () => 0);
    private readonly DriverLines _lines;

    public DriverLinesTests() => _lines = new DriverLines(
        label => label == "panel" ? _gpio.Open() : throw new IOException($"There is no GPIO chip labelled {label}; there are panel."));

    private static SourceConfig Bus { get; } = new()
    {
        Type = EndpointType.Serial, SerialPort = "/dev/ttyAMA3", BaudRate = 19_200,
        Rs485 = new()
        {
            Mode = Rs485Mode.Gpio, De = new() { Chip = "panel", Line = "1" }, Re = new() { Chip = "panel", Line = "2", ActiveLow = true },
        },
    };

    private static SerialSettings Settings => SerialSettings.From(Bus);

    [Fact]
    public void What_a_killed_process_left_on_is_off_before_a_port_is_opened()
    {
        using var chip = _gpio.Open();
        chip.Request(1, LineFlags.Output, active: true, "killed");
        _gpio.LetGo(1);
        Assert.True(_gpio.IsHigh(1));
        _lines.SwitchOff(Config(Bus));
        Assert.Equal((false, false), (_gpio.IsHigh(1), _gpio.IsHigh(2)));
        Assert.Equal([false], _gpio.Shown(1));
        Assert.Equal(("iobufferedge:ttyAMA3:de", "iobufferedge:ttyAMA3:re"), (chip.Look(1).Consumer, chip.Look(2).Consumer));
    }

    [Fact]
    public void A_start_goes_on_where_a_line_cannot_be_had_and_the_port_says_why()
    {
        using var chip = _gpio.Open();
        using var held = chip.Request(2, LineFlags.Input, active: false, "thermostat");
        _lines.SwitchOff(Config(Bus));
        var refused = Assert.Throws<EndpointException>(() => _lines.Take(Settings));
        Assert.Equal("The RS485 transmitter of /dev/ttyAMA3 cannot be switched: Line 2 of panel is in use by thermostat.", refused.Message);
        Assert.False(chip.Look(1).IsUsed);
        var none = Bus with { Rs485 = Bus.Rs485 with { De = new() { Chip = "gpiochip0", Line = "1" } } };
        Assert.Equal("The RS485 transmitter of /dev/ttyAMA3 cannot be switched: There is no GPIO chip labelled gpiochip0; there are panel.",
            Assert.Throws<EndpointException>(() => _lines.Take(SerialSettings.From(none))).Message);
    }

    [Fact]
    public void Another_opening_gets_the_same_lines_and_the_last_user_lets_them_go()
    {
        using var chip = _gpio.Open();
        var first = _lines.Take(Settings);
        first.Set(on: true);
        Assert.Equal((true, true), (_gpio.IsHigh(1), _gpio.IsHigh(2)));
        Assert.Same(first, _lines.Take(Settings));
        Assert.Equal((false, false), (_gpio.IsHigh(1), _gpio.IsHigh(2)));
        first.Set(on: true);
        _lines.Release(Settings.Port);
        Assert.Equal((false, false), (_gpio.IsHigh(1), _gpio.IsHigh(2)));
        Assert.False(chip.Look(1).IsUsed || chip.Look(2).IsUsed);
    }

    [Fact]
    public void Other_lines_in_the_configuration_take_the_place_of_the_former()
    {
        using var chip = _gpio.Open();
        _lines.Take(Settings);
        _lines.Take(SerialSettings.From(Bus with { Rs485 = Bus.Rs485 with { De = new() { Chip = "panel", Line = "3" }, Re = null } }));
        Assert.Equal((false, false, true), (chip.Look(1).IsUsed, chip.Look(2).IsUsed, chip.Look(3).IsUsed));
    }

    [Fact]
    public void A_line_goes_by_name_too_and_one_that_is_not_there_is_named()
    {
        using var chip = _gpio.Open();
        _lines.Take(Named("RS485_DE"));
        Assert.Equal("iobufferedge:ttyAMA3:de", chip.Look(3).Consumer);
        Assert.Equal("The RS485 transmitter of /dev/ttyAMA3 cannot be switched: No line of panel is named RS485_RE.",
            Assert.Throws<EndpointException>(() => _lines.Take(Named("RS485_RE"))).Message);
        Assert.False(chip.Look(3).IsUsed);

        static SerialSettings Named(string name) =>
            SerialSettings.From(Bus with { Rs485 = Bus.Rs485 with { De = new() { Chip = "panel", Line = name }, Re = null } });
    }

    [Fact]
    public void Two_ports_cannot_have_one_line()
    {
        _lines.Take(Settings);
        var refused = Assert.Throws<EndpointException>(() => _lines.Take(Settings with { Port = "/dev/ttyAMA4" }));
        Assert.EndsWith("ttyAMA4 cannot be switched: Line 1 of panel is in use by iobufferedge:ttyAMA3:de.", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>Frames through the real window: the line that the kernel would see, around every one of them.</summary>
    [Fact]
    public async Task The_line_is_on_for_each_frame_and_off_behind_it_also_when_the_port_breaks()
    {
        var uart = new SimulatedUart(new Random(1), (long)Settings.WireTime(1).TotalNanoseconds, callNs: 1000, preemptedNs: 0);
        var taken = _lines.Take(Settings);
        using (var sender = new DrivenSender(Settings, _ => new SwitchedWire(uart, taken)))
        {
            for (var i = 0; i < 5; i++) await sender.SendAsync(new byte[10], default).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal(Enumerable.Range(0, 11).Select(i => i % 2 == 1), _gpio.Shown(1));
            uart.IsStuck = true;
            await Assert.ThrowsAsync<IOException>(() => sender.SendAsync(new byte[10], default).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        }

        Assert.Equal((false, false), (_gpio.IsHigh(1), _gpio.IsHigh(2)));
        Assert.Equal(13, _gpio.Shown(1).Count);
    }

    private static GatewayConfig Config(SourceConfig source) => new()
    {
        Channels = [new ChannelConfig { Id = "c", Source = source, Destination = new DestinationConfig { Type = EndpointType.TcpClient } }],
    };

    private sealed class SwitchedWire(SimulatedUart uart, DriverSwitch lines) : IDrivenWire
    {
        public long Now => uart.Now;

        public bool IsTransmitterEmpty => uart.IsTransmitterEmpty;

        public bool IsCancelled => uart.IsCancelled;

        public void SleepUntil(long time) => uart.SleepUntil(time);

        public int Write(ReadOnlySpan<byte> bytes) => uart.Write(bytes);

        public void DiscardOutput() => uart.DiscardOutput();

        public void SwitchDriver(bool on) => lines.Set(on);
    }
}
