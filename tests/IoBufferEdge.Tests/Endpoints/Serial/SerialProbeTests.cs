using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Finding out how an unknown device talks.</summary>
public sealed class SerialProbeTests : IDisposable
{
    private readonly Scheduler _scheduler = new(1);
    private readonly string _root = Directory.CreateTempSubdirectory("iobuffer-probe-").FullName;
    private readonly StringWriter _said = new();

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Theory]
    [InlineData(19_200, "Even", "19200 8E1 fits.")]
    [InlineData(115_200, "None", "115200 8N1 fits.")]
    [InlineData(14_400, "Odd", "none of these fits")]
    public void The_setting_at_which_nothing_falls_apart_is_named(int rate, string parity, string verdict)
    {
        var fits = Listen(new Device(rate, parity, 400));
        Assert.Contains(verdict, _said.ToString(), StringComparison.Ordinal);
        Assert.Equal(rate != 14_400, fits);
    }

    [Fact]
    public void A_device_that_is_silent_is_said_to_be()
    {
        Assert.False(Listen(new Device(9_600, "None", 0)));
        Assert.Contains("nothing came", _said.ToString(), StringComparison.Ordinal);
        Assert.Equal(TimeSpan.FromSeconds(16), _scheduler.Now);
    }

    [Fact]
    public void Ports_are_those_with_hardware_behind_them()
    {
        Directory.CreateDirectory(Path.Combine(_root, "sys/bus/drivers/ftdi_sio"));
        Directory.CreateDirectory(Path.Combine(_root, "dev/serial/by-id"));
        foreach (var (name, type) in (ReadOnlySpan<(string, string?)>)[("ttyUSB0", null), ("ttyS0", "0"), ("ttyS1", "4"), ("tty1", null)])
        {
            var tty = Directory.CreateDirectory(Path.Combine(_root, "sys/class/tty", name)).FullName;
            if (type is not null) File.WriteAllText(Path.Combine(tty, "type"), type + "\n");
            if (name == "tty1") continue;
            Directory.CreateDirectory(Path.Combine(tty, "device"));
            Directory.CreateSymbolicLink(Path.Combine(tty, "device/driver"), Path.Combine(_root, "sys/bus/drivers/ftdi_sio"));
        }

        File.WriteAllText(Path.Combine(_root, "dev/ttyUSB0"), "");
        File.CreateSymbolicLink(Path.Combine(_root, "dev/serial/by-id/usb-FTDI-port0"), "../../ttyUSB0");
        Assert.Equal(
            ["/dev/ttyS1        ftdi_sio", "/dev/ttyUSB0      ftdi_sio       /dev/serial/by-id/usb-FTDI-port0"],
            SerialProbe.List(_root));
    }

    private bool Listen(Device device)
    {
        var fits = false;
        _scheduler.Run(
            async () => fits = await new SerialProbe(device, _scheduler.World.Time).ListenAsync(
                SerialSettings.From(new SourceConfig { Type = EndpointType.Serial, SerialPort = "/dev/ttyX" }), TimeSpan.FromSeconds(1), _said, default),
            TimeSpan.FromMinutes(1));
        return fits;
    }

    /// <summary>Speaks at one setting, by itself; at all others every second character is damaged.</summary>
    private sealed class Device(int rate, string parity, int bytes) : ISerialPorts
    {
        public ISerialPort Open(SerialSettings settings, Action changed) => new Port(settings.BaudRate == rate && settings.Parity == parity, bytes);

        public void Release(SerialSettings settings)
        {
        }

        private sealed class Port(bool fits, int left) : ISerialPort
        {
            public SerialArrival TryRead(Span<byte> bytes)
            {
                if (left == 0) return default;
                bytes[0] = 0x41;
                return new SerialArrival(1, 0, --left % 2 == 0 && !fits ? ArrivalKind.Damaged : ArrivalKind.Ordinary, 1);
            }

            public bool IsDrained => left == 0;

            public int Write(ReadOnlySpan<byte> bytes) => throw new NotSupportedException();

            public SerialOutput Output => default;

            public void DiscardOutput()
            {
            }

            public IDrivenSender? Driven => null;

            public SerialErrors Errors => default;

            public string Summary => "";

            public string? End => null;

            public void Dispose()
            {
            }
        }
    }
}
