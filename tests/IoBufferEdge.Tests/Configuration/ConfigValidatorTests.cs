using static IoBufferEdge.Tests.Configuration.Document;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>What keys ask of each other. One row per message, and rows for what is right.</summary>
public sealed class ConfigValidatorTests
{
    private const string TcpServer = """{"type":"tcp_server","host":"127.0.0.1","port":9000}""";
    private const string UdpSource = """{"type":"udp","host":"127.0.0.1","port":7001}""";
    private const string UdpDestination = """{"type":"udp","host":"127.0.0.1","port":8001}""";
    private const string Serial = """{"type":"serial","port":"/dev/ttyUSB0"}""";

    [Theory]
    [InlineData("\"framing\":{\"type\":\"idle_gap\"}",
        "source.framing.type: idle_gap does not fit type tcp_server: use for example raw or line")]
    [InlineData("\"framing\":{\"type\":\"datagram\"}",
        "source.framing.type: datagram does not fit type tcp_server: use for example raw or line")]
    [InlineData("\"framing\":{\"type\":\"raw\"},\"max_clients\":2",
        "source.max_clients: must be 1 with raw framing, or their pieces would mix: another framing lifts the limit")]
    [InlineData("\"framing\":{\"type\":\"fixed\",\"bytes\":65},\"max_message_bytes\":64",
        "source.framing.bytes: must be at most max_message_bytes, 64, but is 65")]
    [InlineData("\"framing\":{\"type\":\"line\"},\"max_message_bytes\":1",
        "source.max_message_bytes: must be more than the framing's own 1 bytes, but is 1")]
    [InlineData("\"framing\":{\"type\":\"delimiter\",\"delimiter_hex\":\"0d0a\"},\"max_message_bytes\":2",
        "source.max_message_bytes: must be more than the framing's own 2 bytes, but is 2")]
    [InlineData("\"framing\":{\"type\":\"mllp\"},\"max_message_bytes\":3",
        "source.max_message_bytes: must be more than the framing's own 3 bytes, but is 3")]
    [InlineData("\"framing\":{\"type\":\"length_prefix\",\"bytes\":4},\"max_message_bytes\":4",
        "source.max_message_bytes: must be more than the framing's own 4 bytes, but is 4")]
    [InlineData("\"framing\":{\"type\":\"stx_etx\",\"start_hex\":\"0A\",\"end_hex\":\"0a\"}",
        "source.framing.end_hex: is the same as start_hex: make them different")]
    [InlineData("\"ack\":{\"type\":\"mllp\"}", "source.ack: mllp answers MLLP messages: use framing mllp")]
    [InlineData("\"framing\":{\"type\":\"raw\"},\"ack\":{\"type\":\"bytes\",\"ack_hex\":\"06\"}",
        "source.ack: needs messages to acknowledge, and raw framing has none: use another framing")]
    [InlineData("\"ack\":{\"type\":\"bytes\",\"ack_hex\":\"06\",\"nak_hex\":\"06\"}",
        "source.ack.nak_hex: is the same as ack_hex: make them different")]
    [InlineData("\"host\":\"gateway\"", "source.host: must be an address to listen on, 0.0.0.0 for all interfaces, but is \"gateway\"")]
    [InlineData("\"host\":\"1.2\\n\"", "source.host: must be an address to listen on, 0.0.0.0 for all interfaces, but is \"1.2\\n\"")]
    [InlineData("\"bind\":\"eth0/1\"", "source.bind: must be a local address or the name of an interface, eth0, but is \"eth0/1\"")]
    [InlineData("\"allow\":[\"10.0.0.1\",\"10.0.0.0/33\"]",
        "source.allow[1]: must be an address or a network, 192.0.2.0/24, but is \"10.0.0.0/33\"")]
    [InlineData("\"allow\":[\"example.org\"]", "source.allow[0]: must be an address or a network, 192.0.2.0/24, but is \"example.org\"")]
    [InlineData("\"max_message_bytes\":6291457",
        "source.max_message_bytes: must be at most half of buffer.memory_bytes, 6291456, but is 6291457")]
    [InlineData("\"tls\":{\"enabled\":true}",
        "source.tls.cert: is missing: a TLS server needs its certificate, a PEM file",
        "source.tls.key: is missing: the certificate needs its private key, a PEM file")]
    [InlineData("\"tls\":{\"enabled\":true,\"cert\":\"c.pem\",\"key\":\"k.pem\",\"verify_peer\":true}",
        "source.tls.ca: is missing: verify_peer needs the authorities that clients' certificates come from, a PEM file",
        "source.tls.cert: names \"/nowhere/c.pem\", which does not exist",
        "source.tls.key: names \"/nowhere/k.pem\", which does not exist")]
    public void A_source_that_cannot_work_is_refused(string keys, params string[] problems) =>
        Assert.Equal(problems.Select(p => "error: channels[0]." + p), Problems(Of(Channel(With(TcpSource, keys)))));

    [Theory]
    [InlineData("\"host\":\"0.0.0.0\"", "destination.host: must be the peer's name or address, but is \"0.0.0.0\"")]
    [InlineData("\"host\":\"a b\"", "destination.host: must be the peer's name or address, but is \"a b\"")]
    [InlineData("\"host\":\"10.1.2\"", "destination.host: must be the peer's name or address, but is \"10.1.2\"")]
    [InlineData("\"framing\":{\"type\":\"fixed\",\"bytes\":4}",
        "destination.framing.type: fixed adds nothing: leave framing out, the source's framing makes the messages")]
    [InlineData("\"confirm\":{\"type\":\"bytes\",\"ack_hex\":\"06\",\"nak_hex\":\"0615\"}",
        "destination.confirm.nak_hex: begins with ack_hex or the other way round: answers could not be told apart")]
    [InlineData("\"confirm\":{\"type\":\"mllp\"}",
        "destination.confirm: mllp needs MLLP frames: use framing mllp at the source, with strip: true there also here")]
    [InlineData("\"retry\":{\"initial_ms\":60001}", "destination.retry.initial_ms: must be at most max_ms, 60000, but is 60001")]
    [InlineData("\"resend_bytes\":524288",
        "destination.resend_bytes: must be at least two and a half times window_bytes, 524288: a dying peer can leave more than its window; but is 524288")]
    [InlineData("\"tls\":{\"enabled\":true,\"cert\":\"c.pem\"}",
        "destination.tls.key: is missing: the certificate needs its private key, a PEM file",
        "destination.tls.cert: names \"/nowhere/c.pem\", which does not exist")]
    [InlineData("\"tls\":{\"enabled\":true,\"key\":\"k.pem\"}",
        "destination.tls.cert: is missing: the private key needs its certificate, a PEM file",
        "destination.tls.key: names \"/nowhere/k.pem\", which does not exist")]
    [InlineData("\"tls\":{\"enabled\":true,\"ca\":\"ca.pem\"}", "destination.tls.ca: names \"/nowhere/ca.pem\", which does not exist")]
    public void A_destination_that_cannot_work_is_refused(string keys, params string[] problems) =>
        Assert.Equal(problems.Select(p => "error: channels[0]." + p), Problems(Of(Channel(destination: With(TcpDestination, keys)))));

    [Theory]
    [InlineData("\"type\":\"raw\"", "\"type\":\"line\"",
        "destination.framing: would frame arbitrary pieces, because the source is raw: give the source a framing with strip: true")]
    [InlineData("\"type\":\"line\"", "\"type\":\"mllp\"",
        "destination.framing: is added to what the source's framing leaves in place: set strip: true in the source's framing")]
    [InlineData("\"type\":\"line\",\"strip\":true", "\"type\":\"length_prefix\",\"bytes\":2",
        "source.max_message_bytes: must be at most 65535, what the destination's length prefix can say, but is 1048576")]
    [InlineData("\"type\":\"line\",\"strip\":true", "\"type\":\"mllp\"")]
    [InlineData("\"type\":\"line\"", "\"type\":\"raw\"")]
    [InlineData("\"type\":\"fixed\",\"bytes\":10", "\"type\":\"length_prefix\",\"bytes\":4")]
    public void Two_framings_have_to_fit(string source, string destination, params string[] problems) =>
        Assert.Equal(problems.Select(p => "error: channels[0]." + p), Problems(Of(Channel(
            With(TcpSource, $"\"framing\":{{{source}}}"), With(TcpDestination, $"\"framing\":{{{destination}}}")))));

    [Fact]
    public void Answers_cannot_be_matched_to_pieces_of_a_stream()
    {
        const string Problem = "error: channels[0].destination.confirm: cannot match answers to messages, and a raw source has none: "
            + "give the source another framing";
        foreach (var confirm in new[] { """{"type":"mllp"}""", """{"type":"bytes","ack_hex":"06"}""" })
        {
            var destination = With(TcpDestination, $"\"confirm\":{confirm}");
            Assert.Equal([Problem], Problems(Of(Channel(With(TcpSource, "\"framing\":{\"type\":\"raw\"}"), destination))));
        }
    }

    [Fact]
    public void MLLP_answers_need_MLLP_on_the_wire_wherever_it_is_put_on()
    {
        var confirm = With(TcpDestination, """ "confirm":{"type":"mllp"} """);
        Assert.Empty(Problems(Of(Channel(With(TcpSource, """ "framing":{"type":"mllp"} """), confirm))));
        var framed = With(confirm, """ "framing":{"type":"mllp"} """);
        Assert.Empty(Problems(Of(Channel(With(TcpSource, """ "framing":{"type":"line","strip":true} """), framed))));
        Assert.Single(Problems(Of(Channel(With(TcpSource, """ "framing":{"type":"mllp","strip":true} """), confirm))));
    }

    [Fact]
    public void A_datagram_bounds_the_messages()
    {
        Assert.Equal(["error: channels[0].source.max_message_bytes: must be at most 65507, what a UDP datagram can carry, but is 65508"],
            Problems(Of(Channel(With(TcpSource, "\"max_message_bytes\":65508"), UdpDestination))));
        Assert.Equal(65_507, Parse(Of(Channel(TcpSource, UdpDestination))).Config!.Channels[0].Source.MaxMessageBytes);
        var stripped = With(TcpSource, """ "framing":{"type":"line","strip":true} """);
        var framed = Channel(stripped, With(UdpDestination, """ "framing":{"type":"mllp"} """));
        Assert.Equal(65_504, Parse(Of(framed)).Config!.Channels[0].Source.MaxMessageBytes);
        Assert.Equal(1 << 20, Parse(Of(Channel())).Config!.Channels[0].Source.MaxMessageBytes);
    }

    [Theory]
    [InlineData("\"framing\":{\"type\":\"raw\"}", "source.framing.type: raw does not fit type udp: use for example datagram")]
    [InlineData("\"framing\":{\"type\":\"idle_gap\"}", "source.framing.type: idle_gap does not fit type udp: use for example datagram")]
    [InlineData("\"framing\":{\"type\":\"line\"}")]
    [InlineData("\"ack\":{\"type\":\"bytes\",\"ack_hex\":\"06\"}",
        "source.ack: does not belong to type udp; it belongs to tcp_server, tcp_client, serial")]
    public void A_udp_source_has_datagrams(string keys, params string[] problems) =>
        Assert.Equal(problems.Select(p => "error: channels[0]." + p), Problems(Of(Channel(With(UdpSource, keys)))));

    [Fact]
    public void A_udp_destination_confirms_nothing() =>
        Assert.Equal(
            ["error: channels[0].destination.confirm.type: transport does not fit type udp, "
                + "which has only none: nothing comes back over UDP"],
            Problems(Of(Channel(destination: With(UdpDestination, """ "confirm":{"type":"transport"} """)))));

    [Theory]
    [InlineData("\"client_policy\":\"takeover\"",
        "error: channels[0].destination.client_policy: takeover lets any client empty the queue: "
        + "name the clients in allow, or use mutual TLS (tls.verify_peer)")]
    [InlineData("\"client_policy\":\"takeover\",\"allow\":[\"10.0.0.0/8\"]")]
    [InlineData("\"host\":\"0.0.0.0\"",
        "warning: channels[0].destination: hands the queue to any client that connects: "
        + "name the clients in allow, or use mutual TLS (tls.verify_peer)")]
    [InlineData("\"host\":\"0.0.0.0\",\"allow\":[\"10.1.2.3/8\"]")]
    public void A_server_destination_says_who_may_fetch(string keys, params string[] problems) =>
        Assert.Equal(problems, Problems(Of(Channel(destination: With(TcpServer, keys)))));

    [Theory]
    [InlineData("\"ack\":{\"type\":\"bytes\",\"ack_hex\":\"06\"}", "\"confirm\":{\"type\":\"none\"}",
        "source.ack: promises what the destination does not confirm: what is lost behind us was acknowledged all the same, "
        + "and every message is written before it is delivered (durable_first); a destination with a confirm other than none avoids both")]
    [InlineData(null, "\"on_reject\":\"park\"",
        "destination.on_reject: has no effect: only a peer that answers (confirm mllp, or bytes with nak_hex) can refuse")]
    [InlineData(null, "\"tls\":{\"enabled\":true,\"verify_peer\":false}",
        "destination.tls.verify_peer: accepts any certificate: whoever sits in between can read and change everything")]
    public void What_may_surprise_is_a_warning(string? source, string? destination, string problem)
    {
        var result = Parse(Of(Channel(With(TcpSource, source ?? ""), With(TcpDestination, destination ?? ""))));
        Assert.Equal(["warning: channels[0]." + problem], result.Problems.Select(p => p.ToString()));
        Assert.NotNull(result.Config);
    }

    [Theory]
    [InlineData("\"when_full\":\"drop_oldest\"",
        "warning: WHERE.when_full: lets messages be discarded when the buffer is full; block never loses one")]
    [InlineData("\"ttl_s\":60", "warning: WHERE.ttl_s: lets messages be discarded when they get too old; 0 never loses one")]
    [InlineData("\"compression\":\"zstd\"", "warning: WHERE.compression: has no effect yet: nothing is compressed")]
    [InlineData("\"max_unsecured_bytes\":262143",
        "error: WHERE.commit_bytes: must be at most max_unsecured_bytes, 262143, where the source stops, but is 262144")]
    public void A_buffer_key_is_judged_where_it_stands(string keys, string problem)
    {
        var key = problem.Split(':')[1].Split('.')[1];
        var inChannel = Problems(Of(Channel(more: $",\"buffer\":{{{keys}}}")));
        var atTop = Problems(Of(Channel() + "," + Channel(With(TcpSource, "\"port\":7002"), id: "b"), $",\"buffer\":{{{keys}}}"));
        var where = keys.Contains(key, StringComparison.Ordinal) ? "channels[0].buffer" : "buffer";
        Assert.Equal([problem.Replace("WHERE", where, StringComparison.Ordinal)], inChannel);
        Assert.Equal([problem.Replace("WHERE", "buffer", StringComparison.Ordinal)], atTop.Distinct());
    }

    [Fact]
    public void Buffers_that_cannot_all_be_filled_are_a_warning() =>
        Assert.Equal(
            ["warning: buffer.device_max_bytes: is 67108864, the channels' max_bytes and retain_bytes together 1073741824: "
                + "not all can fill their buffers at once"],
            Problems(Of(Channel(), """, "buffer":{"device_max_bytes":67108864}""")));

    [Fact]
    public void Ids_are_unique() =>
        Assert.Equal(["error: channels[1].id: is already the id of channels[0]: choose another"],
            Problems(Of(Channel() + "," + Channel(UdpSource, UdpDestination))));

    [Theory]
    [InlineData("0.0.0.0", 7000, true)]
    [InlineData("::", 7000, true)]
    [InlineData("localhost", 7000, true)]
    [InlineData("127.0.0.2", 7000, false)]
    [InlineData("127.0.0.1", 7001, false)]
    public void Listeners_share_no_port(string host, int port, bool clash)
    {
        var at = $"\"host\":\"{host}\",\"port\":{port}";
        var second = Channel(With(TcpSource, at), id: "b");
        const string Problem = "error: channels[1].source.port: is TCP port 7000, "
            + "which channels[0].source.port already listens on: choose another";
        Assert.Equal(clash ? [Problem] : [], Problems(Of(Channel() + "," + second)));
        Assert.Empty(Problems(Of(Channel() + "," + With(second, "\"enabled\":false"))));
        Assert.Empty(Problems(Of(Channel() + "," + Channel(With(UdpSource, at), UdpDestination, id: "b"))));
    }

    [Fact]
    public void Destinations_and_HTTP_listen_too()
    {
        string[] channels =
        [
            Channel(TcpSource, With(TcpServer, "\"port\":7000")), Channel(UdpSource, UdpDestination, id: "b"),
            Channel(UdpSource, UdpDestination, id: "c"),
        ];
        var problems = Problems(Of(string.Join(',', channels), """, "http":{"listen":"[::]:7000","metrics_listen":"127.0.0.1:7000"}"""));
        Assert.Equal(
        [
            "warning: http.listen: has no effect: no channel has a source of type remote_icombuffer",
            "error: channels[0].destination.port: is TCP port 7000, which channels[0].source.port already listens on: choose another",
            "error: channels[2].source.port: is UDP port 7001, which channels[1].source.port already listens on: choose another",
            "error: http.listen: is TCP port 7000, which channels[0].source.port already listens on: choose another",
            "error: http.metrics_listen: is TCP port 7000, which channels[0].source.port already listens on: choose another",
        ], problems);
    }

    [Theory]
    [InlineData(", \"http\":{\"metrics_listen\":\"9464\"}",
        "error: http.metrics_listen: must be an address and a port, 127.0.0.1:8080 or [::1]:8080, but is \"9464\"")]
    [InlineData(", \"http\":{\"metrics_listen\":\"::1:9464\"}",
        "error: http.metrics_listen: must be an address and a port, 127.0.0.1:8080 or [::1]:8080, but is \"::1:9464\"")]
    [InlineData(", \"http\":{\"metrics_listen\":\"[::1]:9464\"}")]
    [InlineData(", \"http\":{\"tls\":{\"enabled\":true,\"cert\":\"c\",\"key\":\"k\"}}",
        "warning: http.tls: has no effect without http.listen: metrics are served without encryption",
        "error: http.tls.cert: names \"/nowhere/c\", which does not exist",
        "error: http.tls.key: names \"/nowhere/k\", which does not exist")]
    [InlineData(", \"mqtt\":{\"host\":\"broker.example\",\"password_file\":\"p\",\"password_secret\":\"s\"}",
        "warning: device.id: is left out: topics carry it, and without one nothing is sent to the broker",
        "error: mqtt.password_secret: stands beside password_file: keep one of them",
        "error: mqtt.password_file: names \"/nowhere/p\", which does not exist")]
    [InlineData(", \"device\":{\"board\":\"rpi4\"}", "error: device.board: must be a board that is known, but is \"rpi4\": known are lab-uml, "
        + "recomputer-r1000, revpi-connect, rpi4-dual-max485, rpi4-waveshare-rs485-can, x86-generic")]
    public void The_device_itself_is_judged(string more, params string[] problems) => Assert.Equal(problems, Problems(Of(Channel(), more)));

    [Fact]
    public void Without_channels_nothing_is_forwarded() =>
        Assert.Equal(["warning: channels: is empty: nothing will be forwarded"], Problems(Of("")));

    [Theory]
    [InlineData("\"framing\":{\"type\":\"raw\"}", "destination.framing.type: raw does not fit type serial: use for example idle_gap")]
    [InlineData("\"framing\":{\"type\":\"datagram\"}",
        "destination.framing.type: datagram does not fit type serial: use for example idle_gap")]
    [InlineData("\"confirm\":{\"type\":\"mllp\"}",
        "destination.confirm.type: mllp does not fit type serial, which has none, transport or bytes",
        "destination.confirm: mllp needs MLLP frames: use framing mllp at the source, with strip: true there also here")]
    [InlineData("\"port\":\"COM5\"",
        "destination.port: must be the path of a serial device, /dev/ttyUSB0 or better /dev/serial/by-id/…, but is \"COM5\"")]
    [InlineData("\"stop_bits\":1.5", "destination.stop_bits: 1.5 exists only with 5 data bits: use 1 or 2 with 8")]
    [InlineData("\"stop_bits\":2,\"data_bits\":5",
        "destination.stop_bits: 2 does not exist with 5 data bits, where UARTs make it 1.5: use 1 or 1.5")]
    [InlineData("\"rs485\":{\"mode\":\"gpio\",\"re\":{\"chip\":\"pinctrl-bcm2711\",\"line\":4}}",
        "destination.rs485.de: is missing: it names the line that switches the transmitter in mode gpio, {\"chip\":\"pinctrl-bcm2711\",\"line\":4}")]
    [InlineData("\"rs485\":{\"mode\":\"gpio\",\"de\":{\"chip\":\"c\",\"line\":4},\"re\":{\"chip\":\"c\",\"line\":4,\"active_low\":true}}",
        "destination.rs485.re: is the line of de: name another one, or leave it out where one line switches both")]
    [InlineData("\"rs485\":{\"mode\":\"kernel\",\"pre_delay_us\":1500},\"flow_control\":\"RTS/CTS\"",
        "destination.rs485.pre_delay_us: must be whole milliseconds in mode kernel, but is 1500",
        "destination.flow_control: RTS/CTS needs the line that switches the RS485 transmitter: use None")]
    [InlineData("\"rs485\":{\"mode\":\"gpio\",\"de\":{\"chip\":\"c\",\"line\":\"4\"}}",
        "destination.rs485.de.line: must be a line's number from 0 to 1023, or its name in quotes, but is \"4\"")]
    [InlineData("\"rs485\":{\"mode\":\"gpio\",\"de\":{\"chip\":\"c\",\"line\":1024}}",
        "destination.rs485.de.line: must be a line's number from 0 to 1023, or its name in quotes, but is 1024")]
    [InlineData("\"rs485\":{\"mode\":\"none\",\"de\":{\"chip\":\"gpiochip0\",\"line\":4}}",
        "destination.rs485: names de or re, which mode none does not use: leave them out")]
    public void A_serial_destination_that_cannot_work_is_refused(string keys, params string[] problems) =>
        Assert.Equal(problems.Select(p => "error: channels[0]." + p).Order(), Problems(Of(Channel(destination: With(Serial, keys)))).Order());

    [Theory]
    [InlineData("\"stop_bits\":1.5,\"data_bits\":5")]
    [InlineData("\"parity\":\"Mark\",\"data_bits\":7,\"stop_bits\":2,\"baud_rate\":250000,\"flow_control\":\"XON/XOFF\"")]
    [InlineData("\"rs485\":{\"mode\":\"kernel\",\"pre_delay_us\":2000}")]
    [InlineData("\"rs485\":{\"mode\":\"rts\",\"pre_delay_us\":150,\"guard_bits\":1}")]
    [InlineData("\"rs485\":{\"mode\":\"gpio\",\"de\":{\"chip\":\"c\",\"line\":4},\"pre_delay_us\":150,\"guard_bits\":1},\"flow_control\":\"RTS/CTS\"")]
    [InlineData("\"rs485\":{\"mode\":\"gpio\",\"de\":{\"chip\":\"c\",\"line\":\"RS485_DE\"},\"re\":{\"chip\":\"c\",\"line\":\"RS485_RE\"}}")]
    [InlineData("\"poll\":[{\"request_hex\":\"0103\",\"crc\":\"modbus\",\"interval_ms\":100}]")]
    [InlineData("\"framing\":{\"type\":\"idle_gap\",\"gap_ms\":5}")]
    public void A_serial_source_that_can_work_is_not_judged(string keys) => Assert.Empty(Problems(Of(Channel(With(Serial, keys)))));

    [Theory]
    [InlineData("\"poll\":[{\"request_hex\":\"01\",\"crc\":\"modbus\",\"interval_ms\":100}],\"ack\":{\"type\":\"bytes\",\"ack_hex\":\"06\"}",
        "error: channels[0].source.ack: answers a device that sends of its own accord, and poll asks: keep one of them",
        "error: channels[0].source.poll[0].request_hex: must name at least a device and a function, two bytes: the checksum is added")]
    [InlineData("\"framing\":{\"type\":\"idle_gap\",\"gap_ms\":1}",
        "warning: channels[0].source.framing.gap_ms: is raised to 3.65, the least that ends a message at 9600 baud")]
    [InlineData("\"rs485\":{\"mode\":\"none\",\"pre_delay_us\":1,\"guard_bits\":1}",
        "warning: channels[0].source.rs485.pre_delay_us: has no effect in mode none",
        "warning: channels[0].source.rs485.guard_bits: has no effect in mode none")]
    public void What_a_serial_source_asks_of_its_keys(string keys, params string[] problems) =>
        Assert.Equal(problems, Problems(Of(Channel(With(Serial, keys)))));

    [Fact]
    public void Hold_means_nothing_on_a_serial_line() => Assert.Equal(
        ["warning: channels[0].destination.confirm.hold_ms: has no effect on a serial port: what has left it is in no kernel"],
        Problems(Of(Channel(destination: With(Serial, "\"confirm\":{\"type\":\"transport\",\"hold_ms\":5}")))));

    [Fact]
    public void A_serial_port_is_one_source_and_one_destination_with_the_same_settings()
    {
        string[] Clashes(string channels) => [.. Problems(Of(channels))];
        Assert.Empty(Clashes(Channel(Serial) + "," + Channel(destination: Serial, id: "b")));
        Assert.Equal(
            ["error: channels[1].source.port: is already used by channels[0].source: a port is one source and one destination at most"],
            Clashes(Channel(Serial) + "," + Channel(Serial, id: "b")));
        Assert.Equal(["error: channels[1].destination: has other line settings than channels[0].source on the same port: make them equal"],
            Clashes(Channel(Serial) + "," + Channel(destination: With(Serial, "\"baud_rate\":115200"), id: "b")));
    }

    [Fact]
    public void What_follows_from_an_unreadable_value_is_not_reported()
    {
        var destination = With(TcpDestination, """ "framing":{"type":"line"} """);
        Assert.StartsWith("error: channels[0].source.type: is missing: must be one of ",
            Assert.Single(Problems(Of(Channel("""{"host":"nonsense","port":0}""", destination)))), StringComparison.Ordinal);
        Assert.Equal(["error: channels[0].destination.allow: must be a list of addresses and networks, but is 1"],
            Problems(Of(Channel(destination: With(TcpServer, """ "host":"0.0.0.0","allow":1 """)))));
    }
}
