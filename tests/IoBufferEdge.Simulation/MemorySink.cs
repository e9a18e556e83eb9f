using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <summary>
/// A sink for tests of sources: keeps what it is handed, has as much room as the test gives it, and secures when the test says so. What
/// comes from other instances it keeps with its marks, and is strict: a message that does not follow them is the caller's mistake.
/// Every change wakes <see cref="UntilAsync"/>.
/// </summary>
public sealed class MemorySink(TimeProvider time) : IMessageSink
{
    private readonly Lock _lock = new();
    private const int KeysKept = 1024;

    private readonly List<SinkMessage> _messages = [];
    private readonly Dictionary<string, SenderMarks> _marks = new(StringComparer.Ordinal);
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
        while (NextChange(condition) is { } change) await EndOf(change).WaitAsync(TimeSpan.FromSeconds(20), time);
    }

    public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence) => TryAppendRemote(payload, flags, default, out sequence);

    public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence)
    {
        var bytes = payload.ToArray();
        lock (_lock)
        {
            sequence = 0;
            if (_takenBytes + bytes.Length > _roomBytes) return false;
            if (Discards(bytes))
            {
                Note(stamp);
                return true;
            }

            _takenBytes += bytes.Length;
            _messages.Add(new SinkMessage(bytes, flags) { Stamp = stamp });
            sequence = _messages.Count;
            Note(stamp);
            if (SecuresAtOnce) _secured = sequence;
            return true;
        }
    }

    public HeldMarks HeldFrom(string sender)
    {
        lock (_lock) return _marks.TryGetValue(sender, out var marks) ? new HeldMarks([.. marks.Lives], marks.SecuredBy) : HeldMarks.None;
    }

    public long? FindKey(UInt128 key)
    {
        lock (_lock)
        {
            for (int i = _messages.Count - 1, keys = 0; i >= 0 && keys < KeysKept; i--)
            {
                if (_messages[i].Stamp.Key == key) return i + 1;
                if (_messages[i].Stamp.Key != 0) keys++;
            }

            return null;
        }
    }

    /// <summary>A power cut: what is not secured is gone, with its marks; who waits fails.</summary>
    public MemorySink AfterPowerCut()
    {
        var survivor = new MemorySink(time) { SecuresAtOnce = SecuresAtOnce, Discards = Discards };
        lock (_lock)
        {
            foreach (var message in _messages.Take((int)_secured))
            {
                survivor._messages.Add(message);
                survivor.Note(message.Stamp);
            }

            survivor._secured = _secured;
        }

        GiveUp();
        return survivor;
    }

    private void Note(in RemoteStamp stamp)
    {
        if (stamp.Sender is null) return;
        if (!_marks.TryGetValue(stamp.Sender, out var marks)) _marks[stamp.Sender] = marks = new SenderMarks();
        marks.SecuredBy = _messages.Count;
        var (life, sequence) = (stamp.Identity.Life, stamp.Identity.Sequence);
        var index = marks.Lives.FindIndex(mark => mark.Life == life);
        if (index < 0)
        {
            marks.Lives.Add(new LifeMark(life, sequence, Math.Max(sequence, stamp.Claimed)));
            if (marks.Lives.Count > HeldMarks.LivesKept) marks.Lives.RemoveAt(0);
            return;
        }

        var mark = marks.Lives[index];
        if (index < marks.Lives.Count - 1 || sequence <= mark.Sequence)
            throw new InvalidOperationException($"{stamp.Sender} {stamp.Identity} does not follow {string.Join(", ", marks.Lives)}.");
        marks.Lives[index] = new LifeMark(life, sequence, Math.Max(Math.Max(sequence, stamp.Claimed), mark.Claimed));
    }

    public void Publish() => Change(() => Publishes++);

    public async ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel)
    {
        Change(() => WaitingForRoom++);
        try
        {
            while (NextChange(sink => sink._takenBytes + payloadBytes <= sink._roomBytes) is { } change) await EndOf(change).WaitAsync(cancel);
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
            while (NextChange(sink => sink._secured >= sequence) is { } change) await EndOf(change).WaitAsync(cancel);
        }
        finally
        {
            Change(() => WaitingForSecured--);
        }
    }

    /// <summary>WaitAsync alone would go on in the thread pool, outside the simulated scheduler.</summary>
    private static async Task EndOf(Task change) => await change;

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

    private sealed class SenderMarks
    {
        public List<LifeMark> Lives { get; } = [];

        public long SecuredBy { get; set; }
    }
}

/// <param name="Payload">The bytes as appended.</param>
/// <param name="Flags">Partial, split.</param>
public sealed record SinkMessage(byte[] Payload, MessageFlags Flags)
{
    /// <summary>What came with it from another instance.</summary>
    public RemoteStamp Stamp { get; init; }

    public string Text => System.Text.Encoding.Latin1.GetString(Payload);
}
