using Microsoft.Extensions.Logging;

namespace IoBufferEdge;

/// <summary>
/// Every line that the gateway logs. Warning: the operator may act; Error: data was lost or the operator is needed. Nothing is
/// logged per message.
/// </summary>
internal static partial class Log
{
    // Sockets and sources

    [LoggerMessage(Level = LogLevel.Warning,
        Message = "UDP {Address}: the receive buffer is {Bytes} bytes instead of {Wanted}; raise net.core.rmem_max")]
    public static partial void ReceiveBufferCapped(ILogger logger, string address, int bytes, int wanted);

    [LoggerMessage(Level = LogLevel.Information, Message = "Channel {Channel}: the source listens on {Address}")]
    public static partial void SourceListening(ILogger logger, string channel, string address);

    [LoggerMessage(Level = LogLevel.Information, Message = "Channel {Channel}: the source is connected with {Peer}")]
    public static partial void SourceConnected(ILogger logger, string channel, string peer);

    [LoggerMessage(Level = LogLevel.Information, Message = "Channel {Channel}: the source's connection with {Peer} has ended: {Reason}")]
    public static partial void SourceDisconnected(ILogger logger, string channel, string peer, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Channel {Channel}: the source refused {Peer}: {Reason}")]
    public static partial void SourceRefused(ILogger logger, string channel, string peer, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Channel {Channel}: the source cannot receive: {Reason}")]
    public static partial void SourceFailed(ILogger logger, string channel, string reason);

    // Destinations

    [LoggerMessage(420, LogLevel.Warning, "Channel {Channel}: the destination refused the client {Client}: {Reason}")]
    public static partial void ClientRefused(ILogger logger, string channel, System.Net.IPEndPoint client, string reason);

    [LoggerMessage(421, LogLevel.Warning, "Channel {Channel}: the client {Client} takes the destination over from the one before it")]
    public static partial void ClientTookOver(ILogger logger, string channel, System.Net.IPEndPoint client);

    [LoggerMessage(422, LogLevel.Warning, "Channel {Channel}: the destination cannot accept clients: {Reason}")]
    public static partial void AcceptFailed(ILogger logger, string channel, string reason);
}
