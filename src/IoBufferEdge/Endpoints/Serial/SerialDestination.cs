using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// <c>serial</c> as a destination: a link is an open port. A message is delivered when its last bit has left the port
/// (<c>transport</c>, and <c>none</c> alike), or when the device has answered (<c>bytes</c>). A device that goes
/// ends the link, and the next one begins when it is back: no backoff is waited out for that.
/// </summary>
public sealed class SerialDestination : IDestination
{
    private readonly DestinationConfig _config;
    private readonly SerialSettings _settings;
    private readonly SerialLines _lines;
    private readonly EndpointContext _context;
    private readonly FrameEncoder? _encoder;
    private readonly MessagePacer? _pacer;
    private readonly EventCounter _naks = new("naks");
    private readonly EventCounter _answerTimeouts = new("ack_timeouts");
    private readonly AsyncSignal _changed;
    private SerialLine? _line;
    private int _lastOpening;

    public SerialDestination(ChannelConfig channel, EndpointContext context)
    {
        (_config, _context) = (channel.Destination, context);
        _settings = SerialSettings.From(_config);
        _lines = EndpointFactory.SerialLinesOf(channel, context);
        _encoder = FrameEncoder.Create(_config.Framing);
        _pacer = MessagePacer.Create(_config.MaxMessagesPerS, context.Time);
        _changed = new AsyncSignal(context.Time);
    }

    public EndpointStatus Status => _line is not { } line
        ? EndpointStatus.Closed
        : new EndpointStatus(
            line.IsOpen ? EndpointState.Connected : EndpointState.Waiting, line.Detail, line.IsOpen ? 1 : 0,
            [.. EventCounter.Snapshot(_naks, _answerTimeouts), .. SerialSourceCounters.LineErrors(line)]);

    public ValueTask OpenAsync()
    {
        _line = _lines.Take(_settings);
        _line.Listen(_changed);
        _line.AddTap(_context.Tap);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<IDestinationLink> ConnectAsync(CancellationToken cancel)
    {
        var line = _line!;
        await UntilAsync(() => line.IsOpen || line.Failure is not null, cancel);
        if (line.Failure is { } failure) throw new EndpointException(failure);
        _lastOpening = line.Openings;
        return new SerialDestinationLink(line, _config, _encoder, _pacer, _naks, _answerTimeouts, _context.Time);
    }

    /// <summary>The device has come back: the port was opened since the last link began.</summary>
    public ValueTask WaitForPeerSignAsync(CancellationToken cancel)
    {
        var line = _line!;
        return UntilAsync(() => line.IsOpen && line.Openings != _lastOpening, cancel);
    }

    public ValueTask DisposeAsync()
    {
        if (_line is { } line)
        {
            line.StopListening(_changed);
            line.RemoveTap(_context.Tap);
            _lines.Return(line);
            _line = null;
        }

        _changed.Dispose();
        return ValueTask.CompletedTask;
    }

    private async ValueTask UntilAsync(Func<bool> condition, CancellationToken cancel)
    {
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _changed);
        while (!condition())
        {
            cancel.ThrowIfCancellationRequested();
            await _changed.WaitAsync();
        }
    }
}
