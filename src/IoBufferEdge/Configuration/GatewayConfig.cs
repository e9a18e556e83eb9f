namespace IoBufferEdge.Configuration;

/// <summary>The whole configuration file, <c>schema_version</c> 1. Every default stands here.</summary>
public sealed record GatewayConfig
{
    public int SchemaVersion { get; init; } = 1;

    public DeviceConfig Device { get; init; } = new();

    public MqttConfig? Mqtt { get; init; }

    public HttpConfig? Http { get; init; }

    public DeviceBufferConfig Buffer { get; init; } = new();

    public EquatableList<ChannelConfig> Channels { get; init; } = [];
}

public sealed record DeviceConfig
{
    public string? Id { get; init; }

    public string? Board { get; init; }
}

public sealed record MqttConfig
{
    public string? Host { get; init; }

    public int Port { get; init; } = 1883;

    public TlsConfig Tls { get; init; } = new();

    public string? Username { get; init; }

    public string? PasswordFile { get; init; }

    public string? PasswordSecret { get; init; }

    public EquatableList<string>? Commands { get; init; }

    /// <summary>Null: nothing is told to Home Assistant.</summary>
    public HomeAssistantConfig? HomeAssistant { get; init; }
}

public sealed record HomeAssistantConfig
{
    /// <summary>Home Assistant's own discovery prefix.</summary>
    public string Prefix { get; init; } = "homeassistant";
}

/// <summary>Nothing listens that is not configured.</summary>
public sealed record HttpConfig
{
    /// <summary>Address and port for remote sources, <c>127.0.0.1:8080</c>.</summary>
    public string? Listen { get; init; }

    /// <summary>Address and port for <c>/metrics</c> and <c>/healthz</c>.</summary>
    public string? MetricsListen { get; init; }

    public TlsConfig Tls { get; init; } = new();
}

/// <summary>The top-level <c>buffer</c>: the device's limits, and defaults for every channel's <c>buffer</c>.</summary>
public sealed record DeviceBufferConfig
{
    public long DeviceMaxBytes { get; init; } = 4L << 30;

    public int MaxSyncsPerS { get; init; } = 50;

    public long MemoryBytes { get; init; } = 12 << 20;

    /// <summary>What a channel's <c>buffer</c> does not say.</summary>
    public BufferConfig Defaults { get; init; } = new();
}

public enum WhenFull
{
    Block,
    DropOldest,
    DropNewest,
}

public enum DeliveryMode
{
    CutThrough,
    DurableFirst,
}

public enum BlockCompression
{
    None,
    Zstd,
}

/// <summary>A channel's buffer, with the device's defaults already merged in.</summary>
public sealed record BufferConfig
{
    public long MaxBytes { get; init; } = 1L << 30;

    public WhenFull WhenFull { get; init; } = WhenFull.Block;

    /// <summary>Messages older than this (running time) are discarded and counted; 0: never.</summary>
    public int TtlS { get; init; }

    public long RetainBytes { get; init; }

    public DeliveryMode Delivery { get; init; } = DeliveryMode.CutThrough;

    public int MaxDelayMs { get; init; } = 20;

    public int OfflineDelayMs { get; init; } = 200;

    public int CommitBytes { get; init; } = 256 * 1024;

    public int MaxUnsecuredBytes { get; init; } = 4 << 20;

    public BlockCompression Compression { get; init; } = BlockCompression.None;
}

/// <summary>One channel: source → buffer → destination. Records compare by value: <c>Apply</c> restarts only channels that
/// differ.</summary>
public sealed record ChannelConfig
{
    public required string Id { get; init; }

    public string? Name { get; init; }

    public bool Enabled { get; init; } = true;

    public required SourceConfig Source { get; init; }

    public BufferConfig Buffer { get; init; } = new();

    public required DestinationConfig Destination { get; init; }
}
