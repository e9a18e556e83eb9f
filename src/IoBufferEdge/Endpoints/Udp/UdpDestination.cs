using System.Net;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Udp;

/// <summary>
/// <c>udp</c> as a destination: a message is a datagram, delivered when it was handed to the network. Best effort: only an ICMP error
/// that comes back on the connected socket tells that nobody listens; what was sent within the second before it goes out again.
/// </summary>
public sealed class UdpDestination : IDestination
{
    private readonly DestinationConfig _config;
    private readonly EndpointContext _context;
    private readonly FrameEncoder? _encoder;
    private readonly MessagePacer? _pacer;
    private readonly EventCounter _icmpErrors = new("socket_errors");
    private readonly EventCounter _oversize = new("oversize");
    private volatile EndpointStatus _status = EndpointStatus.Closed;

    public UdpDestination(ChannelConfig channel, EndpointContext context)
    {
        (_config, _context) = (channel.Destination, context);
        _encoder = FrameEncoder.Create(_config.Framing);
        _pacer = MessagePacer.Create(_config.MaxMessagesPerS, context.Time);
    }

    public EndpointStatus Status => _status with { Counters = EventCounter.Snapshot(_icmpErrors, _oversize) };

    public ValueTask OpenAsync()
    {
        _status = new EndpointStatus(EndpointState.Waiting, null, 0, []);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<IDestinationLink> ConnectAsync(CancellationToken cancel)
    {
        try
        {
            var socket = await _context.Network.OpenDatagramAsync(
                _config.Bind, 0, new DnsEndPoint(_config.Host!, _config.Port), receiveBufferBytes: 0, cancel);
            _status = new EndpointStatus(EndpointState.Connected, $"{_config.Host}:{_config.Port}", 0, []);
            var peer = $"{_config.Host}:{_config.Port}";
            return new UdpDestinationLink(socket, peer, _encoder, _pacer, _context, _icmpErrors, _oversize);
        }
        catch (EndpointException e)
        {
            _status = new EndpointStatus(EndpointState.Waiting, e.Message, 0, []);
            throw;
        }
    }

    /// <summary>A datagram's receiver gives no sign: waits for the cancellation.</summary>
    public async ValueTask WaitForPeerSignAsync(CancellationToken cancel) => await Task.Delay(Timeout.InfiniteTimeSpan, _context.Time, cancel);

    public ValueTask DisposeAsync()
    {
        _status = EndpointStatus.Closed;
        return ValueTask.CompletedTask;
    }
}

/// <summary>One connected datagram socket, until an error comes back on it. One message at a time: one too long for a datagram is refused
/// here, before anything behind it goes out (rule 8).</summary>
internal sealed class UdpDestinationLink(
    IDatagramSocket socket, string peer, FrameEncoder? encoder, MessagePacer? pacer, EndpointContext context, EventCounter icmpErrors,
    EventCounter oversize)
    : IDestinationLink
{
    private readonly RecentSends _recent = new(TimeSpan.FromSeconds(1), context.Time);
    private readonly Lock _lock = new();
    private Task _watching = Task.CompletedTask;
    private IDeliverySink? _sink;
    private LinkEnd? _end;
    private byte[] _scratch = [];

    public int MaxInFlightMessages => 1;

    public async ValueTask SendAsync(DeliveryRun run, CancellationToken cancel)
    {
        if (_sink is null) throw new InvalidOperationException("WatchAsync starts before the first SendAsync.");
        for (var i = 0; i < run.Count; i++)
        {
            if (pacer is not null) await pacer.TakeAsync(1, cancel);
            var sequence = run.FirstSequence + i;
            var datagram = Framed(run.Message(i));
            if (datagram.Length > ChannelRules.DatagramMaxBytes)
            {
                oversize.Add();
                _sink.Rejected(
                    sequence, permanent: true, $"{datagram.Length} bytes do not fit a datagram: at most {ChannelRules.DatagramMaxBytes} do.");
                return;
            }

            await SendAsync(datagram, sequence, cancel);
            _sink.Confirmed(sequence);
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
        socket.Dispose();
        await _watching;
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> datagram, long sequence, CancellationToken cancel)
    {
        lock (_lock) _recent.Add(sequence);
        try
        {
            await socket.SendAsync(datagram, cancel);
            context.Tap?.Sent(datagram.Span, peer);
        }
        catch (IOException e)
        {
            EndByError(e.Message);
            throw;
        }
    }

    /// <summary>Reads what comes back, an error above all.</summary>
    private async Task<LinkEnd> WatchToTheEndAsync(CancellationToken cancel)
    {
        var buffer = new byte[2048];
        try
        {
            while (true)
            {
                var answer = await socket.ReceiveAsync(buffer, cancel);
                context.Tap?.Received(buffer.AsSpan(0, answer.Length), peer);
            }
        }
        catch (OperationCanceledException)
        {
            return new LinkEnd(Orderly: true, "Stopped.");
        }
        catch (ObjectDisposedException)
        {
            lock (_lock) return _end ?? new LinkEnd(Orderly: true, "Closed by us.");
        }
        catch (IOException e)
        {
            return EndByError(e.Message);
        }
    }

    private LinkEnd EndByError(string reason)
    {
        lock (_lock)
        {
            if (_end is null) icmpErrors.Add();
            _end ??= new LinkEnd(Orderly: false, reason, _recent.First());
            return _end.Value;
        }
    }

    private ReadOnlyMemory<byte> Framed(ReadOnlyMemory<byte> message)
    {
        if (encoder is null) return message;
        var needed = message.Length + encoder.OverheadBytes;
        if (_scratch.Length < needed) _scratch = new byte[needed];
        return _scratch.AsMemory(0, encoder.Encode(message.Span, _scratch));
    }
}

/// <summary>Where a period of time before now began in the sequence: marks a thirty-second of the period apart. Not thread-safe.</summary>
internal sealed class RecentSends
{
    private const int MarksMax = 64;
    private readonly TimeProvider _time;
    private readonly long _periodTicks;
    private readonly (long At, long Sequence)[] _marks = new (long, long)[MarksMax];
    private int _head;
    private int _count;

    public RecentSends(TimeSpan period, TimeProvider time)
    {
        _time = time;
        _periodTicks = (long)(period.TotalSeconds * time.TimestampFrequency);
    }

    public void Add(long sequence)
    {
        var now = _time.GetTimestamp();
        if (_count > 0 && now - _marks[(_head + _count - 1) % MarksMax].At <= _periodTicks / 32) return;
        if (_count == MarksMax) Forget();
        _marks[(_head + _count++) % MarksMax] = (now, sequence);
    }

    /// <summary>A number not above the first that was sent within the period; long.MaxValue where none was.</summary>
    public long First()
    {
        var from = _time.GetTimestamp() - _periodTicks - _periodTicks / 32;
        while (_count > 0 && _marks[_head].At < from) Forget();
        return _count > 0 ? _marks[_head].Sequence : long.MaxValue;
    }

    private void Forget()
    {
        _head = (_head + 1) % MarksMax;
        _count--;
    }
}
