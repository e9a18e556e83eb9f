using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;
using IoBufferEdge.Endpoints.Tcp;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Sends over one open port until the device goes, an answer does not come, or the channel stops. Frames that end with silence go out
/// one by one with the gap before each; others are gathered, up to <see cref="GatherBytes"/>, or the pause between them would set
/// the pace. What had not left when the link ends is not confirmed and goes out again: a device may see the beginning of a message that
/// comes whole on the next link.
/// </summary>
internal sealed class SerialDestinationLink : IDestinationLink
{
    private const int GatherBytes = 4096;

    private readonly SerialLine _line;
    private readonly DestinationConfig _config;
    private readonly FrameEncoder? _encoder;
    private readonly MessagePacer? _pacer;
    private readonly EventCounter _naks;
    private readonly EventCounter _answerTimeouts;
    private readonly DeviceAnswer? _answer;
    private readonly TimeSpan _quiet;
    private readonly bool _gathers;
    private readonly int _opening;
    private readonly AsyncSignal _changed;
    private readonly AsyncSignal _answered;
    private readonly Lock _lock = new();
    private IDeliverySink? _sink;
    private Task _watching = Task.CompletedTask;
    private byte[] _bytes = [];
    private LinkEnd? _end;

    public SerialDestinationLink(
        SerialLine line, DestinationConfig config, FrameEncoder? encoder, MessagePacer? pacer, EventCounter naks,
        EventCounter answerTimeouts, TimeProvider time)
    {
        (_line, _config, _encoder, _pacer, _naks, _answerTimeouts) = (line, config, encoder, pacer, naks, answerTimeouts);
        var framing = config.EffectiveFraming;
        var endsWithSilence = framing.Type == FramingType.IdleGap;
        _quiet = endsWithSilence ? line.Settings.IdleGap(framing.GapMs) + line.Settings.DeliverySlack : TimeSpan.Zero;
        _gathers = !endsWithSilence && config.EffectiveConfirm.Type != ConfirmType.Bytes;
        _opening = line.Openings;
        _changed = new AsyncSignal(time);
        _answered = new AsyncSignal(time);
        if (config.EffectiveConfirm.Type == ConfirmType.Bytes) _answer = new DeviceAnswer(config.EffectiveConfirm, line, _answered, time);
        line.Listen(_changed);
        line.Listen(_answered);
    }

    /// <summary>A device that answers may refuse: then one message waits for its answer at a time.</summary>
    public int MaxInFlightMessages => _answer is null ? int.MaxValue : 1;

    public async ValueTask SendAsync(DeliveryRun run, CancellationToken cancel)
    {
        if (_sink is null) throw new InvalidOperationException("WatchAsync starts before the first SendAsync.");
        try
        {
            for (var sent = 0; sent < run.Count;)
            {
                var part = run.Slice(sent, await PartAsync(run.Slice(sent, run.Count - sent), cancel));
                await SendPartAsync(part, cancel);
                sent += part.Count;
            }
        }
        catch (IOException e)
        {
            End(e.Message);
            throw;
        }
    }

    public Task<LinkEnd> WatchAsync(IDeliverySink sink, CancellationToken cancel)
    {
        _sink = sink;
        var watching = WatchToTheEndAsync(cancel);
        _watching = watching;
        return watching;
    }

    public async ValueTask DisposeAsync()
    {
        End("Closed by us.");
        await _watching;
        _line.StopListening(_changed);
        _line.StopListening(_answered);
        _changed.Dispose();
    }

    /// <summary>How many messages go out in one piece.</summary>
    private async ValueTask<int> PartAsync(DeliveryRun rest, CancellationToken cancel)
    {
        var count = _gathers ? Math.Max(1, rest.CountWithin(GatherBytes, _encoder?.OverheadBytes ?? 0)) : 1;
        return _pacer is null ? count : await _pacer.TakeAsync(count, cancel);
    }

    private async ValueTask SendPartAsync(DeliveryRun part, CancellationToken cancel)
    {
        using var turn = await _line.TakeTurnAsync(this, _quiet, cancel);
        if (_line.Openings != _opening) throw new IOException($"{_line.Settings.Port} has gone and come back.");
        _answer?.HandBackEarlier(turn);
        await turn.SendAsync(Framed(part), cancel);
        if (_answer is null) _sink!.Confirmed(part.LastSequence);
        else await AwaitAnswerAsync(turn, _answer, part.LastSequence, cancel);
    }

    private ReadOnlyMemory<byte> Framed(DeliveryRun part)
    {
        if (_encoder is null) return part.Payload;
        var needed = part.Payload.Length + part.Count * _encoder.OverheadBytes;
        if (_bytes.Length < needed) _bytes = new byte[Math.Max(GatherBytes, needed)];
        var length = 0;
        for (var i = 0; i < part.Count; i++) length += _encoder.Encode(part.Message(i).Span, _bytes.AsSpan(length));
        return _bytes.AsMemory(0, length);
    }

    /// <exception cref="IOException">The answer did not come: the link ends, so that it does not count for the next message.</exception>
    private async ValueTask AwaitAnswerAsync(SerialTurn turn, DeviceAnswer answer, long sequence, CancellationToken cancel)
    {
        switch (await answer.WaitAsync(turn, cancel))
        {
            case AckVerdict.Accepted:
                _sink!.Confirmed(sequence);
                return;
            case AckVerdict.Refused:
                _naks.Add();
                _sink!.Rejected(sequence, permanent: true, $"The device on {_line.Settings.Port} answered a nak.");
                return;
            default:
                _answerTimeouts.Add();
                throw new IOException($"The device on {_line.Settings.Port} did not answer within {_config.EffectiveConfirm.TimeoutMs} ms.");
        }
    }

    private async Task<LinkEnd> WatchToTheEndAsync(CancellationToken cancel)
    {
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _changed);
        while (true)
        {
            lock (_lock)
                if (_end is { } end) return end;
            if (cancel.IsCancellationRequested) End("Stopped.");
            else if (!_line.IsOpen || _line.Openings != _opening) End($"{_line.Settings.Port} has gone.");
            else await _changed.WaitAsync();
        }
    }

    /// <summary>What had left the port needs no repeat, however the link ends.</summary>
    private void End(string reason)
    {
        lock (_lock) _end ??= new LinkEnd(Orderly: true, reason);
        _changed.Set();
    }
}
