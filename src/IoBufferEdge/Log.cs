using Microsoft.Extensions.Logging;

namespace IoBufferEdge;

/// <summary>
/// Every line that the gateway logs. Never one per message. Warning: the operator may want to act; Error: data is lost or the
/// operator must act. Event ids: 1xx gateway, 2xx channels, 3xx store, 4xx endpoints, 5xx control.
/// </summary>
public static partial class Log
{
    [LoggerMessage(400, LogLevel.Warning,
        "UDP {Address}: the receive buffer is {Bytes} bytes instead of {Wanted}; raise net.core.rmem_max")]
    public static partial void ReceiveBufferCapped(ILogger logger, string address, int bytes, int wanted);

    [LoggerMessage(401, LogLevel.Information, "Channel {Channel}: the source listens on {Address}")]
    public static partial void SourceListening(ILogger logger, string channel, string address);

    [LoggerMessage(402, LogLevel.Debug, "Channel {Channel}: the source is connected with {Peer}")]
    public static partial void SourceConnected(ILogger logger, string channel, string peer);

    [LoggerMessage(403, LogLevel.Debug, "Channel {Channel}: the source's connection with {Peer} has ended: {Reason}")]
    public static partial void SourceDisconnected(ILogger logger, string channel, string peer, string reason);

    [LoggerMessage(404, LogLevel.Warning, "Channel {Channel}: the source refused {Peer}: {Reason}")]
    public static partial void SourceRefused(ILogger logger, string channel, System.Net.IPAddress peer, string reason);

    [LoggerMessage(405, LogLevel.Warning, "Channel {Channel}: the source cannot receive: {Reason}")]
    public static partial void SourceFailed(ILogger logger, string channel, string reason);

    [LoggerMessage(406, LogLevel.Warning, "The changed TLS files are not used, the former ones stay: {Reason}")]
    public static partial void TlsFilesUnusable(ILogger logger, string reason);

    [LoggerMessage(100, LogLevel.Information, "Gateway started: {Channels} channels, life {Life:x16}, store generation {Generation:x16}.")]
    public static partial void GatewayStarted(ILogger log, int channels, long life, long generation);

    [LoggerMessage(101, LogLevel.Information, "Gateway stopped; {Unsecured} messages are not secured.")]
    public static partial void GatewayStopped(ILogger log, long unsecured);

    [LoggerMessage(102, LogLevel.Information, "Configuration applied: {Added} channels added, {Changed} changed, {Removed} removed, {Kept} untouched.")]
    public static partial void ConfigurationApplied(ILogger log, int added, int changed, int removed, int kept);

    [LoggerMessage(103, LogLevel.Warning, "Configuration refused, the former one goes on: {Reason}")]
    public static partial void ConfigurationRefused(ILogger log, string reason);

    [LoggerMessage(200, LogLevel.Information, "{Channel}: connected to {Destination}.")]
    public static partial void DestinationConnected(ILogger log, string channel, string destination);

    [LoggerMessage(201, LogLevel.Information, "{Channel}: connection to {Destination} ended: {Reason}")]
    public static partial void DestinationEnded(ILogger log, string channel, string destination, string reason);

    [LoggerMessage(202, LogLevel.Warning, "{Channel}: {Side}: {Reason}")]
    public static partial void EndpointFailed(ILogger log, string channel, string side, string reason);

    [LoggerMessage(203, LogLevel.Error, "{Channel}: the {Side} broke unexpectedly and is opened again.")]
    public static partial void EndpointBroke(ILogger log, string channel, string side, Exception error);

    [LoggerMessage(204, LogLevel.Warning, "{Channel}: message {Sequence} was refused ({Reason}); it blocks the queue and is offered again in {DelayMs} ms.")]
    public static partial void MessageRefused(ILogger log, string channel, long sequence, string reason, double delayMs);

    [LoggerMessage(205, LogLevel.Warning, "{Channel}: message {Sequence} was refused ({Reason}) and is kept aside.")]
    public static partial void MessageParked(ILogger log, string channel, long sequence, string reason);

    [LoggerMessage(206, LogLevel.Error, "{Channel}: messages {First}..{Last} are missing from the store: lost, or delivered before it was damaged.")]
    public static partial void MessagesLost(ILogger log, string channel, long first, long last);

    [LoggerMessage(302, LogLevel.Error, "The store was salvaged: {Report}")]
    public static partial void StoreSalvaged(ILogger log, string report);

    [LoggerMessage(300, LogLevel.Error, "The store fails: {Reason}. Sources wait, delivery from memory goes on, writing is tried again.")]
    public static partial void StoreFailing(ILogger log, string reason);

    [LoggerMessage(301, LogLevel.Information, "The store works again.")]
    public static partial void StoreWorksAgain(ILogger log);

    [LoggerMessage(303, LogLevel.Warning, "The ballast was given back, so that records can still be written: {Reason}")]
    public static partial void StoreBallastReleased(ILogger log, string reason);

    [LoggerMessage(304, LogLevel.Warning, "No room for the ballast {Path}: nothing new is taken until {Bytes} bytes are free.")]
    public static partial void StoreWithoutBallast(ILogger log, string path, long bytes);

    [LoggerMessage(305, LogLevel.Warning, "The high-water mark was not written: {Reason}")]
    public static partial void StoreMarkNotWritten(ILogger log, string reason);

    // Serial lines

    [LoggerMessage(430, LogLevel.Information, "Serial port {Port} is open: {Summary}")]
    public static partial void SerialPortOpened(ILogger logger, string port, string summary);

    [LoggerMessage(431, LogLevel.Warning, "{Reason} It is opened again when it comes back.")]
    public static partial void SerialPortGone(ILogger logger, string reason);

    [LoggerMessage(432, LogLevel.Warning, "{Reason}")]
    public static partial void SerialPortFailed(ILogger logger, string reason);

    [LoggerMessage(433, LogLevel.Warning, "Channel {Channel}: the request {Request} has no valid answer: {Reason}. It is asked again as scheduled.")]
    public static partial void PollUnanswered(ILogger logger, string channel, string request, string reason);

    [LoggerMessage(434, LogLevel.Information, "Channel {Channel}: the request {Request} is answered again")]
    public static partial void PollAnsweredAgain(ILogger logger, string channel, string request);

    [LoggerMessage(435, LogLevel.Warning, "{Port} is not there. It is opened when it comes.")]
    public static partial void SerialPortMissing(ILogger logger, string port);

    // Destinations

    [LoggerMessage(420, LogLevel.Warning, "Channel {Channel}: the destination refused the client {Client}: {Reason}")]
    public static partial void ClientRefused(ILogger logger, string channel, System.Net.IPEndPoint client, string reason);

    [LoggerMessage(421, LogLevel.Warning, "Channel {Channel}: the client {Client} takes the destination over from the one before it")]
    public static partial void ClientTookOver(ILogger logger, string channel, System.Net.IPEndPoint client);

    [LoggerMessage(422, LogLevel.Warning, "Channel {Channel}: the destination cannot accept clients: {Reason}")]
    public static partial void AcceptFailed(ILogger logger, string channel, string reason);

    [LoggerMessage(460, LogLevel.Error, "{Channel}: alarm {Code}: {Reason}")]
    public static partial void ReceiverAlarm(ILogger logger, string channel, string code, string reason);

    [LoggerMessage(461, LogLevel.Information, "{Channel}: the alarm {Code} has ended.")]
    public static partial void ReceiverAlarmEnded(ILogger logger, string channel, string code);

    [LoggerMessage(462, LogLevel.Warning, "{Channel}: delivery goes on by the operator's choice, {Choice}.")]
    public static partial void ReceiverAlarmAnswered(ILogger logger, string channel, string choice);

    [LoggerMessage(463, LogLevel.Warning, "{Channel}: the receiver is {Receiver} now and was {Former} before.")]
    public static partial void ReceiverChanged(ILogger logger, string channel, string former, string receiver);

    [LoggerMessage(440, LogLevel.Warning, "The LED {Led} can't be switched and stays as it is: {Reason}")]
    public static partial void LedFailed(ILogger logger, string led, string reason);

    [LoggerMessage(441, LogLevel.Warning, "The button {Line} can't be watched and has no effect until the next start: {Reason}")]
    public static partial void ButtonFailed(ILogger logger, string line, string reason);

    [LoggerMessage(442, LogLevel.Information, "The button was pressed for {Seconds:0.00} s.")]
    public static partial void ButtonPressed(ILogger logger, double seconds);

    [LoggerMessage(500, LogLevel.Warning, "The control socket could not accept a client: {Reason}")]
    public static partial void ControlAcceptFailed(ILogger log, string reason);

    [LoggerMessage(501, LogLevel.Warning, "The command {Command} failed: {Reason}")]
    public static partial void ControlCommandFailed(ILogger log, string command, string reason);

    [LoggerMessage(502, LogLevel.Information, "MQTT command {Type} {Id}: {Status}. {Message}")]
    public static partial void MqttCommand(ILogger log, string type, string id, Control.Commands.CommandStatus status, string message);

    [LoggerMessage(503, LogLevel.Warning, "An MQTT command was not answered: its type is unknown, or its id could not stand in a topic.")]
    public static partial void MqttCommandNotAnswered(ILogger log);

    [LoggerMessage(504, LogLevel.Error, "MQTT command {Type} {Id}: its end could not be recorded: {Reason}")]
    public static partial void MqttCommandNotRecorded(ILogger log, string type, string id, string reason);

    [LoggerMessage(510, LogLevel.Information, "IoBufferEdge {Version} runs with {Config} on {DataFolder}: {Channels}")]
    public static partial void Ready(ILogger log, string version, string config, string dataFolder, string channels);

    [LoggerMessage(511, LogLevel.Information, "Stopping: sources first, then what they received is secured.")]
    public static partial void Stopping(ILogger log);

    [LoggerMessage(512, LogLevel.Error, "The gateway cannot start: {Reason}")]
    public static partial void CannotStart(ILogger log, string reason);

    [LoggerMessage(513, LogLevel.Warning, "The configuration is applied in spite of: {Warnings}")]
    public static partial void ConfigurationWarnings(ILogger log, string warnings);

    [LoggerMessage(514, LogLevel.Information, "Metrics on http://{Address}/metrics")]
    public static partial void MetricsListening(ILogger log, string address);

    [LoggerMessage(515, LogLevel.Error, "No metrics on {Address}: {Reason}")]
    public static partial void MetricsNotListening(ILogger log, string address, string reason);

    [LoggerMessage(517, LogLevel.Information, "Remote sources listen on {Url}")]
    public static partial void RemoteListening(ILogger log, string url);

    [LoggerMessage(518, LogLevel.Error, "Remote sources cannot be reached at {Address}: {Reason}")]
    public static partial void RemoteNotListening(ILogger log, string address, string reason);

    [LoggerMessage(519, LogLevel.Warning, "Channel {Channel}: {Peer} was answered {Status}: {Reason} This is said once an hour.")]
    public static partial void RemoteRefused(ILogger log, string channel, System.Net.IPAddress? peer, int status, string? reason);

    [LoggerMessage(520, LogLevel.Error, "Channel {Channel}: a request broke by a fault of ours and was answered 500.")]
    public static partial void RemoteBroke(ILogger log, string channel, Exception exception);

    [LoggerMessage(530, LogLevel.Information, "The configuration {Hash} is tried: it must be confirmed within {Seconds} s.")]
    public static partial void ConfigurationTried(ILogger log, string? hash, double seconds);

    [LoggerMessage(531, LogLevel.Information, "The configuration {Hash} is confirmed and kept.")]
    public static partial void ConfigurationKept(ILogger log, string? hash);

    [LoggerMessage(532, LogLevel.Warning, "The last good configuration runs: {Hash} {Reason}")]
    public static partial void ConfigurationRolledBack(ILogger log, string? hash, string reason);

    [LoggerMessage(533, LogLevel.Error, "The state of the configuration cannot be written: {Reason}")]
    public static partial void ConfigurationNotKept(ILogger log, string reason);

    [LoggerMessage(560, LogLevel.Information, "Connected to the broker {Broker}.")]
    public static partial void MqttConnected(ILogger log, string broker);

    [LoggerMessage(561, LogLevel.Warning, "No broker: {Reason} It is tried again; channels are not concerned.")]
    public static partial void MqttNotConnected(ILogger log, string reason);

    [LoggerMessage(562, LogLevel.Debug, "The broker {Broker} was left in disorder: {Reason}")]
    public static partial void MqttLeftInDisorder(ILogger log, string broker, string reason);

    [LoggerMessage(563, LogLevel.Error, "A message from the broker broke our own handling.")]
    public static partial void MqttMessageFailed(ILogger log, Exception fault);

    [LoggerMessage(564, LogLevel.Warning, "The broker does not do what it is asked: {Reason}")]
    public static partial void MqttRefused(ILogger log, string reason);

    [LoggerMessage(516, LogLevel.Critical, "The gateway broke down by a fault of its own; started again it goes on where it was.")]
    public static partial void Broken(ILogger log, Exception exception);
}
