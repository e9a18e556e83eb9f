using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// Delivery to one receiver from one look at its marks to the first surprise (rule 12). One loop does everything: it takes the answers in the
/// order of the requests, confirms, sends what waits, and asks for the marks while idle.
/// <para>Up to <see cref="Window"/> requests are under way, each a batch of one life that names the message before its first. A free place
/// takes all that waits, up to <c>batch_bytes</c>: a lone message goes at once, under load the batches grow.</para>
/// <para>Where the receiver has no room the requests are put off. Every other surprise ends the link, in order: the next one asks for the
/// marks and goes on behind them, so that nothing comes twice, whatever became of the requests.</para>
/// </summary>
internal sealed class RemoteLink : IDestinationLink
{
    /// <summary>Requests under way.</summary>
    public const int Window = 4;

    private static readonly TimeSpan AskEvery = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(3);

    /// <summary>An answer within this time lets a link that began with one request at a time send one more.</summary>
    private static readonly TimeSpan QuickAnswer = TimeSpan.FromSeconds(5);

    /// <summary>What the slowest way is expected to carry in a second, once an answer did not come in time.</summary>
    private const int SlowestBytesPerS = 4096;

    private readonly IRemoteTransport _transport;
    private readonly DestinationConfig _config;
    private readonly RemoteLinkState _shared;
    private readonly MemoryBudget _memory;
    private readonly TimeProvider _time;
    private readonly MessagePacer? _pacer;
    private readonly RemoteBacklog _backlog;
    private readonly RemoteWindow _window;
    private readonly AsyncSignal _wake;
    private readonly AsyncSignal _room;
    private readonly CancellationTokenSource _cut = new();
    private readonly Lock _lock = new();
    private readonly bool _oneByOne;
    private readonly bool _patient;
    private IDeliverySink? _sink;
    private Task _watching = Task.CompletedTask;

    // Under _lock.
    private LinkEnd? _end;
    private bool _closing;

    // The loop's own.
    private RemoteReply _marks;
    private HeldMarks _held;
    private MessageIdentity _lastSent;
    private MessageIdentity _lastTaken;
    private RemoteExchange? _asked;
    private bool _sentSinceAsked;
    private bool _begun;
    private long _activeAt;

    /// <param name="marks">What the receiver answered when it was asked for its marks just now.</param>
    public RemoteLink(
        IRemoteTransport transport, DestinationConfig config, RemoteLinkState shared, RemoteReply marks, MessagePacer? pacer, EndpointContext context)
    {
        (_transport, _config, _shared, _marks, _pacer) = (transport, config, shared, marks, pacer);
        (_memory, _time) = (context.Memory, context.Time);
        var time = context.Time;
        _held = new HeldMarks(marks.Marks, 0);
        _lastSent = _held.Head;
        _oneByOne = shared.Check.IsOneByOne;
        _patient = shared.IsSlow;
        _window = new RemoteWindow(_oneByOne ? 1 : Window, _oneByOne || _patient ? 1 : Window, time);
        _activeAt = time.GetTimestamp();
        _backlog = new RemoteBacklog(time);
        _wake = new AsyncSignal(time);
        _room = new AsyncSignal(time);
    }

    /// <summary>Without end, but for the time in which one message of many was refused and it must be found out which.</summary>
    public int MaxInFlightMessages => _oneByOne ? 1 : int.MaxValue;

    /// <summary>Why the receiver takes nothing now; null: it does.</summary>
    public string? Hindrance { get; private set; }

    /// <summary>How it ended; null: it has not.</summary>
    public LinkEnd? End
    {
        get
        {
            lock (_lock) return _end;
        }
    }

    public async ValueTask SendAsync(DeliveryRun run, CancellationToken cancel)
    {
        if (_sink is null) throw new InvalidOperationException("WatchAsync starts before the first SendAsync.");
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _room);
        for (var sent = 0; sent < run.Count;)
        {
            var part = run.Slice(sent, run.Count - sent);
            if (_pacer is not null) part = part.Slice(0, await _pacer.TakeAsync(part.Count, cancel));
            while (!HasRoom())
            {
                await _room.WaitAsync();
                cancel.ThrowIfCancellationRequested();
            }

            _backlog.Add(part);
            _wake.Set();
            sent += part.Count;
        }
    }

    public Task<LinkEnd> WatchAsync(IDeliverySink sink, CancellationToken cancel)
    {
        _sink = sink;
        var watching = WatchToTheEndAsync(sink, cancel);
        _watching = watching;
        return watching;
    }

    public async ValueTask DisposeAsync()
    {
        EndBy("Closed by us.");
        await _watching;
        _cut.Dispose();
        _wake.Dispose();
        _room.Dispose();
    }

    /// <summary>A batch and what is to become one waits at most: more stays in the buffer.</summary>
    /// <exception cref="IOException">The link has ended.</exception>
    private bool HasRoom()
    {
        lock (_lock)
            if (_end is not null || _closing) throw new IOException(_end?.Reason ?? "Stopped.");
        return _backlog.Bytes < 2L * _config.BatchBytes;
    }

    // ---- the loop

    private async Task<LinkEnd> WatchToTheEndAsync(IDeliverySink sink, CancellationToken cancel)
    {
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _wake);
        if (_shared.Check.Compare(sink.Queue, _marks, MessageIdentity.None) is { } conflict) EndBy(conflict);
        while (End is null && !cancel.IsCancellationRequested)
        {
            TakeMarks(sink);
            TakeAnswers(sink);
            SendPutOff();
            SendWaiting(sink);
            AskWhenIdle();
            if (End is null) await _wake.WaitAsync(UntilDue());
        }

        if (End is null) await LeaveAsync(sink);
        _cut.Cancel();
        await _window.EndAsync();
        if (_asked is not null) await _asked.Completion;
        return End!.Value;
    }

    /// <summary>Waits for the answers that are under way, and confirms what they say.</summary>
    private async ValueTask LeaveAsync(IDeliverySink sink)
    {
        lock (_lock) _closing = true;
        _room.Set();
        var began = _time.GetTimestamp();
        while (End is null && _window.AnyUnderWay && FarewellLimit - _time.GetElapsedTime(began) is { Ticks: > 0 } left)
        {
            await _wake.WaitAsync(left);
            TakeAnswers(sink);
        }

        EndBy("Stopped.");
    }

    /// <summary>Until something is due by itself; without end where only an answer or a message brings something to do.</summary>
    private TimeSpan UntilDue()
    {
        var due = _window.UntilDue;
        if (due is null && _window.HasPlace && _backlog.FirstSequence is not null) due = BatchDelay - _backlog.Age;
        if (IsIdle) due = AskEvery - _time.GetElapsedTime(_activeAt);
        return due is { } wait ? wait > TimeSpan.Zero ? wait : TimeSpan.Zero : Timeout.InfiniteTimeSpan;
    }

    private bool IsIdle => _window.IsEmpty && _asked is null && _backlog.FirstSequence is null;

    private TimeSpan BatchDelay => TimeSpan.FromMilliseconds(_config.BatchDelayMs);

    // ---- sending

    private void SendPutOff()
    {
        foreach (var request in _window.ToBeSent()) Send(request);
    }

    /// <summary>Every free place takes all that waits.</summary>
    private void SendWaiting(IDeliverySink sink)
    {
        while (End is null && _window.HasPlace && _backlog.FirstSequence is { } first)
        {
            if (_backlog.Bytes < _config.BatchBytes && _backlog.Age < BatchDelay) return;
            if (_begun || Begin(sink, first)) SendBatch(sink.Queue);
            _room.Set();
        }
    }

    /// <summary>Deals with the first messages, which need not be sent, or must not. True: from here on everything is sent.</summary>
    private bool Begin(IDeliverySink sink, long first)
    {
        var life = sink.Queue.LifeOf(first, out var lastOfLife);
        if (_held.MarkOf(life) is { } mark && mark >= first)
        {
            // Known there: an answer was lost, or this gateway was put back to a backup.
            while (_backlog.TryTake(Math.Min(mark, lastOfLife), out var known))
            {
                _lastTaken = new MessageIdentity(life, known.LastSequence);
                _shared.Known.Add(known.Count);
            }

            sink.Confirmed(_lastTaken.Sequence);
            return false;
        }

        if (_oneByOne && _shared.Check.IsSetAside(sink.Queue, _held, first))
        {
            _backlog.TryTake(first, out _);
            sink.SetAside(first, $"{_marks.Receiver} takes no more of its life, and the operator chose to go on without it");
            return false;
        }

        if (_shared.Check.CheckFirst(sink.Queue, _held, first) is { } conflict) EndBy(conflict);
        else _begun = true;
        return _begun;
    }

    private void SendBatch(ISenderQueue queue)
    {
        var request = RemoteRequest.Take(_backlog, queue, _config, _lastSent, _memory);
        _lastSent = request.LastIdentity;
        _window.Add(request);
        Send(request);
    }

    private void Send(RemoteRequest request)
    {
        var limit = RemoteAnswers.BatchLimit;
        if (_patient) limit += TimeSpan.FromSeconds((double)request.Bytes / SlowestBytesPerS);
        request.SentAt = _activeAt = _time.GetTimestamp();
        _sentSinceAsked = true;
        _shared.Requests.Add();
        request.Exchange.Start(
            cancel => RemoteAnswers.WithinAsync(limit, late => _transport.SendAsync(request.Parts, late), _config.Url!, _time, cancel), _wake, _cut.Token);
    }

    // ---- answers

    private void TakeAnswers(IDeliverySink sink)
    {
        while (End is null && _window.NextAnswered(out var taken) is { } request)
        {
            _activeAt = _time.GetTimestamp();
            if (taken) TakeConfirmation(sink, request);
            else if (request.Exchange.Failure is { } failure) TakeFailure(failure);
            else TakeRefusal(sink, request, request.Exchange.Reply!);
        }
    }

    private void TakeConfirmation(IDeliverySink sink, RemoteRequest request)
    {
        if (request.IsTaken && RemoteAnswers.Contradiction(request.Exchange.Reply!, request, _marks.Receiver!) is { } contradiction)
        {
            EndBy($"{_config.Url} {contradiction}");
            return;
        }

        _window.RemoveFirst();
        Hindrance = null;
        _lastTaken = request.LastIdentity;
        if (_time.GetElapsedTime(request.SentAt) < QuickAnswer)
        {
            _shared.IsSlow = false;
            _window.Widen();
        }

        if (_shared.Check.Taken(request.Last) && _oneByOne) EndBy("The message that was refused is passed: from here on many go at a time.");
        sink.Confirmed(request.Last);
    }

    private void TakeFailure(Exception failure)
    {
        _shared.Unanswered.Add();
        _shared.IsSlow |= failure is NoAnswerException;
        EndBy(RemoteAnswers.Sentence(failure));
    }

    private void TakeRefusal(IDeliverySink sink, RemoteRequest request, RemoteReply reply)
    {
        var sentence = RemoteAnswers.Sentence(reply, _config);
        switch (RemoteAnswers.Judge(reply))
        {
            case RemoteVerdict.NoRoom:
                _shared.NoRoom.Add();
                Hindrance = sentence;
                _window.PutOff(reply.RetryAfter);
                break;
            case RemoteVerdict.Refused when _oneByOne:
                _window.RemoveFirst();
                _lastSent = request.After;
                _shared.Refused.Add();
                sink.Rejected(request.First, permanent: true, sentence);
                break;
            case RemoteVerdict.Refused:
                _shared.Check.GoOneByOne(reply.Refused >= request.First && reply.Refused <= request.Last ? reply.Refused : request.Last);
                EndBy($"{sentence} Messages go one by one until the one that is meant is passed.");
                break;
            case RemoteVerdict.Loop:
                _shared.Check.FoundLoop(sentence);
                EndBy(sentence);
                break;
            default:
                EndBy(sentence);
                break;
        }
    }

    // ---- while idle

    /// <summary>A dead receiver is noticed, and one that was put back to a backup.</summary>
    private void AskWhenIdle()
    {
        if (!IsIdle || End is not null || _time.GetElapsedTime(_activeAt) < AskEvery) return;
        _sentSinceAsked = false;
        _asked = new RemoteExchange();
        _asked.Start(
            cancel => RemoteAnswers.WithinAsync(
                RemoteAnswers.MarksLimit, late => _transport.AskMarksAsync(_config.Instance, late), _config.Url!, _time, cancel), _wake, _cut.Token);
    }

    private void TakeMarks(IDeliverySink sink)
    {
        if (_asked is not { IsAnswered: true } asked) return;
        asked.Dispose();
        _asked = null;
        _activeAt = _time.GetTimestamp();
        // Marks that were asked for before a request went out may be older than it: they only say that the receiver lives.
        if (asked.Failure is { } failure) EndBy(RemoteAnswers.Sentence(failure));
        else if (asked.Reply is not { IsTaken: true } reply) TakeNoMarks(asked.Reply!);
        else if (!_sentSinceAsked) Compare(sink, reply);
    }

    private void TakeNoMarks(RemoteReply reply)
    {
        if (RemoteAnswers.Judge(reply) == RemoteVerdict.NoRoom) Hindrance = RemoteAnswers.Sentence(reply, _config);
        else EndBy(RemoteAnswers.Sentence(reply, _config));
    }

    private void Compare(IDeliverySink sink, RemoteReply marks)
    {
        if (_shared.Check.Compare(sink.Queue, marks, _lastTaken) is { } conflict) EndBy(conflict);
        (_marks, _held) = (marks, new HeldMarks(marks.Marks, 0));
        (_lastSent, _begun) = (_held.Head, false);
    }

    /// <summary>The first reason counts. Always orderly: what was confirmed is held durably, what was not is known by its identity.</summary>
    private void EndBy(string reason)
    {
        lock (_lock) _end ??= new LinkEnd(Orderly: true, reason);
        _wake.Set();
        _room.Set();
    }
}
