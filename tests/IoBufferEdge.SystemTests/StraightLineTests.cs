using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The published binary on its straight line: in, buffered, out, also across a crash and with every kind of
/// acknowledgement.</summary>
public class StraightLineTests(ITestOutputHelper output) : SystemTest(output)
{
    [Theory]
    [InlineData(SenderKind.Plain, "cut_through")]
    [InlineData(SenderKind.Plain, "durable_first")]
    [InlineData(SenderKind.Bytes, "cut_through")]
    [InlineData(SenderKind.Bytes, "durable_first")]
    [InlineData(SenderKind.Mllp, "cut_through")]
    public void Tcp_to_tcp(SenderKind kind, string delivery)
    {
        var ledger = new Ledger();
        var mllp = kind == SenderKind.Mllp;
        var receiver = UpReceiver(ledger, new ReceiverOptions { Framing = mllp ? MessageFraming.Mllp : MessageFraming.Line });
        var port = FreePort.Tcp();
        var source = kind switch
        {
            SenderKind.Plain => "{}",
            SenderKind.Bytes => """{"ack":{"type":"bytes","ack_hex":"06"}}""",
            _ => """{"framing":{"type":"mllp"},"ack":{"type":"mllp"}}""",
        };
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port, source, buffer: $$"""{"delivery":"{{delivery}}"}"""));
        var sender = Sender(ledger, kind, port, last: 5_000);
        Wait.Until(() => ledger.HighestRead == 5_000, 30, "5,000 messages", () => $"{ledger}\n{gateway.LastLines}");
        Settle(ledger, sender, gateway);
        Assert.Equal(5_000, gateway.LedgerOf(Id).Received);
        Assert.Equal(0, ledger.Repeats);
    }

    [Theory]
    [InlineData(ReceiverAnswer.Bytes)]
    [InlineData(ReceiverAnswer.Mllp)]
    public void What_the_destination_answers_is_what_counts(ReceiverAnswer answer)
    {
        var ledger = new Ledger();
        var mllp = answer == ReceiverAnswer.Mllp;
        var framing = mllp ? MessageFraming.Mllp : MessageFraming.Line;
        var receiver = UpReceiver(ledger, new ReceiverOptions { Answer = answer, Framing = framing });
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port,
            mllp ? """{"framing":{"type":"mllp"},"ack":{"type":"mllp"}}""" : """{"ack":{"type":"bytes","ack_hex":"06"}}""",
            mllp ? """{"confirm":{"type":"mllp"}}""" : """{"confirm":{"type":"bytes","ack_hex":"06","nak_hex":"15"}}"""));
        if (!mllp)
            receiver.NakEvery = 50;
        var sender = Sender(ledger, mllp ? SenderKind.Mllp : SenderKind.Bytes, port, last: 500);
        Flow(ledger, gateway, 100);
        receiver.Break(ConnectionEnd.Reset);
        Wait.Until(() => ledger.HighestRead == 500, 60, "500 messages", () => $"{ledger}\n{gateway.LastLines}");
        Settle(ledger, sender, gateway);
        Assert.InRange(ledger.GatewayRepeats, 0, 1);
    }

    [Fact]
    public void Udp_to_udp()
    {
        var ledger = new Ledger { Strict = false, Unordered = true };
        var receiver = Keep(new UdpReceiver(ledger));
        var port = FreePort.Udp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port, type: "udp"));
        Sender(ledger, SenderKind.Udp, port, ratePerS: 1000, last: 500);
        Wait.Until(() => ledger.HighestRead == 500, 30, "the last datagram", () => $"{ledger}\n{gateway.LastLines}");
        Wait.Until(() => ledger.Lost == 0, 5, "every datagram", ledger.ToString);
        Assert.Empty(ledger.Verdict());
        Assert.True(gateway.LedgerOf(Id).Balances);
    }

    [Fact]
    public void A_line_typed_while_the_destination_is_away_survives_kill_9()
    {
        var (sourcePort, sinkPort) = (FreePort.Tcp(), FreePort.Tcp());
        var gateway = StartedGateway(Config.Channel(Id, sourcePort, sinkPort));
        using (var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            socket.Connect(IPAddress.Loopback, sourcePort);
            socket.Send("hello, gateway\n"u8);
        }

        Wait.Until(() => gateway.LedgerOf(Id).Buffered == 1, 10, "the line in the buffer", () => gateway.LedgerOf(Id).ToString());
        gateway.Kill();

        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, sinkPort));
        listener.Listen(1);
        gateway.Start();
        Assert.True(listener.Poll(TimeSpan.FromSeconds(10), SelectMode.SelectRead), "the gateway did not connect within 10 s");
        using var connection = listener.Accept();
        connection.ReceiveTimeout = 10_000;
        var buffer = new byte[100];
        var length = connection.Receive(buffer);
        Assert.Equal("hello, gateway\n"u8, buffer.AsSpan(0, length));
    }

    [Fact]
    public void A_destination_that_stops_reading_and_goes_on_repeats_nothing()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port));
        var sender = Sender(ledger, SenderKind.Plain, port, ratePerS: 0, bytes: 1024);
        Flow(ledger, gateway);
        receiver.Pause();
        Thread.Sleep(TimeSpan.FromSeconds(3));
        receiver.Resume();
        Flow(ledger, gateway, 5_000);
        Settle(ledger, sender, gateway);
        Assert.Equal(0, ledger.Repeats);
        Assert.Equal(1, ledger.Connections);
    }

    /// <summary>After seconds without a sign of reading the gateway ends the connection: the reader must get to that end, however late.</summary>
    [Fact]
    public void A_destination_that_stops_reading_for_long_ends_in_order_and_repeats_nothing()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port));
        var sender = Sender(ledger, SenderKind.Plain, port, ratePerS: 0, bytes: 1024);
        Flow(ledger, gateway, 50_000);
        receiver.Pause();
        Thread.Sleep(TimeSpan.FromSeconds(12));
        receiver.Resume();
        Flow(ledger, gateway, 50_000);
        Settle(ledger, sender, gateway);
        Assert.True(ledger.Repeats == 0, $"{ledger}\n{gateway.LastLines}");
        Assert.InRange(ledger.Connections, 1, 2);
    }
}
