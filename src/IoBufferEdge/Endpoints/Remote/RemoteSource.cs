using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// <c>remote_icombuffer</c> as a source: other instances, and whoever speaks their protocol, send to <c>http.listen</c>. This is the channel's
/// side of it: while it runs, whoever listens finds its intake in the hub. Exactly once: what is answered with 2xx is durable, with its mark.
/// </summary>
public sealed class RemoteSource : ISource
{
    private readonly string _channelId;
    private readonly EndpointContext _context;
    private readonly RemoteIntake _intake;
    private volatile EndpointState _state = EndpointState.Closed;

    public RemoteSource(ChannelConfig channel, EndpointContext context)
    {
        (_channelId, _context) = (channel.Id, context);
        _intake = new RemoteIntake(channel.Source.Instance, context.Time)
        {
            Auth = channel.Source.Auth,
            MaxMessageBytes = channel.Source.MaxMessageBytes,
            MaxBatchBytes = channel.Source.MaxMessageBytes + RemoteBatch.OrdinaryBytesMax,
        };
    }

    public EndpointStatus Status
    {
        get
        {
            var seen = _intake.SeenLately;
            var detail = seen.Count switch
            {
                0 => _intake.LastRefusal,
                <= 3 => string.Join(", ", seen),
                _ => $"{seen.Count} instances",
            };
            var state = _state == EndpointState.Waiting && seen.Count > 0 ? EndpointState.Connected : _state;
            return new EndpointStatus(state, detail, seen.Count, _intake.Counters);
        }
    }

    public ValueTask OpenAsync()
    {
        if (_context.Hub is not { } hub)
        {
            throw new EndpointException(
                $"http.listen is not configured: other instances reach the source of channel {_channelId} there. Set it to an address and a port.");
        }

        hub.Open(_channelId, _intake);
        _state = EndpointState.Waiting;
        Log.SourceListening(_context.Log, _channelId, $"http.listen, as channel {_channelId}");
        return ValueTask.CompletedTask;
    }

    public async Task RunAsync(IMessageSink sink, CancellationToken stop)
    {
        try
        {
            await _intake.ServeAsync(sink, stop);
        }
        finally
        {
            _state = EndpointState.Closed;
        }
    }

    public ValueTask DisposeAsync()
    {
        _context.Hub?.Close(_channelId, _intake);
        return ValueTask.CompletedTask;
    }
}
