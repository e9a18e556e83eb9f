using System.Diagnostics;
using System.Globalization;
using System.IO.Ports;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>
/// What the lab's tests share: the gateway holds ttyUS0, the test plays the device at ttyUS1 and the peer behind TCP. Every test begins
/// with both ports plugged in, no errors armed, counters at zero and RS232.
/// </summary>
public abstract class LabTest : IDisposable
{
    protected const string Id = "c1";
    protected const string GatewayPort = "/dev/ttyUS0";
    protected const string DevicePort = "/dev/ttyUS1";

    /// <summary>Frames of a case that counts them: 200, or what LAB_FRAMES says (the long form: 10,000).</summary>
    protected static readonly int FrameCount =
        int.Parse(Environment.GetEnvironmentVariable("LAB_FRAMES") ?? "200", CultureInfo.InvariantCulture);

    private readonly Stack<IDisposable> _things = [];

    protected LabTest()
    {
        Assert.SkipUnless(UartSim.IsThere, "There are no simulated UARTs here: this runs in the VM lab alone (tests/vm-lab/run.sh).");
        foreach (var port in (int[])[0, 1])
        {
            if (UartSim.Port(port)["plugged"] == 0) UartSim.Control($"{port} plug");
            foreach (var command in (string[])["driver none", "rs485 off", "rs485 accept", "clear"]) UartSim.Control($"{port} {command}");
        }
    }

    public void Dispose()
    {
        while (_things.TryPop(out var thing)) thing.Dispose();
        GC.SuppressFinalize(this);
    }

    protected T Keep<T>(T thing) where T : IDisposable
    {
        _things.Push(thing);
        return thing;
    }

    protected GatewayProcess StartedGateway(JsonObject channel)
    {
        var gateway = Keep(new GatewayProcess(Config.Gateway(channel)));
        gateway.Start();
        return gateway;
    }

    /// <summary>From the line to TCP; <paramref name="keys"/> are the source's own, as JSON.</summary>
    protected static JsonObject FromLine(int baud, int tcpPort, string keys = "{}")
    {
        var channel = Config.Channel(Id, 1, tcpPort);
        channel["source"] = Line(baud, keys);
        return channel;
    }

    /// <summary>From TCP to the line; <paramref name="keys"/> are the destination's own, as JSON.</summary>
    protected static JsonObject ToLine(int baud, int tcpPort, string keys = "{}")
    {
        var channel = Config.Channel(Id, tcpPort, 1);
        channel["destination"] = Line(baud, keys);
        channel["destination"]!["retry"] = JsonNode.Parse("""{"initial_ms":20,"max_ms":200}""");
        return channel;
    }

    protected SerialPort Device(int baud)
    {
        var device = Keep(new SerialPort(DevicePort, baud) { ReadTimeout = 100 });
        device.Open();
        return device;
    }

    protected TcpPeer Peer() => Keep(new TcpPeer());

    protected TcpClient Client(int port) => Keep(new TcpClient("127.0.0.1", port) { NoDelay = true });

    /// <summary>Reads from the line until so many bytes are there.</summary>
    protected static byte[] ReadExactly(SerialPort device, int count, double seconds)
    {
        var bytes = new byte[count];
        var watch = Stopwatch.StartNew();
        for (var read = 0; read < count;)
        {
            if (watch.Elapsed.TotalSeconds > seconds) Assert.Fail($"{read} of {count} bytes came out of the line within {seconds} s. {UartSim.State}");
            try
            {
                read += device.Read(bytes, read, count - read);
            }
            catch (TimeoutException)
            {
            }
        }

        return bytes;
    }

    /// <summary>What the channel's source ("source_status") or destination ("destination_status") counts.</summary>
    protected static long Counter(GatewayProcess gateway, string side, string name) =>
        ChannelLedger.Channel(gateway.Status(), Id)[side]!["counters"]![name]!.GetValue<long>();

    /// <summary>Numbered lines of so many bytes each, with every line another.</summary>
    protected static byte[] NumberedLine(int number, int bytes) =>
        System.Text.Encoding.ASCII.GetBytes($"{number:D6}".PadRight(bytes - 1, (char)('a' + number % 26)) + "\n");

    private static JsonNode Line(int baud, string keys)
    {
        var line = new JsonObject { ["type"] = "serial", ["port"] = GatewayPort, ["baud_rate"] = baud };
        foreach (var (key, value) in JsonNode.Parse(keys)!.AsObject()) line[key] = value?.DeepClone();
        return line;
    }
}

/// <summary>Takes connections one after the other and keeps every byte.</summary>
public sealed class TcpPeer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly MemoryStream _bytes = new();
    private readonly Thread _thread;

    public TcpPeer()
    {
        _listener.Start();
        _thread = new Thread(Receive) { IsBackground = true };
        _thread.Start();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public byte[] Bytes
    {
        get { lock (_bytes) return _bytes.ToArray(); }
    }

    public void Dispose()
    {
        _listener.Stop();
        _bytes.Dispose();
    }

    private void Receive()
    {
        var bytes = new byte[4096];
        try
        {
            while (true)
            {
                using var client = _listener.AcceptTcpClient();
                int read;
                while ((read = client.GetStream().Read(bytes)) > 0)
                    lock (_bytes) _bytes.Write(bytes, 0, read);
            }
        }
        catch (Exception e) when (e is SocketException or IOException or InvalidOperationException)
        {
        }
    }
}
