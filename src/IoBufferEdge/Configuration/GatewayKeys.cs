namespace IoBufferEdge.Configuration;

/// <summary>The keys of the document and of all its objects but the endpoints (<see cref="EndpointKeys"/>).</summary>
internal static class GatewayKeys
{
    public const int SchemaVersion = 1;

    private static readonly TextShape Text = new("a string that is not empty");

    private static readonly TextShape ListenAddress = new("an address and a port, 127.0.0.1:8080");

    private static IntegerShape<int> Integer(int min, int max) => new(min, max);

    private static IntegerShape<long> Bytes(long min) => new(min, 1L << 50);

    private static readonly ObjectShape<DeviceConfig> Device =
        new ObjectShape<DeviceConfig>("device", "an object with the device's id", _ => new())
        .Key("id", "The device's id, unique in the fleet.", EndpointKeys.Id, (d, v) => d with { Id = v })
        .Key("board", "The board file to use.", EndpointKeys.Id, (d, v) => d with { Board = v });

    private static readonly ObjectShape<HomeAssistantConfig> HomeAssistant =
        new ObjectShape<HomeAssistantConfig>("home_assistant", "an object, {} at the least", _ => new())
        .Key("prefix", "Home Assistant's discovery prefix (homeassistant).",
            new TextShape("levels of a topic without wildcards, homeassistant", "^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
                text => text.Split('/').All(level => level.Length > 0 && level.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-'))),
            (h, v) => h with { Prefix = v });

    private static readonly ObjectShape<MqttConfig> Mqtt = new ObjectShape<MqttConfig>("mqtt", "an object with the key host", _ => new())
        .Key("host", "The broker.", Text, (m, v) => m with { Host = v }, required: true)
        .Key("port", "The broker's port (1883).", Integer(1, 65_535), (m, v) => m with { Port = v })
        .Key("tls", "Encryption.", EndpointKeys.Tls, (m, v) => m with { Tls = v })
        .Key("username", "The account on the broker.", Text, (m, v) => m with { Username = v })
        .Key("password_file", "File whose first line is the password.", new FileShape(), (m, v) => m with { PasswordFile = v })
        .Key("password_secret", "Name of a secret whose first line is the password.", EndpointKeys.SecretName, (m, v) => m with { PasswordSecret = v })
        .Key("home_assistant", "Describes the gateway to Home Assistant (MQTT discovery); left out: nothing is.",
            HomeAssistant, (m, v) => m with { HomeAssistant = v })
        .Key("commands", "Commands that are accepted over MQTT; by default identify, retry_now, pause, resume, and secret_set over TLS.",
            new ListShape<string>(
                new WordShape<string>([
                    .. new[] { "pause", "resume", "retry_now", "identify", "secret_set", "replay", "park", "purge", "restart", "update",
                        "factory_reset", "support_bundle", }.Select(w => (w, w)),
                ]), "a list of commands"), (m, v) => m with { Commands = v });

    private static readonly ObjectShape<HttpConfig> Http =
        new ObjectShape<HttpConfig>("http", "an object with listen or metrics_listen", _ => new())
        .Key("listen", "Address and port for remote sources.", ListenAddress, (h, v) => h with { Listen = v })
        .Key("metrics_listen", "Address and port for /metrics and /healthz.", ListenAddress, (h, v) => h with { MetricsListen = v })
        .Key("tls", "Encryption.", EndpointKeys.Tls, (h, v) => h with { Tls = v });

    private static readonly ObjectShape<BufferConfig> ChannelBuffer =
        new ObjectShape<BufferConfig>("channel_buffer", "an object", problems => problems.BufferDefaults)
            .Key("max_bytes", "How much the channel may hold (1073741824).", Bytes(64 * 1024), (b, v) => b with { MaxBytes = v })
            .Key("when_full", "The source stops, or messages are discarded and counted (block).",
                new WordShape<WhenFull>(("block", WhenFull.Block), ("drop_oldest", WhenFull.DropOldest),
                    ("drop_newest", WhenFull.DropNewest)), (b, v) => b with { WhenFull = v })
            .Key("ttl_s", "Messages older than this are discarded and counted; 0: never (0).",
                Integer(0, int.MaxValue), (b, v) => b with { TtlS = v })
            .Key("retain_bytes", "How much of what was delivered is kept for a replay; everything is written then (0).", Bytes(0),
                (b, v) => b with { RetainBytes = v })
            .Key("delivery", "Deliver at once and write what is not confirmed in time, or write everything first (cut_through).",
                new WordShape<DeliveryMode>(("cut_through", DeliveryMode.CutThrough), ("durable_first", DeliveryMode.DurableFirst)),
                (b, v) => b with { Delivery = v })
            .Key("max_delay_ms", "The oldest that an unsecured message becomes before it is written (20).", Integer(0, 10_000),
                (b, v) => b with { MaxDelayMs = v })
            .Key("offline_delay_ms", "The same while the destination is away and the source awaits no ack (200).", Integer(0, 60_000),
                (b, v) => b with { OfflineDelayMs = v })
            .Key("commit_bytes", "So much waiting is written at once when nothing is being confirmed (262144).", Integer(4096, 1 << 20),
                (b, v) => b with { CommitBytes = v })
            .Key("max_unsecured_bytes", "With so much unsecured the source stops reading (4194304).", Integer(4096, 256 << 20),
                (b, v) => b with { MaxUnsecuredBytes = v })
            .Key("compression", "Compression of what is written (none).",
                new WordShape<BlockCompression>(("none", BlockCompression.None), ("zstd", BlockCompression.Zstd)),
                (b, v) => b with { Compression = v });

    private static readonly ObjectShape<DeviceBufferConfig> DeviceBuffer =
        new ObjectShape<DeviceBufferConfig>("buffer", "an object", _ => new())
        {
            OnRead = (buffer, problems) => problems.BufferDefaults = buffer.Defaults,
        }
        .Key("device_max_bytes", "How much all channels together may hold, the store's logs and its ballast with it (4294967296).",
            Bytes(64 << 20), (b, v) => b with { DeviceMaxBytes = v })
        .Key("max_syncs_per_s", "How often a second waiting time alone may cause a sync (50).",
            Integer(1, 1000), (b, v) => b with { MaxSyncsPerS = v })
        .Key("memory_bytes", "Memory for message data, outside the managed heap (12582912).", new IntegerShape<long>(1 << 20, 1L << 40),
            (b, v) => b with { MemoryBytes = v })
        .Include(ChannelBuffer, b => b.Defaults, (b, v) => b with { Defaults = v });

    private static readonly ObjectShape<ChannelConfig> Channel =
        new ObjectShape<ChannelConfig>("channel", "an object with id, source and destination", problems => new()
        {
            Id = "",
            Source = new() { Type = EndpointType.TcpServer },
            Buffer = problems.BufferDefaults,
            Destination = new() { Type = EndpointType.TcpClient },
        })
            .Key("id", "The channel's id; its queue belongs to it.", EndpointKeys.Id, (c, v) => c with { Id = v }, required: true)
            .Key("name", "A name for people.", Text, (c, v) => c with { Name = v })
            .Key("enabled", "Whether the channel runs (true).", new BooleanShape(), (c, v) => c with { Enabled = v })
            .Key("source", "Where messages come from.", EndpointKeys.Source, (c, v) => c with { Source = v }, required: true)
            .Key("buffer", "The channel's buffer; what is not said here, the top-level buffer says.",
                ChannelBuffer, (c, v) => c with { Buffer = v })
            .Key("destination", "Where messages go.", EndpointKeys.Destination, (c, v) => c with { Destination = v }, required: true);

    public static readonly ObjectShape<GatewayConfig> Gateway =
        new ObjectShape<GatewayConfig>("gateway", "an object with schema_version and channels", _ => new())
            .Key("$schema", "The JSON Schema of this file, for editors.", Text, (g, _) => g)
            .Key("schema_version", "The version of this format.",
                new NumberChoiceShape(SchemaVersion), (g, v) => g with { SchemaVersion = (int)v },
                required: true)
            .Key("device", "This device.", Device, (g, v) => g with { Device = v })
            .Key("mqtt", "The broker to report to.", Mqtt, (g, v) => g with { Mqtt = v })
            .Key("http", "What listens for HTTP; nothing by default.", Http, (g, v) => g with { Http = v })
            .Key("buffer", "The device's limits, and defaults for every channel's buffer.", DeviceBuffer, (g, v) => g with { Buffer = v })
            .Key("channels", "The channels.",
                new ListShape<ChannelConfig>(Channel, "a list of channels"), (g, v) => g with { Channels = v },
                required: true);
}
