using System.Net;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <summary>
/// One end of a simulated TCP connection. Positions are counted in bytes since the beginning of each direction; a FIN takes one.
/// What a sender knows about the other side (acknowledged, window) is as old as the last segment that came back.
/// </summary>
internal sealed partial class SimulatedConnection : IConnection
{
    private const int SegmentMax = 32 * 1024;
    private static readonly TimeSpan DelayedAcknowledgement = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan UserTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan KeepaliveInterval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan KeepaliveTimeout = TimeSpan.FromSeconds(25);

    private readonly SimulatedHost _host;
    private readonly SimulatedNetwork _network;
    private readonly int _sendCapacity;
    private int _receiveCapacity;
    private SimulatedConnection _other = null!;

    // Sending: bytes acknowledged .. written wait in the queue; the peer's window reaches up to _windowEnd.
    private readonly ByteQueue _sendQueue = new();
    private long _acknowledged;
    private long _transmitted;
    private long _windowEnd;
    private long _lastArrivalTicks;
    private bool _finQueued;
    private bool _finAcknowledged;
    private TaskCompletionSource? _sending;

    // Receiving.
    private readonly ByteQueue _received = new();
    private readonly List<(long UpTo, long Ticks)> _arrivals = [];
    private long _receivedUpTo;
    private long _announcedEnd;
    private bool _acknowledgementWaits;
    private bool _finReceived;
    private TaskCompletionSource? _receiving;

    private string? _error;
    private bool _closed;
    private bool _vanished;
    private bool _abort;
    private bool _userTimeout = true;
    private bool _watched;
    private long? _endedAtTicks;
    private long _lastSegmentTicks;
    private long _unacknowledgedSinceTicks;

    private SimulatedConnection(SimulatedHost host, SimulatedProcess owner, TcpTuning tuning, int localPort, IPEndPoint remote)
    {
        _host = host;
        _network = host.Network;
        Owner = owner;
        Remote = remote;
        LocalPort = localPort;
        _sendCapacity = tuning.SendBufferBytes > 0 ? 2 * tuning.SendBufferBytes : 256 * 1024;
        _receiveCapacity = tuning.ReceiveBufferBytes > 0 ? 2 * tuning.ReceiveBufferBytes : 128 * 1024;
        _announcedEnd = _receiveCapacity;
        _lastSegmentTicks = _network.Scheduler.NowTicks;
    }

    public SimulatedProcess Owner { get; }

    public IPEndPoint Remote { get; }

    public int LocalPort { get; }

    public long BytesSent { get; private set; }

    /// <summary>Told when a receive would not wait any more.</summary>
    public AsyncSignal? Readable { get; set; }

    /// <summary>When the other end was closed, failed, or vanished; null: it stands.</summary>
    public long? FarEndedAtTicks => _other._endedAtTicks;

    /// <summary>Both ends hear each other: what happens to one is told to the other.</summary>
    public bool PathIsUp => PathUp;

    private bool Dead => _error is not null || _vanished;

    private bool PathUp => _host.Reachable && _other._host.Reachable && !_other._vanished;

    /// <summary>A connection whose handshake is done: the caller's end; the other waits at the listener.</summary>
    public static SimulatedConnection Pair(SimulatedHost from, SimulatedProcess caller, TcpTuning tuning, SimulatedHost to, SimulatedListener listener)
    {
        var port = from.NextPort();
        var near = new SimulatedConnection(from, caller, tuning, port, new IPEndPoint(to.Address, listener.Port));
        var far = new SimulatedConnection(to, listener.Owner, listener.Tuning, listener.Port, new IPEndPoint(from.Address, port));
        (near._other, far._other) = (far, near);
        near._windowEnd = far._receiveCapacity;
        far._windowEnd = near._receiveCapacity;
        from.Add(near);
        to.Add(far);
        listener.Arrive(far);
        return near;
    }

    public async ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            ThrowIfUnusable();
            if (_finQueued) throw new IOException("Broken pipe: the sending side is shut down.");
            await Owner.OperateAsync();
            var room = _sendCapacity - _sendQueue.Count;
            if (room > 0)
            {
                var count = _network.Part(Math.Min(room, bytes.Length));
                if (_sendQueue.Count == 0) _unacknowledgedSinceTicks = _network.Scheduler.NowTicks;
                _sendQueue.Append(bytes.Span[..count]);
                BytesSent += count;
                _network.Sent?.Invoke(this, bytes[..count]);
                Transmit();
                return count;
            }

            _sending = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await _sending.EndOrAsync(cancel);
        }
    }

    public async ValueTask<int> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel)
    {
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var count = ReceiveNow(bytes.Span);
            if (count >= 0)
            {
                await Owner.OperateAsync();
                return count;
            }

            _receiving = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await _receiving.EndOrAsync(cancel);
        }
    }

    /// <summary>What lies in the receive buffer.</summary>
    public byte[] CopyUnread()
    {
        var bytes = new byte[_received.Count];
        _received.Peek(0, bytes);
        return bytes;
    }

    /// <summary>When the byte before this position of the received stream came.</summary>
    public long ArrivedAtTicks(long position)
    {
        var index = _arrivals.FindIndex(arrival => arrival.UpTo >= position);
        return index < 0 ? _network.Scheduler.NowTicks : _arrivals[index].Ticks;
    }

    public int ReceiveNow(Span<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        if (_received.Count == 0)
        {
            ThrowIfUnusable();
            return _finReceived ? 0 : -1;
        }

        var count = _network.Part(Math.Min(bytes.Length, _received.Count));
        _received.Take(bytes[..count]);
        // As Linux does: a reader's progress is announced when it doubles a window that was half closed, or with an acknowledgement that waits.
        var announced = _announcedEnd - _receivedUpTo;
        if (!Dead && (_acknowledgementWaits || (2 * announced <= _receiveCapacity && Window >= 2 * announced))) SendAcknowledgement();
        return count;
    }

    /// <summary>Less room to receive in. What was announced is not taken back: the right edge stands until so much has arrived.</summary>
    public void ShrinkReceiveBuffer(double share) => _receiveCapacity = Math.Max(1, (int)(_receiveCapacity * share));

    public SendState Inspect()
    {
        var established = !Dead && !_closed && !(_finReceived && _finAcknowledged);
        var probing = !Dead && _sendQueue.Count > 0 && _windowEnd <= _transmitted && _transmitted == _acknowledged;
        var unacknowledged = _sendQueue.Count + (_finQueued && !_finAcknowledged ? 1 : 0);
        var since = SinceLastSegment(probing);
        return new SendState(established, unacknowledged, _acknowledged, Math.Max(0, _windowEnd - _acknowledged), since, probing, _finReceived);
    }

    public void SetUserTimeout(bool on) => _userTimeout = on;

    public void ShutdownSend()
    {
        if (_finQueued || Dead || _closed) return;
        Owner.Operate();
        if (_closed) return;
        _finQueued = true;
        Transmit();
    }

    public void AbortOnDispose() => _abort = true;

    public void Dispose()
    {
        if (_closed) return;
        if (Owner.Alive) Owner.Operate();
        if (_closed) return;
        _closed = true;
        _endedAtTicks ??= _network.Scheduler.NowTicks;
        Wake();
        if (Dead)
        {
            _host.Remove(this);
            return;
        }

        if (_abort || _received.Count > 0)
        {
            Reset();
            return;
        }

        _finQueued = true;
        Transmit();
        LeaveWhenDone();
    }

    /// <summary>The machine lost power: this end is no more, and says nothing.</summary>
    public void Vanish()
    {
        _vanished = true;
        _closed = true;
        _endedAtTicks ??= _network.Scheduler.NowTicks;
        _other.WatchSilence();
    }

    /// <summary>The cable is out on this side.</summary>
    public void PathLost()
    {
        WatchSilence();
        _other.WatchSilence();
    }

    /// <summary>The cable is in again on this side: what was lost goes out again.</summary>
    public void PathRestored()
    {
        foreach (var end in (SimulatedConnection[])[this, _other])
        {
            if (end.Dead) continue;
            end._transmitted = end._acknowledged;
            end.Transmit();
            end.SendAcknowledgement();
        }
    }

    /// <summary>Receive window: what may still come in beyond what has.</summary>
    private int Window => Math.Max(0, _receiveCapacity - _received.Count);

    private TimeSpan SinceLastSegment(bool probing)
    {
        var since = _network.Scheduler.Now - new TimeSpan(_lastSegmentTicks);
        var every = probing ? ProbeInterval : KeepaliveInterval;
        if (!PathUp || _other.Dead || since < every) return since;
        // Keepalive and window probes are answered by the other kernel, with its present window; they are not simulated one by one.
        _windowEnd = _other._announcedEnd = Math.Max(_other._announcedEnd, _other._receivedUpTo + _other.Window);
        since = new TimeSpan(since.Ticks % every.Ticks);
        _lastSegmentTicks = _network.Scheduler.NowTicks - since.Ticks;
        return since;
    }

    /// <summary>Puts what the window allows on its way.</summary>
    private void Transmit()
    {
        if (Dead) return;
        while (true)
        {
            var unsent = BytesSent - _transmitted;
            var allowed = Math.Min(unsent, _windowEnd - _transmitted);
            var fin = _finQueued && unsent <= 0 && _transmitted == BytesSent;
            if (allowed <= 0 && !fin) break;
            if (fin)
            {
                _transmitted++;
                Carry(_other, [], BytesSent, fin: true);
                break;
            }

            var count = _network.Part((int)Math.Min(allowed, SegmentMax));
            var segment = new byte[count];
            _sendQueue.Peek((int)(_transmitted - _acknowledged), segment);
            var at = _transmitted;
            _transmitted += count;
            Carry(_other, segment, at, fin: false);
        }

        if (!PathUp) WatchSilence();
    }

    private void Carry(SimulatedConnection to, byte[] segment, long at, bool fin)
    {
        if (!_host.Reachable) return;
        _network.Scheduler.At(NextArrival(), () => to.Arrive(segment, at, fin));
    }

    /// <summary>Segments of one direction arrive in order.</summary>
    private long NextArrival() =>
        _lastArrivalTicks = Math.Max(_lastArrivalTicks + 1, _network.Scheduler.NowTicks + _network.Latency().Ticks);

    private void Arrive(byte[] segment, long at, bool fin)
    {
        if (!_host.Reachable) return;
        if (_vanished || _error is not null || (_closed && segment.Length > 0))
        {
            if (!_vanished && _error is null) Fail("closed");
            AnswerWithReset();
            return;
        }

        Heard();
        if (at + segment.Length + (fin ? 1 : 0) <= _receivedUpTo || at > _receivedUpTo)
        {
            SendAcknowledgement();
            return;
        }

        var fresh = segment.AsSpan((int)(_receivedUpTo - at));
        fresh = fresh[..(int)Math.Min(fresh.Length, Math.Max(Window, _announcedEnd - _receivedUpTo))];
        _received.Append(fresh);
        _receivedUpTo += fresh.Length;
        _arrivals.Add((_receivedUpTo, _network.Scheduler.NowTicks));
        if (fin)
        {
            _receivedUpTo++;
            _finReceived = true;
        }

        _receiving?.TrySetResult();
        Readable?.Set();
        if (fin || _network.Random.Next(2) == 0) SendAcknowledgement();
        else DelayAcknowledgement();
        LeaveWhenDone();
    }

    private void DelayAcknowledgement()
    {
        if (_acknowledgementWaits) return;
        _acknowledgementWaits = true;
        _network.Scheduler.After(DelayedAcknowledgement, () =>
        {
            if (_acknowledgementWaits && !Dead) SendAcknowledgement();
        });
    }

    private void SendAcknowledgement()
    {
        if (!_host.Reachable || _vanished) return;
        var upTo = _receivedUpTo;
        var windowEnd = Math.Max(_announcedEnd, upTo + Window);
        _announcedEnd = windowEnd;
        _acknowledgementWaits = false;
        _network.Scheduler.At(NextArrival(), () => _other.Acknowledge(upTo, windowEnd));
    }

    private void Acknowledge(long upTo, long windowEnd)
    {
        if (!_host.Reachable || Dead) return;
        Heard();
        if (upTo > _acknowledged)
        {
            var bytes = (int)(Math.Min(upTo, BytesSent) - _acknowledged);
            _sendQueue.Drop(bytes);
            _acknowledged += bytes;
            _finAcknowledged = upTo > BytesSent;
            _transmitted = Math.Max(_transmitted, Math.Min(upTo, BytesSent + 1));
            _unacknowledgedSinceTicks = _network.Scheduler.NowTicks;
            _sending?.TrySetResult();
        }

        _windowEnd = Math.Max(_windowEnd, windowEnd);
        Transmit();
        LeaveWhenDone();
    }

    private void Heard() => _lastSegmentTicks = _network.Scheduler.NowTicks;

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        if (_error is not null) throw new IOException(_error);
    }
}
