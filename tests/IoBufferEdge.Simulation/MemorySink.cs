using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <summary>
/// A sink for tests of sources: keeps what it is handed, has as much room as the test gives it, and secures when the test says so.
/// Every change wakes <see cref="UntilAsync"/>.
/// </summary>
public sealed class MemorySink(TimeProvider time) : IMessageSink
{
    private readonly Lock _lock = new();
    private readonly List<SinkMessage> _messages = [];
    private TaskCompletionSource _changed = NewSignal();
    private long _roomBytes = long.MaxValue;
    private long _takenBytes;
    private long _secured;
    private bool _gaveUp;

    /// <summary>Secured as soon as appended; false: <see cref="Secure"/> does it.</summary>
    public bool SecuresAtOnce { get; init; } = true;

    /// <summary>True: the message is discarded by policy.</summary>
    public Func<byte[], bool> Discards { get; init; } = static _ => false;

    /// <summary>How many wait for room, and for securing.</summary>
    public int WaitingForRoom { get; private set; }

    public int WaitingForSecured { get; private set; }

    public int Publishes { get; private set; }

    public long SecuredSequence
    {
        get
        {
            lock (_lock) return _secured;
        }
    }

    public IReadOnlyList<SinkMessage> Messages
    {
        get
        {
            lock (_lock) return [.. _messages];
        }
    }

    /// <summary>Payload bytes that may be taken in all from now on.</summary>
    public void SetRoom(long bytes) => Change(() => _roomBytes = bytes == long.MaxValue ? bytes : _takenBytes + bytes);

    public void Secure(long upTo) => Change(() => _secured = Math.Max(_secured, upTo));

    /// <summary>Every wait fails from now on.</summary>
    public void GiveUp() => Change(() => _gaveUp = true);

    /// <summary>Completes when <paramref name="condition"/> holds: looked at whenever the sink changes.</summary>
    /// <exception cref="TimeoutException">It did not within 20 s.</exception>
    public async Task UntilAsync(Func<MemorySink, bool> condition)
    {
        while (NextChange(condition) is { } change) await change.WaitAsync(TimeSpan.FromSeconds(20), time);
    }

    public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence) => throw new NotSupportedException();

    public HeldMarks HeldFrom(string sender) => throw new NotSupportedException();

    public long? FindKey(UInt128 key) => throw new NotSupportedException();

    public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence)
    {
        var bytes = payload.ToArray();
        lock (_lock)
        {
            sequence = 0;
            if (_takenBytes + bytes.Length > _roomBytes) return false;
            if (Discards(bytes)) return true;
            _takenBytes += bytes.Length;
            _messages.Add(new SinkMessage(bytes, flags));
            sequence = _messages.Count;
            if (SecuresAtOnce) _secured = sequence;
            return true;
        }
    }

    public void Publish() => Change(() => Publishes++);

    public async ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel)
    {
        Change(() => WaitingForRoom++);
        try
        {
            while (NextChange(sink => sink._takenBytes + payloadBytes <= sink._roomBytes) is { } change) await change.WaitAsync(cancel);
        }
        finally
        {
            Change(() => WaitingForRoom--);
        }
    }

    public async ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel)
    {
        Change(() => WaitingForSecured++);
        try
        {
            while (NextChange(sink => sink._secured >= sequence) is { } change) await change.WaitAsync(cancel);
        }
        finally
        {
            Change(() => WaitingForSecured--);
        }
    }

    private Task? NextChange(Func<MemorySink, bool> condition)
    {
        lock (_lock)
        {
            if (condition(this)) return null;
            return _gaveUp ? Task.FromCanceled(new CancellationToken(canceled: true)) : _changed.Task;
        }
    }

    private void Change(Action change)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            change();
            (changed, _changed) = (_changed, NewSignal());
        }

        changed.SetResult();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <param name="Payload">The bytes as appended.</param>
/// <param name="Flags">Partial, split.</param>
public sealed record SinkMessage(byte[] Payload, MessageFlags Flags)
{
    public string Text => System.Text.Encoding.Latin1.GetString(Payload);
}
