using IoBufferEdge.Interop;

namespace IoBufferEdge.Daemon;

/// <summary>
/// The memory that bodies of requests lie in, outside the garbage collector's heap and bounded in all: who finds no room waits for some time. A channel
/// gets half of it at most, so that slow clients of one leave room to the others; a channel that holds none, and a body that is alone, may be larger.
/// Room is given in the order in which it was asked for. Thread-safe.
/// </summary>
internal sealed class BodyMemory(long totalBytes, TimeSpan patience, TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<Turn> _turns = new();
    private readonly Dictionary<string, long> _usedByChannel = new(StringComparer.Ordinal);
    private long _usedBytes;

    public long UsedBytes => Interlocked.Read(ref _usedBytes);

    /// <summary>Null: no room came free in time.</summary>
    public async ValueTask<RequestBody?> TakeAsync(string channelId, int capacityBytes, CancellationToken cancel)
    {
        var turn = new Turn(channelId, capacityBytes);
        lock (_lock)
        {
            _turns.AddLast(turn);
            Admit();
        }

        if (!turn.Task.IsCompleted && !await IsAdmittedAsync(turn, cancel)) return null;
        return new RequestBody(this, channelId, capacityBytes);
    }

    internal void GiveBack(string channelId, long bytes)
    {
        lock (_lock)
        {
            Charge(channelId, -bytes);
            Admit();
        }
    }

    private async ValueTask<bool> IsAdmittedAsync(Turn turn, CancellationToken cancel)
    {
        try
        {
            await turn.Task.WaitAsync(patience, time, cancel);
            return true;
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            lock (_lock)
            {
                if (turn.Task.IsCompleted) return true;
                _turns.Remove(turn);
                Admit();
            }

            if (e is OperationCanceledException) throw;
            return false;
        }
    }

    /// <summary>Nobody overtakes who waits for memory; who waits for the rest of its own channel is overtaken.</summary>
    private void Admit()
    {
        var node = _turns.First;
        while (node is not null)
        {
            var (turn, next) = (node.Value, node.Next);
            var ofChannel = _usedByChannel.GetValueOrDefault(turn.ChannelId);
            if (ofChannel == 0 || ofChannel + turn.Bytes <= totalBytes / 2)
            {
                if (_usedBytes > 0 && _usedBytes + turn.Bytes > totalBytes) return;
                _turns.Remove(node);
                Charge(turn.ChannelId, turn.Bytes);
                turn.SetResult();
            }

            node = next;
        }
    }

    private void Charge(string channelId, long bytes)
    {
        Interlocked.Add(ref _usedBytes, bytes);
        var ofChannel = _usedByChannel.GetValueOrDefault(channelId) + bytes;
        if (ofChannel == 0) _usedByChannel.Remove(channelId);
        else _usedByChannel[channelId] = ofChannel;
    }

    private sealed class Turn(string channelId, int bytes) : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public string ChannelId { get; } = channelId;

        public int Bytes { get; } = bytes;
    }
}

/// <summary>A body's memory. Disposing gives it back: nobody may use it afterwards.</summary>
internal sealed class RequestBody : IDisposable
{
    private readonly BodyMemory _memory;
    private readonly string _channelId;
    private readonly NativeMemoryBlock _block;
    private int _chargedBytes;

    public RequestBody(BodyMemory memory, string channelId, int capacityBytes)
    {
        (_memory, _channelId, _chargedBytes) = (memory, channelId, capacityBytes);
        _block = new NativeMemoryBlock(Math.Max(1, capacityBytes));
        Memory = _block.Memory[..capacityBytes];
    }

    public Memory<byte> Memory { get; }

    /// <summary>No more than this is used from now on: pages that were never written to take no memory.</summary>
    public void Trim(int bytes)
    {
        _memory.GiveBack(_channelId, _chargedBytes - bytes);
        _chargedBytes = bytes;
    }

    public void Dispose()
    {
        ((IDisposable)_block).Dispose();
        _memory.GiveBack(_channelId, _chargedBytes);
    }
}
