using IoBufferEdge.Configuration;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// The seam beneath the link: makes connections to a broker. Real: <see cref="MqttNetBroker"/>. Twin, in tests: a broker in virtual time.
/// </summary>
public interface IMqttBroker
{
    /// <summary>Connects and completes when the broker has accepted; one attempt, bounded in time.</summary>
    /// <param name="received">Told of each message, one at a time, maybe before this completes; must not throw and not wait.</param>
    /// <exception cref="MqttLinkException">Unreachable, refused, TLS, no password: one sentence with the broker and the reason.</exception>
    Task<IMqttConnection> ConnectAsync(MqttTarget target, Action<MqttReceived> received, CancellationToken cancel);
}

/// <summary>
/// One connection's life, which ends once and for good: by the broker, by the network, by silence, or by <see cref="IAsyncDisposable"/>.
/// What was not confirmed at its end is not sent later.
/// </summary>
public interface IMqttConnection : IAsyncDisposable
{
    /// <summary>Completes with the reason, one sentence, when the connection has ended. Never fails.</summary>
    Task<string> Ended { get; }

    /// <summary>Completes when the broker has confirmed (QoS 1) or the bytes are handed over (QoS 0).</summary>
    /// <returns>Null, or why the broker did not take this message although the connection goes on.</returns>
    /// <exception cref="MqttLinkException">The connection has ended, maybe by this.</exception>
    Task<string?> PublishAsync(MqttMessage message);

    /// <summary>Subscribes at QoS 1; the broker sends what it holds retained.</summary>
    /// <returns>Null, or which filters the broker refuses.</returns>
    /// <exception cref="MqttLinkException">The connection has ended, maybe by this.</exception>
    Task<string?> SubscribeAsync(IReadOnlyList<string> filters);

    /// <exception cref="MqttLinkException">The connection has ended, maybe by this.</exception>
    Task UnsubscribeAsync(IReadOnlyList<string> filters);

    /// <summary>Lets the broker forget a message. Does nothing for one of another connection, or after the end: it comes again.</summary>
    void Acknowledge(MqttReceived message);

    /// <summary>Takes leave in order, so that the last will is not published; then, or after so long, the connection has ended.</summary>
    Task LeaveAsync(TimeSpan within);
}

/// <summary>Which broker, and as whom. Compares by value: the link goes over to another one only when something differs.</summary>
public sealed record MqttTarget(string DeviceId, MqttConfig Config)
{
    /// <summary>Stable: a second connection under this name ends the first, and with it the wait for its last will.</summary>
    public string ClientId => $"iobuffer-{DeviceId}";

    public Topics Topics { get; } = new(DeviceId);

    /// <summary>The configuration's broker; null where it names none, or there is no name to appear under.</summary>
    public static MqttTarget? Of(GatewayConfig config, string? deviceId) =>
        config.Mqtt is { Host: not null } mqtt && deviceId is not null ? new MqttTarget(deviceId, mqtt) : null;

    public override string ToString() => $"{Config.Host}:{Config.Port}";
}

/// <param name="Retained">The broker keeps it for those who come later; an empty payload makes it forget.</param>
/// <param name="QoS">0: once at most; 1: until the broker has confirmed.</param>
public sealed record MqttMessage(string Topic, ReadOnlyMemory<byte> Payload, bool Retained, int QoS = 1);

/// <summary>A message from the broker, acknowledged only when it has been dealt with.</summary>
/// <param name="Retained">It lay on the broker, nobody has just sent it.</param>
/// <param name="IsEncrypted">It came over TLS.</param>
/// <param name="QoS">0: the broker will not send it again.</param>
public record MqttReceived(IMqttConnection Connection, string Topic, ReadOnlyMemory<byte> Payload, bool Retained, bool IsEncrypted, int QoS);

/// <summary>There is no connection, or no longer: one sentence with the broker and the reason.</summary>
public sealed class MqttLinkException(string message, Exception? inner = null) : Exception(message, inner);
