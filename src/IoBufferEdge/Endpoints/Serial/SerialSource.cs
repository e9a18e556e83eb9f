using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Tcp;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// <c>serial</c> as a source: what a device sends of its own accord, cut into frames by bytes or by silence; with <c>poll</c>, the answers
/// to the requests that <see cref="SerialPoller"/> sends. The device may go and come back: the bytes of a frame that it began are
/// then a partial message. Where the sink has no room the line is not read: flow control holds the device back, or the driver counts
/// what it lost (<c>overruns</c>).
/// </summary>
public sealed class SerialSource : ISource
{
    /// <summary>What is read out at the stop: what the line's queue and the kernel's buffer can hold.</summary>
    private const int StopBytesMax = 32 * 1024;

    private readonly string _channelId;
    private readonly SourceConfig _config;
    private readonly SerialSettings _settings;
    private readonly SerialLines _lines;
    private readonly EndpointContext _context;
    private readonly SourceAck? _ack;
    private readonly SerialSourceCounters _counters = new();
    private readonly AsyncSignal _changed;
    private SerialLine? _line;

    /// <exception cref="EndpointException">A value of the configuration makes no sense.</exception>
    public SerialSource(ChannelConfig channel, EndpointContext context)
    {
        (_channelId, _config, _context) = (channel.Id, channel.Source, context);
        _settings = SerialSettings.From(_config);
        _lines = EndpointFactory.SerialLinesOf(channel, context);
        _ack = _config.Ack is { } ack ? new SourceAck(ack, context.Time) : null;
        _changed = new AsyncSignal(context.Time);
        if (_config.EffectiveFraming.Type != FramingType.IdleGap) _ = EndpointFactory.CreateDecoder(channel.Id, _config);
    }

    public EndpointStatus Status => _line is not { } line
        ? EndpointStatus.Closed
        : new EndpointStatus(
            line.IsOpen ? EndpointState.Connected : EndpointState.Waiting, line.Detail, line.IsOpen ? 1 : 0,
            _counters.Snapshot(line, _config.Poll.Count > 0));

    public ValueTask OpenAsync()
    {
        _line = _lines.Take(_settings);
        _line.Listen(_changed);
        _line.AddTap(_context.Tap);
        return ValueTask.CompletedTask;
    }

    public async Task RunAsync(IMessageSink sink, CancellationToken stop)
    {
        var line = _line!;
        await using var stopped = stop.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _changed);
        line.SetSource(this);
        try
        {
            if (_config.Poll.Count > 0) await new SerialPoller(_channelId, _config, this, line, _changed, _counters, _context).RunAsync(sink, stop);
            else await ReceiveAsync(line, sink, stop);
        }
        catch (OperationCanceledException)
        {
            // The channel gave up: what could not be appended was never accepted.
        }
        finally
        {
            line.SetSource(null);
        }
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

    /// <summary>One port after the other, as the device comes and goes.</summary>
    private async Task ReceiveAsync(SerialLine line, IMessageSink sink, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            if (line.IsOpen)
            {
                using var receiver = new SerialReceiver(this, line, sink, _config, _ack, _counters, _context, _changed);
                await receiver.RunAsync(StopBytesMax, stop);
            }
            else
            {
                await _changed.WaitAsync();
            }
        }
    }
}

/// <summary>What a serial source counts; line errors come from the line.</summary>
internal sealed class SerialSourceCounters
{
    public EventCounter Partial { get; } = new("partial");

    public EventCounter Oversize { get; } = new("oversize");

    public EventCounter NoiseBytes { get; } = new("noise_bytes");

    public EventCounter DamagedMessages { get; } = new("damaged_messages");

    public EventCounter Acks { get; } = new("acks");

    public EventCounter Naks { get; } = new("naks");

    public EventCounter Polls { get; } = new("polls");

    public EventCounter PollTimeouts { get; } = new("poll_timeouts");

    public EventCounter PollBadReplies { get; } = new("poll_bad_replies");

    public EventCounter PollUnrelated { get; } = new("poll_unrelated");

    public EventCounter PollLateBytes { get; } = new("poll_late_bytes");

    public IReadOnlyList<KeyValuePair<string, long>> Snapshot(SerialLine line, bool polls) =>
    [
        .. EventCounter.Snapshot(Partial, Oversize, NoiseBytes, DamagedMessages, Acks, Naks),
        .. polls ? EventCounter.Snapshot(Polls, PollTimeouts, PollBadReplies, PollUnrelated, PollLateBytes) : [],
        .. LineErrors(line),
    ];

    /// <summary>What the driver does not count is left out.</summary>
    public static IEnumerable<KeyValuePair<string, long>> LineErrors(SerialLine line)
    {
        var errors = line.Errors;
        KeyValuePair<string, long>[] all =
        [
            new("openings", line.Openings), new("parity_errors", errors.Parity), new("frame_errors", errors.Frame),
            new("breaks", errors.Break), new("overruns", errors.Overrun), new("buffer_overruns", errors.BufferOverrun),
        ];
        return all.Where(counter => counter.Value >= 0).Concat(line.DriverLateness);
    }
}
