using System.Runtime.CompilerServices;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>What the connections of one source count together.</summary>
internal sealed class TcpSourceCounters
{
    public EventCounter Connections { get; } = new("connections");

    public EventCounter RefusedClients { get; } = new("refused_clients");

    public EventCounter RefusedAddresses { get; } = new("refused_addresses");

    public EventCounter FailedHandshakes { get; } = new("failed_handshakes");

    public EventCounter Partial { get; } = new("partial");

    public EventCounter Oversize { get; } = new("oversize");

    public EventCounter NoiseBytes { get; } = new("noise_bytes");

    public EventCounter Acks { get; } = new("acks");

    public EventCounter Naks { get; } = new("naks");

    public IReadOnlyList<KeyValuePair<string, long>> Snapshot() => EventCounter.Snapshot(
        Connections, RefusedClients, RefusedAddresses, FailedHandshakes, Partial, Oversize, NoiseBytes, Acks, Naks);
}

/// <summary>
/// Receives from one connection until the peer's end or the channel's stop. Where the sink has no room it stops reading, so that the
/// TCP window closes: nothing is dropped, and the connection stays. A connection closes in order (FIN) only when everything that was
/// read from it is appended and acknowledged; otherwise it is reset, so that the sender knows.
/// </summary>
internal sealed class TcpReceiver : IDisposable
{
    private readonly IConnection _connection;
    private readonly IMessageSink _sink;
    private readonly SourceConfig _config;
    private readonly TcpSourceCounters _counters;
    private readonly FrameDecoder _decoder;
    private readonly ReceiveBuffer _buffer;
    private readonly SourceAck? _ack;
    private readonly AckSender? _acks;
    private readonly EndTap? _tap;

    /// <summary>The answer to the frame whose pieces are coming in, made from its first piece.</summary>
    private byte[]? _ackOfPieces;

    public TcpReceiver(
        IConnection connection, IMessageSink sink, SourceConfig config, SourceAck? ack, TcpSourceCounters counters, EndpointContext context)
    {
        (_connection, _sink, _config, _ack, _counters, _tap) = (connection, sink, config, ack, counters, context.Tap);
        _decoder = FrameDecoder.Create(config.EffectiveFraming, config.MaxMessageBytes, config.OnOversize);
        _buffer = new ReceiveBuffer(context.Memory, _decoder.BufferBytesNeeded);
        _acks = ack is null ? null : new AckSender(connection, sink, context.Time, _tap);
    }

    /// <summary>Anything came.</summary>
    public bool HasReceived { get; private set; }

    /// <summary>All that came is appended and answered: our own side may be shut in order.</summary>
    public bool EndedInOrder { get; private set; }

    /// <summary>Completes with the reason for the end, in the operator's words.</summary>
    /// <exception cref="OperationCanceledException">The channel gave up.</exception>
    public async Task<string> RunAsync(CancellationToken stop)
    {
        var acknowledging = _acks?.RunAsync() ?? Task.CompletedTask;
        try
        {
            var reason = await ReceiveAsync(stop);
            if (_acks is not null) await _acks.CompleteAsync(acknowledging);
            EndedInOrder = true;
            return reason;
        }
        catch (Exception e)
        {
            _connection.AbortOnDispose();
            _acks?.Cancel();
            await acknowledging.QuietlyAsync();
            if (e is IOException or OversizeException) return e.Message;
            throw;
        }
    }

    public void Dispose()
    {
        _buffer.Dispose();
        _acks?.Dispose();
    }

    /// <summary>Reads and appends until the stream ends; when told to stop, until what the kernel holds at that moment is appended.</summary>
    private async ValueTask<string> ReceiveAsync(CancellationToken stop)
    {
        try
        {
            while (await ReadAsync(stop) is var read and > 0)
            {
                HasReceived = true;
                Filled(read);
                await AppendFramesAsync(endOfInput: false, stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await ReadOutAsync(stop);
            await AppendFramesAsync(endOfInput: true, stop);
            return "the channel stops";
        }
        catch (IOException)
        {
            await AppendFramesAsync(endOfInput: true, stop);
            throw;
        }

        await AppendFramesAsync(endOfInput: true, stop);
        return _connection is TlsConnection { EndedWithoutCloseNotify: true }
            ? "the peer has closed it without TLS close_notify"
            : "the peer has closed it";
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReadAsync(CancellationToken stop)
    {
        await _buffer.MakeRoomAsync(stop);
        return await _connection.ReceiveAsync(_buffer.Free, stop);
    }

    /// <summary>A peer that goes on sending must not keep us: what the kernel held is at most its receive buffer, twice what was asked for.</summary>
    private async ValueTask ReadOutAsync(CancellationToken stop)
    {
        var left = 2L * Math.Max(_config.RecvBufferBytes, MemoryBudget.SlabBytes);
        while (left > 0)
        {
            await _buffer.MakeRoomAsync(stop);
            var read = _connection.ReceiveNow(_buffer.Free.Span);
            if (read <= 0) return;
            left -= read;
            Filled(read);
            await AppendFramesAsync(endOfInput: false, stop);
        }
    }

    private void Filled(int count)
    {
        _tap?.Received(_buffer.Free.Span[..count], _connection.Remote);
        _buffer.Filled(count);
    }

    private async ValueTask AppendFramesAsync(bool endOfInput, CancellationToken stop)
    {
        while (true)
        {
            var frame = _decoder.Next(_buffer.Bytes, endOfInput);
            if (frame.Status == FrameStatus.NeedMore)
            {
                _counters.NoiseBytes.Add(frame.Consumed);
                _buffer.Consume(frame.Consumed);
                break;
            }

            if (frame.Status == FrameStatus.Oversize) await RefuseAsync(stop);
            else await AppendAsync(frame, stop);
            _buffer.Consume(frame.Consumed);
        }

        Publish();
    }

    private async ValueTask AppendAsync(FrameResult frame, CancellationToken stop)
    {
        long sequence;
        while (!_sink.TryAppend(_buffer.Bytes.Slice(frame.Start, frame.Length), frame.Flags, out sequence))
        {
            Publish();
            await _sink.WaitForRoomAsync(frame.Length, CancellationToken.None);
        }

        if ((frame.Flags & MessageFlags.Partial) != MessageFlags.None) _counters.Partial.Add();
        else if (_ack is not null) await AcknowledgeFrameAsync(_ack, frame, sequence, stop);
    }

    /// <summary>A frame that was cut is answered once, when its last piece is secured.</summary>
    private async ValueTask AcknowledgeFrameAsync(SourceAck ack, FrameResult frame, long sequence, CancellationToken stop)
    {
        var answer = _ackOfPieces ?? ack.For(_buffer.Bytes.Slice(frame.Start, frame.Length));
        _ackOfPieces = frame.MoreFollows ? answer : null;
        if (!frame.MoreFollows) await AcknowledgeAsync(sequence, answer, _counters.Acks, stop);
    }

    /// <summary>A frame longer than allowed was dropped: the sender is told, by its nak or by the end of the connection.</summary>
    private async ValueTask RefuseAsync(CancellationToken stop)
    {
        _counters.Oversize.Add();
        if (_ack?.Nak is not { } nak)
            throw new OversizeException($"a message was longer than max_message_bytes ({_config.MaxMessageBytes})");
        await AcknowledgeAsync(0, nak, _counters.Naks, stop);
    }

    private async ValueTask AcknowledgeAsync(long sequence, byte[] bytes, EventCounter counter, CancellationToken stop)
    {
        while (!_acks!.TryAdd(sequence, bytes))
        {
            Publish();
            await _acks.WaitForRoomAsync(stop);
        }

        counter.Add();
    }

    private void Publish()
    {
        _sink.Publish();
        _acks?.Flush();
    }

    private sealed class OversizeException(string message) : Exception(message);
}
