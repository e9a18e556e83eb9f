using System.Buffers;
using IoBufferEdge.Endpoints;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>
/// One connection by way of MQTTnet, with what its client needs around it (each a test in MqttNetTrapTests):
/// its own ping loop on the running clock, whatever traffic there is, since the client's is put off by each packet and reads the wall clock;
/// no token ever goes into a publish, since a cancelled one leaves half a packet on the wire: what takes too long ends the connection;
/// what the broker would hang up on for its size is not sent; a message is acknowledged by who dealt with it, and never on another connection.
/// </summary>
internal sealed class MqttNetConnection : IMqttConnection
{
    /// <summary>How long the broker may take to answer anything: with half of the keep-alive before it, a dead one is noticed within 25 s.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(10);

    /// <summary>What a packet needs beside topic and payload.</summary>
    private const int PacketOverhead = 64;

    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private readonly MqttTarget _target;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Action<MqttReceived> _received;
    private Task _pinging = Task.CompletedTask;
    private long _packetBytesMax = long.MaxValue;
    private int _qosMax = 1;
    private bool _retains = true;

    public MqttNetConnection(IMqttClient client, MqttTarget target, TimeProvider time, ILogger log, Action<MqttReceived> received)
    {
        (Client, _target, _time, _log, _received) = (client, target, time, log, received);

        // Before the connection: with a session, messages come before anything is subscribed.
        client.ApplicationMessageReceivedAsync += OnReceivedAsync;
        client.DisconnectedAsync += OnDisconnectedAsync;
    }

    public IMqttClient Client { get; }

    public Task<string> Ended => _ended.Task;

    public void Start(MqttClientConnectResult result)
    {
        if (result.MaximumPacketSize is > 0 and var bytes) _packetBytesMax = bytes;
        (_qosMax, _retains) = (Math.Min(1, (int)result.MaximumQoS), result.RetainAvailable);
        var keepAlive = MqttNetBroker.KeepAlive;
        if (result.ServerKeepAlive > 0 && TimeSpan.FromSeconds(result.ServerKeepAlive) is var wanted && wanted < keepAlive) keepAlive = wanted;
        _pinging = PingAsync(keepAlive / 2);
    }

    public async Task<string?> PublishAsync(MqttMessage message)
    {
        var bytes = PacketOverhead + System.Text.Encoding.UTF8.GetByteCount(message.Topic) + message.Payload.Length;
        if (bytes > _packetBytesMax) return $"{message.Topic}: {bytes} bytes are more than the broker takes, {_packetBytesMax}";
        var result = await AnswerAsync("a message", () => Client.PublishAsync(new MqttApplicationMessage
        {
            Topic = message.Topic,
            Payload = new ReadOnlySequence<byte>(message.Payload),
            Retain = message.Retained && _retains,
            QualityOfServiceLevel = (MqttQualityOfServiceLevel)Math.Min(message.QoS, _qosMax),
        }, CancellationToken.None));
        return result.IsSuccess ? null : $"{message.Topic}: the broker refuses it: {result.ReasonCode} {result.ReasonString}".TrimEnd();
    }

    public async Task<string?> SubscribeAsync(IReadOnlyList<string> filters)
    {
        var options = new MqttClientSubscribeOptions
        {
            TopicFilters = [.. filters.Select(f => new MqttTopicFilter { Topic = f, QualityOfServiceLevel = MqttQualityOfServiceLevel.AtLeastOnce })],
        };
        var result = await AnswerAsync("a subscription", () => Client.SubscribeAsync(options, CancellationToken.None));
        var refused = result.Items.Where(i => i.ResultCode > MqttClientSubscribeResultCode.GrantedQoS2).Select(i => i.TopicFilter.Topic).ToList();
        return refused.Count == 0 ? null : $"the broker refuses to subscribe to {string.Join(", ", refused)}";
    }

    public Task UnsubscribeAsync(IReadOnlyList<string> filters) => AnswerAsync(
        "an unsubscription", () => Client.UnsubscribeAsync(new MqttClientUnsubscribeOptions { TopicFilters = [.. filters] }, CancellationToken.None));

    public void Acknowledge(MqttReceived message)
    {
        if (message is Held held && message.Connection == this && !Ended.IsCompleted) _ = AcknowledgeAsync(held.Event);
    }

    public async Task LeaveAsync(TimeSpan within)
    {
        try
        {
            if (!Ended.IsCompleted) await Client.DisconnectAsync(new MqttClientDisconnectOptions(), CancellationToken.None).WaitAsync(within, _time);
        }
        catch (Exception e)
        {
            Log.MqttLeftInDisorder(_log, _target.ToString(), e.Message);
        }

        End("left by ourselves");
    }

    public async ValueTask DisposeAsync()
    {
        End("left by ourselves");
        await _pinging;
        _stop.Dispose();
    }

    private async Task PingAsync(TimeSpan period)
    {
        try
        {
            while (true)
            {
                await Task.Delay(period, _time, _stop.Token);
                await AnswerAsync("a ping", async () =>
                {
                    await Client.PingAsync(_stop.Token);
                    return true;
                });
            }
        }
        catch (Exception e) when (e is OperationCanceledException or MqttLinkException)
        {
            // Ended, by this or by something else.
        }
    }

    /// <summary>The answer to something, in time; anything else ends the connection.</summary>
    private async Task<T> AnswerAsync<T>(string what, Func<Task<T>> ask)
    {
        Task<T>? asked = null;
        try
        {
            asked = ask();
            return await asked.WaitAsync(AnswerLimit, _time);
        }
        catch (TimeoutException)
        {
            End($"{_target}: no answer to {what} within {AnswerLimit.TotalSeconds} s");
        }
        catch (Exception e)
        {
            // Of any kind: what waits when a connection breaks off fails with exceptions of sockets, streams and locks as well.
            End($"{_target}: {Reason(e)}");
        }

        // Fails now that the client is gone; nobody else looks at it.
        _ = asked?.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        throw new MqttLinkException(await Ended);
    }

    private Task OnReceivedAsync(MqttApplicationMessageReceivedEventArgs e)
    {
        // Never throws and never waits: the client would go on without an answer, or keep everything that comes in memory.
        e.AutoAcknowledge = false;
        try
        {
            var message = e.ApplicationMessage;
            _received(new Held(
                this, message.Topic, message.Payload.ToArray(), message.Retain, _target.Config.Tls.Enabled, (int)message.QualityOfServiceLevel, e));
        }
        catch (Exception fault)
        {
            Log.MqttMessageFailed(_log, fault);
            End($"{_target}: a message broke our own handling");
        }

        return Task.CompletedTask;
    }

    private Task OnDisconnectedAsync(MqttClientDisconnectedEventArgs e)
    {
        End(e switch
        {
            { Reason: MqttClientDisconnectReason.SessionTakenOver } =>
                $"{_target}: another client has connected as {_target.ClientId}: is device.id given twice?",
            { Exception: { } fault } => $"{_target}: {Reason(fault)}",
            { Reason: not MqttClientDisconnectReason.NormalDisconnection } =>
                $"{_target}: the broker ends the connection: {e.Reason} {e.ReasonString}".TrimEnd(),
            _ => $"{_target}: the broker has closed the connection",
        });
        return Task.CompletedTask;
    }

    private static async Task AcknowledgeAsync(MqttApplicationMessageReceivedEventArgs e)
    {
        try
        {
            await e.AcknowledgeAsync(CancellationToken.None);
        }
        catch (Exception)
        {
            // The connection has ended meanwhile: the message comes again.
        }
    }

    /// <summary>Closes the socket at once: an orderly end would have to write to a peer that may be dead.</summary>
    private void End(string reason)
    {
        if (!_ended.TrySetResult(reason)) return;
        _stop.Cancel();
        Client.Dispose();
    }

    private static string Reason(Exception e) =>
        e.Find<System.Net.Sockets.SocketException>() is { } socket ? SocketErrors.Describe(socket) : TlsConnection.Reason(e);

    private sealed record Held(
        IMqttConnection Connection, string Topic, ReadOnlyMemory<byte> Payload, bool Retained, bool IsEncrypted, int QoS,
        MqttApplicationMessageReceivedEventArgs Event) : MqttReceived(Connection, Topic, Payload, Retained, IsEncrypted, QoS);
}
