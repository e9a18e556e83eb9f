using IoBufferEdge.Secrets;

namespace IoBufferEdge.Configuration;

/// <summary>
/// The keys of sources and destinations. Those of the endpoint document are spelled as it spells them; the rest are additions.
/// Descriptions are shown by editors; a default that they name in brackets is compared with the record's by a test.
/// </summary>
internal static class EndpointKeys
{
    private static readonly string[] TcpServer = ["tcp_server"];
    private static readonly string[] TcpClient = ["tcp_client"];
    private static readonly string[] Tcp = ["tcp_server", "tcp_client"];
    private static readonly string[] Network = ["tcp_server", "tcp_client", "udp"];
    private static readonly string[] Serial = ["serial"];
    private static readonly string[] Remote = ["remote_icombuffer"];
    private static readonly string[] Acking = ["tcp_server", "tcp_client", "serial"];

    /// <summary>Ids go into topics, metrics and file names.</summary>
    public static readonly TextShape Id = new(
        "1 to 64 of the characters a-z, 0-9, _ and -, beginning with a letter or digit", "^[a-z0-9][a-z0-9_-]{0,63}$",
        text => text.Length <= 64 && text[0] is not ('_' or '-')
            && text.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '_' or '-'));

    public static readonly TextShape SecretName = new(
        "1 to 64 of the characters a-z, 0-9, _, . and -, beginning with a letter or digit", SecretStore.NamePattern, SecretStore.IsName);

    public static readonly WordShape<EndpointType> Types = new(
        ("tcp_server", EndpointType.TcpServer), ("tcp_client", EndpointType.TcpClient), ("serial", EndpointType.Serial),
        ("udp", EndpointType.Udp), ("remote_icombuffer", EndpointType.RemoteIcombuffer));

    private static readonly BooleanShape Flag = new();

    private static TextShape Text(string expected) => new(expected);

    private static IntegerShape<int> Integer(int min, int max) => new(min, max);

    /// <summary>Bytes in hex, two digits each, nothing between them.</summary>
    private static TextShape Hex(int maxBytes) => new(
        $"1 to {maxBytes} bytes in hex, two digits each",
        $"^([0-9A-Fa-f]{{2}}){{1,{maxBytes}}}$",
        text => text.Length % 2 == 0 && text.Length <= 2 * maxBytes && text.All(char.IsAsciiHexDigit));

    public static readonly ObjectShape<TlsConfig> Tls = new ObjectShape<TlsConfig>("tls", "an object with the key enabled", _ => new())
        .Key("enabled", "Whether the connection is encrypted (TLS 1.2 and above).", Flag, (t, v) => t with { Enabled = v }, required: true)
        .Key("cert", "PEM file with our certificate and its chain; a server needs it.", new FileShape(), (t, v) => t with { Cert = v })
        .Key("key", "PEM file with the private key of cert.", new FileShape(), (t, v) => t with { Key = v })
        .Key("ca", "PEM file with the authorities that the peer's certificate must come from; without it a client asks the system's.",
            new FileShape(), (t, v) => t with { Ca = v })
        .Key("verify_peer", "Server: ask clients for a certificate from ca (mutual TLS). Client: false accepts any certificate.",
            Flag, (t, v) => t with { VerifyPeer = v });

    private const string HashAlone =
        "does not belong to a source, which keeps the password's hash alone: run iobuffer passwd and give what it prints as password_hash";

    private static readonly ObjectShape<AuthConfig> DestinationAuth = Username(new("destination_auth", "an object with username and a password", _ => new())
    {
        Instead = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["password_hash"] = "does not belong to a destination, which has to say the password itself: give password_file",
        },
    })
        .Key("password", "The password itself.",
            new TextShape("a string that is not empty", secret: true), (a, v) => a with { Password = v })
        .Key("password_file", "File whose first line is the password.", new FileShape(), (a, v) => a with { PasswordFile = v })
        .Key("password_secret", "Name of a secret whose first line is the password.", SecretName, (a, v) => a with { PasswordSecret = v });

    private static readonly ObjectShape<AuthConfig> SourceAuth = Username(new("source_auth", "an object with username and password_hash", _ => new())
    {
        Instead = new[] { "password", "password_file", "password_secret" }.ToDictionary(key => key, _ => HashAlone, StringComparer.Ordinal),
    })
        .Key("password_hash", "What iobuffer passwd printed for the password.",
            new TextShape("the hash that iobuffer passwd prints", secret: true),
            (a, v) => a with { PasswordHash = v }, required: true);

    private static ObjectShape<AuthConfig> Username(ObjectShape<AuthConfig> shape) =>
        shape.Key("username", "The name of the account.", Text("a name without a colon"), (a, v) => a with { Username = v }, required: true);

    private static readonly ObjectShape<GpioLineConfig> GpioLine =
        new ObjectShape<GpioLineConfig>("gpio_line", "an object with chip and line", _ => new() { Chip = "", Line = "" })
            .Key("chip", "Label of the GPIO chip, pinctrl-bcm2711; iobuffer gpio list shows them.",
                Text("the label of a GPIO chip"), (g, v) => g with { Chip = v }, required: true)
            .Key("line", "The line's number on the chip, or its name.", new GpioLineShape(), (g, v) => g with { Line = v }, required: true)
            .Key("active_low", "The line is active at low level (false).", Flag, (g, v) => g with { ActiveLow = v });

    private static readonly ObjectShape<Rs485Config> Rs485 =
        new ObjectShape<Rs485Config>("rs485", "an object with the key mode", _ => new())
        .Key("mode", "Who switches the driver: the kernel, a GPIO line, RTS, nobody, or what the board needs (auto).",
            new WordShape<Rs485Mode>(("auto", Rs485Mode.Auto), ("kernel", Rs485Mode.Kernel), ("gpio", Rs485Mode.Gpio),
                ("rts", Rs485Mode.Rts), ("none", Rs485Mode.None)), (r, v) => r with { Mode = v }, required: true)
        .Key("de", "Driver enable.", GpioLine, (r, v) => r with { De = v })
        .Key("re", "Receiver enable.", GpioLine, (r, v) => r with { Re = v })
        .Key("pre_delay_us", "Time between switching the driver on and the first bit (0).",
            Integer(0, 100_000), (r, v) => r with { PreDelayUs = v })
        .Key("guard_bits", "Bit times between the last bit and switching the driver off (0).",
            new NumberShape(0, 100), (r, v) => r with { GuardBits = v });

    private static readonly ObjectShape<PollConfig> Poll =
        new ObjectShape<PollConfig>("poll", "an object with request_hex and interval_ms", _ => new() { RequestHex = "", IntervalMs = 0 })
            .Key("request_hex", "The request, in hex.", Hex(256), (p, v) => p with { RequestHex = v }, required: true)
            .Key("crc", "Checksum added to the request and expected in the reply (none).",
                new WordShape<PollCrc>(("none", PollCrc.None), ("modbus", PollCrc.Modbus)), (p, v) => p with { Crc = v })
            .Key("interval_ms", "Time from one request to the next.",
                Integer(1, 86_400_000), (p, v) => p with { IntervalMs = v }, required: true)
            .Key("response_timeout_ms", "How long a reply is waited for (200).",
                Integer(1, 60_000), (p, v) => p with { ResponseTimeoutMs = v });

    private static ObjectShape<FramingConfig> Framing(string name) =>
        new ObjectShape<FramingConfig>(name, "an object with the key type", _ => new() { Type = FramingType.Raw })
            .Type("How messages are told apart in the stream of bytes.", new WordShape<FramingType>(
                ("raw", FramingType.Raw), ("line", FramingType.Line), ("delimiter", FramingType.Delimiter), ("stx_etx", FramingType.StxEtx),
                ("mllp", FramingType.Mllp), ("length_prefix", FramingType.LengthPrefix), ("fixed", FramingType.Fixed),
                ("idle_gap", FramingType.IdleGap), ("datagram", FramingType.Datagram)), (f, v) => f with { Type = v })
            .Key("delimiter_hex", "The bytes that end a message, in hex.",
                Hex(16), (f, v) => f with { DelimiterHex = v }, true, ["delimiter"])
            .Key("start_hex", "The bytes that begin a message, in hex.", Hex(16), (f, v) => f with { StartHex = v }, true, ["stx_etx"])
            .Key("end_hex", "The bytes that end a message, in hex.", Hex(16), (f, v) => f with { EndHex = v }, true, ["stx_etx"])
            .Key("bytes", "The length of the prefix: 1, 2 or 4.", new NumberChoiceShape(1, 2, 4), (f, v) => f with { Bytes = (int)v }, true,
                ["length_prefix"])
            .Key("endian", "The order of the prefix's bytes (big).", new WordShape<string>(("big", "big"), ("little", "little")),
                (f, v) => f with { Endian = v }, types: ["length_prefix"])
            .Key("bytes", "The length of every message.", Integer(1, 16 << 20), (f, v) => f with { Bytes = v }, true, ["fixed"])
            .Key("gap_ms", "The silence that ends a message; 0: 3.5 characters (0).",
                new NumberShape(0, 60_000), (f, v) => f with { GapMs = v },
                types: ["idle_gap"]);

    private static readonly ObjectShape<FramingConfig> DestinationFraming = Framing("destination_framing");

    private static readonly ObjectShape<FramingConfig> SourceFraming = Framing("source_framing")
        .Key("strip", "Messages are stored without delimiter, start and end bytes or length prefix (false).",
            Flag, (f, v) => f with { Strip = v },
            types: ["line", "delimiter", "stx_etx", "mllp", "length_prefix"]);

    private static readonly ObjectShape<AckConfig> Ack =
        new ObjectShape<AckConfig>("ack", "an object with the key type", _ => new() { Type = AckType.Bytes })
            .Type("What is sent when a message is secured: an HL7 acknowledgement, or fixed bytes.",
                new WordShape<AckType>(("mllp", AckType.Mllp), ("bytes", AckType.Bytes)), (a, v) => a with { Type = v })
            .Key("ack_hex", "Sent for a message that is secured, in hex.", Hex(64), (a, v) => a with { AckHex = v }, true, ["bytes"])
            .Key("nak_hex", "Sent for a message that is refused, in hex.", Hex(64), (a, v) => a with { NakHex = v }, types: ["bytes"]);

    private static readonly ObjectShape<ConfirmConfig> Confirm =
        new ObjectShape<ConfirmConfig>("confirm", "an object with the key type", _ => new() { Type = ConfirmType.Transport })
            .Type("When a message counts as delivered: written, acknowledged by the peer's kernel, or by the peer's own answer.",
                new WordShape<ConfirmType>(("none", ConfirmType.None), ("transport", ConfirmType.Transport), ("mllp", ConfirmType.Mllp),
                    ("bytes", ConfirmType.Bytes)), (c, v) => c with { Type = v })
            .Key("hold_ms", "How long bytes must have been acknowledged; by default 0, or 1000 where the source has an ack.",
                Integer(0, 60_000), (c, v) => c with { HoldMs = v }, types: ["transport"])
            .Key("ack_hex", "The answer that confirms a message, in hex.", Hex(64), (c, v) => c with { AckHex = v }, true, ["bytes"])
            .Key("nak_hex", "The answer that refuses a message, in hex.", Hex(64), (c, v) => c with { NakHex = v }, types: ["bytes"])
            .Key("timeout_ms", "How long an answer is waited for before the connection is closed (5000).", Integer(10, 600_000),
                (c, v) => c with { TimeoutMs = v }, types: ["mllp", "bytes"]);

    private static readonly ObjectShape<RetryConfig> Retry =
        new ObjectShape<RetryConfig>("retry", "an object with initial_ms and max_ms", _ => new())
        .Key("initial_ms", "The first wait after a failure; it doubles each time, with jitter (500).", Integer(1, 3_600_000),
            (r, v) => r with { InitialMs = v })
        .Key("max_ms", "The longest wait (60000).", Integer(1, 86_400_000), (r, v) => r with { MaxMs = v });

    /// <summary>What both sides have, apart from framing and auth.</summary>
    private static readonly ObjectShape<EndpointConfig> Common =
        new ObjectShape<EndpointConfig>("endpoint", "", _ => throw new InvalidOperationException("Only included, never read by itself."))
            .Type("The kind of endpoint.", Types, (e, v) => e with { Type = v })
            .Key("host", "The address to listen on: 0.0.0.0 for all interfaces, 127.0.0.1 for this device only.",
                Text("an address to listen on"),
                (e, v) => e with { Host = v }, true, TcpServer)
            .Key("host", "The peer's name or address.", Text("the peer's name or address"), (e, v) => e with { Host = v }, true, TcpClient)
            .Key("host", "Source: the address to listen on. Destination: the peer's name or address.", Text("a name or an address"),
                (e, v) => e with { Host = v }, true, ["udp"])
            .Key("port", "The port's number.", Integer(1, 65_535), (e, v) => e with { Port = v }, true, Network)
            .Key("port", "The serial device, /dev/ttyUSB0 or better /dev/serial/by-id/…, or a port's name on the board.",
                Text("the name of a serial port"),
                (e, v) => e with { SerialPort = v }, true, Serial)
            .Key("tls", "Encryption.", Tls, (e, v) => e with { Tls = v }, types: Tcp)
            .Key("bind", "The local address or interface to use; any by default.", Text("a local address or the name of an interface"),
                (e, v) => e with { Bind = v }, types: Network)
            .Key("baud_rate", "Bits per second (9600).", Integer(50, 4_000_000), (e, v) => e with { BaudRate = v }, types: Serial)
            .Key("data_bits", "Data bits per character (8).", Integer(5, 8), (e, v) => e with { DataBits = v }, types: Serial)
            .Key("parity", "Parity (None).", Words("None", "Even", "Odd", "Mark", "Space"), (e, v) => e with { Parity = v }, types: Serial)
            .Key("stop_bits", "Stop bits (1).", new NumberChoiceShape(1, 1.5, 2), (e, v) => e with { StopBits = v }, types: Serial)
            .Key("flow_control", "Flow control (None).",
                Words("None", "RTS/CTS", "XON/XOFF"), (e, v) => e with { FlowControl = v }, types: Serial)
            .Key("rs485", "How the RS485 driver is switched.", Rs485, (e, v) => e with { Rs485 = v }, types: Serial)
            .Key("low_latency", "The driver hands bytes over at once (true).", Flag, (e, v) => e with { LowLatency = v }, types: Serial);

    private static readonly ListShape<string> AllowList =
        new(Text("an address or a network, 192.0.2.0/24"), "a list of addresses and networks");

    private static readonly string[] Framed = [.. Network, .. Serial];

    public static readonly ObjectShape<SourceConfig> Source =
        new ObjectShape<SourceConfig>("source", "an object with the key type", _ => new() { Type = EndpointType.TcpServer })
            .Include(Common, s => s, (_, e) => (SourceConfig)e)
            .Key("framing", "How messages are told apart; by default raw over TCP, idle_gap on a serial line, datagram over UDP.",
                SourceFraming,
                (s, v) => s with { Framing = v }, types: Framed)
            .Key("max_message_bytes", "The longest message (1048576).", Integer(1, 16 << 20), (s, v) => s with { MaxMessageBytes = v })
            .Key("on_oversize", "A longer one is cut into several, or refused and counted (split).",
                new WordShape<OnOversize>(("split", OnOversize.Split), ("reject", OnOversize.Reject)), (s, v) => s with { OnOversize = v },
                types: Framed)
            .Key("expect_every_s", "Silence longer than this raises the alert silent; 0: off (0).", Integer(0, 31_536_000),
                (s, v) => s with { ExpectEveryS = v })
            .Key("allow", "Addresses and networks that may send; anyone by default.", AllowList, (s, v) => s with { Allow = v },
                types: ["tcp_server", "udp"])
            .Key("ack", "What the sender gets when its message is secured; nothing by default.",
                Ack, (s, v) => s with { Ack = v }, types: Acking)
            .Key("max_clients", "How many may be connected at once; by default 16, or 1 with raw framing.", Integer(1, 1024),
                (s, v) => s with { MaxClients = v }, types: TcpServer)
            .Key("recv_buffer_bytes", "The kernel's receive buffer: what a crash can lose unread (65536).", Integer(4096, 64 << 20),
                (s, v) => s with { RecvBufferBytes = v }, types: Network)
            .Key("poll", "Requests sent on a schedule; the replies are the messages.",
                new ListShape<PollConfig>(Poll, "a list of requests"),
                (s, v) => s with { Poll = v }, types: Serial)
            .Key("auth", "The account that the sending instance must use.", SourceAuth, (s, v) => s with { Auth = v }, types: Remote);

    public static readonly ObjectShape<DestinationConfig> Destination =
        new ObjectShape<DestinationConfig>("destination", "an object with the key type", _ => new() { Type = EndpointType.TcpClient })
            .Include(Common, d => d, (_, e) => (DestinationConfig)e)
            .Key("framing", "What is put around each message; nothing by default.",
                DestinationFraming, (d, v) => d with { Framing = v }, types: Framed)
            .Key("allow", "Addresses and networks that may connect; anyone by default.", AllowList, (d, v) => d with { Allow = v },
                types: TcpServer)
            .Key("client_policy", "With one client connected: keep the first, or let the newest take over (first).",
                new WordShape<ClientPolicy>(("first", ClientPolicy.First), ("takeover", ClientPolicy.Takeover)),
                (d, v) => d with { ClientPolicy = v }, types: TcpServer)
            .Key("confirm", "When a message counts as delivered; by default transport, over UDP none.",
                Confirm, (d, v) => d with { Confirm = v },
                types: Framed)
            .Key("window_bytes", "How much may be unread or unacknowledged at the peer (524288).", Integer(4096, 64 << 20),
                (d, v) => d with { WindowBytes = v }, types: Tcp)
            .Key("resend_bytes", "How much delivered data is kept to be sent again when the peer dies; more than window_bytes (2097152).",
                Integer(4097, 256 << 20), (d, v) => d with { ResendBytes = v }, types: Tcp)
            .Key("on_reject", "A message that the peer refuses stops the channel, or is kept aside (block).",
                new WordShape<OnReject>(("block", OnReject.Block), ("park", OnReject.Park)), (d, v) => d with { OnReject = v })
            .Key("retry", "Waits between attempts.", Retry, (d, v) => d with { Retry = v })
            .Key("max_messages_per_s", "Pacing for a slow upstream; 0: off (0).",
                new NumberShape(0, 1_000_000), (d, v) => d with { MaxMessagesPerS = v })
            .Key("url", "The other instance's address, https://host:8080.",
                Text("a URL, https://host:8080"), (d, v) => d with { Url = v }, true, Remote)
            .Key("channel_id", "The channel on the other instance.", Id, (d, v) => d with { ChannelId = v }, true, Remote)
            .Key("auth", "Our account on the other instance.", DestinationAuth, (d, v) => d with { Auth = v }, types: Remote)
            .Key("tls", "Encryption; url decides whether it is used.", Tls, (d, v) => d with { Tls = v }, types: Remote)
            .Key("batch_bytes", "How much goes in one request at most (262144).", Integer(4096, 1 << 20), (d, v) => d with { BatchBytes = v }, types: Remote)
            .Key("batch_delay_ms", "How long messages wait for more of them before they go; 0: not at all (0).", Integer(0, 1000),
                (d, v) => d with { BatchDelayMs = v }, types: Remote)
            .Key("compression", "How requests are compressed (none).", new WordShape<Compression>(
                ("none", Compression.None), ("gzip", Compression.Gzip), ("zstd", Compression.Zstd)), (d, v) => d with { Compression = v }, types: Remote);

    static EndpointKeys()
    {
        Source.Elsewhere = ("destination", [.. Destination.Keys.Select(k => k.Name)]);
        Destination.Elsewhere = ("source", [.. Source.Keys.Select(k => k.Name)]);
        DestinationFraming.Elsewhere = ("source's framing", ["strip"]);
    }

    private static WordShape<string> Words(params string[] words) => new([.. words.Select(w => (w, w))]);
}
