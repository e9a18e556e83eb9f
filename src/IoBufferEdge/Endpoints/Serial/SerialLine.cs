using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// One serial line: keeps its port open, and lets its users take turns on it.
/// <para>Hot-plug: when the device goes, the path is looked at four times a second until it is back; nothing runs while the port
/// stands.</para>
/// <para>Turns: who sends holds a turn (<see cref="TakeTurnAsync"/>), and until it is over what arrives is for the turn's holder. At any
/// other time it is for the source; without one it is thrown away. A turn begins only when the source has taken what arrived before, and
/// a holder hands back what was not meant for it: no byte changes hands. Limit: a source that has no room for a second makes a turn
/// fail, to be tried again.</para>
/// </summary>
public sealed class SerialLine
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan SourceLimit = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SilenceLimit = TimeSpan.FromSeconds(1);

    private readonly ISerialPorts _ports;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    private readonly Lock _opening = new();
    private readonly SemaphoreSlim _turns = new(1, 1);
    private readonly CancellationTokenSource _closing = new();
    private readonly List<AsyncSignal> _listeners = [];
    private readonly AsyncSignal _ended;
    private readonly ArrivalQueue _handedBack = new();
    private EndTap[] _taps = [];
    private readonly byte[] _thrownAway = new byte[256];
    private bool _isKept;

    // Under _lock.
    private ISerialPort? _port;
    private SerialErrors _lastErrors;
    private object? _source;
    private object? _holder;
    private long _activeAt;
    private int _openings;
    private string? _failure;

    internal SerialLine(SerialSettings settings, ISerialPorts ports, TimeProvider time, ILogger log)
    {
        (Settings, _ports, _time, _log) = (settings, ports, time, log);
        _ended = new AsyncSignal(time);
    }

    public SerialSettings Settings { get; }

    /// <summary>How often the port has been opened: another number is another port.</summary>
    public int Openings
    {
        get
        {
            lock (_lock) return _openings;
        }
    }

    public bool IsOpen
    {
        get
        {
            lock (_lock) return _port is { End: null };
        }
    }

    /// <summary>Why the device is there and cannot be opened; null: it is open, or not there.</summary>
    public string? Failure
    {
        get
        {
            lock (_lock) return _failure;
        }
    }

    /// <summary>For the status: what the line is, or what it waits for.</summary>
    public string Detail
    {
        get
        {
            lock (_lock)
                return _port is { End: null } port ? $"{Settings.Port}: {port.Summary}" : _failure ?? $"{Settings.Port} is not there: waiting for it.";
        }
    }

    public SerialErrors Errors
    {
        get
        {
            lock (_lock) return _port is { End: null } port ? port.Errors : _lastErrors;
        }
    }

    /// <summary>Figures of an RS485 driver that is switched from here.</summary>
    public IEnumerable<KeyValuePair<string, long>> DriverLateness
    {
        get
        {
            lock (_lock) return _port is { End: null, Driven: { } driven } ? [.. driven.Lateness] : [];
        }
    }

    /// <summary>The first user opens it; a later one only learns how it stands.</summary>
    /// <exception cref="EndpointException">The device is there and cannot be used.</exception>
    internal void Open()
    {
        if (!_isKept)
        {
            TryOpen();
            _isKept = _failure is null;
            if (_isKept) _ = KeepOpenAsync();
        }

        if (Failure is { } failure) throw new EndpointException(failure);
    }

    internal void Close()
    {
        lock (_opening)
        {
            _closing.Cancel();
            Forget();
            _ports.Release(Settings);
        }

        _ended.Set();
    }

    // ---- the port's life

    private async Task KeepOpenAsync()
    {
        while (!_closing.IsCancellationRequested)
        {
            while (IsOpen && !_closing.IsCancellationRequested) await _ended.WaitAsync();
            if (_closing.IsCancellationRequested) break;
            if (Forget() is { } reason) Log.SerialPortGone(_log, reason);
            await Task.Delay(LookEvery, _time, _closing.Token).QuietlyAsync();
            TryOpen();
        }

        _ended.Dispose();
    }

    private void TryOpen()
    {
        lock (_opening)
        {
            if (_closing.IsCancellationRequested) return;
            try
            {
                var port = _ports.Open(Settings, OnChanged);
                lock (_lock)
                {
                    _failure = null;
                    if (port is null)
                    {
                        if (_openings == 0 && !_isKept) Log.SerialPortMissing(_log, Settings.Port);
                        return;
                    }

                    (_port, _openings, _activeAt) = (port, _openings + 1, _time.GetTimestamp());
                }

                Log.SerialPortOpened(_log, Settings.Port, port.Summary);
            }
            catch (Exception e)
            {
                // A device may go at any moment of its opening. Whatever that throws, the path is looked at again.
                var failure = e is EndpointException ? e.Message : $"{Settings.Port} cannot be opened: {e.Message}";
                if (_failure != failure) Log.SerialPortFailed(_log, failure);
                lock (_lock) _failure = failure;
            }
        }

        OnChanged();
    }

    /// <summary>Lets go of the port; returns why it ended, where it did so by itself.</summary>
    private string? Forget()
    {
        ISerialPort? port;
        lock (_lock)
        {
            port = _port;
            _port = null;
            if (port is not null) _lastErrors = port.Errors;
        }

        port?.Dispose();
        return port?.End;
    }

    /// <summary>Something has arrived, or the port has come or gone: whoever waits looks for himself.</summary>
    private void OnChanged()
    {
        lock (_lock)
        {
            if (_source is null && _holder is null && _port is { } port)
                while (Read(port, _thrownAway) is { IsNone: false }) _activeAt = _time.GetTimestamp();
            foreach (var listener in _listeners) listener.Set();
            if (_port is not { End: null }) _ended.Set();
        }
    }

    // ---- users

    /// <summary>From now on the signal is set whenever something arrives, or the port comes or goes.</summary>
    internal void Listen(AsyncSignal signal)
    {
        lock (_lock) _listeners.Add(signal);
    }

    internal void StopListening(AsyncSignal signal)
    {
        lock (_lock) _listeners.Remove(signal);
    }

    /// <summary>The source to which everything belongs that arrives outside of turns; null: there is none any more.</summary>
    internal void SetSource(object? source)
    {
        lock (_lock) _source = source;
        OnChanged();
    }

    /// <summary>Takes what has arrived for this user.</summary>
    internal SerialArrival TryRead(object user, Span<byte> bytes)
    {
        SerialArrival arrival;
        lock (_lock)
        {
            if (!ReferenceEquals(user, _holder ?? _source)) return default;
            arrival = ReferenceEquals(user, _source) ? _handedBack.Take(bytes) : default;
            if (arrival.IsNone && _port is not null) arrival = Read(_port, bytes);
            if (!arrival.IsNone) _activeAt = arrival.At;
        }

        return arrival;
    }

    private SerialArrival Read(ISerialPort port, Span<byte> bytes)
    {
        var arrival = port.TryRead(bytes);
        foreach (var tap in _taps) tap.Received(bytes[..arrival.Count], Settings.Port);
        return arrival;
    }

    /// <summary>Shown to whoever looks at the line.</summary>
    internal void Sent(ReadOnlySpan<byte> bytes)
    {
        foreach (var tap in _taps) tap.Sent(bytes, Settings.Port);
    }

    /// <summary>A user's way to show what goes over the line: all of it, whosever it is.</summary>
    internal void AddTap(EndTap? tap)
    {
        lock (_lock) if (tap is not null) _taps = [.. _taps, tap];
    }

    internal void RemoveTap(EndTap? tap)
    {
        lock (_lock) _taps = [.. _taps.Where(t => t != tap)];
    }

    /// <summary>What a holder has read and was not meant for it goes to the source, where there is one.</summary>
    internal void HandBack(byte value, in SerialArrival arrival)
    {
        lock (_lock)
            if (_source is not null) _handedBack.Add(new ReadOnlySpan<byte>(in value)[..arrival.Count], arrival.At, arrival.Kind, arrival.Together);
    }

    /// <summary>Waits for the line and for a silence of <paramref name="quiet"/> on it; until the turn is disposed it is the holder's.</summary>
    /// <exception cref="IOException">The port is not there, or the source that shares it has no room for what has arrived.</exception>
    internal async ValueTask<SerialTurn> TakeTurnAsync(object holder, TimeSpan quiet, CancellationToken cancel)
    {
        await _turns.WaitAsync(cancel);
        try
        {
            var began = _time.GetTimestamp();
            while (!TryHold(holder, quiet, began, out var wait))
                await Task.Delay(wait, _time, cancel);
            return new SerialTurn(this, holder);
        }
        catch
        {
            _turns.Release();
            throw;
        }
    }

    private bool TryHold(object holder, TimeSpan quiet, long began, out TimeSpan wait)
    {
        lock (_lock)
        {
            if (_port is not { End: null }) throw new IOException($"{Settings.Port} is not there.");
            wait = TimeSpan.FromMilliseconds(1);
            var waited = _time.GetElapsedTime(began);
            var silence = _time.GetElapsedTime(_activeAt);
            if (silence < quiet && waited < SilenceLimit)
            {
                wait = Max(wait, quiet - silence);
                return false;
            }

            if (_source is not null && !ReferenceEquals(holder, _source) && (!_port.IsDrained || !_handedBack.IsEmpty))
            {
                if (waited > SourceLimit) throw new IOException($"The source on {Settings.Port} has no room for what has arrived.");
                return false;
            }

            _holder = holder;
            return true;
        }
    }

    internal void EndTurn()
    {
        lock (_lock)
        {
            _holder = null;
            _activeAt = _time.GetTimestamp();
        }

        _turns.Release();
        OnChanged();
    }

    /// <summary>The port as the turn's holder uses it.</summary>
    /// <exception cref="IOException">It is not there.</exception>
    internal ISerialPort Port
    {
        get
        {
            lock (_lock) return _port is { End: null } port ? port : throw new IOException(_port?.End ?? $"{Settings.Port} is not there.");
        }
    }

    internal TimeProvider Time => _time;

    private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;
}
