using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Configuration;

/// <summary>What the keys of one side of a channel ask of each other.</summary>
internal static class EndpointValidator
{
    /// <summary>The framing puts bytes around the message, which a source may strip and a destination adds.</summary>
    public static bool HasEnvelope(FramingType framing) => framing
        is FramingType.Line or FramingType.Delimiter or FramingType.StxEtx or FramingType.Mllp or FramingType.LengthPrefix;

    public static void CheckSource(SourceConfig source, string at, ConfigProblems problems)
    {
        CheckCommon(source, isSource: true, at, problems);
        var framing = source.EffectiveFraming;
        CheckMessageSize(source, framing, at, problems);
        if (source.MaxClients > 1 && framing.Type == FramingType.Raw && problems.IsReadable($"{at}.framing"))
            problems.Error($"{at}.max_clients", "must be 1 with raw framing, or their pieces would mix: another framing lifts the limit");
        if (source.Ack is { } ack) CheckAck(ack, framing, at, problems);
        if (source.Type == EndpointType.Serial) SerialValidator.CheckPoll(source, at, problems);
        if (source.Type == EndpointType.RemoteIcombuffer && source.Auth is null && problems.IsReadable($"{at}.auth"))
            problems.Warn($"{at}.auth", "is missing: anyone who reaches http.listen can send");
    }

    private static void CheckMessageSize(SourceConfig source, FramingConfig framing, string at, ConfigProblems problems)
    {
        var (key, max) = ($"{at}.max_message_bytes", source.MaxMessageBytes);
        if (!problems.IsReadable(key) || !problems.IsReadable($"{at}.framing")) return;
        if (framing.Type == FramingType.Fixed && framing.Bytes > max)
            problems.Error($"{at}.framing.bytes", $"must be at most max_message_bytes, {max}, but is {framing.Bytes}");
        var envelope = EnvelopeBytes(framing);
        if (max <= envelope) problems.Error(key, $"must be more than the framing's own {envelope} bytes, but is {max}");
    }

    /// <summary>What the framing puts around a message.</summary>
    public static int EnvelopeBytes(FramingConfig framing) => framing.Type switch
    {
        FramingType.Line => 1,
        FramingType.Delimiter => HexBytes(framing.DelimiterHex),
        FramingType.StxEtx => HexBytes(framing.StartHex) + HexBytes(framing.EndHex),
        FramingType.Mllp => 3,
        FramingType.LengthPrefix => framing.Bytes,
        _ => 0,
    };

    private static int HexBytes(string? hex) => (hex?.Length ?? 0) / 2;

    private static void CheckAck(AckConfig ack, FramingConfig framing, string at, ConfigProblems problems)
    {
        if (!problems.IsReadable($"{at}.framing")) return;
        if (ack.Type == AckType.Mllp && framing.Type != FramingType.Mllp)
            problems.Error($"{at}.ack", "mllp answers MLLP messages: use framing mllp");
        else if (framing.Type == FramingType.Raw)
            problems.Error($"{at}.ack", "needs messages to acknowledge, and raw framing has none: use another framing");
        if (ack.Type == AckType.Bytes && Equal(ack.AckHex, ack.NakHex))
            problems.Error($"{at}.ack.nak_hex", "is the same as ack_hex: make them different");
    }

    public static void CheckDestination(DestinationConfig destination, string at, ConfigProblems problems)
    {
        CheckCommon(destination, isSource: false, at, problems);
        if (destination is { Type: EndpointType.Serial, Confirm.HoldMs: not null })
            problems.Warn($"{at}.confirm.hold_ms", "has no effect on a serial port: what has left it is in no kernel");
        if (destination.Confirm is { } confirm) CheckConfirm(confirm, destination.Type, at, problems);
        CheckRefusal(destination, at, problems);
        var (initialMs, maxMs) = (destination.Retry.InitialMs, destination.Retry.MaxMs);
        if (initialMs > maxMs && problems.IsReadable($"{at}.retry"))
            problems.Error($"{at}.retry.initial_ms", $"must be at most max_ms, {maxMs}, but is {initialMs}");
        var (window, resend) = (destination.WindowBytes, destination.ResendBytes);
        if (resend < window * 2.5 && problems.IsReadable($"{at}.window_bytes") && problems.IsReadable($"{at}.resend_bytes"))
        {
            problems.Error(
                $"{at}.resend_bytes",
                $"must be at least two and a half times window_bytes, {window}: a dying peer can leave more than its window; but is {resend}");
        }

        if (destination.Type == EndpointType.TcpServer) CheckServerDestination(destination, at, problems);
        if (destination.Type == EndpointType.RemoteIcombuffer) CheckUrl(destination, at, problems);
    }

    private static void CheckConfirm(ConfirmConfig confirm, EndpointType type, string at, ConfigProblems problems)
    {
        var fits = type switch
        {
            EndpointType.Udp => confirm.Type == ConfirmType.None,
            EndpointType.Serial => confirm.Type != ConfirmType.Mllp,
            _ => true,
        };
        if (!fits)
        {
            var right = type == EndpointType.Udp ? "only none: nothing comes back over UDP" : "none, transport or bytes";
            problems.Error($"{at}.confirm.type", $"{Word(confirm.Type)} does not fit type {Word(type)}, which has {right}");
        }

        if (confirm is not { Type: ConfirmType.Bytes, AckHex: { } ack, NakHex: { } nak }) return;
        if (ack.StartsWith(nak, StringComparison.OrdinalIgnoreCase) || nak.StartsWith(ack, StringComparison.OrdinalIgnoreCase))
            problems.Error($"{at}.confirm.nak_hex", "begins with ack_hex or the other way round: answers could not be told apart");
    }

    private static void CheckRefusal(DestinationConfig destination, string at, ConfigProblems problems)
    {
        var canRefuse = destination.Type == EndpointType.RemoteIcombuffer
            || destination.Confirm is { Type: ConfirmType.Mllp } or { Type: ConfirmType.Bytes, NakHex: not null };
        if (destination.OnReject == OnReject.Park && !canRefuse && problems.IsReadable($"{at}.confirm"))
            problems.Warn($"{at}.on_reject", "has no effect: only a peer that answers (confirm mllp, or bytes with nak_hex) can refuse");
    }

    private static void CheckServerDestination(DestinationConfig destination, string at, ConfigProblems problems)
    {
        if (!problems.IsReadable($"{at}.allow") || !problems.IsReadable($"{at}.tls")) return;
        if (destination.Allow.Count > 0 || destination.Tls is { Enabled: true, VerifyPeer: true }) return;
        const string Remedy = "name the clients in allow, or use mutual TLS (tls.verify_peer)";
        if (destination.ClientPolicy == ClientPolicy.Takeover)
            problems.Error($"{at}.client_policy", $"takeover lets any client empty the queue: {Remedy}");
        else if (problems.IsReadable($"{at}.host") && !NetworkAddress.IsLoopback(destination.Host))
            problems.Warn(at, $"hands the queue to any client that connects: {Remedy}");
    }

    private static void CheckUrl(DestinationConfig destination, string at, ConfigProblems problems)
    {
        if (destination.Url is not { } text) return;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https")
            || url.Query.Length + url.Fragment.Length > 0)
            problems.Error($"{at}.url", "must be a URL with http or https, a host and a port, https://host:8080");
        else if (url.UserInfo.Length > 0)
            problems.Error($"{at}.url", "carries a name or password: put them into auth");
        else if (url.Scheme == "http" && destination.Auth is not null && !NetworkAddress.IsLoopback(url.Host))
            problems.Warn($"{at}.auth", "goes over the network in the clear: use https in url");
        if (url?.Scheme == "https") TlsFiles.Check(destination.Tls, server: false, $"{at}.tls", problems);
        else if (url?.Scheme == "http" && destination.Tls.Enabled) problems.Error($"{at}.tls.enabled", "is true, but url says http: use https there");
    }

    private static void CheckCommon(EndpointConfig endpoint, bool isSource, string at, ConfigProblems problems)
    {
        if (endpoint.Type == EndpointType.Serial) SerialValidator.Check(endpoint, at, problems);
        CheckHosts(endpoint, isSource, at, problems);
        CheckFraming(endpoint, isSource, at, problems);
        if (IsTcp(endpoint.Type) && endpoint.Tls.Enabled)
            TlsFiles.Check(endpoint.Tls, endpoint.Type == EndpointType.TcpServer, $"{at}.tls", problems);
        for (var i = 0; i < endpoint.Allow.Count; i++)
        {
            var entry = endpoint.Allow[i];
            if (entry is { Length: > 0 } && !NetworkAddress.IsAddressOrNetwork(entry))
                problems.Error($"{at}.allow[{i}]", $"must be an address or a network, 192.0.2.0/24, but is {Spelling.Quote(entry)}");
        }

        if (endpoint.Auth is { } auth) CheckAuth(auth, isSource, $"{at}.auth", problems);
    }

    private static void CheckHosts(EndpointConfig endpoint, bool isSource, string at, ConfigProblems problems)
    {
        if (endpoint.Host is { } host)
        {
            var listens = endpoint.Type == EndpointType.TcpServer || (endpoint.Type == EndpointType.Udp && isSource);
            if (listens && NetworkAddress.Parse(host) is null)
                problems.Error($"{at}.host", $"must be an address to listen on, 0.0.0.0 for all interfaces, but is {Spelling.Quote(host)}");
            else if (!listens && (NetworkAddress.Parse(host) is { } address ? NetworkAddress.IsAny(address) : !IsHostName(host)))
                problems.Error($"{at}.host", $"must be the peer's name or address, but is {Spelling.Quote(host)}");
        }

        if (endpoint.Bind is { } bind && NetworkAddress.Parse(bind) is null && !IsInterfaceName(bind))
            problems.Error($"{at}.bind", $"must be a local address or the name of an interface, eth0, but is {Spelling.Quote(bind)}");
    }

    private static bool IsInterfaceName(string text) => text.Length < 16 && !text.Any(c => c is '/' or ':' || char.IsWhiteSpace(c));

    private static bool IsHostName(string text) =>
        Uri.CheckHostName(text) == UriHostNameType.Dns && !text.All(c => char.IsAsciiDigit(c) || c == '.');

    private static void CheckFraming(EndpointConfig endpoint, bool isSource, string at, ConfigProblems problems)
    {
        if (endpoint.Framing is not { } framing) return;
        var right = (framing.Type, endpoint.Type) switch
        {
            (FramingType.Raw, EndpointType.Serial) => "idle_gap",
            (FramingType.Raw, EndpointType.Udp) => "datagram",
            (FramingType.IdleGap, not EndpointType.Serial) => endpoint.Type == EndpointType.Udp ? "datagram" : "raw or line",
            (FramingType.Datagram, not EndpointType.Udp) => endpoint.Type == EndpointType.Serial ? "idle_gap" : "raw or line",
            _ => null,
        };
        if (right is not null)
            problems.Error($"{at}.framing.type", $"{Word(framing.Type)} does not fit type {Word(endpoint.Type)}: use for example {right}");
        else if (!isSource && framing.Type == FramingType.Fixed)
            problems.Error($"{at}.framing.type", "fixed adds nothing: leave framing out, the source's framing makes the messages");
        if (framing.Type == FramingType.StxEtx && Equal(framing.StartHex, framing.EndHex))
            problems.Error($"{at}.framing.end_hex", "is the same as start_hex: make them different");
    }

    private static void CheckAuth(AuthConfig auth, bool isSource, string at, ConfigProblems problems)
    {
        if (auth.Username?.Contains(':', StringComparison.Ordinal) == true)
            problems.Error($"{at}.username", "has a colon, which separates name and password in HTTP: choose a name without one");
        if (isSource) CheckHash(auth, at, problems);
        else CheckPassword(auth, at, problems);
    }

    private static void CheckHash(AuthConfig auth, string at, ConfigProblems problems)
    {
        if (auth.PasswordHash is { } hash && PasswordHash.Parse(hash) is null)
            problems.Error($"{at}.password_hash", "is not what iobuffer passwd prints: run it and copy its last line as it is");
    }

    private static void CheckPassword(AuthConfig auth, string at, ConfigProblems problems)
    {
        var given = new[] { auth.Password, auth.PasswordFile, auth.PasswordSecret }.Count(p => p is not null);
        const string Kinds = "password, password_file, password_secret";
        if (given == 0 && problems.IsReadable(at)) problems.Error(at, $"has no password: give one of {Kinds}");
        if (given > 1) problems.Error(at, $"has more than one password: keep one of {Kinds}");
        if (auth.PasswordFile is { } file) TlsFiles.CheckReadable(file, $"{at}.password_file", problems);
        problems.CheckSecret(auth.PasswordSecret, $"{at}.password_secret");
    }

    private static bool Equal(string? a, string? b) => string.Equals(a, b, StringComparison.OrdinalIgnoreCase);

    private static bool IsTcp(EndpointType type) => type is EndpointType.TcpServer or EndpointType.TcpClient;

    internal static string Word<T>(T value)
        where T : struct, Enum => System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());
}
