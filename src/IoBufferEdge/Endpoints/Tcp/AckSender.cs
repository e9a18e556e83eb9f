namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// Sends a connection's acknowledgements: in order, each only when its message is secured, as many at once as are. They wait in a
/// ring of fixed size; who finds it full waits, and so stops reading. A message that policy discarded is answered in its turn.
/// </summary>
internal sealed class AckSender : IDisposable
{
    private const int RingBytes = 16 * 1024;
    private const int EntriesMax = 1024;
    private const string PeerDoesNotRead = "the peer does not read its acknowledgements";
    private static readonly TimeSpan StallLimit = TimeSpan.FromSeconds(3);

    private readonly Lock _lock = new();
    private readonly IConnection _connection;
    private readonly IMessageSink _sink;
    private readonly TimeProvider _time;
    private readonly EndTap? _tap;
    private readonly AsyncSignal _added;
    private readonly AsyncSignal _sent;
    private readonly CancellationTokenSource _cancel = new();
    private readonly Queue<(long Sequence, int Bytes)> _entries = new();
    private readonly byte[] _ring = new byte[RingBytes];
    private readonly byte[] _batch = new byte[RingBytes];
    private int _head;
    private int _used;
    private bool _completed;
    private long _bytesSent;
    private volatile bool _sending;
    private volatile Exception? _failure;

    public AckSender(IConnection connection, IMessageSink sink, TimeProvider time, EndTap? tap)
    {
        (_connection, _sink, _time, _tap) = (connection, sink, time, tap);
        (_added, _sent) = (new AsyncSignal(time), new AsyncSignal(time));
    }

    /// <summary>False when there is no room: <see cref="WaitForRoomAsync"/>, then offer again.</summary>
    /// <param name="sequence">The message to be secured first; 0: nothing to wait for.</param>
    public bool TryAdd(long sequence, ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            if (_entries.Count == EntriesMax || _used + bytes.Length > RingBytes) return false;
            var at = (_head + _used) % RingBytes;
            var first = Math.Min(bytes.Length, RingBytes - at);
            bytes[..first].CopyTo(_ring.AsSpan(at));
            bytes[first..].CopyTo(_ring);
            _used += bytes.Length;
            _entries.Enqueue((sequence, bytes.Length));
            return true;
        }
    }

    /// <summary>Makes what was added known to the sending loop. Once per read, and before waiting.</summary>
    public void Flush() => _added.Set();

    /// <summary>
    /// Completes when some have been sent. A peer that stops reading its acknowledgements holds up itself only; after
    /// <paramref name="stop"/> it is given up when it has taken none for 3 s.
    /// </summary>
    /// <exception cref="IOException">The connection is broken, or given up.</exception>
    /// <exception cref="OperationCanceledException">The channel gave up.</exception>
    public async ValueTask WaitForRoomAsync(CancellationToken stop)
    {
        var before = -1L;
        while (_failure is null)
        {
            if (await _sent.WaitAsync(StallLimit)) break;
            if (stop.IsCancellationRequested && IsStalledSince(before)) throw new IOException(PeerDoesNotRead);
            before = Interlocked.Read(ref _bytesSent);
        }

        if (_failure is { } failure) throw failure is IOException ? new IOException(failure.Message, failure) : failure;
    }

    /// <summary>Runs until <see cref="CompleteAsync"/> and the last one is sent.</summary>
    /// <exception cref="IOException">The connection is broken.</exception>
    /// <exception cref="OperationCanceledException">The channel gave up, or <see cref="Cancel"/>.</exception>
    public async Task RunAsync()
    {
        try
        {
            while (await WaitForFirstAsync() is { } first)
            {
                if (first > 0 && _sink.SecuredSequence < first) await _sink.WaitSecuredAsync(first, _cancel.Token);
                await SendAsync(TakeSecured(_sink.SecuredSequence));
                _sent.Set();
            }
        }
        catch (Exception e)
        {
            _failure = e;
            _sent.Set();
            throw;
        }
    }

    /// <summary>
    /// No more will be added: waits until <paramref name="running"/>, the task of <see cref="RunAsync"/>, has sent all. The securing of
    /// messages takes as long as it takes; a peer that takes none of its acknowledgements for 3 s is given up.
    /// </summary>
    /// <exception cref="IOException">The connection is broken, or given up.</exception>
    /// <exception cref="OperationCanceledException">The channel gave up.</exception>
    public async Task CompleteAsync(Task running)
    {
        lock (_lock) _completed = true;
        _added.Set();
        var before = -1L;
        while (await Task.WhenAny(running, Task.Delay(StallLimit, _time)) != running)
        {
            if (IsStalledSince(before)) throw new IOException(PeerDoesNotRead);
            before = Interlocked.Read(ref _bytesSent);
        }

        await running;
    }

    /// <summary>The connection is broken: what waits is never sent.</summary>
    public void Cancel()
    {
        _cancel.Cancel();
        _added.Set();
    }

    public void Dispose()
    {
        _added.Dispose();
        _sent.Dispose();
        _cancel.Dispose();
    }

    /// <summary>The number that the first one waits for; null: all sent and no more to come.</summary>
    private async ValueTask<long?> WaitForFirstAsync()
    {
        while (true)
        {
            _cancel.Token.ThrowIfCancellationRequested();
            lock (_lock)
            {
                if (_entries.TryPeek(out var entry)) return entry.Sequence;
                if (_completed) return null;
            }

            await _added.WaitAsync();
        }
    }

    /// <summary>Moves the acknowledgements up to <paramref name="secured"/> from the ring into the batch.</summary>
    private ReadOnlyMemory<byte> TakeSecured(long secured)
    {
        lock (_lock)
        {
            var bytes = 0;
            while (_entries.TryPeek(out var entry) && entry.Sequence <= secured)
            {
                bytes += entry.Bytes;
                _entries.Dequeue();
            }

            var first = Math.Min(bytes, RingBytes - _head);
            _ring.AsSpan(_head, first).CopyTo(_batch);
            _ring.AsSpan(0, bytes - first).CopyTo(_batch.AsSpan(first));
            _head = (_head + bytes) % RingBytes;
            _used -= bytes;
            return _batch.AsMemory(0, bytes);
        }
    }

    private bool IsStalledSince(long bytesSent) => _sending && Interlocked.Read(ref _bytesSent) == bytesSent;

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        _sending = true;
        while (!bytes.IsEmpty)
        {
            var taken = await _connection.SendAsync(bytes, _cancel.Token);
            Interlocked.Add(ref _bytesSent, taken);
            _tap?.Sent(bytes.Span[..taken], _connection.Remote);
            bytes = bytes[taken..];
        }

        _sending = false;
    }
}
