using System.Text.Json.Serialization;
using IoBufferEdge.Boards;

namespace IoBufferEdge.Configuration;

/// <summary>The five endpoint types, each usable on either side.</summary>
public enum EndpointType
{
    TcpServer,
    TcpClient,
    Serial,
    Udp,
    RemoteIcombuffer,
}

/// <summary>What both sides of a channel have in common. Keys and types are those of the endpoint document; the rest are
/// additions.</summary>
public abstract record EndpointConfig
{
    public required EndpointType Type { get; init; }

    /// <summary>tcp_server: bind address; tcp_client, udp destination: the peer; udp source: bind address.</summary>
    public string? Host { get; init; }

    /// <summary>TCP and UDP port. A serial port's name is <see cref="SerialPort"/>: the document calls both <c>port</c>.</summary>
    public int Port { get; init; }

    public string? SerialPort { get; init; }

    public int BaudRate { get; init; } = 9600;

    public int DataBits { get; init; } = 8;

    public string Parity { get; init; } = "None";

    public double StopBits { get; init; } = 1;

    public string FlowControl { get; init; } = "None";

    public Rs485Config Rs485 { get; init; } = new();

    /// <summary>Serial: the driver hands bytes over at once instead of gathering them.</summary>
    public bool LowLatency { get; init; } = true;

    public TlsConfig Tls { get; init; } = new();

    /// <summary>remote_icombuffer destination: the other instance's URL and channel.</summary>
    public string? Url { get; init; }

    public string? ChannelId { get; init; }

    public AuthConfig? Auth { get; init; }

    /// <summary>remote_icombuffer: this side of the channel as other instances know it, "device/channel". Filled in by the validation, not a
    /// key.</summary>
    public string Instance { get; init; } = "";

    /// <summary>Null: the type's default (raw for TCP, idle_gap for serial, datagram for UDP).</summary>
    public FramingConfig? Framing { get; init; }

    /// <summary>Local address or interface; names are looked up at every connect.</summary>
    public string? Bind { get; init; }

    /// <summary>TCP server: addresses and networks (CIDR) that may connect; empty: anyone.</summary>
    public EquatableList<string> Allow { get; init; } = [];

    /// <summary>The endpoint in one line, type and address.</summary>
    public string Summary => Type switch
    {
        EndpointType.TcpServer => $"tcp_server {Host ?? "0.0.0.0"}:{Port}",
        EndpointType.TcpClient => $"tcp_client {Host}:{Port}",
        EndpointType.Udp => $"udp {Host ?? "0.0.0.0"}:{Port}",
        EndpointType.Serial => $"serial {SerialPort}",
        _ => $"remote_icombuffer {RemoteSummary}",
    };

    private string RemoteSummary => Url is null ? $"as {Instance}" : $"{Url} {ChannelId}";

    /// <summary>The framing with the type's default filled in.</summary>
    public FramingConfig EffectiveFraming => Framing ?? new FramingConfig
    {
        Type = Type switch
        {
            EndpointType.Serial => FramingType.IdleGap,
            EndpointType.Udp => FramingType.Datagram,
            EndpointType.RemoteIcombuffer => FramingType.Datagram,
            _ => FramingType.Raw,
        },
    };
}

public sealed record SourceConfig : EndpointConfig
{
    public int MaxMessageBytes { get; init; } = 1 << 20;

    public OnOversize OnOversize { get; init; } = OnOversize.Split;

    /// <summary>Silence longer than this raises the alert <c>silent</c>; 0: off.</summary>
    public int ExpectEveryS { get; init; }

    /// <summary>Null: the source is not acknowledged.</summary>
    public AckConfig? Ack { get; init; }

    /// <summary>Null: 16, or 1 with raw framing.</summary>
    public int? MaxClients { get; init; }

    public int RecvBufferBytes { get; init; } = 64 * 1024;

    /// <summary>Serial: requests sent on a schedule; the replies are the messages.</summary>
    public EquatableList<PollConfig> Poll { get; init; } = [];

    public int EffectiveMaxClients => MaxClients ?? (EffectiveFraming.Type == FramingType.Raw ? 1 : 16);
}

public sealed record DestinationConfig : EndpointConfig
{
    public ClientPolicy ClientPolicy { get; init; } = ClientPolicy.First;

    /// <summary>Null: the type's default (transport for TCP and serial, none for UDP).</summary>
    public ConfirmConfig? Confirm { get; init; }

    public int WindowBytes { get; init; } = 512 * 1024;

    public int ResendBytes { get; init; } = 2 * 1024 * 1024;

    public OnReject OnReject { get; init; } = OnReject.Block;

    public RetryConfig Retry { get; init; } = new();

    /// <summary>Pacing; 0: off.</summary>
    public double MaxMessagesPerS { get; init; }

    /// <summary>remote_icombuffer: how much goes in one request at most, one message more aside.</summary>
    public int BatchBytes { get; init; } = 256 * 1024;

    /// <summary>remote_icombuffer: how long messages wait for more of them before they go.</summary>
    public int BatchDelayMs { get; init; }

    /// <summary>remote_icombuffer: how requests are compressed.</summary>
    public Compression Compression { get; init; } = Compression.None;

    public ConfirmConfig EffectiveConfirm => Confirm ?? new ConfirmConfig
    {
        Type = Type == EndpointType.Udp ? ConfirmType.None : ConfirmType.Transport,
    };
}

public enum OnOversize
{
    Split,
    Reject,
}

public enum ClientPolicy
{
    First,
    Takeover,
}

public enum OnReject
{
    Block,
    Park,
}

public enum Compression
{
    None,
    Gzip,
    Zstd,
}

public enum FramingType
{
    Raw,
    Line,
    Delimiter,
    StxEtx,
    Mllp,
    LengthPrefix,
    Fixed,
    IdleGap,
    Datagram,
}

public sealed record FramingConfig
{
    public required FramingType Type { get; init; }

    /// <summary>Source: frames lose their delimiters, start and end bytes or length prefix.</summary>
    public bool Strip { get; init; }

    /// <summary>delimiter: the bytes that end a frame, hex.</summary>
    public string? DelimiterHex { get; init; }

    /// <summary>stx_etx: start and end bytes, hex.</summary>
    public string? StartHex { get; init; }

    public string? EndHex { get; init; }

    /// <summary>length_prefix: 1, 2 or 4 bytes; fixed: the frame's length.</summary>
    public int Bytes { get; init; }

    /// <summary>length_prefix: <c>big</c> or <c>little</c>.</summary>
    public string Endian { get; init; } = "big";

    /// <summary>idle_gap: silence that ends a frame; 0: 3.5 characters.</summary>
    public double GapMs { get; init; }
}

public enum AckType
{
    Mllp,
    Bytes,
}

public sealed record AckConfig
{
    public required AckType Type { get; init; }

    public string? AckHex { get; init; }

    public string? NakHex { get; init; }
}

public enum ConfirmType
{
    None,
    Transport,
    Mllp,
    Bytes,
}

public sealed record ConfirmConfig
{
    public required ConfirmType Type { get; init; }

    public string? AckHex { get; init; }

    public string? NakHex { get; init; }

    /// <summary>mllp, bytes: then the connection is closed; an ack that comes late never counts for the next message.</summary>
    public int TimeoutMs { get; init; } = 5000;

    /// <summary>transport: how long bytes must have been acknowledged with the connection still up; null: 0, or 1,000 where the source has
    /// an ack.</summary>
    public int? HoldMs { get; init; }
}

public sealed record RetryConfig
{
    public int InitialMs { get; init; } = 500;

    public int MaxMs { get; init; } = 60_000;
}

public sealed record TlsConfig
{
    public bool Enabled { get; init; }

    /// <summary>PEM file with the certificate chain.</summary>
    public string? Cert { get; init; }

    /// <summary>PEM file with the private key.</summary>
    public string? Key { get; init; }

    /// <summary>PEM file with the authorities that the peer's certificate must come from; null: the system's (client side).</summary>
    public string? Ca { get; init; }

    /// <summary>Server side: ask for and verify the peer's certificate (mutual TLS). Client side: false accepts any certificate.</summary>
    public bool? VerifyPeer { get; init; }
}

public enum Rs485Mode
{
    Auto,
    Kernel,
    Gpio,
    Rts,
    None,
}

/// <summary>How a serial port's RS485 driver is switched on for sending.</summary>
public sealed record Rs485Config
{
    public Rs485Mode Mode { get; init; } = Rs485Mode.Auto;

    /// <summary>Driver enable.</summary>
    public GpioLineConfig? De { get; init; }

    /// <summary>Receiver enable.</summary>
    public GpioLineConfig? Re { get; init; }

    /// <summary>Between switching the driver on and the first bit.</summary>
    public int PreDelayUs { get; init; }

    /// <summary>Bit times between the last bit and switching the driver off.</summary>
    public double GuardBits { get; init; }
}

/// <summary>A GPIO line of this machine.</summary>
public sealed record GpioLineConfig
{
    /// <summary>The chip's label.</summary>
    public required string Chip { get; init; }

    /// <summary>Its number on the chip, or the name that the board's device tree gives it.</summary>
    [JsonConverter(typeof(LineConverter))]
    public required string Line { get; init; }

    public bool ActiveLow { get; init; }

    /// <summary>As the command line takes it.</summary>
    public override string ToString() => $"{Chip}:{Line}{(ActiveLow ? ":low" : "")}";
}

public enum PollCrc
{
    None,
    Modbus,
}

public sealed record PollConfig
{
    public required string RequestHex { get; init; }

    /// <summary>Checksum added to the request and expected at the end of the reply.</summary>
    public PollCrc Crc { get; init; } = PollCrc.None;

    public required int IntervalMs { get; init; }

    public int ResponseTimeoutMs { get; init; } = 200;
}

public sealed record AuthConfig
{
    public string? Username { get; init; }

    public string? Password { get; init; }

    public string? PasswordFile { get; init; }

    public string? PasswordSecret { get; init; }

    public string? PasswordHash { get; init; }
}
