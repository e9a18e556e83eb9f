using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>
/// What a person before the device sees, for each cause that hardware/README.md has a row for: the two LEDs, as the kernel blinks them, say
/// what the row says, and the status names the same cause.
/// </summary>
public sealed class LedTests : LabTest
{
    private static readonly Dictionary<string, (string Stat, string Err)> Table = File
        .ReadLines(Path.Combine(GatewayProcess.RepositoryRoot, "hardware/README.md"))
        .Where(line => line.StartsWith("| `", StringComparison.Ordinal)).Select(line => line.Split('|', StringSplitOptions.TrimEntries))
        .Where(cells => cells.Length == 7).ToDictionary(cells => cells[1].Trim('`'), cells => (cells[2], cells[3]));

    private static readonly LabLed Stat = new("iobuf:green:stat");
    private static readonly LabLed Err = new("iobuf:red:err");

    public LedTests()
    {
        Stat.Reset();
        Err.Reset();
    }

    [Fact]
    public void Running_identify_paused_and_stopped()
    {
        var peer = Peer();
        var port = FreePort.Tcp();
        var gateway = Started(Config.Channel(Id, port, peer.Port));
        Client(port).GetStream().Write(NumberedLine(1, 20));
        Shows(gateway, "running");
        Command(gateway, "identify");
        Shows(gateway, "identify");
        gateway.Kill();
        gateway.Start();
        Command(gateway, "channel", "pause", Id);
        Shows(gateway, "paused");
        Assert.Equal(0, gateway.Terminate());
        Show("stopped");
    }

    [Fact]
    public void A_short_press_of_the_button_is_identify()
    {
        const int Button = 5;
        var gateway = Started(Config.Channel(Id, FreePort.Tcp(), Peer().Port));
        Shows(gateway, "running");
        LabChip.Pull(Button, high: false);
        Thread.Sleep(300);
        LabChip.Pull(Button, high: true);
        Shows(gateway, "identify");
    }

    /// <summary>It starts in an instant: only stopped in the middle of it, it can be seen.</summary>
    [Fact]
    public void Starting()
    {
        const int Stop = 19, Continue = 18;
        var gateway = Keep(new GatewayProcess(WithBoard(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()))));
        gateway.Launch();
        Wait.Until(() => Stat.HasChanged, 20, "STAT to be switched");
        gateway.Signal(Stop);
        Show("starting");
        gateway.Signal(Continue);
        Shows(gateway, "offline");
    }

    [Fact]
    public void Offline_buffering_and_storage_nearly_full()
    {
        var port = FreePort.Tcp();
        var gateway = Started(Config.Channel(Id, port, FreePort.Tcp(), buffer: """{"max_bytes":65536}"""));
        Shows(gateway, "offline");
        var client = Client(port).GetStream();
        client.Write(NumberedLine(1, 20));
        Shows(gateway, "buffering");
        for (var i = 0; i < 60; i++) client.Write(NumberedLine(i, 1000));
        Shows(gateway, "storage_nearly_full");
    }

    [Fact]
    public void Channel_failed_config_refused_and_unprovisioned()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var gateway = Started(Config.Channel(Id, ((IPEndPoint)taken.LocalEndpoint).Port, Peer().Port));
        Shows(gateway, "channel_failed");
        gateway.WriteConfig(WithBoard());
        gateway.Reload();
        Shows(gateway, "unprovisioned");
        gateway.WriteConfig(WithBoard(Config.Channel(Id, FreePort.Tcp(), Peer().Port)));
        gateway.Reload();
        Shows(gateway, "running");
        gateway.WriteConfig(JsonNode.Parse("""{"schema_version":1,"channels":7}""")!);
        gateway.Reload();
        Shows(gateway, "config_refused");
    }

    [Fact]
    public void Port_fault()
    {
        UartSim.Control("0 unplug");
        var gateway = Started(FromLine(9_600, Peer().Port, """{"framing":{"type":"line"}}"""));
        Shows(gateway, "port_fault");
        UartSim.Control("0 plug");
        Shows(gateway, "running");
    }

    [Fact]
    public void Silent()
    {
        var port = FreePort.Tcp();
        var gateway = Started(Config.Channel(Id, port, Peer().Port, source: """{"expect_every_s":1}"""));
        Client(port).GetStream().Write(NumberedLine(1, 20));
        Shows(gateway, "silent");
    }

    [Fact]
    public void Rejected_and_connection_resets()
    {
        var nak = true;
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var peer = new Thread(() =>
        {
            try
            {
                while (true) Answer(listener.AcceptSocket(), nak);
            }
            catch (Exception e) when (e is SocketException or InvalidOperationException)
            {
            }
        }) { IsBackground = true };
        peer.Start();
        var port = FreePort.Tcp();
        var gateway = Started(Config.Channel(Id, port, ((IPEndPoint)listener.LocalEndpoint).Port,
            destination: """{"confirm":{"type":"bytes","ack_hex":"06","nak_hex":"15"}}"""));
        Client(port).GetStream().Write(NumberedLine(1, 20));
        Shows(gateway, "rejected");
        nak = false;
        gateway.Kill();
        gateway.Start();
        Shows(gateway, "connection_resets");
    }

    [Fact]
    public void Not_delivering()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Server.ReceiveBufferSize = 4096;
        listener.Start();
        var port = FreePort.Tcp();
        var gateway = Started(Config.Channel(Id, port, ((IPEndPoint)listener.LocalEndpoint).Port));
        using var silent = listener.AcceptSocket();
        var client = Client(port).GetStream();
        for (var i = 0; i < 200; i++) client.Write(NumberedLine(i, 1000));
        Shows(gateway, "not_delivering", 60);
    }

    [Fact]
    public void Storage_failed()
    {
        var port = FreePort.Tcp();
        var gateway = Keep(new GatewayProcess(WithBoard(Config.Channel(Id, port, FreePort.Tcp()))));
        Directory.CreateDirectory(gateway.DataFolder);
        Mount("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", gateway.DataFolder);
        try
        {
            gateway.Start();
            var client = Client(port);
            client.SendTimeout = 2_000;
            var line = NumberedLine(1, 60_000);
            try
            {
                for (var i = 0; i < 1000; i++) client.GetStream().Write(line);
            }
            catch (IOException)
            {
                // Held back: that is what is to be seen.
            }

            Shows(gateway, "storage_failed", 30);
            gateway.Kill();
        }
        finally
        {
            Mount("umount", "-l", gateway.DataFolder);
        }
    }

    [Fact]
    public void Message_loss()
    {
        var port = FreePort.Tcp();
        var gateway = Started(Config.Channel(Id, port, FreePort.Tcp()));
        var client = Client(port).GetStream();
        // Two commits more than a second apart: the mark that proves what the store once held is written with the second.
        for (var sent = 1; sent <= 2; sent++)
        {
            for (var i = 0; i < 100; i++) client.Write(NumberedLine(i, 1000));
            Wait.Until(() => gateway.LedgerOf(Id).Buffered == sent * 100, 20, "messages in the buffer", () => $"{gateway.LedgerOf(Id)}");
            Thread.Sleep(1_500);
        }

        gateway.Kill();
        var log = Directory.GetFiles(gateway.DataFolder, "*.log", SearchOption.AllDirectories).MaxBy(file => new FileInfo(file).Length)!;
        using (var file = File.OpenWrite(log))
        {
            file.Position = 60_000;
            file.Write(new byte[30_000]);
        }

        // What is missing is known, at the latest, when delivery gets there.
        gateway.WriteConfig(WithBoard(Config.Channel(Id, port, Peer().Port)));
        gateway.Start();
        Shows(gateway, "message_loss");
    }

    private GatewayProcess Started(JsonObject channel)
    {
        var gateway = Keep(new GatewayProcess(WithBoard(channel)));
        gateway.Start();
        return gateway;
    }

    private static JsonObject WithBoard(params JsonNode[] channels)
    {
        var config = Config.Gateway(channels);
        config["device"] = JsonNode.Parse("""{"board":"lab-uml"}""");
        return config;
    }

    /// <summary>Both LEDs and the status.</summary>
    private void Shows(GatewayProcess gateway, string code, double seconds = 15)
    {
        Wait.Until(() => gateway.TryStatus()?["led_code"]?.GetValue<string>() == code, seconds, $"led_code {code}",
            () => $"{gateway.TryStatus()?["led_code"]}\n{gateway.LastLines}");
        Show(code);
    }

    /// <summary>A change, a second until it is looked for, and two rounds of the slowest.</summary>
    private void Show(string code)
    {
        var (stat, err) = Table[code];
        Wait.Until(() => Stat.Words == stat && Err.Words == err, 20, $"STAT {stat} and ERR {err} for {code}", () => $"STAT {Stat.Words}, ERR {Err.Words}");
    }

    private static void Command(GatewayProcess gateway, params string[] words)
    {
        var (exitCode, output, error) = gateway.Command([.. words, "--data", gateway.DataFolder]);
        Assert.True(exitCode == 0, output + error);
    }

    /// <summary>Refuses what comes, or breaks off when it has come.</summary>
    private static void Answer(Socket peer, bool nak)
    {
        using (peer)
        {
            var buffer = new byte[1000];
            if (!nak) peer.LingerState = new LingerOption(true, 0);
            try
            {
                while (peer.Receive(buffer) > 0 && nak) peer.Send([0x15]);
            }
            catch (SocketException)
            {
                // It came to an end.
            }
        }
    }

    private static void Mount(string command, params string[] arguments)
    {
        using var process = Process.Start(command, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
