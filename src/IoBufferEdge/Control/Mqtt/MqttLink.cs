using IoBufferEdge.Channels;
using IoBufferEdge.Configuration;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>What the link works for.</summary>
/// <param name="Status">The snapshot that everybody reads.</param>
/// <param name="OfferConfigAsync">A message of <c>config/desired</c>. Never throws for what is in it.</param>
/// <param name="HandleCommandAsync">Type, id, payload, retained, over TLS: the result as JSON, or null where there is nobody to answer.</param>
/// <param name="Reported">The content of <c>config/reported</c>.</param>
public sealed record MqttDuties(
    Func<GatewayStatus> Status,
    Func<ReadOnlyMemory<byte>, Task>? OfferConfigAsync = null,
    Func<string, string, ReadOnlyMemory<byte>, bool, bool, Task<byte[]?>>? HandleCommandAsync = null,
    Func<byte[]?>? Reported = null)
{
    /// <summary>Takes the secrets out of a JSON object before it is published.</summary>
    public Func<ReadOnlyMemory<byte>, byte[]>? Redact { get; init; }
}

/// <summary>
/// The gateway's tie to its broker. Three loops: one observes the status every second, connected or not; one connects, tells the broker
/// everything and then what changes, and tries again for ever with backoff and full jitter; one deals with what the broker sends, a message at
/// a time, and acknowledges it then. The data path knows nothing of any of them.
/// Bounds: <see cref="InboxMax"/> messages received, <see cref="StatusPublisher.BacklogMax"/> events and results waiting for a broker.
/// </summary>
public sealed class MqttLink : IDisposable
{
    /// <summary>Above what a broker may send without an acknowledgement; what comes on top (QoS 0) is dropped and counted.</summary>
    public const int InboxMax = 32;

    private static readonly TimeSpan ObserveEvery = TimeSpan.FromSeconds(1);

    /// <summary>By then the broker has sent what it held retained of earlier runs.</summary>
    private static readonly TimeSpan SweepFor = TimeSpan.FromSeconds(10);

    /// <summary>What is closed before that was not worth the name of a connection.</summary>
    private static readonly TimeSpan LastsFor = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan LeaveWithin = TimeSpan.FromSeconds(2);

    /// <summary>A broker that accepts and closes at once is not hammered: only a connection that lasts resets the backoff.</summary>
    private static readonly RetryConfig Retry = new() { InitialMs = 500, MaxMs = 30_000 };

    /// <summary>Messages under way to the broker at once; every broker takes so many.</summary>
    private const int PublishWindow = 16;

    private readonly IMqttBroker _broker;
    private readonly MqttDuties _duties;
    private readonly StatusPublisher _publisher;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Backoff _backoff;
    private readonly AsyncSignal _observe;
    private readonly AsyncSignal _talk;
    private readonly AsyncSignal _received;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _sync = new();
    private readonly Queue<MqttReceived> _inbox = new();
    private CancellationTokenSource? _attempt;
    private MqttTarget? _target;
    private MqttStatus? _status;

    public MqttLink(IMqttBroker broker, MqttDuties duties, DeviceReadings readings, TimeProvider time, Random random, ILogger log)
    {
        (_broker, _duties, _time, _log) = (broker, duties, time, log);
        _publisher = new StatusPublisher(duties.Reported, readings, time);
        _backoff = new Backoff(Retry, time, random);
        (_observe, _talk, _received) = (new AsyncSignal(time), new AsyncSignal(time), new AsyncSignal(time));
    }

    /// <summary>Null: no broker is configured.</summary>
    public MqttStatus? Status
    {
        get
        {
            lock (_sync) return _status is null ? null : _status with { DroppedEvents = _publisher.Dropped };
        }
    }

    /// <summary>
    /// From now on this broker, or none: the former one is left in order, which this does not wait for. The status says at once that there is
    /// no connection, unless nothing differs.
    /// </summary>
    public void Use(MqttTarget? target)
    {
        CancellationTokenSource? attempt;
        lock (_sync)
        {
            if (target == _target) return;
            _target = target;
            _status = target is null ? null : new MqttStatus { Broker = target.ToString(), Since = _time.GetUtcNow() };
            attempt = _attempt;
        }

        try
        {
            attempt?.Cancel(); // not under the lock: whoever waits for it goes on right here, and may want the lock on another thread
        }
        catch (ObjectDisposedException)
        {
            // The attempt has ended by itself meanwhile.
        }

        _backoff.Reset();
        _backoff.CutShort();
        _talk.Set();
    }

    /// <summary>A piece of what a command asked for; it goes before the command's result.</summary>
    public void PublishPart(string type, string id, int number, byte[] bytes)
    {
        if (Target is { } target) _publisher.Add(new MqttMessage(target.Topics.Part(type, id, number), bytes, Retained: false));
    }

    /// <summary>Something that is published has changed: it need not wait for the next look.</summary>
    public void Hurry() => _observe.Set();

    /// <summary>Runs until <see cref="Stop"/>; the broker is left in order.</summary>
    public Task RunAsync() => Task.WhenAll(ObserveAsync(), TalkAsync(), DispatchAsync());

    public void Stop()
    {
        _stop.Cancel();
        _observe.Set();
        _talk.Set();
        _received.Set();
    }

    public void Dispose()
    {
        _backoff.Dispose();
        _observe.Dispose();
        _talk.Dispose();
        _received.Dispose();
        _stop.Dispose();
    }

    private bool IsStopping => _stop.IsCancellationRequested;

    private MqttTarget? Target
    {
        get
        {
            lock (_sync) return _target;
        }
    }

    private async Task ObserveAsync()
    {
        while (!IsStopping)
        {
            if (Target is { } target) _publisher.Observe(target, _duties.Status());
            _talk.Set();
            await _observe.WaitAsync(ObserveEvery);
        }
    }

    private async Task TalkAsync()
    {
        while (!IsStopping)
        {
            if (Target is not { } target)
            {
                await _talk.WaitAsync();
                continue;
            }

            using var attempt = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            try
            {
                lock (_sync) _attempt = attempt;
                if (target == Target) await ConnectAndServeAsync(target, attempt.Token);
            }
            catch (MqttLinkException e)
            {
                Note(target, e.Message);
            }
            catch (OperationCanceledException) when (attempt.IsCancellationRequested)
            {
                continue;
            }
            finally
            {
                lock (_sync) _attempt = null;
            }

            if (target == Target && !IsStopping) await PauseAsync();
        }
    }

    private async Task PauseAsync()
    {
        try
        {
            await _backoff.WaitAsync(_stop.Token);
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private async Task ConnectAndServeAsync(MqttTarget target, CancellationToken cancel)
    {
        await using var connection = await _broker.ConnectAsync(target, Take, cancel);
        _ = WakeAtEndAsync(connection);
        Refuse(target, null);
        _publisher.Forget();
        _publisher.Observe(target, _duties.Status()); // before the broker tells what it holds: what is not known to be ours would be overheard
        await PublishAsync(target, connection);
        await RefusalAsync(target, connection.SubscribeAsync([.. target.Topics.Watched, .. Swept(target)]));
        Note(target, error: null);
        var sweeping = true;
        var since = _time.GetTimestamp();
        while (!connection.Ended.IsCompleted && target == Target && !IsStopping)
        {
            await _talk.WaitAsync();
            await PublishAsync(target, connection);
            if (_time.GetElapsedTime(since) >= LastsFor) _backoff.Reset();
            if (!sweeping || _time.GetElapsedTime(since) < SweepFor) continue;
            sweeping = false;
            await connection.UnsubscribeAsync(Swept(target));
        }

        if (!connection.Ended.IsCompleted)
        {
            await connection.PublishAsync(new MqttMessage(target.Topics.Availability, "offline"u8.ToArray(), Retained: true));
            await connection.LeaveAsync(LeaveWithin);
            return;
        }

        throw new MqttLinkException($"{await connection.Ended}.".Replace("..", ".", StringComparison.Ordinal));
    }

    private static IReadOnlyList<string> Swept(MqttTarget target) => target.Config.HomeAssistant is { } home
        ? [.. target.Topics.Swept, HomeAssistant.Filter(home.Prefix, target.DeviceId)]
        : target.Topics.Swept;

    private async Task PublishAsync(MqttTarget target, IMqttConnection connection)
    {
        while (true)
        {
            var due = _publisher.Due(PublishWindow);
            if (due.Count == 0) return;
            foreach (var refusal in await Task.WhenAll(due.Select(message => connection.PublishAsync(Redacted(message)))))
                if (refusal is not null) Refuse(target, refusal);
            _publisher.Sent(due);
        }
    }

    private MqttMessage Redacted(MqttMessage message) =>
        _duties.Redact is { } redact && message.Payload.Length > 0 && message.Payload.Span[0] == (byte)'{'
            ? message with { Payload = redact(message.Payload) }
            : message;

    private async Task RefusalAsync(MqttTarget target, Task<string?> asked)
    {
        if (await asked is { } refusal) Refuse(target, refusal);
    }

    /// <param name="reason">Null: another connection, on which nothing has been refused yet.</param>
    private void Refuse(MqttTarget target, string? reason)
    {
        lock (_sync)
        {
            if (_status?.Refusal == reason || target != _target) return;
            _status = _status! with { Refusal = reason };
        }

        if (reason is not null) Log.MqttRefused(_log, reason);
    }

    private async Task WakeAtEndAsync(IMqttConnection connection)
    {
        await connection.Ended;
        _talk.Set();
    }

    /// <summary>The connection is up, or why it is not; the same reason again is not logged again.</summary>
    private void Note(MqttTarget target, string? error)
    {
        bool news;
        lock (_sync)
        {
            if (target != _target) return;
            news = _status!.LastError != error || _status.Connected != error is null;
            _status = _status with
            {
                Connected = error is null,
                Since = _status.Connected == error is null ? _status.Since : _time.GetUtcNow(),
                LastError = error ?? _status.LastError,
                Connects = _status.Connects + (error is null ? 1 : 0),
            };
        }

        if (!news) return;
        if (error is null) Log.MqttConnected(_log, target.ToString());
        else Log.MqttNotConnected(_log, error);
    }

    // ---- what the broker sends

    private void Take(MqttReceived message)
    {
        lock (_sync)
        {
            if (_inbox.Count < InboxMax) _inbox.Enqueue(message);
            else if (_status is not null) _status = _status with { DroppedMessages = _status.DroppedMessages + 1 };
        }

        _received.Set();
    }

    private async Task DispatchAsync()
    {
        while (!IsStopping)
        {
            MqttReceived? message;
            lock (_sync) _inbox.TryDequeue(out message);
            if (message is null)
            {
                await _received.WaitAsync();
                continue;
            }

            // What is still here from a connection that has ended comes again.
            if (message.QoS > 0 && message.Connection.Ended.IsCompleted) continue;
            try
            {
                await HandleAsync(message);
            }
            catch (Exception e)
            {
                Log.MqttMessageFailed(_log, e);
            }

            message.Connection.Acknowledge(message);
        }
    }

    private async Task HandleAsync(MqttReceived message)
    {
        if (Target?.Topics is not { } topics) return;
        if (message.Topic == topics.ConfigDesired)
        {
            if (_duties.OfferConfigAsync is { } offerAsync) await offerAsync(message.Payload);
        }
        else if (topics.Command(message.Topic) is { Type: var type, Id: var id })
        {
            if (_duties.HandleCommandAsync is not { } handleAsync) return;
            var result = await handleAsync(type, id, message.Payload, message.Retained, message.IsEncrypted);
            if (result is not null) _publisher.Add(new MqttMessage(topics.Result(type, id), result, Retained: false));
        }
        else
        {
            _publisher.Heard(message.Topic, message.Payload.Span, message.Retained);
        }

        Hurry();
    }
}

/// <summary>The tie to the broker, as the status says it.</summary>
public sealed record MqttStatus
{
    /// <summary>Host and port.</summary>
    public required string Broker { get; init; }

    public bool Connected { get; init; }

    /// <summary>When the present state began, by the wall clock.</summary>
    public DateTimeOffset Since { get; init; }

    /// <summary>Why there is, or last was, no connection: one sentence.</summary>
    public string? LastError { get; init; }

    /// <summary>What the broker refused last on this connection, which goes on.</summary>
    public string? Refusal { get; init; }

    /// <summary>Connections made with this broker.</summary>
    public long Connects { get; init; }

    /// <summary>Events and results that found no room while there was no broker.</summary>
    public long DroppedEvents { get; init; }

    /// <summary>Messages that came faster than they could be dealt with.</summary>
    public long DroppedMessages { get; init; }
}
