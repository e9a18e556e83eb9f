using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Tests.Endpoints.Serial;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The published binary on a serial line, which is a pseudo terminal: bytes, framings, a plug that is pulled, a kill.</summary>
public abstract class SerialContract(ITestOutputHelper output) : SystemTest(output)
{
    private const int Lines = 300;

    /// <summary>The process may be emulated.</summary>
    private const double Seconds = 60;

    protected abstract GatewayProcess NewGateway(JsonObject config);

    [Theory]
    [InlineData(1_200)]
    [InlineData(19_200)]
    [InlineData(921_600)]
    public async Task Lines_come_in_and_go_out_byte_exact(int baud)
    {
        using var device = new Pty();
        using var listener = Listener();
        var port = FreePort.Tcp();
        var gateway = Started(FromLine("in", device.Path, listener, baud, """{"type":"line"}"""), ToLine("out", port, baud, out var line));
        using var _ = line;
        var expected = Text(0, 20);
        await device.WriteAsync(expected);
        Assert.Equal(expected, await ReadAsync(listener, expected.Length, gateway));
        using var client = new TcpClient("127.0.0.1", port);
        await client.GetStream().WriteAsync(Encoding.Latin1.GetBytes(expected));
        Assert.Equal(expected, Encoding.Latin1.GetString(await line.ReadAsync(expected.Length)));
        Assert.Contains($"{baud} 8N1", ChannelLedger.Channel(gateway.Status(), "in")["source_status"]!["detail"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type":"idle_gap","gap_ms":40}""", "one|two\n|three", "one|two\n|three|")]
    [InlineData("""{"type":"fixed","bytes":3}""", "abcde|fghi", "abc|def|ghi|")]
    [InlineData("""{"type":"stx_etx","start_hex":"02","end_hex":"03","strip":true}""", "\u0002one\u0003\u0002t\nwo\u0003", "one|t\nwo|")]
    [InlineData("""{"type":"length_prefix","bytes":1,"strip":true}""", "\u0003abc\u0001d", "abc|d|")]
    public async Task Every_framing_makes_the_messages_that_were_sent(string framing, string sent, string messages)
    {
        using var device = new Pty();
        using var listener = Listener();
        var channel = FromLine(Id, device.Path, listener, 19_200, framing);
        channel["destination"]!["framing"] = JsonNode.Parse("""{"type":"delimiter","delimiter_hex":"7c"}""");
        var gateway = Started(channel);
        foreach (var piece in sent.Split('|'))
        {
            await device.WriteAsync(piece);
            await Task.Delay(200);
        }

        Assert.Equal(messages, await ReadAsync(listener, messages.Length, gateway));
    }

    [Fact]
    public async Task Unplugged_plugged_and_killed_nothing_that_was_accepted_is_lost()
    {
        using var adapter = new PluggedDevice();
        using var listener = Listener();
        var port = FreePort.Tcp();
        var gateway = Started(FromLine(Id, adapter.Path, listener, 115_200, """{"type":"line"}"""));
        listener.Stop();
        for (var round = 0; round < 3; round++)
        {
            await adapter.Pty.WriteAsync(Text(round * Lines, Lines));
            Wait.Until(() => gateway.LedgerOf(Id).Received == (round + 1) * Lines, Seconds, "the lines in the buffer", () => gateway.LastLines);
            adapter.Unplug();
            await Task.Delay(100);
            adapter.Plug();
            Wait.Until(() => Openings() == round + 2, Seconds, "the port to be open again", () => gateway.LastLines);
        }

        Wait.Until(() => gateway.Status()["store"]?["unsecured"]?.GetValue<long>() is null or 0, Seconds, "everything written");
        await Task.Delay(1_000);
        gateway.Kill();
        gateway.Start(Seconds);
        listener.Start();
        var expected = Text(0, 3 * Lines);
        Assert.Equal(expected, await ReadAsync(listener, expected.Length, gateway));

        int Openings() => ChannelLedger.Channel(gateway.Status(), Id)["source_status"]!["counters"]!["openings"]!.GetValue<int>();
    }

    private GatewayProcess Started(params JsonNode[] channels)
    {
        var gateway = Keep(NewGateway(Config.Gateway(channels)));
        gateway.Start(Seconds);
        return gateway;
    }

    private static TcpListener Listener()
    {
        var listener = new TcpListener(IPAddress.Loopback, FreePort.Tcp());
        listener.Start();
        return listener;
    }

    private static JsonObject FromLine(string id, string path, TcpListener listener, int baud, string framing)
    {
        var channel = Config.Channel(id, 1, ((IPEndPoint)listener.LocalEndpoint).Port);
        channel["source"] = new JsonObject { ["type"] = "serial", ["port"] = path, ["baud_rate"] = baud, ["framing"] = JsonNode.Parse(framing) };
        return channel;
    }

    private static JsonObject ToLine(string id, int port, int baud, out Pty line)
    {
        line = new Pty();
        var channel = Config.Channel(id, port, 1);
        channel["destination"] = new JsonObject { ["type"] = "serial", ["port"] = line.Path, ["baud_rate"] = baud };
        return channel;
    }

    private static string Text(int from, int count) =>
        string.Concat(Enumerable.Range(from, count).Select(i => $"{i:D6} \u00ff\u0000\u0011\u0013\u0003\r {new string((char)('a' + i % 26), i % 40)}\n"));

    private static async Task<string> ReadAsync(TcpListener listener, int count, GatewayProcess gateway)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(Seconds));
        var bytes = new byte[count];
        var read = 0;
        try
        {
            using var connection = await listener.AcceptTcpClientAsync(limit.Token);
            while (read < count && await connection.GetStream().ReadAsync(bytes.AsMemory(read), limit.Token) is > 0 and var now) read += now;
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"{read} of {count} bytes came. {gateway.LastLines}");
        }

        return Encoding.Latin1.GetString(bytes, 0, read);
    }
}

public sealed class SerialTests(ITestOutputHelper output) : SerialContract(output)
{
    protected override GatewayProcess NewGateway(JsonObject config) => new(config);
}

/// <summary>The arm64 binary, emulated where this is not arm64.</summary>
public sealed class Arm64SerialTests(ITestOutputHelper output) : SerialContract(output)
{
    protected override GatewayProcess NewGateway(JsonObject config) => Arm64.NewGateway(config);
}
