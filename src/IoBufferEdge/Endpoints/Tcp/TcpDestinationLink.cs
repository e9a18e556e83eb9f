using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// One TCP connection to a destination (rules 1, 10 and 14 of the message's life).
/// <para>Sending: before every run the kernel is asked once. The peer's FIN ends the link; more than the window unread or
/// unacknowledged at the peer makes the run wait. A run goes out as it lies in memory, unless the destination adds a framing.</para>
/// <para>Watching: one loop looks at the send queue every millisecond while something is in flight, more and more seldom while
/// nothing moves, and sleeps when nothing is in flight. Acknowledged = bytes sent (read first) less the kernel's send queue, while the
/// connection stands. What the peer sends is read by a second loop, or our own close would turn into a reset.</para>
/// <para>Limits: what the peer has not read is an estimate (<see cref="PeerWindow"/>). A run is admitted whole once what shows as unread and
/// the unacknowledged bytes are within the window; while the peer's window grows it goes out in small pieces, and beyond the window a few
/// messages at a time may ask for more. The estimate takes no part in what counts as an orderly end: of 153 connections over loopback whose
/// peer had read everything 16 showed 8 B to 98 KB unread in the window of their very FIN.</para>
/// </summary>
internal sealed class TcpDestinationLink : IDestinationLink
{
    private const int ScratchBytes = 64 * 1024;
    private const int ReadBytes = 4 * 1024;
    private const int PieceBytesWhileGrowing = 1024;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LookEveryAtMost = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan StandingFarewellLimit = TimeSpan.FromMinutes(2);

    private readonly IConnection _connection;
    private readonly TcpLinkOptions _options;
    private readonly TimeProvider _time;
    private readonly AsyncSignal _wake;
    private readonly AsyncSignal _room;
    private readonly AckReader? _acks;
    private readonly TcpLinkCounters _counters;
    private readonly Lock _lock = new();
    private IDeliverySink? _sink;
    private Task _watching = Task.CompletedTask;
    private Task _receiving = Task.CompletedTask;
    private byte[] _scratch = [];

    // Under _lock.
    private readonly SentRuns _sent;
    private readonly HoldQueue _held;
    private bool _writing;
    private bool _asleep;
    private bool _senderWaits;
    private bool _closing;
    private bool _standsStill;
    private bool _abort;
    private readonly PeerWindow _window;
    private DeliveryRun? _unanswered;
    private long _answerDueAt = long.MaxValue;
    private LinkEnd? _end;
    private bool _peerFinished;

    // The watching loop's own.
    private SendState _state;
    private long _lookedBytesSent;
    private readonly PeerSilence _silence;

    public TcpDestinationLink(IConnection connection, TcpLinkOptions options, TcpLinkCounters counters, TimeProvider time)
    {
        _connection = connection;
        _options = options;
        _counters = counters;
        _time = time;
        _acks = AckReader.Create(options.Confirm);
        _window = new PeerWindow(time);
        _wake = new AsyncSignal(time);
        _room = new AsyncSignal(time);
        _sent = new SentRuns(options.Encoder?.OverheadBytes ?? 0);
        _held = new HoldQueue(options.Hold, time);
        _silence = new PeerSilence(time);
    }

    /// <summary>An application's answer may be a refusal, or names nothing: then one message waits for it at a time.</summary>
    public int MaxInFlightMessages => _acks is null ? int.MaxValue : 1;

    private bool IsTransport => _options.Confirm.Type == ConfirmType.Transport;

    /// <summary>The link has ended, or its peer has, or soon will: a new client does not disturb it.</summary>
    public bool IsOver
    {
        get
        {
            lock (_lock)
                if (_end is not null || _peerFinished || (_closing && !_standsStill)) return true;
            var state = _connection.Inspect();
            return !state.Established || state.PeerFinished;
        }
    }

    public async ValueTask SendAsync(DeliveryRun run, CancellationToken cancel)
    {
        for (var sent = 0; sent < run.Count;)
        {
            var part = run.Slice(sent, run.Count - sent);
            if (_options.Pacer is { } pacer) part = part.Slice(0, await pacer.TakeAsync(part.Count, cancel));
            await SendNowAsync(part, cancel);
            sent += part.Count;
        }
    }

    public Task<LinkEnd> WatchAsync(IDeliverySink sink, CancellationToken cancel)
    {
        _sink = sink;
        var watching = WatchToTheEndAsync(cancel);
        _watching = watching;
        return watching;
    }

    /// <summary>Ends the link for a reason of ours, such as another client that takes over. The peer sees a reset.</summary>
    public void Abort(string reason)
    {
        lock (_lock) _abort = true;
        End(orderly: false, reason);
    }

    public async ValueTask DisposeAsync()
    {
        End(orderly: false, "Closed by us.");
        await _watching;
        _connection.Dispose();
        await _receiving;
        _wake.Dispose();
        _room.Dispose();
    }

    // ---- sending

    private async ValueTask SendNowAsync(DeliveryRun run, CancellationToken cancel)
    {
        if (_acks is not null && run.Count > 1) throw new ArgumentException("One message waits for its answer at a time.", nameof(run));
        for (var sent = 0; sent < run.Count;)
        {
            var rest = run.Slice(sent, run.Count - sent);
            var admitted = rest.Slice(0, await WaitForRoomAsync(rest, cancel));
            await WriteRunAsync(admitted);
            sent += admitted.Count;
        }
    }

    private async ValueTask WriteRunAsync(DeliveryRun run)
    {
        BeginWrite(run);
        try
        {
            if (_options.Encoder is { } encoder) await WriteEncodedAsync(run, encoder);
            else await WriteAsync(run.Payload);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            End(orderly: false, e.Message);
            throw;
        }

        EndWrite(run);
    }

    /// <returns>How many messages of the run may go out now.</returns>
    private async ValueTask<int> WaitForRoomAsync(DeliveryRun run, CancellationToken cancel)
    {
        var admitted = Admit(run);
        if (admitted > 0) return admitted;
        await using var stopped = cancel.UnsafeRegister(static link => ((TcpDestinationLink)link!)._room.Set(), this);
        lock (_lock) _senderWaits = true;
        _wake.Set();
        try
        {
            while (admitted == 0)
            {
                await _room.WaitAsync();
                cancel.ThrowIfCancellationRequested();
                admitted = Admit(run);
            }

            return admitted;
        }
        finally
        {
            lock (_lock) _senderWaits = false;
        }
    }

    /// <summary>All of the run within the window; beyond it the little that may be asked with, or nothing yet.</summary>
    /// <exception cref="IOException">The link has ended.</exception>
    private int Admit(in DeliveryRun run)
    {
        if (_sink is null) throw new InvalidOperationException("WatchAsync starts before the first SendAsync.");
        var state = _connection.Inspect();
        lock (_lock)
        {
            if (_end is not null || (_closing && !_standsStill) || !state.Established || state.PeerFinished)
                throw new IOException(_end?.Reason ?? $"{_connection.Remote} has closed the connection.");
            // A peer that stands still is given minutes to end: a sender that gave up now would cut them short.
            if (_closing) return 0;
        }

        if (!IsTransport) return run.Count;
        var outstandingBytes = OutstandingBytes(state);
        var windowBytes = _sink.WindowBytes(outstandingBytes, HiddenBytes);
        lock (_lock)
        {
            if (outstandingBytes <= windowBytes)
            {
                _window.Opened();
                return run.Count;
            }

            var few = run.Slice(0, Math.Max(1, run.CountWithin(_window.AskBytesLeft(windowBytes))));
            return state.UnacknowledgedBytes == 0 && _window.MayAsk(few.Payload.Length, windowBytes) ? few.Count : 0;
        }
    }

    /// <summary>How much the peer has not read or not acknowledged, as far as its window shows.</summary>
    private long OutstandingBytes(in SendState state)
    {
        lock (_lock) return _window.Observe(state) + state.UnacknowledgedBytes;
    }

    private long HiddenBytes
    {
        get
        {
            lock (_lock) return _window.HiddenBytes;
        }
    }

    private void BeginWrite(in DeliveryRun run)
    {
        bool wake;
        lock (_lock)
        {
            _writing = true;
            if (IsTransport) _sent.Add(run, _connection.BytesSent, exact: !_options.Encrypted);
            if (_acks is not null) _unanswered = run;
            wake = _asleep;
            _asleep = false;
        }

        if (wake) _wake.Set();
    }

    private void EndWrite(in DeliveryRun run)
    {
        lock (_lock)
        {
            _writing = false;
            _sent.EndLast(_connection.BytesSent);
            _answerDueAt = _time.GetTimestamp() + Ticks(TimeSpan.FromMilliseconds(_options.Confirm.TimeoutMs));
        }

        if (_options.Confirm.Type == ConfirmType.None) _sink!.Confirmed(run.LastSequence);
    }

    /// <summary>Not cancelled: a stop would cut a message in the middle. Disposing the link breaks it off.</summary>
    private async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var piece = IsTransport && _window.IsGrowing ? bytes[..Math.Min(bytes.Length, PieceBytesWhileGrowing)] : bytes;
            var sent = await _connection.SendAsync(piece, CancellationToken.None);
            _options.Tap?.Sent(bytes.Span[..sent], _connection.Remote);
            bytes = bytes[sent..];
            if (IsTransport && _window.IsGrowing) OutstandingBytes(_connection.Inspect());
        }
    }

    private async ValueTask WriteEncodedAsync(DeliveryRun run, FrameEncoder encoder)
    {
        var filled = 0;
        for (var i = 0; i < run.Count; i++)
        {
            var message = run.Message(i);
            var needed = message.Length + encoder.OverheadBytes;
            if (filled + needed > _scratch.Length && filled > 0)
            {
                await WriteAsync(_scratch.AsMemory(0, filled));
                filled = 0;
            }

            if (needed > _scratch.Length) _scratch = new byte[Math.Max(ScratchBytes, needed)];
            filled += encoder.Encode(message.Span, _scratch.AsSpan(filled));
        }

        await WriteAsync(_scratch.AsMemory(0, filled));
    }

    // ---- watching

    private async Task<LinkEnd> WatchToTheEndAsync(CancellationToken cancel)
    {
        await using var stopped = cancel.UnsafeRegister(static link => ((TcpDestinationLink)link!)._wake.Set(), this);
        _receiving = ReceiveAsync();
        await WatchUntilEndAsync(cancel);
        if (HasPeerFinished) await SeePeerOffAsync();
        else if (!HasEnded) await LeaveAsync(cancel);
        lock (_lock)
        {
            if (_abort) _connection.AbortOnDispose();
            return _end!.Value;
        }
    }

    private async ValueTask WatchUntilEndAsync(CancellationToken cancel)
    {
        var lookEvery = LookEvery;
        while (true)
        {
            var moved = Look();
            lookEvery = moved ? LookEvery : Min(lookEvery * 2, LookEveryAtMost);
            if ((CheckAlive() ?? CheckAnswer()) is { } reason) Abort(reason);
            lock (_lock)
            {
                if (_end is not null || _peerFinished) return;
                _asleep = IsIdle();
            }

            if (cancel.IsCancellationRequested || _standsStill) return;
            await _wake.WaitAsync(_asleep ? Timeout.InfiniteTimeSpan : lookEvery);
        }
    }

    /// <summary>Asks the kernel, reports what is confirmed, lets a waiting sender go on. True when anything moved since the last look.</summary>
    private bool Look()
    {
        var bytesSent = _connection.BytesSent;
        var state = _connection.Inspect();
        var outstandingBytes = OutstandingBytes(state);
        long confirmed = 0;
        bool senderWaits;
        lock (_lock)
        {
            if (state.Established || _peerFinished) confirmed = Acknowledged(bytesSent - state.UnacknowledgedBytes);
            senderWaits = _senderWaits;
        }

        if (confirmed > 0) _sink!.Confirmed(confirmed);
        if (IsTransport) TellOfRoom(senderWaits, outstandingBytes, state);
        var moved = bytesSent != _lookedBytesSent || state.UnacknowledgedBytes != _state.UnacknowledgedBytes ||
            state.PeerWindowBytes != _state.PeerWindowBytes;
        (_lookedBytesSent, _state) = (bytesSent, state);
        return moved;
    }

    /// <summary>Tells the buffer what is outstanding, and a waiting sender to ask again.</summary>
    private void TellOfRoom(bool senderWaits, long outstandingBytes, in SendState state)
    {
        var windowBytes = _sink!.WindowBytes(outstandingBytes, HiddenBytes);
        var hasRoom = outstandingBytes <= windowBytes;
        if (senderWaits && !hasRoom && state is { UnacknowledgedBytes: 0, Established: true })
            lock (_lock) _standsStill |= _window.StandsStill(windowBytes);
        if (senderWaits && (hasRoom || state.UnacknowledgedBytes == 0)) _room.Set();
    }

    private long Acknowledged(long offset)
    {
        var acknowledged = _sent.Acknowledge(offset);
        if (_options.Hold == TimeSpan.Zero) return acknowledged;
        if (acknowledged > 0) _held.Add(acknowledged);
        return _held.Release();
    }

    /// <summary>Nothing is in flight, held or waiting: there is nothing to look at until the next write.</summary>
    private bool IsIdle() =>
        !_writing && !_senderWaits && _sent.IsEmpty && _held.IsEmpty && _unanswered is null && _state.UnacknowledgedBytes == 0;

    /// <summary>A closed window is never a time-out: while it is probed the kernel's user time-out is off.</summary>
    private string? CheckAlive()
    {
        var inFlight = _state is { Established: true, UnacknowledgedBytes: > 0 };
        if (inFlight) _connection.SetUserTimeout(!_state.Probing);
        return _silence.IsDead(inFlight, _state)
            ? $"{_connection.Remote}: no sign of life for {_state.SinceLastSegment.TotalSeconds:0} s with data in flight."
            : null;
    }

    /// <summary>An answer that comes after <c>timeout_ms</c> must not count for the next message: the connection ends.</summary>
    private string? CheckAnswer()
    {
        lock (_lock)
            if (_unanswered is null || _writing || _time.GetTimestamp() < _answerDueAt) return null;
        _counters.AckTimeouts.Add();
        return $"{_connection.Remote} did not acknowledge within {_options.Confirm.TimeoutMs} ms.";
    }

    /// <summary>Reads what the peer sends, until its end: its answers where the application confirms, else to discard it.</summary>
    private async Task ReceiveAsync()
    {
        var buffer = new byte[ReadBytes];
        try
        {
            while (await _connection.ReceiveAsync(buffer, CancellationToken.None) is > 0 and var count)
            {
                _options.Tap?.Received(buffer.AsSpan(0, count), _connection.Remote);
                if (_acks is not null) TakeAnswers(_acks, buffer.AsSpan(0, count));
            }

            if (_connection is TlsConnection { EndedWithoutCloseNotify: true })
                End(orderly: false, $"{_connection.Remote} has ended without TLS's close_notify.");
            lock (_lock) _peerFinished = true;
            _wake.Set();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            End(orderly: false, e.Message);
        }
    }

    private void TakeAnswers(AckReader acks, ReadOnlySpan<byte> bytes)
    {
        while (true)
        {
            AckVerdict verdict;
            long sequence;
            lock (_lock)
            {
                verdict = acks.Next(ref bytes, _unanswered is { } run ? run.Message(0).Span : default);
                if (verdict == AckVerdict.NeedMore) return;
                if (verdict == AckVerdict.Unrelated || _unanswered is null)
                {
                    _counters.UnrelatedAcks.Add();
                    continue;
                }

                sequence = _unanswered.Value.FirstSequence;
                _unanswered = null;
            }

            if (verdict == AckVerdict.Accepted)
            {
                _sink!.Confirmed(sequence);
                continue;
            }

            _counters.Naks.Add();
            _sink!.Rejected(sequence, permanent: verdict == AckVerdict.Refused, $"{_connection.Remote} answered {acks.LastAnswer}.");
        }
    }

    // ---- the end

    /// <summary>
    /// The peer has sent FIN. One that has closed after reading everything acknowledges nothing more; one that has only shut down its
    /// sending side may go on for a while.
    /// </summary>
    private async ValueTask SeePeerOffAsync()
    {
        lock (_lock) _closing = true;
        await LookUntilFinishedAsync(Deadline(FarewellLimit), CancellationToken.None);
        _connection.ShutdownSend();
        EndByFin($"{_connection.Remote} has closed the connection.");
    }

    /// <summary>
    /// Rule 10: we end. The write under way and its answer are awaited, our sending side shut down, the peer's FIN awaited: for minutes where
    /// the window stands, as the peer may have stopped reading. It gets to our FIN when it has read everything.
    /// </summary>
    private async ValueTask LeaveAsync(CancellationToken cancel)
    {
        lock (_lock) _closing = true;
        _room.Set();
        var deadline = Deadline(FarewellLimit);
        while ((IsWriting || IsUnanswered) && await LookAgainAsync(LookEvery, deadline)) Look();

        _connection.ShutdownSend();
        if (_standsStill) await LookUntilFinishedAsync(Deadline(StandingFarewellLimit), cancel);
        await LookUntilFinishedAsync(Deadline(FarewellLimit), CancellationToken.None);
        var why = _standsStill ? $"{_connection.Remote} showed no sign of reading: connecting anew" : "Stopped";
        if (HasPeerFinished) EndByFin($"{why}.");
        else End(orderly: false, $"{why}; {_connection.Remote} did not close in time.");
    }

    /// <summary>Orderly: the peer has closed, and acknowledged everything.</summary>
    private void EndByFin(string reason)
    {
        bool orderly;
        long confirmed = 0;
        lock (_lock)
        {
            orderly = _end is null && !_writing && _sent.IsEmpty && _unanswered is null && _state.UnacknowledgedBytes == 0;
            if (orderly) confirmed = _held.ReleaseAll();
        }

        if (confirmed > 0) _sink!.Confirmed(confirmed);
        End(orderly, reason);
    }

    /// <summary>Goes on confirming until the peer has finished and acknowledged what it ever will.</summary>
    private async ValueTask LookUntilFinishedAsync(long deadline, CancellationToken cancel)
    {
        var lookEvery = LookEvery;
        while (true)
        {
            var finished = HasPeerFinished;
            lookEvery = Look() ? LookEvery : Min(lookEvery * 2, LookEveryAtMost);
            var acknowledged = !IsWriting && _state.UnacknowledgedBytes == 0;
            if (finished && (acknowledged || !_state.Established)) return;
            if (cancel.IsCancellationRequested || !await LookAgainAsync(lookEvery, deadline)) return;
        }
    }

    /// <returns>False: the link has ended, or the deadline has passed.</returns>
    private async ValueTask<bool> LookAgainAsync(TimeSpan wait, long deadline)
    {
        if (HasEnded || _time.GetTimestamp() >= deadline) return false;
        await _wake.WaitAsync(wait);
        return true;
    }

    private long Deadline(TimeSpan limit) => _time.GetTimestamp() + Ticks(limit);

    private long Ticks(TimeSpan time) => (long)(time.TotalSeconds * _time.TimestampFrequency);

    private bool HasEnded
    {
        get
        {
            lock (_lock) return _end is not null;
        }
    }

    private bool HasPeerFinished
    {
        get
        {
            lock (_lock) return _peerFinished;
        }
    }

    private bool IsWriting
    {
        get
        {
            lock (_lock) return _writing;
        }
    }

    private bool IsUnanswered
    {
        get
        {
            lock (_lock) return _unanswered is not null;
        }
    }

    /// <summary>The first reason counts. Only what was confirmed by <c>transport</c> may be unread: else nothing is repeated.</summary>
    private void End(bool orderly, string reason)
    {
        lock (_lock)
        {
            if (_end is not null) return;
            _end = new LinkEnd(orderly, reason, orderly || IsTransport ? 0 : long.MaxValue);
            _unanswered = null;
        }

        if (!orderly) _counters.DisorderlyEnds.Add();
        _wake.Set();
        _room.Set();
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
