using IoBufferEdge.Endpoints.Serial;

namespace IoBufferEdge.Simulation;

/// <summary>
/// A UART and an RS485 driver on virtual time: a kernel queue, a FIFO of 16 that an interrupt refills when it has run empty, a shift register
/// that takes one character after the other, and a thread that is preempted at any call. Remembers when each character was on the
/// wire and when the driver was on.
/// </summary>
/// <param name="characterNs">Wire time of a character, as this UART's divider makes it.</param>
/// <param name="callNs">What a call costs.</param>
/// <param name="preemptedNs">How long a call may be preempted, and a sleep overrun.</param>
public sealed class SimulatedUart(Random random, long characterNs, long callNs, long preemptedNs) : IDrivenWire
{
    private const int QueueBytes = 4096;
    private const int FifoBytes = 16;
    private readonly List<(long Start, long End)> _characters = [];
    private long _now;
    private long _queued;
    private long _fifo;
    private long _refillAt = long.MaxValue;
    private long _shiftedOutAt;

    public long Now
    {
        get
        {
            Pass(callNs);
            return _now;
        }
    }

    /// <summary>When each character began and had ended.</summary>
    public IReadOnlyList<(long Start, long End)> Characters => _characters;

    /// <summary>When the driver was switched on and off.</summary>
    public List<(long At, bool On)> Switches { get; } = [];

    /// <summary>Never runs empty from here on.</summary>
    public bool IsStuck { get; set; }

    /// <summary>At this time the frame is given up.</summary>
    public long CancelAt { get; set; } = long.MaxValue;

    public bool IsCancelled => _now >= CancelAt;

    public bool IsTransmitterEmpty
    {
        get
        {
            Pass(callNs);
            return !IsStuck && _queued == 0 && _fifo == 0 && _now >= _shiftedOutAt;
        }
    }

    public void SleepUntil(long time)
    {
        Pass(callNs);
        if (time > _now) Pass(time - _now);
    }

    public int Write(ReadOnlySpan<byte> bytes)
    {
        Pass(callNs);
        var taken = (int)Math.Min(bytes.Length, QueueBytes - _queued);
        _queued += taken;
        if (_fifo == 0 && _now >= _shiftedOutAt) Refill(_now);
        Pass(callNs);
        return taken;
    }

    public void DiscardOutput()
    {
        Pass(callNs);
        _queued = 0;
    }

    public void SwitchDriver(bool on)
    {
        Pass(callNs);
        Switches.Add((_now, on));
    }

    /// <summary>Time passes, now and then more than was meant; the hardware works on meanwhile.</summary>
    private void Pass(long ns)
    {
        var preempted = preemptedNs > 0 && random.Next(8) == 0 ? random.NextInt64(preemptedNs) : 0;
        var until = _now + ns + preempted;
        while (Next() is var at && at <= until)
        {
            _now = at;
            if (at == _refillAt) Refill(at);
            else Shift(at);
        }

        _now = until;
    }

    /// <summary>When the hardware does its next step.</summary>
    private long Next() => Math.Min(_refillAt, _fifo > 0 ? _shiftedOutAt : long.MaxValue);

    private void Refill(long at)
    {
        _refillAt = long.MaxValue;
        var moved = Math.Min(FifoBytes - _fifo, _queued);
        _queued -= moved;
        _fifo += moved;
        if (_fifo > 0 && at >= _shiftedOutAt) Shift(at);
    }

    private void Shift(long at)
    {
        _fifo--;
        _shiftedOutAt = at + characterNs;
        _characters.Add((at, _shiftedOutAt));
        // The interrupt comes when the FIFO has run empty, and the shift register still has a character: mostly in time.
        if (_fifo == 0 && _queued > 0) _refillAt = at + random.NextInt64(characterNs * 3 / 2);
    }
}
