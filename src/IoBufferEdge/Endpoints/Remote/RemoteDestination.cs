using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// <c>remote_icombuffer</c> as a destination: a channel of another instance, which knows every message by its identity and takes it once
/// (rule 12). A link begins with the receiver's marks.
/// </summary>
public sealed class RemoteDestination : IDestination
{
    private readonly ChannelConfig _channel;
    private readonly DestinationConfig _config;
    private readonly EndpointContext _context;
    private readonly MessagePacer? _pacer;
    private readonly RemoteLinkState _shared;
    private readonly Lock _lock = new();
    private IRemoteTransport? _transport;

    // Under _lock.
    private RemoteLink? _link;
    private EndpointState _state = EndpointState.Closed;
    private string? _detail;

    public RemoteDestination(ChannelConfig channel, EndpointContext context)
    {
        (_channel, _config, _context) = (channel, channel.Destination, context);
        _pacer = MessagePacer.Create(_config.MaxMessagesPerS, context.Time);
        _shared = new RemoteLinkState(new ReceiverCheck(channel.Id, _config, context.Log));
    }

    public EndpointStatus Status
    {
        get
        {
            lock (_lock)
            {
                var counters = EventCounter.Snapshot(_shared.Requests, _shared.Unanswered, _shared.NoRoom, _shared.Refused, _shared.Known);
                if (_link is not { } link) return new EndpointStatus(_state, _detail, 0, counters);
                return link.End is { } end
                    ? new EndpointStatus(EndpointState.Waiting, end.Reason, 0, counters)
                    : new EndpointStatus(EndpointState.Connected, link.Hindrance ?? _detail, 1, counters);
            }
        }
    }

    public ValueTask OpenAsync()
    {
        if (_context.NewRemote is null) throw new EndpointException($"Channel {_channel.Id}: there is no way to other instances here.");
        _transport ??= _context.NewRemote(_channel);
        SetState(EndpointState.Waiting, null, null);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<IDestinationLink> ConnectAsync(CancellationToken cancel)
    {
        SetState(EndpointState.Opening, null, null);
        try
        {
            var marks = await AskMarksAsync(cancel);
            var link = new RemoteLink(_transport!, _config, _shared, marks, _pacer, _context);
            SetState(EndpointState.Connected, marks.Receiver, link);
            return link;
        }
        catch (EndpointException e)
        {
            SetState(EndpointState.Waiting, e.Message, null);
            throw;
        }
    }

    /// <summary>A receiver shows no sign of its own accord: the backoff is waited out.</summary>
    public async ValueTask WaitForPeerSignAsync(CancellationToken cancel) => await Task.Delay(Timeout.InfiniteTimeSpan, _context.Time, cancel);

    public IReadOnlyList<KeyValuePair<string, string>> Alerts(ISenderQueue queue) => _shared.Check.Alerts(queue);

    public ResumeOutcome Resume(ResumeChoice choice, ISenderQueue queue) => _shared.Check.Resume(choice, queue);

    public async ValueTask DisposeAsync()
    {
        if (_transport is { } transport) await transport.DisposeAsync();
        _transport = null;
        SetState(EndpointState.Closed, null, null);
    }

    private async ValueTask<RemoteReply> AskMarksAsync(CancellationToken cancel)
    {
        RemoteReply marks;
        try
        {
            marks = await RemoteAnswers.WithinAsync(
                RemoteAnswers.MarksLimit, late => _transport!.AskMarksAsync(_config.Instance, late), _config.Url!, _context.Time, cancel);
        }
        catch (NoAnswerException e)
        {
            throw new EndpointException(e.Message, e);
        }

        if (!marks.IsTaken) throw new EndpointException(RemoteAnswers.Sentence(marks, _config));
        if (string.IsNullOrEmpty(marks.Receiver)) throw new EndpointException($"{_config.Url} does not say which instance it is: correct url.");
        return marks;
    }

    private void SetState(EndpointState state, string? detail, RemoteLink? link)
    {
        lock (_lock) (_state, _detail, _link) = (state, detail, link);
    }
}

/// <summary>What one link leaves to the next.</summary>
internal sealed class RemoteLinkState(ReceiverCheck check)
{
    public ReceiverCheck Check => check;

    /// <summary>An answer did not come in time: the next link begins with one request at a time, and gives it time by its length.</summary>
    public bool IsSlow { get; set; }

    public EventCounter Requests { get; } = new("requests");

    public EventCounter Unanswered { get; } = new("unanswered");

    /// <summary>Answers that the receiver had no room.</summary>
    public EventCounter NoRoom { get; } = new("no_room");

    /// <summary>Messages refused.</summary>
    public EventCounter Refused { get; } = new("refused");

    /// <summary>Messages that the receiver turned out to hold: not sent again.</summary>
    public EventCounter Known { get; } = new("known");
}
