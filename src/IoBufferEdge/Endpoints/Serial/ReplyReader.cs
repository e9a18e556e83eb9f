using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Collects the answer to one request. It ends with its framing, or with silence; where its checksum fits, with the gap alone,
/// without waiting for what the hardware may hold back. What fits no request is left aside, and the answer waited for on.
/// </summary>
internal sealed class ReplyReader
{
    private const int ReplyBytesMax = 64 * 1024;

    private readonly SerialLine _line;
    private readonly AsyncSignal _changed;
    private readonly SerialSourceCounters _counters;
    private readonly TimeProvider _time;
    private readonly SilenceClock _silence;
    private readonly FrameDecoder? _decoder;
    private readonly byte[] _reply;
    private int _length;

    public ReplyReader(SourceConfig config, SerialLine line, AsyncSignal changed, SerialSourceCounters counters, TimeProvider time)
    {
        (_line, _changed, _counters, _time) = (line, changed, counters, time);
        var framing = config.EffectiveFraming;
        _silence = new SilenceClock(line.Settings, framing.GapMs, time);
        if (framing.Type != FramingType.IdleGap) _decoder = FrameDecoder.Create(framing, config.MaxMessageBytes, config.OnOversize);
        _reply = new byte[Math.Min(config.MaxMessageBytes, ReplyBytesMax)];
    }

    /// <summary>The silence that a request waits for.</summary>
    public TimeSpan Gap => _silence.Gap;

    public ReadOnlyMemory<byte> Reply => _reply;

    public bool IsDamaged { get; private set; }

    /// <summary>Why there is no answer.</summary>
    public string Problem { get; private set; } = "";

    /// <summary>Throws away what has come since the last turn: nobody has asked for it.</summary>
    public void DiscardLate(SerialTurn turn)
    {
        while (turn.TryRead(_reply) is { IsNone: false } late) _counters.PollLateBytes.Add(late.Count);
    }

    /// <summary>Waits for the answer. Returns its length, or 0 and a <see cref="Problem"/>.</summary>
    /// <exception cref="IOException">The port has gone.</exception>
    public async ValueTask<int> ReadAsync(SerialTurn turn, ReadOnlyMemory<byte> request, PollConfig poll, CancellationToken stop)
    {
        var timeout = TimeSpan.FromMilliseconds(poll.ResponseTimeoutMs);
        var isModbus = poll.Crc == PollCrc.Modbus;
        Problem = "";
        Begin();
        while (true)
        {
            stop.ThrowIfCancellationRequested();
            var arrival = turn.TryRead(_reply.AsSpan(_length));
            if (!arrival.IsNone)
            {
                Take(arrival);
                if (_length == _reply.Length) return Bad($"it is longer than {_length} bytes");
                if (_decoder is null || FindFrame() is not { } frameLength) continue;
                _length = frameLength;
                return Judge(request, isModbus) ? _length : 0;
            }

            var wait = UntilSettled(isModbus, turn.SentAt, timeout);
            if (wait > TimeSpan.Zero)
            {
                if (!_line.IsOpen) throw new IOException($"{_line.Settings.Port} has gone.");
                await _changed.WaitAsync(wait);
                continue;
            }

            if (_length == 0 || _decoder is not null) return TimedOut(poll);
            if (Judge(request, isModbus)) return _length;
            Begin();
        }
    }

    private void Begin()
    {
        (_length, IsDamaged) = (0, false);
        _silence.Reset();
        _decoder?.Reset();
    }

    private void Take(SerialArrival arrival)
    {
        IsDamaged |= arrival.Kind == ArrivalKind.Damaged;
        _length += arrival.Count;
        _silence.Note(arrival);
    }

    /// <summary>The answer's own framing: delimiters in front of it are noise.</summary>
    private int? FindFrame()
    {
        var frame = _decoder!.Next(_reply.AsSpan(0, _length), endOfInput: false);
        if (frame.Status == FrameStatus.NeedMore && frame.Consumed == 0) return null;
        var kept = frame.Status == FrameStatus.Frame ? _reply.AsSpan(frame.Start, frame.Length) : _reply.AsSpan(frame.Consumed.._length);
        kept.CopyTo(_reply);
        if (frame.Status == FrameStatus.Frame) return kept.Length;
        _length = kept.Length;
        return null;
    }

    /// <summary>How long until it is settled what the answer is, if nothing more comes.</summary>
    private TimeSpan UntilSettled(bool isModbus, long sentAt, TimeSpan timeout)
    {
        var untilTimeout = Positive(timeout - _time.GetElapsedTime(sentAt));
        if (_length == 0) return untilTimeout;
        if (_decoder is not null) return untilTimeout;
        if (!isModbus || !ModbusRtu.HasValidCrc(_reply.AsSpan(0, _length))) return _silence.UntilEnd;
        return _silence.UntilSilent;
    }

    private bool Judge(ReadOnlyMemory<byte> request, bool isModbus)
    {
        if (!isModbus) return true;
        DropLeadingZero();
        var reply = _reply.AsSpan(0, _length);
        if (!ModbusRtu.HasValidCrc(reply)) return Bad("its checksum is wrong") > 0;
        if (ModbusRtu.Answers(reply, request.Span)) return true;
        _counters.PollUnrelated.Add();
        Problem = "it answers another request";
        return false;
    }

    /// <summary>A transmitter that switches on may look like a zero byte before the answer.</summary>
    private void DropLeadingZero()
    {
        if (_length < 2 || _reply[0] != 0 || !ModbusRtu.HasValidCrc(_reply.AsSpan(1, _length - 1))) return;
        _reply.AsSpan(1, --_length).CopyTo(_reply);
    }

    private int Bad(string problem)
    {
        _counters.PollBadReplies.Add();
        Problem = problem;
        return 0;
    }

    private int TimedOut(PollConfig poll)
    {
        if (Problem.Length > 0) return 0;
        _counters.PollTimeouts.Add();
        Problem = $"nothing came within {poll.ResponseTimeoutMs} ms";
        return 0;
    }

    private static TimeSpan Positive(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.Zero;
}
