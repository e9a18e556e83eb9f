using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Channel;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// Brokers by way of MQTTnet: MQTT 5, and 3.1.1 where the broker does not know 5. A client of MQTTnet's lives as long as its connection; see
/// <see cref="MqttNetConnection"/> for what stands around it. The session outlives a connection by five minutes (3.1.1, which could not say
/// how long, has none): commands that come meanwhile are carried out when the device is back, older ones are not.
/// </summary>
public sealed class MqttNetBroker(SecretStore secrets, TimeProvider time, ILogger log) : IMqttBroker
{
    /// <summary>The largest packet that is read: a configuration of a few hundred channels.</summary>
    internal const int PacketBytesMax = 256 * 1024;

    /// <summary>So many messages the broker may send without our acknowledgement.</summary>
    internal const int ReceiveMax = 16;

    /// <summary>The broker takes us for dead after one and a half of it. Never 0: see trap 5 in the tests.</summary>
    internal static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan SessionExpiry = TimeSpan.FromMinutes(5);

    public async Task<IMqttConnection> ConnectAsync(MqttTarget target, Action<MqttReceived> received, CancellationToken cancel)
    {
        try
        {
            var password = ReadPassword(target.Config);
            var tls = target.Config.Tls.Enabled ? TlsContext.Load(target.Config.Tls, log) : null;
            try
            {
                return await ConnectAsync(target, password, tls, MqttProtocolVersion.V500, received, cancel);
            }
            catch (OtherVersionException)
            {
                return await ConnectAsync(target, password, tls, MqttProtocolVersion.V311, received, cancel);
            }
        }
        catch (OtherVersionException e)
        {
            throw new MqttLinkException($"{target}: {e.Message}.", e);
        }
        catch (Exception e) when (e is EndpointException or SecretException)
        {
            throw new MqttLinkException(e.Message, e);
        }
    }

    /// <exception cref="OtherVersionException">The broker may know another version.</exception>
    private async Task<IMqttConnection> ConnectAsync(
        MqttTarget target, string? password, TlsContext? tls, MqttProtocolVersion version, Action<MqttReceived> received, CancellationToken cancel)
    {
        var provider = new StreamProvider(target.Config, tls, time);
        var connection = new MqttNetConnection(new MqttClientFactory().CreateMqttClient(), target, time, log, received);
        using var late = new CancellationTokenSource(ConnectLimit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, late.Token);
        try
        {
            var result = await connection.Client.ConnectAsync(Options(target, password, version, provider), either.Token);
            if (result.ResultCode == MqttClientConnectResultCode.Success)
            {
                connection.Start(result);
                return connection;
            }

            // An older broker refuses with 1 (3.1.1, table 3.1), which MQTTnet hands on as it came; codes of MQTT 5 begin at 0x80.
            if (result.ResultCode is MqttClientConnectResultCode.UnsupportedProtocolVersion or < (MqttClientConnectResultCode)0x80)
                throw new OtherVersionException("the broker knows neither MQTT 5 nor MQTT 3.1.1");
            throw new MqttLinkException($"{target}: the broker refuses {Refusal(target, result)}.");
        }
        catch (Exception e)
        {
            await connection.DisposeAsync();
            throw e is MqttLinkException or OtherVersionException || (e is OperationCanceledException && cancel.IsCancellationRequested)
                ? e : Explained(target, tls, provider, late.IsCancellationRequested, e);
        }
    }

    private static Exception Explained(MqttTarget target, TlsContext? tls, StreamProvider provider, bool late, Exception e)
    {
        if (e.Find<EndpointException>() is { } endpoint) return new MqttLinkException(endpoint.Message, e);
        if (late) return new MqttLinkException($"{target}: no answer within {ConnectLimit.TotalSeconds} s.", e);
        if (e.Find<BadPacketException>() is { } bad) return new MqttLinkException($"{target}: {bad.Message}", e);
        if (tls is not null && e.Find<IOException>()?.InnerException is not (null or SocketException))
        {
            var alert = $"the broker ends the connection over TLS ({TlsConnection.Reason(e)})";
            return new MqttLinkException($"{target}: {alert}: it may refuse the client certificate (mqtt.tls.cert, key).", e);
        }

        // Connected, and no sense in what came: an older broker may say no more than this to MQTT 5.
        var reason = tls is not null
            ? "TLS works, but the broker ends the connection without an answer: it may ask for a client certificate (mqtt.tls.cert, key)"
            : "the broker ends the connection without an answer in MQTT: another program is on this port, or it needs tls";
        return provider.HasConnected ? new OtherVersionException(reason, e) : new MqttLinkException($"{target}: {TlsConnection.Reason(e)}.", e);
    }

    private static string Refusal(MqttTarget target, MqttClientConnectResult result)
    {
        var said = string.IsNullOrEmpty(result.ReasonString) ? "" : $" ({result.ReasonString})";
        return result.ResultCode switch
        {
            MqttClientConnectResultCode.BadUserNameOrPassword or MqttClientConnectResultCode.NotAuthorized =>
                (target.Config.Username is { } name ? $"the account {name} or its password" : "connections without mqtt.username") + said,
            MqttClientConnectResultCode.ClientIdentifierNotValid => $"the client id {target.ClientId}{said}",
            var code => $"the connection: {code}{said}",
        };
    }

    private static MqttClientOptions Options(MqttTarget target, string? password, MqttProtocolVersion version, StreamProvider provider)
    {
        var builder = new MqttClientOptionsBuilder()
            .WithProtocolVersion(version)
            .WithClientId(target.ClientId)
            .WithKeepAlivePeriod(KeepAlive)
            .WithTimeout(ConnectLimit)
            .WithTcpServer(target.Config.Host!, target.Config.Port)
            .WithStreamProvider(provider)
            .WithWillTopic(target.Topics.Availability)
            .WithWillPayload("offline")
            .WithWillRetain()
            .WithWillQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce);
        if (target.Config.Username is { } username) builder = builder.WithCredentials(username, password ?? "");
        if (version == MqttProtocolVersion.V500)
        {
            builder = builder
                .WithCleanStart(false)
                .WithSessionExpiryInterval((uint)SessionExpiry.TotalSeconds)
                .WithReceiveMaximum(ReceiveMax)
                .WithMaximumPacketSize(PacketBytesMax);
        }

        return builder.Build();
    }

    /// <summary>As it is now: who renews a password does not want to restart anything.</summary>
    /// <exception cref="EndpointException">The file cannot be read.</exception>
    /// <exception cref="SecretException">There is no such secret.</exception>
    private string? ReadPassword(MqttConfig config)
    {
        if (config.PasswordSecret is { } name) return secrets.ReadPassword(name);
        if (config.PasswordFile is not { } file) return null;
        try
        {
            using var reader = new StreamReader(file);
            return reader.ReadLine() is { Length: > 0 } line ? line : throw new EndpointException($"mqtt: the first line of password_file {file} is empty.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new EndpointException($"mqtt: password_file {file} cannot be read: {ConfigCheck.Reason(file, e)}.", e);
        }
    }

    /// <summary>The connection came about and the broker did not answer as one of this version does.</summary>
    private sealed class OtherVersionException(string message, Exception? inner = null) : Exception(message, inner);

    /// <summary>Sockets and TLS as all others of the gateway have them, so that MQTTnet sees bytes whose size is bounded.</summary>
    private sealed class StreamProvider(MqttConfig config, TlsContext? tls, TimeProvider time) : IMqttClientStreamProvider
    {
        public bool HasConnected { get; private set; }

        public async Task<Stream> ConnectAsync(EndPoint brokerEndPoint, CancellationToken cancellationToken)
        {
            var (socket, _) = await SocketNetwork.DialAsync(config.Host!, config.Port, new TcpTuning(), time, cancellationToken);
            Stream stream = new NetworkStream(socket, ownsSocket: true);
            if (tls is not null) stream = await tls.SecureAsync(stream, config.Host!, [], cancellationToken);
            HasConnected = true;
            return new PacketGuard(stream, PacketBytesMax);
        }
    }
}
