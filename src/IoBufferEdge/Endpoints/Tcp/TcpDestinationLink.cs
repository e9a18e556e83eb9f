using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>What a link needs to know of its destination.</summary>
/// <param name="Confirm">What counts as delivered.</param>
/// <param name="Hold"><c>hold_ms</c>, <c>transport</c> only.</param>
/// <param name="Encoder">The destination's own framing; null: messages go out as they are.</param>
/// <param name="Encrypted">TLS: offsets of the output are known at the end of each write only.</param>
internal sealed record TcpLinkOptions(ConfirmType Confirm, TimeSpan Hold, FrameEncoder? Encoder, bool Encrypted);

/// <summary>
/// One TCP connection to a destination (rules 1, 10 and 14 of the message's life).
/// <para>Sending: before every run the kernel is asked once. The peer's FIN ends the link; more than the window unread or
/// unacknowledged at the peer makes the run wait. A run goes out as it lies in memory, unless the destination adds a framing.</para>
/// <para>Watching: one loop looks at the send queue every millisecond while something is in flight, more and more seldom while
/// nothing moves, and sleeps when nothing is in flight. Acknowledged = bytes sent (read first) less the kernel's send queue, while the
/// connection stands. What the peer sends is read by a second loop, or our own close would turn into a reset.</para>
/// <para>Limits: how much the peer has not read is an estimate, (largest − present window) + unacknowledged bytes. A run is admitted
/// whole once the estimate is within the window.</para>
/// </summary>
internal sealed class TcpDestinationLink : IDestinationLink
{
    private const int ScratchBytes = 64 * 1024;
    private const int ReadBytes = 4 * 1024;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LookEveryAtMost = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan DeadAfter = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan ProbeAnswerWithin = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(3);

    private readonly IConnection _connection;
    private readonly TcpLinkOptions _options;
    private readonly TimeProvider _time;
    private readonly AsyncSignal _wake;
    private readonly AsyncSignal _room;
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
    private bool _abort;
    private long _largestWindowBytes;
    private LinkEnd? _end;
    private bool _peerFinished;

    // The watching loop's own.
    private SendState _state;
    private long _lookedBytesSent;
    private long _inFlightSince;
    private TimeSpan _longestSilenceAnswered;
    private TimeSpan _lastSilence;

    public TcpDestinationLink(IConnection connection, TcpLinkOptions options, TimeProvider time)
    {
        _connection = connection;
        _options = options;
        _time = time;
        _wake = new AsyncSignal(time);
        _room = new AsyncSignal(time);
        _sent = new SentRuns(options.Encoder?.OverheadBytes ?? 0);
        _held = new HoldQueue(options.Hold, time);
        _inFlightSince = time.GetTimestamp();
    }

    public int MaxInFlightMessages => int.MaxValue;

    /// <summary>The link has ended, or its peer has: a new client does not disturb it.</summary>
    public bool IsOver
    {
        get
        {
            lock (_lock)
                if (_end is not null || _peerFinished || _closing) return true;
            var state = _connection.Inspect();
            return !state.Established || state.PeerFinished;
        }
    }

    public async ValueTask SendAsync(DeliveryRun run, CancellationToken cancel)
    {
        await WaitForRoomAsync(cancel);
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

    private async ValueTask WaitForRoomAsync(CancellationToken cancel)
    {
        if (HasRoom()) return;
        await using var stopped = cancel.UnsafeRegister(static link => ((TcpDestinationLink)link!)._room.Set(), this);
        do
        {
            lock (_lock) _senderWaits = true;
            _wake.Set();
            await _room.WaitAsync();
            cancel.ThrowIfCancellationRequested();
        }
        while (!HasRoom());
        lock (_lock) _senderWaits = false;
    }

    /// <exception cref="IOException">The link has ended.</exception>
    private bool HasRoom()
    {
        if (_sink is null) throw new InvalidOperationException("WatchAsync starts before the first SendAsync.");
        var state = _connection.Inspect();
        lock (_lock)
            if (_end is not null || _closing || !state.Established || state.PeerFinished)
                throw new IOException(_end?.Reason ?? "The connection has ended.");
        if (_options.Confirm != ConfirmType.Transport) return true;
        var outstandingBytes = OutstandingBytes(state);
        return outstandingBytes <= _sink.WindowBytes(outstandingBytes);
    }

    /// <summary>How much the peer has not read or not acknowledged, as far as its window shows.</summary>
    private long OutstandingBytes(in SendState state) => UnreadBytes(state) + state.UnacknowledgedBytes;

    private long UnreadBytes(in SendState state)
    {
        if (state.PeerWindowBytes < 0) return 0;
        lock (_lock)
        {
            _largestWindowBytes = Math.Max(_largestWindowBytes, state.PeerWindowBytes);
            return _largestWindowBytes - state.PeerWindowBytes;
        }
    }

    private void BeginWrite(in DeliveryRun run)
    {
        bool wake;
        lock (_lock)
        {
            _writing = true;
            if (_options.Confirm == ConfirmType.Transport) _sent.Add(run, _connection.BytesSent, exact: !_options.Encrypted);
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
        }

        if (_options.Confirm == ConfirmType.None) _sink!.Confirmed(run.LastSequence);
    }

    /// <summary>Not cancelled: a message cut in the middle by a stop would reach the peer in pieces. Disposing the link breaks it off.</summary>
    private async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await _connection.SendAsync(bytes, CancellationToken.None)..];
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
        else if (!HasEnded) await LeaveAsync();
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
            if (CheckAlive(_state) is { } reason) Abort(reason);
            lock (_lock)
            {
                if (_end is not null || _peerFinished) return;
                _asleep = IsIdle();
            }

            if (cancel.IsCancellationRequested) return;
            await _wake.WaitAsync(_asleep ? Timeout.InfiniteTimeSpan : lookEvery);
        }
    }

    /// <summary>Asks the kernel, reports what is confirmed by now, lets a waiting sender go on. True when anything moved since the last look.</summary>
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
        if (_options.Confirm == ConfirmType.Transport && outstandingBytes <= _sink!.WindowBytes(outstandingBytes) && senderWaits) _room.Set();
        var moved = bytesSent != _lookedBytesSent || state.UnacknowledgedBytes != _state.UnacknowledgedBytes ||
            state.PeerWindowBytes != _state.PeerWindowBytes;
        (_lookedBytesSent, _state) = (bytesSent, state);
        return moved;
    }

    private long Acknowledged(long offset)
    {
        var acknowledged = _sent.Acknowledge(offset);
        if (_options.Hold == TimeSpan.Zero) return acknowledged;
        if (acknowledged > 0) _held.Add(acknowledged);
        return _held.Release();
    }

    /// <summary>Nothing is in flight, held or waiting: there is nothing to look at until the next write.</summary>
    private bool IsIdle() => !_writing && !_senderWaits && _sent.IsEmpty && _held.IsEmpty && _state.UnacknowledgedBytes == 0;

    /// <summary>
    /// A closed window is never a time-out: while it is probed the kernel's user time-out is off. The peer is dead when no segment has come
    /// from it for 25 s with something in flight. Probes grow rarer the longer the window stays closed, each at most twice as far behind
    /// the last answer as the one before, and only a probe that goes unanswered says anything.
    /// </summary>
    private string? CheckAlive(in SendState state)
    {
        var now = _time.GetTimestamp();
        if (!state.Established || state.UnacknowledgedBytes == 0)
        {
            (_inFlightSince, _longestSilenceAnswered, _lastSilence) = (now, TimeSpan.Zero, TimeSpan.Zero);
            return null;
        }

        _connection.SetUserTimeout(!state.Probing);
        var silence = Min(state.SinceLastSegment, _time.GetElapsedTime(_inFlightSince, now));
        if (!state.Probing) _longestSilenceAnswered = TimeSpan.Zero;
        else if (silence < _lastSilence) _longestSilenceAnswered = Max(_longestSilenceAnswered, _lastSilence);
        _lastSilence = silence;
        return silence > Max(DeadAfter, _longestSilenceAnswered * 2 + ProbeAnswerWithin)
            ? $"{_connection.Remote}: no sign of life for {silence.TotalSeconds:0} s with data in flight."
            : null;
    }

    /// <summary>Reads and discards what the peer sends, until its end.</summary>
    private async Task ReceiveAsync()
    {
        var buffer = new byte[ReadBytes];
        try
        {
            while (await _connection.ReceiveAsync(buffer, CancellationToken.None) > 0)
            {
            }

            lock (_lock) _peerFinished = true;
            _wake.Set();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            End(orderly: false, e.Message);
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
        await LookUntilFinishedAsync(FarewellDeadline());
        _connection.ShutdownSend();
        EndByFin($"{_connection.Remote} has closed the connection.");
    }

    /// <summary>Rule 10: we end. The write under way is finished, our sending side shut down, and the peer's FIN awaited.</summary>
    private async ValueTask LeaveAsync()
    {
        lock (_lock) _closing = true;
        _room.Set();
        var deadline = FarewellDeadline();
        while (IsWriting && await LookAgainAsync(LookEvery, deadline))
        {
        }

        _connection.ShutdownSend();
        await LookUntilFinishedAsync(deadline);
        if (HasPeerFinished) EndByFin("Stopped.");
        else End(orderly: false, $"Stopped; {_connection.Remote} did not close within {FarewellLimit.TotalSeconds} s.");
    }

    /// <summary>Orderly: the peer has acknowledged everything before it closed, and its window shows nothing unread.</summary>
    private void EndByFin(string reason)
    {
        var unreadBytes = UnreadBytes(_state);
        bool orderly;
        long confirmed = 0;
        lock (_lock)
        {
            orderly = _end is null && !_writing && _sent.IsEmpty && _state.UnacknowledgedBytes == 0 && unreadBytes == 0;
            if (orderly) confirmed = _held.ReleaseAll();
        }

        if (confirmed > 0) _sink!.Confirmed(confirmed);
        End(orderly, reason);
    }

    /// <summary>Goes on confirming until the peer has finished and acknowledged what it ever will.</summary>
    private async ValueTask LookUntilFinishedAsync(long deadline)
    {
        var lookEvery = LookEvery;
        while (true)
        {
            var finished = HasPeerFinished;
            lookEvery = Look() ? LookEvery : Min(lookEvery * 2, LookEveryAtMost);
            var acknowledged = !IsWriting && _state.UnacknowledgedBytes == 0;
            if (finished && (acknowledged || !_state.Established)) return;
            if (!await LookAgainAsync(lookEvery, deadline)) return;
        }
    }

    /// <returns>False: the link has ended, or the deadline has passed.</returns>
    private async ValueTask<bool> LookAgainAsync(TimeSpan wait, long deadline)
    {
        if (HasEnded || _time.GetTimestamp() >= deadline) return false;
        await _wake.WaitAsync(wait);
        return true;
    }

    private long FarewellDeadline() => _time.GetTimestamp() + (long)(FarewellLimit.TotalSeconds * _time.TimestampFrequency);

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

    /// <summary>The first reason counts. Only what a <c>transport</c> confirmation passed over may be unread: else nothing is repeated.</summary>
    private void End(bool orderly, string reason)
    {
        lock (_lock) _end ??= new LinkEnd(orderly, reason, orderly || _options.Confirm == ConfirmType.Transport ? 0 : long.MaxValue);
        _wake.Set();
        _room.Set();
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;
}
