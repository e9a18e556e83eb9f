using IoBufferEdge.Interop.Linux;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// A real port. A thread of its own sleeps in poll until the driver has something, takes the time at once, reads and goes to sleep
/// again: arrival times are as good as the driver's, and a line at rest wakes nobody. It sleeps, too, while nobody takes what it read.
/// Where it is permitted it runs before all ordinary threads: it only copies, and a millisecond late is a frame cut wrong.
/// </summary>
internal sealed class LinuxSerialPort : ISerialPort
{
    private const int ReadBytes = 512;
    private const int Priority = 40;

    private readonly SafeFileHandle _handle;
    private readonly SafeFileHandle _wake = SerialCalls.NewWake();
    private readonly SerialFacts _facts;
    private readonly TimeProvider _time;
    private readonly Action _changed;
    private readonly ArrivalQueue _arrivals = new();
    private readonly MarkedBytes _marked;
    private readonly SerialCounters _before;
    private readonly bool _driverCounts;
    private readonly DrivenSender? _driven;
    private readonly bool _staysInMemory = true;
    private readonly Thread _reader;
    private volatile bool _closing;
    private volatile bool _full;
    private volatile bool _isRealTime = true;
    private volatile string? _end;

    /// <param name="switchDriver">Switches the RS485 driver, where that is done from here; else null.</param>
    public LinuxSerialPort(SafeFileHandle handle, SerialFacts facts, Action<bool>? switchDriver, TimeProvider time, Action changed)
    {
        (_handle, _facts, _time, _changed) = (handle, facts, time, changed);
        _marked = new MarkedBytes(_arrivals);
        _driverCounts = SerialCalls.GetCounters(handle, out _before) == 0;
        if (switchDriver is not null)
        {
            _staysInMemory = LinuxMemory.TryKeepResident();
            _driven = new DrivenSender(
                facts.Settings, isCancelled => new LinuxDrivenWire(handle, facts.Settings.Port, switchDriver, isCancelled, time));
        }

        _reader = new Thread(ReadToTheEnd) { IsBackground = true, Name = "serial " + Path.GetFileName(facts.Settings.Port) };
        _reader.Start();
    }

    public string Summary => _facts
        + (_isRealTime ? "" : ", arrival times from an ordinary thread")
        + (_driven is null or { IsRealTime: true } ? "" : ", RS485 switched from an ordinary thread")
        + (_staysInMemory ? "" : ", memory may be paged out");

    public string? End => _end;

    public bool IsDrained => _arrivals.IsEmpty;

    public IDrivenSender? Driven => _driven;

    public SerialOutput Output
    {
        get
        {
            var queued = Math.Max(0, SerialCalls.OutputQueueBytes(_handle));
            return new SerialOutput(queued, _facts.TellsLastBit ? SerialCalls.IsTransmitterEmpty(_handle) == 1 : null);
        }
    }

    public SerialErrors Errors
    {
        get
        {
            if (!_driverCounts || SerialCalls.GetCounters(_handle, out var now) < 0)
                return new SerialErrors(-1, _marked.DamagedBytes, _marked.Breaks, -1, -1);
            return new SerialErrors(
                now.ParityErrors - _before.ParityErrors, now.FrameErrors - _before.FrameErrors, now.Breaks - _before.Breaks,
                now.Overruns - _before.Overruns, now.BufferOverruns - _before.BufferOverruns);
        }
    }

    public SerialArrival TryRead(Span<byte> bytes)
    {
        var arrival = _arrivals.Take(bytes);
        if (_full && _arrivals.HasRoomFor(ReadBytes)) SerialCalls.Wake(_wake);
        return arrival;
    }

    public int Write(ReadOnlySpan<byte> bytes)
    {
        var result = SerialCalls.Write(_handle, bytes);
        if (result >= 0) return result;
        if (result == SerialCalls.TryAgain && _end is null) return 0;
        throw new IOException(_end ?? $"{_facts.Settings.Port} cannot send: {SerialCalls.Describe(result)}.");
    }

    public void DiscardOutput() => SerialCalls.DiscardOutput(_handle);

    /// <summary>Unsent bytes are taken back first, or the kernel's close would wait for a device that does not let them go.</summary>
    public void Dispose()
    {
        if (_closing) return;
        _closing = true;
        SerialCalls.Wake(_wake);
        _reader.Join();
        _driven?.Dispose();
        SerialCalls.DiscardOutput(_handle);
        _handle.Dispose();
        _wake.Dispose();
    }

    private void ReadToTheEnd()
    {
        _isRealTime = LinuxThreads.TryBecomeRealTime(Priority);
        Span<byte> bytes = stackalloc byte[ReadBytes];
        while (!_closing && _end is null)
        {
            var hasRoom = _arrivals.HasRoomFor(ReadBytes);
            _full = !hasRoom;
            if (!hasRoom && _arrivals.HasRoomFor(ReadBytes)) continue;
            var ready = SerialCalls.Wait(_handle, _wake, forInput: hasRoom);
            var at = _time.GetTimestamp();
            SerialCalls.ClearWake(_wake);
            if (_closing || !hasRoom || ready == 0) continue;
            Take(SerialCalls.Read(_handle, bytes), bytes, at);
        }
    }

    private void Take(int result, ReadOnlySpan<byte> bytes, long at)
    {
        if (result == SerialCalls.TryAgain) return;
        if (result > 0) _marked.Add(bytes[..result], at);
        else _end = $"{_facts.Settings.Port} has gone" + (result == 0 ? " (hang-up)." : $": {SerialCalls.Describe(result)}.");
        _changed();
    }
}
