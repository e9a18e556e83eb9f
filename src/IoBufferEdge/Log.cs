using Microsoft.Extensions.Logging;

namespace IoBufferEdge;

/// <summary>
/// Every line that the gateway logs. Never one per message. Warning: the operator may want to act; Error: data is lost or the
/// operator must act. Event ids: 1xx gateway, 2xx channels, 3xx store, 4xx endpoints, 5xx control; the others are made from their names.
/// </summary>
public static partial class Log
{
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

    [LoggerMessage(300, LogLevel.Error, "The store fails: {Reason}. Sources wait, delivery from memory goes on, writing is tried again.")]
    public static partial void StoreFailing(ILogger log, string reason);

    [LoggerMessage(301, LogLevel.Information, "The store works again.")]
    public static partial void StoreWorksAgain(ILogger log);
}
