using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;
using IoBufferEdge.Endpoints.Tcp;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Receives from one open port to its end or the channel's stop. With an <c>ack</c> one frame after the other: the device waits for its
/// answer, and the answer for the frame's being secured.
/// </summary>
internal sealed class SerialReceiver : IDisposable
{
    private readonly object _user;
    private readonly SerialLine _line;
    private readonly IMessageSink _sink;
    private readonly SourceAck? _ack;
    private readonly SerialSourceCounters _counters;
    private readonly AsyncSignal _changed;
    private readonly FrameDecoder _decoder;
    private readonly IdleGapDecoder? _idleGap;
    private readonly SilenceClock _silence;
    private readonly ReceiveBuffer _buffer;
    private readonly int _opening;
    private bool _damaged;
    private byte[]? _ackOfPieces;

    public SerialReceiver(
        object user, SerialLine line, IMessageSink sink, SourceConfig config, SourceAck? ack, SerialSourceCounters counters,
        EndpointContext context, AsyncSignal changed)
    {
        (_user, _line, _sink, _ack, _counters, _changed) = (user, line, sink, ack, counters, changed);
        var framing = config.EffectiveFraming;
        if (framing.Type == FramingType.IdleGap) _idleGap = new IdleGapDecoder(config.MaxMessageBytes, config.OnOversize);
        _decoder = _idleGap ?? FrameDecoder.Create(framing, config.MaxMessageBytes, config.OnOversize);
        _silence = new SilenceClock(line.Settings, framing.GapMs, context.Time);
        _buffer = new ReceiveBuffer(context.Memory, _decoder.BufferBytesNeeded);
        _opening = line.Openings;
    }

    /// <param name="stopBytesMax">A device that goes on sending must not hold up a stop: what is read at most, once it is asked for.</param>
    public async Task RunAsync(int stopBytesMax, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested || stopBytesMax > 0)
        {
            await _buffer.MakeRoomAsync(stop);
            var arrival = _line.TryRead(_user, _buffer.Free.Span);
            if (!arrival.IsNone)
            {
                await TakeAsync(arrival);
                if (stop.IsCancellationRequested) stopBytesMax -= arrival.Count;
                continue;
            }

            _sink.Publish();
            if (stop.IsCancellationRequested || !_line.IsOpen || _line.Openings != _opening) break;
            var untilEnd = _idleGap is null ? Timeout.InfiniteTimeSpan : _silence.UntilEnd;
            if (untilEnd == TimeSpan.Zero) await EndFrameAsync();
            else await _changed.WaitAsync(untilEnd);
        }

        await AppendFramesAsync(endOfInput: true);
        _sink.Publish();
    }

    public void Dispose() => _buffer.Dispose();

    private async ValueTask TakeAsync(SerialArrival arrival)
    {
        if (_idleGap is not null && _silence.EndsFrameBefore(arrival)) await EndFrameAsync();
        if (arrival.Kind == ArrivalKind.Damaged) _damaged = true;
        _silence.Note(arrival);
        _buffer.Filled(arrival.Count);
        await AppendFramesAsync(endOfInput: false);
    }

    private async ValueTask EndFrameAsync()
    {
        _silence.Reset();
        _idleGap!.EndFrame();
        await AppendFramesAsync(endOfInput: false);
    }

    private async ValueTask AppendFramesAsync(bool endOfInput)
    {
        while (true)
        {
            var frame = _decoder.Next(_buffer.Bytes, endOfInput);
            if (frame.Status == FrameStatus.NeedMore)
            {
                _counters.NoiseBytes.Add(frame.Consumed);
                _buffer.Consume(frame.Consumed);
                return;
            }

            if (frame.Status == FrameStatus.Oversize) await RefuseAsync();
            else await AppendAsync(frame);
            _buffer.Consume(frame.Consumed);
        }
    }

    private async ValueTask AppendAsync(FrameResult frame)
    {
        var flags = frame.Flags | (_damaged ? MessageFlags.Damaged : MessageFlags.None);
        _damaged = _damaged && frame.MoreFollows;
        if ((flags & MessageFlags.Damaged) != MessageFlags.None) _counters.DamagedMessages.Add();
        if ((flags & MessageFlags.Partial) != MessageFlags.None) _counters.Partial.Add();
        long sequence;
        while (!_sink.TryAppend(_buffer.Bytes.Slice(frame.Start, frame.Length), flags, out sequence))
        {
            _sink.Publish();
            await _sink.WaitForRoomAsync(frame.Length, CancellationToken.None);
        }

        if (_ack is null || (flags & MessageFlags.Partial) != MessageFlags.None) return;
        var answer = _ackOfPieces ?? _ack.For(_buffer.Bytes.Slice(frame.Start, frame.Length));
        _ackOfPieces = frame.MoreFollows ? answer : null;
        if (frame.MoreFollows) return;
        _sink.Publish();
        if ((flags & MessageFlags.Damaged) != MessageFlags.None)
        {
            // The device still has it undamaged: it is kept as it came, and asked for again.
            if (_ack.Nak is { } nak) await AnswerAsync(nak, _counters.Naks);
            return;
        }

        if (sequence > 0) await _sink.WaitSecuredAsync(sequence, CancellationToken.None);
        await AnswerAsync(answer, _counters.Acks);
    }

    /// <summary>A frame longer than allowed was dropped. Without a nak only the counter tells: a serial line has no connection to close.</summary>
    private async ValueTask RefuseAsync()
    {
        _damaged = false;
        _counters.Oversize.Add();
        if (_ack?.Nak is { } nak) await AnswerAsync(nak, _counters.Naks);
    }

    /// <summary>An answer that can't go out is not missed: the device sends its message again when it is back.</summary>
    private async ValueTask AnswerAsync(byte[] answer, EventCounter counter)
    {
        try
        {
            using var turn = await _line.TakeTurnAsync(_user, TimeSpan.Zero, CancellationToken.None);
            await turn.SendAsync(answer, CancellationToken.None);
            counter.Add();
        }
        catch (IOException)
        {
            // The port has gone: the loop sees it.
        }
    }
}
