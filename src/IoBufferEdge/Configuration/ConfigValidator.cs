using System.Net;

namespace IoBufferEdge.Configuration;

/// <summary>
/// What single keys cannot say: combinations that would break a promise are errors, combinations that may surprise are warnings. Goes on
/// after errors; what would only follow from a value that could not be read is not reported. Each message is the end of a sentence that
/// begins with the path. One side of a channel: <see cref="EndpointValidator"/>. This file: channels as a whole, and what they share.
/// </summary>
internal static class ConfigValidator
{
    /// <summary>Returns the configuration with the limits that follow from it filled in.</summary>
    public static GatewayConfig Validate(GatewayConfig config, ConfigProblems problems)
    {
        if (problems.Foreign is not null) ForeignRules.Check(config, problems);
        config = BoardRules.Apply(config, problems);
        for (var i = 0; i < config.Channels.Count; i++)
        {
            var at = $"channels[{i}]";
            var channel = config.Channels[i];
            var (source, destination) = ($"{at}.source", $"{at}.destination");
            var (hasSource, hasDestination) = (problems.IsReadable($"{source}.type"), problems.IsReadable($"{destination}.type"));
            if (hasSource) EndpointValidator.CheckSource(channel.Source, source, problems);
            if (hasDestination) EndpointValidator.CheckDestination(channel.Destination, destination, problems);
            if (hasSource && hasDestination) CheckPair(channel, at, problems);
            CheckBuffer(channel, config.Buffer, at, problems);
        }

        if (config.Channels.Count == 0 && problems.IsReadable("channels")) problems.Warn("channels", "is empty: nothing will be forwarded");
        CheckIds(config, problems);
        CheckHttp(config, problems);
        RemoteRules.Check(config, problems);
        CheckMqtt(config, problems);
        ListenerClashes.Check(config, problems);
        CheckSerialPorts(config, problems);
        BoardRules.CheckLines(config, problems);
        CheckDiskBudget(config, problems);
        return config with { Channels = [.. config.Channels.Select(c => RemoteRules.Named(WithDatagramLimit(c), config.Device.Id))] };
    }

    /// <summary>What a UDP side can carry limits the source's messages.</summary>
    private static ChannelConfig WithDatagramLimit(ChannelConfig channel) =>
        IsDatagram(channel)
            ? channel with
            {
                Source = channel.Source with { MaxMessageBytes = Math.Min(channel.Source.MaxMessageBytes, DatagramRoom(channel)) },
            }
            : channel;

    private static bool IsDatagram(ChannelConfig channel) =>
        channel.Source.Type == EndpointType.Udp || channel.Destination.Type == EndpointType.Udp;

    /// <summary>The longest message that fits a datagram, with what the destination's framing adds.</summary>
    private static int DatagramRoom(ChannelConfig channel)
    {
        var destination = channel.Destination;
        var added = destination.Type == EndpointType.Udp ? EndpointValidator.EnvelopeBytes(destination.EffectiveFraming) : 0;
        return ChannelRules.DatagramMaxBytes - added;
    }

    private static void CheckIds(GatewayConfig config, ConfigProblems problems)
    {
        var firsts = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < config.Channels.Count; i++)
        {
            var id = config.Channels[i].Id;
            if (id.Length > 0 && !firsts.TryAdd(id, i))
                problems.Error($"channels[{i}].id", $"is already the id of channels[{firsts[id]}]: choose another");
        }
    }

    /// <summary>What source and destination ask of each other.</summary>
    private static void CheckPair(ChannelConfig channel, string at, ConfigProblems problems)
    {
        var (source, destination) = (channel.Source, channel.Destination);
        CheckFramings(source, destination, at, problems);
        CheckMessageSize(channel, at, problems);
        if (source.Ack is null || !ChannelRules.ConfirmsNothing(destination)) return;
        if (!problems.IsReadable($"{at}.source.ack") || !problems.IsReadable($"{at}.destination.confirm")) return;
        problems.Warn($"{at}.source.ack",
            "promises what the destination does not confirm: what is lost behind us was acknowledged all the same, and every message "
            + "is written before it is delivered (durable_first); a destination with a confirm other than none avoids both");
    }

    private static void CheckFramings(SourceConfig source, DestinationConfig destination, string at, ConfigProblems problems)
    {
        var key = $"{at}.destination.framing";
        if (!problems.IsReadable($"{at}.source.framing") || !problems.IsReadable(key)) return;
        var (inner, outer) = (source.EffectiveFraming, destination.EffectiveFraming);
        var raw = source.Type is not EndpointType.RemoteIcombuffer && inner.Type == FramingType.Raw;
        if (EndpointValidator.HasEnvelope(outer.Type))
        {
            if (raw)
                problems.Error(key, "would frame arbitrary pieces, because the source is raw: give the source a framing with strip: true");
            else if (EndpointValidator.HasEnvelope(inner.Type) && !inner.Strip)
                problems.Error(key, "is added to what the source's framing leaves in place: set strip: true in the source's framing");
        }

        key = $"{at}.destination.confirm";
        var confirm = destination.EffectiveConfirm.Type;
        if (!problems.IsReadable(key)) return;
        if (raw && confirm is ConfirmType.Mllp or ConfirmType.Bytes)
            problems.Error(key, "cannot match answers to messages, and a raw source has none: give the source another framing");
        var kept = inner is { Type: FramingType.Mllp, Strip: false } && !EndpointValidator.HasEnvelope(outer.Type);
        if (confirm == ConfirmType.Mllp && !raw && !kept && outer.Type != FramingType.Mllp)
            problems.Error(key, "mllp needs MLLP frames: use framing mllp at the source, with strip: true there also here");
    }

    private static void CheckMessageSize(ChannelConfig channel, string at, ConfigProblems problems)
    {
        var key = $"{at}.source.max_message_bytes";
        if (!problems.IsReadable(key)) return;
        var bytes = channel.Source.MaxMessageBytes;
        if (IsDatagram(channel))
        {
            var room = DatagramRoom(channel);
            if (problems.IsGiven(key) && bytes > room)
                problems.Error(key, $"must be at most {room}, what a UDP datagram can carry, but is {bytes}");
            bytes = Math.Min(bytes, room);
        }

        var outer = channel.Destination.EffectiveFraming;
        var limit = outer is { Type: FramingType.LengthPrefix, Bytes: 1 or 2 } ? (1 << (8 * outer.Bytes)) - 1 : int.MaxValue;
        if (bytes > limit && problems.IsReadable($"{at}.destination.framing"))
            problems.Error(key, $"must be at most {limit}, what the destination's length prefix can say, but is {bytes}");
    }

    private static void CheckBuffer(ChannelConfig channel, DeviceBufferConfig device, string at, ConfigProblems problems)
    {
        var buffer = channel.Buffer;

        // A value may come from the defaults for all channels: then the path is theirs, and they are named once.
        string Where(string key) => problems.IsGiven($"{at}.buffer.{key}") ? $"{at}.buffer.{key}" : $"buffer.{key}";

        if (buffer.WhenFull != WhenFull.Block)
            problems.Warn(Where("when_full"), "lets messages be discarded when the buffer is full; block never loses one");
        if (buffer.WhenFull == WhenFull.DropNewest && channel.Source.Type == EndpointType.RemoteIcombuffer)
        {
            problems.Error(Where("when_full"),
                $"must not be drop_newest for the remote source of {at}: a sender that is told to wait loses nothing; use block");
        }

        if (buffer.TtlS > 0) problems.Warn(Where("ttl_s"), "lets messages be discarded when they get too old; 0 never loses one");
        if (buffer.Compression != BlockCompression.None) problems.Warn(Where("compression"), "has no effect yet: nothing is compressed");
        if (buffer.CommitBytes > buffer.MaxUnsecuredBytes)
        {
            problems.Error(Where("commit_bytes"),
                $"must be at most max_unsecured_bytes, {buffer.MaxUnsecuredBytes}, where the source stops, but is {buffer.CommitBytes}");
        }

        var (key, bytes, room) = ($"{at}.source.max_message_bytes", channel.Source.MaxMessageBytes, device.MemoryBytes / 2);
        if (bytes > room && problems.IsReadable(key) && problems.IsReadable("buffer.memory_bytes"))
            problems.Error(key, $"must be at most half of buffer.memory_bytes, {room}, but is {bytes}");
    }

    private static void CheckHttp(GatewayConfig config, ConfigProblems problems)
    {
        if (config.Http is not { } http) return;
        CheckListenAddress(http.Listen, "http.listen", problems);
        CheckListenAddress(http.MetricsListen, "http.metrics_listen", problems);
        if (!http.Tls.Enabled) return;
        if (http.Listen is null) problems.Warn("http.tls", "has no effect without http.listen: metrics are served without encryption");
        TlsFiles.Check(http.Tls, server: true, "http.tls", problems);
    }

    private static void CheckListenAddress(string? text, string at, ConfigProblems problems)
    {
        if (text is not null && NetworkAddress.ParseEndPoint(text) is null)
            problems.Error(at, $"must be an address and a port, 127.0.0.1:8080 or [::1]:8080, but is {Spelling.Quote(text)}");
    }

    private static void CheckMqtt(GatewayConfig config, ConfigProblems problems)
    {
        if (config.Mqtt is not { } mqtt) return;
        if (config.Device.Id is null && problems.IsReadable("device.id"))
            problems.Warn("device.id", "is left out: topics carry it, and without one nothing is sent to the broker");
        if (mqtt.Tls.Enabled && !problems.IsGiven("mqtt.port"))
            problems.Warn("mqtt.port", "is left out and thus 1883, the port without encryption; with tls brokers usually have 8883");
        if (!mqtt.Tls.Enabled && mqtt.Username is not null && !NetworkAddress.IsLoopback(mqtt.Host))
            problems.Warn("mqtt.tls", "is off: the password of mqtt.username can be read by whoever sits in between");
        if (mqtt.PasswordFile is not null && mqtt.PasswordSecret is not null)
            problems.Error("mqtt.password_secret", "stands beside password_file: keep one of them");
        problems.CheckSecret(mqtt.PasswordSecret, "mqtt.password_secret");
        if (mqtt.PasswordFile is { } file) TlsFiles.CheckReadable(file, "mqtt.password_file", problems);
        if (mqtt.Tls.Enabled) TlsFiles.Check(mqtt.Tls, server: false, "mqtt.tls", problems);
    }

    /// <summary>A port may be one source and one destination, with the same line settings: one owner arbitrates the bus.</summary>
    private static void CheckSerialPorts(GatewayConfig config, ConfigProblems problems)
    {
        var users = new List<(EndpointConfig Endpoint, string Path, bool IsSource)>();
        for (var i = 0; i < config.Channels.Count; i++)
        {
            var channel = config.Channels[i];
            if (!channel.Enabled) continue;
            Use(channel.Source, $"channels[{i}].source", true);
            Use(channel.Destination, $"channels[{i}].destination", false);
        }

        void Use(EndpointConfig endpoint, string at, bool isSource)
        {
            if (endpoint.Type != EndpointType.Serial || endpoint.SerialPort is null) return;
            foreach (var user in users.Where(u => u.Endpoint.SerialPort == endpoint.SerialPort))
            {
                if (user.IsSource == isSource)
                    problems.Error($"{at}.port", $"is already used by {user.Path}: a port is one source and one destination at most");
                else if (!LineSettings(user.Endpoint).Equals(LineSettings(endpoint)))
                    problems.Error(at, $"has other line settings than {user.Path} on the same port: make them equal");
            }

            users.Add((endpoint, at, isSource));
        }
    }

    private static object LineSettings(EndpointConfig e) => (e.BaudRate, e.DataBits, e.Parity, e.StopBits, e.FlowControl, e.Rs485, e.LowLatency);

    private static void CheckDiskBudget(GatewayConfig config, ConfigProblems problems)
    {
        var total = config.Channels.Where(c => c.Enabled).Sum(c => (decimal)c.Buffer.MaxBytes + c.Buffer.RetainBytes);
        if (total > config.Buffer.DeviceMaxBytes && problems.IsReadable("buffer.device_max_bytes"))
        {
            problems.Warn("buffer.device_max_bytes",
                $"is {config.Buffer.DeviceMaxBytes}, the channels' max_bytes and retain_bytes together {total}: not all can fill their buffers at once");
        }
    }
}

/// <summary>Two listeners cannot share a port on one address; 0.0.0.0 is every address. TCP and UDP ports are different things.</summary>
internal static class ListenerClashes
{
    private readonly record struct Listener(bool Udp, IPAddress Address, int Port, string Path);

    public static void Check(GatewayConfig config, ConfigProblems problems)
    {
        var known = new List<Listener>();
        foreach (var listener in Listeners(config))
        {
            var (udp, address, port, path) = (listener.Udp, listener.Address, listener.Port, listener.Path);
            if (known.Find(k => k.Udp == udp && k.Port == port && Overlap(k.Address, address)) is { Path: { } other })
                problems.Error(path, $"is {(udp ? "UDP" : "TCP")} port {port}, which {other} already listens on: choose another");
            known.Add(listener);
        }
    }

    private static IEnumerable<Listener> Listeners(GatewayConfig config)
    {
        for (var i = 0; i < config.Channels.Count; i++)
        {
            var channel = config.Channels[i];
            if (!channel.Enabled) continue;
            if (Listens(channel.Source) && Of(channel.Source, $"channels[{i}].source.port") is { } source) yield return source;
            if (Listens(channel.Destination) && Of(channel.Destination, $"channels[{i}].destination.port") is { } destination)
                yield return destination;
        }

        if (Of(config.Http?.Listen, "http.listen") is { } listen) yield return listen;
        if (Of(config.Http?.MetricsListen, "http.metrics_listen") is { } metrics) yield return metrics;
    }

    private static bool Listens(EndpointConfig endpoint) =>
        endpoint.Type == EndpointType.TcpServer || endpoint is SourceConfig { Type: EndpointType.Udp };

    private static Listener? Of(EndpointConfig endpoint, string path) =>
        endpoint.Port > 0 && NetworkAddress.Parse(endpoint.Host) is { } address
            ? new(endpoint.Type == EndpointType.Udp, address, endpoint.Port, path)
            : null;

    private static Listener? Of(string? text, string path) =>
        NetworkAddress.ParseEndPoint(text) is { } at ? new(false, at.Address, at.Port, path) : null;

    private static bool Overlap(IPAddress a, IPAddress b) => a.Equals(b) || NetworkAddress.IsAny(a) || NetworkAddress.IsAny(b);
}
