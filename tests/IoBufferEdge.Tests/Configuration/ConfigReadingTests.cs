using IoBufferEdge.Configuration;
using static IoBufferEdge.Tests.Configuration.Document;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>What single keys can say: syntax, unknown keys, types, ranges. One row per message.</summary>
public sealed class ConfigReadingTests
{
    [Theory]
    [InlineData("", "error: line 1, column 1: the document is empty: it must be a JSON object")]
    [InlineData("{\n  // a comment\n}", "error: line 2, column 3: JSON has no comments: remove it")]
    [InlineData("{\"a\": [1, 2,]}", "error: line 1, column 12: a comma stands before the closing bracket: remove it")]
    [InlineData("{\"a\": 1,\n}", "error: line 1, column 8: a comma stands before the closing bracket: remove it")]
    [InlineData("{\"a\": 1", "error: line 1, column 8: the document ends too early: a bracket, brace or quote is not closed")]
    [InlineData("{\"a\": 'x'}", "error: line 1, column 7: strings stand in double quotes")]
    [InlineData("{\"a\": 1\n \"b\": 2}", "error: line 2, column 2: a comma or colon is missing before this")]
    [InlineData("{\"ä\": yes}", "error: line 1, column 7: this is not JSON: 'y' cannot stand here")]
    [InlineData("{\"a\": \"\u0001\"}", "error: line 1, column 8: this is not JSON: control character 01 cannot stand here")]
    [InlineData("{\"a\": \"\\ud800\"}", "error: line 1, column 7: the string contains half of a surrogate pair: write the whole character")]
    [InlineData("[]", "error: $: must be an object with schema_version and channels, but is a list")]
    public void A_document_that_is_not_JSON_is_refused_with_the_place(string document, string problem) =>
        Assert.Equal([problem], Problems(document));

    [Fact]
    public void Text_that_is_not_UTF_8_is_refused() =>
        Assert.Equal("error: line 1, column 3: the text is not valid UTF-8: save the file as UTF-8",
            Assert.Single(ConfigFile.Parse([(byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)'}'], null).Problems).ToString());

    [Fact]
    public void A_byte_order_mark_is_no_part_of_the_document() => Assert.Empty(Problems("\uFEFF" + Of(Channel())));

    [Theory]
    [InlineData("\"prot\":7001", "error: channels[0].source.prot: is not a key; did you mean port?")]
    [InlineData("\"\":1",
        "error: channels[0].source[\"\"]: is not a key; known here: type, host, port, tls, bind, framing, max_message_bytes, on_oversize, "
        + "expect_every_s, allow, ack, max_clients, recv_buffer_bytes")]
    [InlineData("\"baud_rate\":9600", "error: channels[0].source.baud_rate: does not belong to type tcp_server; it belongs to serial")]
    [InlineData("\"confirm\":{\"type\":\"none\"}", "error: channels[0].source.confirm: belongs into the destination")]
    [InlineData("\"port\":70000", "error: channels[0].source.port: must be a whole number from 1 to 65535, but is 70000")]
    [InlineData("\"port\":\"7000\"", "error: channels[0].source.port: must be a whole number from 1 to 65535, but is \"7000\"")]
    [InlineData("\"port\":7000.5", "error: channels[0].source.port: must be a whole number from 1 to 65535, but is 7000.5")]
    [InlineData("\"port\":null",
        "error: channels[0].source.port: must be a whole number from 1 to 65535, but is null: leave the key out for its default")]
    [InlineData("\"host\":\"\"", "error: channels[0].source.host: must be an address to listen on, but is \"\"")]
    [InlineData("\"tls\":{\"enabled\":\"yes\"}", "error: channels[0].source.tls.enabled: must be true or false, but is \"yes\"")]
    [InlineData("\"tls\":{}", "error: channels[0].source.tls.enabled: is missing: must be true or false")]
    [InlineData("\"tls\":true", "error: channels[0].source.tls: must be an object with the key enabled, but is true")]
    [InlineData("\"tls\":{\"enabled\":false,\"ca\":\"\"}", "error: channels[0].source.tls.ca: must be the name of a file, but is \"\"")]
    [InlineData("\"allow\":\"10.0.0.1\"", "error: channels[0].source.allow: must be a list of addresses and networks, but is \"10.0.0.1\"")]
    [InlineData("\"allow\":[\"10.0.0.1\",7]",
        "error: channels[0].source.allow[1]: must be an address or a network, 192.0.2.0/24, but is 7")]
    [InlineData("\"on_oversize\":\"spilt\"",
        "error: channels[0].source.on_oversize: must be one of \"split\", \"reject\", but is \"spilt\"; did you mean \"split\"?")]
    [InlineData("\"type\":\"tpc_server\"",
        "error: channels[0].source.type: must be one of \"tcp_server\", \"tcp_client\", \"serial\", \"udp\", \"remote_icombuffer\", "
        + "but is \"tpc_server\"; did you mean \"tcp_server\"?")]
    [InlineData("\"framing\":{\"type\":\"delimiter\",\"delimiter_hex\":\"0d0\"}",
        "error: channels[0].source.framing.delimiter_hex: must be 1 to 16 bytes in hex, two digits each, but is \"0d0\"")]
    [InlineData("\"framing\":{\"type\":\"delimiter\",\"delimiter_hex\":\"0102030405060708090a0b0c0d0e0f1011\"}",
        "error: channels[0].source.framing.delimiter_hex: must be 1 to 16 bytes in hex, two digits each, "
        + "but is \"0102030405060708090a0b0c0d0e0f1011\"")]
    [InlineData("\"framing\":{\"type\":\"length_prefix\",\"bytes\":3}",
        "error: channels[0].source.framing.bytes: must be one of 1, 2, 4, but is 3")]
    [InlineData("\"framing\":{\"type\":\"fixed\",\"bytes\":0}",
        "error: channels[0].source.framing.bytes: must be a whole number from 1 to 16777216, but is 0")]
    [InlineData("\"framing\":{\"type\":\"fixed\",\"bytes\":4,\"strip\":true}",
        "error: channels[0].source.framing.strip: does not belong to type fixed; "
        + "it belongs to line, delimiter, stx_etx, mllp, length_prefix")]
    public void A_source_key_that_is_wrong_is_named_with_what_is_right(string keys, string problem) =>
        Assert.Equal([problem], Problems(Of(Channel(With(TcpSource, keys)))));

    [Theory]
    [InlineData("\"max_message_bytes\":5", "error: channels[0].destination.max_message_bytes: belongs into the source")]
    [InlineData("\"framing\":{\"type\":\"line\",\"strip\":true}",
        "error: channels[0].destination.framing.strip: belongs into the source's framing",
        "error: channels[0].destination.framing: is added to what the source's framing leaves in place: "
        + "set strip: true in the source's framing")]
    [InlineData("\"max_messages_per_s\":-1",
        "error: channels[0].destination.max_messages_per_s: must be a number from 0 to 1000000, but is -1")]
    [InlineData("\"confirm\":{\"type\":\"bytes\",\"hold_ms\":1}",
        "error: channels[0].destination.confirm.hold_ms: does not belong to type bytes; it belongs to transport",
        "error: channels[0].destination.confirm.ack_hex: is missing: must be 1 to 64 bytes in hex, two digits each")]
    public void A_destination_key_that_is_wrong_is_named_with_what_is_right(string keys, params string[] problems) =>
        Assert.Equal(problems, Problems(Of(Channel(destination: With(TcpDestination, keys)))));

    [Fact]
    public void A_key_that_stands_twice_is_refused() =>
        Assert.Equal(["error: channels[0].source.port: stands here more than once; keep one of them"],
            Problems(Of(Channel(TcpSource.Replace("\"port\":7000", "\"port\":6999,\"port\":7000", StringComparison.Ordinal)))));

    [Theory]
    [InlineData("Channel 1")]
    [InlineData("_a")]
    [InlineData("")]
    [InlineData("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345")]
    public void An_id_that_would_not_fit_topics_and_files_is_refused(string id)
    {
        var shown = id.Length <= 60 ? id : id[..59] + "…";
        Assert.Equal(
            ["error: channels[0].id: must be 1 to 64 of the characters a-z, 0-9, _ and -, beginning with a letter or digit, "
                + $"but is \"{shown}\""],
            Problems(Of(Channel(id: id))));
    }

    [Fact]
    public void A_password_is_never_quoted()
    {
        var remote = """{"type":"remote_icombuffer","url":"https://x:1","channel_id":"c","auth":{"username":"u","password":SECRET}}""";
        foreach (var (secret, shown) in new[] { ("\"\"", "empty"), ("1234", "a JSON number"), ("[\"hunter2\"]", "a JSON array") })
        {
            Assert.Contains($"error: channels[0].destination.auth.password: must be a string that is not empty, but is {shown}",
                Problems(Of(Channel(destination: remote.Replace("SECRET", secret, StringComparison.Ordinal)))));
        }
    }

    [Fact]
    public void Everything_is_reported_at_once()
    {
        var problems = Problems("""
            { "schema_version": 2, "chanels": [], "buffer": { "memory_bytes": 1 },
              "channels": [ { "id": "A", "source": { "type": "udp", "port": 0 } }, 7 ] }
            """);
        Assert.Equal(
        [
            "error: chanels: is not a key; did you mean channels?",
            "error: schema_version: must be one of 1, but is 2",
            "error: buffer.memory_bytes: must be a whole number from 1048576 to 1099511627776, but is 1",
            "error: channels[0].id: must be 1 to 64 of the characters a-z, 0-9, _ and -, beginning with a letter or digit, but is \"A\"",
            "error: channels[0].source.host: is missing: must be a name or an address",
            "error: channels[0].source.port: must be a whole number from 1 to 65535, but is 0",
            "error: channels[0].destination: is missing: must be an object with the key type",
            "error: channels[1]: must be an object with id, source and destination, but is 7",
        ], problems);
    }

    [Fact]
    public void Every_key_reaches_its_place()
    {
        var result = Parse("""
            { "$schema": "iobuffer.schema.json", "schema_version": 1,
              "device": { "id": "gw-1" },
              "http": { "metrics_listen": "127.0.0.1:9000" },
              "buffer": { "device_max_bytes": 70000000, "max_syncs_per_s": 7, "memory_bytes": 4000000,
                "max_delay_ms": 33, "max_bytes": 1000000 },
              "channels": [ {
                "id": "one", "name": "Erster", "enabled": false,
                "source": { "type": "tcp_server", "host": "0.0.0.0", "port": 7e3, "bind": "eth0", "allow": ["192.0.2.0/24", "::1"],
                  "framing": { "type": "length_prefix", "bytes": 2, "endian": "little", "strip": true }, "max_message_bytes": 60000,
                  "on_oversize": "reject", "ack": { "type": "bytes", "ack_hex": "06", "nak_hex": "15" },
                  "max_clients": 3, "recv_buffer_bytes": 8192 },
                "buffer": { "max_delay_ms": 44, "offline_delay_ms": 55, "commit_bytes": 5000, "max_unsecured_bytes": 6000,
                  "delivery": "durable_first" },
                "destination": { "type": "tcp_server", "host": "::", "port": 8000, "client_policy": "takeover", "allow": ["10.0.0.1"],
                  "framing": { "type": "stx_etx", "start_hex": "02", "end_hex": "03" }, "max_messages_per_s": 2.5,
                  "confirm": { "type": "bytes", "ack_hex": "0606", "nak_hex": "15", "timeout_ms": 77 },
                  "window_bytes": 5000, "resend_bytes": 16000, "on_reject": "park", "retry": { "initial_ms": 1, "max_ms": 2 } } } ] }
            """);
        Assert.Empty(result.Problems);
        var expected = new ChannelConfig
        {
            Id = "one",
            Name = "Erster",
            Enabled = false,
            Source = new()
            {
                Type = EndpointType.TcpServer, Host = "0.0.0.0", Port = 7000, Bind = "eth0", Allow = ["192.0.2.0/24", "::1"],
                Framing = new() { Type = FramingType.LengthPrefix, Bytes = 2, Endian = "little", Strip = true },
                MaxMessageBytes = 60000, OnOversize = OnOversize.Reject, Ack = new() { Type = AckType.Bytes, AckHex = "06", NakHex = "15" },
                MaxClients = 3, RecvBufferBytes = 8192,
            },
            Buffer = new()
            {
                MaxBytes = 1_000_000, MaxDelayMs = 44, OfflineDelayMs = 55, CommitBytes = 5000, MaxUnsecuredBytes = 6000,
                Delivery = DeliveryMode.DurableFirst,
            },
            Destination = new()
            {
                Type = EndpointType.TcpServer, Host = "::", Port = 8000, ClientPolicy = ClientPolicy.Takeover, Allow = ["10.0.0.1"],
                Framing = new() { Type = FramingType.StxEtx, StartHex = "02", EndHex = "03" }, MaxMessagesPerS = 2.5,
                Confirm = new() { Type = ConfirmType.Bytes, AckHex = "0606", NakHex = "15", TimeoutMs = 77 },
                WindowBytes = 5000, ResendBytes = 16000, OnReject = OnReject.Park, Retry = new() { InitialMs = 1, MaxMs = 2 },
            },
        };
        Assert.Equal(expected, Assert.Single(result.Config!.Channels));
        Assert.Equal(new()
        {
            DeviceMaxBytes = 70_000_000, MaxSyncsPerS = 7, MemoryBytes = 4_000_000,
            Defaults = new() { MaxDelayMs = 33, MaxBytes = 1_000_000 },
        }, result.Config.Buffer);
        Assert.Equal("gw-1", result.Config.Device.Id);
        Assert.Equal("127.0.0.1:9000", result.Config.Http!.MetricsListen);
    }

    [Fact]
    public void Serial_and_remote_keys_reach_their_place()
    {
        var problems = new ConfigProblems("/etc/iobuffer");
        var config = ConfigFile.Read(System.Text.Encoding.UTF8.GetBytes(Of(Channel(
            """
            { "type": "serial", "port": "/dev/ttyUSB0", "baud_rate": 115200, "data_bits": 7, "parity": "Even", "stop_bits": 1.5,
              "flow_control": "RTS/CTS", "framing": { "type": "idle_gap", "gap_ms": 2.5 }, "low_latency": false,
              "rs485": { "mode": "gpio", "de": { "chip": "gpiochip0", "line": 4, "active_low": true },
                "re": { "chip": "gpiochip0", "line": "RS485_RE" }, "pre_delay_us": 10, "guard_bits": 1.5 },
              "poll": [ { "request_hex": "010300000002", "crc": "modbus", "interval_ms": 1000, "response_timeout_ms": 100 } ] }
            """,
            """
            { "type": "remote_icombuffer", "url": "https://other:8080", "channel_id": "channel-002",
              "auth": { "username": "relay_user", "password_file": "relay.pw" } }
            """))), problems)!;
        Assert.Empty(problems.All);
        var channel = config.Channels[0];
        Assert.Equal(new()
        {
            Type = EndpointType.Serial, SerialPort = "/dev/ttyUSB0", BaudRate = 115200, DataBits = 7, Parity = "Even", StopBits = 1.5,
            FlowControl = "RTS/CTS", Framing = new() { Type = FramingType.IdleGap, GapMs = 2.5 }, LowLatency = false,
            Rs485 = new()
            {
                Mode = Rs485Mode.Gpio, De = new() { Chip = "gpiochip0", Line = "4", ActiveLow = true },
                Re = new() { Chip = "gpiochip0", Line = "RS485_RE" }, PreDelayUs = 10, GuardBits = 1.5,
            },
            Poll = [new() { RequestHex = "010300000002", Crc = PollCrc.Modbus, IntervalMs = 1000, ResponseTimeoutMs = 100 }],
        }, channel.Source);
        Assert.Equal(new()
        {
            Type = EndpointType.RemoteIcombuffer, Url = "https://other:8080", ChannelId = "channel-002",
            Auth = new() { Username = "relay_user", PasswordFile = "/etc/iobuffer/relay.pw" },
        }, channel.Destination);
    }
}
