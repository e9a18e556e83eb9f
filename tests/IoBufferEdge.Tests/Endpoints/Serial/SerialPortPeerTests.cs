using System.IO.Ports;
using IoBufferEdge.Configuration;
using IoBufferEdge.Tests.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>System.IO.Ports as the device at the other end: every framing, both ways, at baud rates from 1,200 to 921,600.</summary>
public sealed class SerialPortPeerTests
{
    private static readonly int[] Bauds = [1200, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600];
    private readonly SerialRig _rig = new();

    public static TheoryData<FramingType, int> Lines =>
    [
        .. from framing in Enum.GetValues<FramingType>()
           where framing is not (FramingType.Raw or FramingType.Datagram)
           from baud in framing is FramingType.Line or FramingType.IdleGap ? Bauds : [9600, 921_600]
           select (framing, baud),
    ];

    [Theory]
    [MemberData(nameof(Lines))]
    public async Task What_the_device_sends_comes_in_byte_exact(FramingType type, int baud)
    {
        using var modem = new NullModem();
        using var device = Open(modem.Device.Path, baud);
        await using var run = await _rig.StartAsync(SerialRig.Source(modem.Gateway.Path) with { BaudRate = baud, Framing = Framing(type) });
        var frames = Enumerable.Range(0, 5).Select(i => Frame(type, i)).ToList();
        foreach (var frame in frames)
        {
            device.Write(frame, 0, frame.Length);
            // Silence is the only end that an idle_gap frame has.
            if (type == FramingType.IdleGap) await run.CountAsync(frames.IndexOf(frame) + 1);
        }

        await run.CountAsync(frames.Count);
        Assert.Equal(frames.Select(Convert.ToHexString), run.Sink.Messages.Select(m => Convert.ToHexString(m.Payload)));
        Assert.All(run.Sink.Messages, m => Assert.Equal(MessageFlags.None, m.Flags));
    }

    [Theory]
    [MemberData(nameof(Lines))]
    public async Task What_goes_out_reaches_the_device_byte_exact(FramingType type, int baud)
    {
        using var modem = new NullModem();
        using var device = Open(modem.Device.Path, baud);
        await using var destination = await _rig.OpenAsync(
            SerialRig.Destination(modem.Gateway.Path) with { BaudRate = baud, Framing = type == FramingType.Fixed ? null : Framing(type) });
        await using var link = await RunningLink.StartAsync(destination);
        var payloads = Enumerable.Range(0, 3).Select(i => Messages.Payload(i, 12)).ToList();
        await link.Link.SendAsync(Messages.Run(1, payloads), default);
        Assert.Equal(3, link.Sink.ConfirmedUpTo);
        var expected = payloads.SelectMany(p => Wrapped(type, p)).ToArray();
        var received = new byte[expected.Length];
        device.ReadTimeout = 20_000;
        for (var read = 0; read < received.Length;) read += device.Read(received, read, received.Length - read);
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(received));
    }

    private static SerialPort Open(string path, int baud)
    {
        var port = new SerialPort(path, baud, Parity.None, 8, StopBits.One) { Handshake = Handshake.None };
        port.Open();
        return port;
    }

    private static FramingConfig Framing(FramingType type) => new()
    {
        Type = type, DelimiterHex = "0d0a", StartHex = "02", EndHex = "03", Bytes = type == FramingType.Fixed ? 12 : 2,
    };

    /// <summary>A frame as the device sends it, with bytes that terminals and marks treat in their own way.</summary>
    private static byte[] Frame(FramingType type, int number)
    {
        byte[] payload = [0xFF, 0x00, 0x11, 0x13, 0xFF, 0xFF, 0x7F, 0x04, 0x1A, (byte)(number + 0x30), 0x08, 0x15];
        return [.. Wrapped(type, payload)];
    }

    private static IEnumerable<byte> Wrapped(FramingType type, byte[] payload) => type switch
    {
        FramingType.Line => [.. payload, (byte)'\n'],
        FramingType.Delimiter => [.. payload, 0x0D, 0x0A],
        FramingType.StxEtx => [2, .. payload, 3],
        FramingType.Mllp => [0x0B, .. payload, 0x1C, 0x0D],
        FramingType.LengthPrefix => [0, (byte)payload.Length, .. payload],
        _ => payload,
    };
}
