using IoBufferEdge.Buffers;
using IoBufferEdge.Channels;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Udp;

/// <summary>
/// <c>udp</c> as a source: a datagram is a message, or several with a framing of its own. Best effort until it is read: where the sink
/// has no room nothing is read, the kernel's buffer fills, and what the kernel then drops is counted (<c>kernel_drops</c>, known with
/// the next datagram that gets through).
/// </summary>
public sealed class UdpSource : ISource
{
    private const int DatagramBytesMax = 65_535;
    private const int BatchDatagramsMax = 64;

    /// <summary>What the kernel charges a datagram beside its bytes, at least: bounds how many its buffer can hold.</summary>
    private const int DatagramOverheadBytes = 256;

    private readonly string _channelId;
    private readonly SourceConfig _config;
    private readonly EndpointContext _context;
    private readonly FrameDecoder _decoder;
    private readonly AllowList _allow;
    private readonly EventCounter _kernelDrops = new("kernel_drops");
    private readonly EventCounter _oversize = new("oversize");
    private readonly EventCounter _partial = new("partial");
    private readonly EventCounter _refusedAddresses = new("refused_addresses");
    private readonly EventCounter _socketErrors = new("socket_errors");
    private IDatagramSocket? _socket;
    private volatile EndpointState _state = EndpointState.Closed;
    private volatile string? _detail;

    /// <exception cref="EndpointException">A value of the configuration makes no sense.</exception>
    public UdpSource(ChannelConfig channel, EndpointContext context)
    {
        (_channelId, _config, _context) = (channel.Id, channel.Source, context);
        _decoder = EndpointFactory.CreateDecoder(channel.Id, _config);
        _allow = new AllowList(_config.Allow);
    }

    /// <summary>The port that is received on; 0 before <see cref="OpenAsync"/>.</summary>
    public int Port => _socket?.Port ?? 0;

    public EndpointStatus Status
    {
        get
        {
            _kernelDrops.Set(_socket?.KernelDrops ?? 0);
            return new EndpointStatus(
                _state, _detail, 0, EventCounter.Snapshot(_kernelDrops, _oversize, _partial, _refusedAddresses, _socketErrors));
        }
    }

    public async ValueTask OpenAsync()
    {
        _socket = await _context.Network.OpenDatagramAsync(
            _config.Bind ?? _config.Host, _config.Port, remote: null, _config.RecvBufferBytes, CancellationToken.None);
        _state = EndpointState.Waiting;
        Log.SourceListening(_context.Log, _channelId, $"udp {_config.Bind ?? _config.Host}:{_socket.Port}");
    }

    public async Task RunAsync(IMessageSink sink, CancellationToken stop)
    {
        var buffer = _context.Memory.Take(MemoryBudget.SlabBytes);
        using var backoff = new Backoff(new RetryConfig(), _context.Time, _context.Random);
        try
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    await ReceiveBatchAsync(buffer.Memory, sink, stop);
                    backoff.Reset();
                }
                catch (IOException e)
                {
                    await ReportAsync(e, backoff, stop);
                }
            }

            await ReadOutAsync(buffer.Memory, sink);
        }
        catch (OperationCanceledException)
        {
            // The channel gave up: what could not be appended is lost with the kernel's buffer, as UDP's best effort allows.
        }
        finally
        {
            _context.Memory.Return(buffer);
            _state = EndpointState.Closed;
        }
    }

    public ValueTask DisposeAsync()
    {
        _socket?.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>Waits for a datagram, takes those that have come with it, and publishes them together.</summary>
    private async ValueTask ReceiveBatchAsync(Memory<byte> buffer, IMessageSink sink, CancellationToken stop)
    {
        Datagram? datagram;
        try
        {
            datagram = await _socket!.ReceiveAsync(buffer, stop);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        for (var count = 0; datagram is { } received; datagram = _socket.ReceiveNow(buffer.Span))
        {
            await AppendAsync(buffer, received, sink);
            if (++count == BatchDatagramsMax) break;
        }

        sink.Publish();
    }

    /// <summary>At the stop: what the kernel holds, but not what a sender goes on to send.</summary>
    private async ValueTask ReadOutAsync(Memory<byte> buffer, IMessageSink sink)
    {
        var left = 2L * Math.Max(_config.RecvBufferBytes, DatagramBytesMax * 4);
        while (left > 0 && _socket!.ReceiveNow(buffer.Span) is { } datagram)
        {
            left -= datagram.Length + DatagramOverheadBytes;
            await AppendAsync(buffer, datagram, sink);
        }

        sink.Publish();
    }

    private async ValueTask AppendAsync(Memory<byte> buffer, Datagram datagram, IMessageSink sink)
    {
        if (!_allow.IsAllowed(datagram.Remote.Address))
        {
            _refusedAddresses.Add();
            return;
        }

        _state = EndpointState.Connected;
        _decoder.Reset();
        var bytes = buffer[..datagram.Length];
        _context.Tap?.Received(bytes.Span, datagram.Remote);
        while (true)
        {
            var frame = _decoder.Next(bytes.Span, endOfInput: true);
            if (frame.Status == FrameStatus.NeedMore) break;
            if (frame.Status == FrameStatus.Oversize)
            {
                _oversize.Add();
            }
            else
            {
                var payload = bytes.Slice(frame.Start, frame.Length);
                var flags = datagram.Truncated ? frame.Flags | MessageFlags.Partial : frame.Flags;
                if ((flags & MessageFlags.Partial) != MessageFlags.None) _partial.Add();
                while (!sink.TryAppend(payload.Span, flags, out _))
                {
                    sink.Publish();
                    await sink.WaitForRoomAsync(payload.Length, CancellationToken.None);
                }
            }

            bytes = bytes[frame.Consumed..];
        }
    }

    private async ValueTask ReportAsync(IOException e, Backoff backoff, CancellationToken stop)
    {
        _socketErrors.Add();
        if (_detail != e.Message) Log.SourceFailed(_context.Log, _channelId, e.Message);
        _detail = e.Message;
        await backoff.WaitAsync(stop).AsTask().QuietlyAsync();
    }
}
