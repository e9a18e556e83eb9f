using System.Text;
using IoBufferEdge.Buffers;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>The intake's life, its senders, and what it counts.</summary>
public sealed partial class RemoteIntake
{
    /// <summary>A sender that was heard of within this time counts as connected.</summary>
    internal static readonly TimeSpan SeenWithin = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, RemoteSender> _senders = new(StringComparer.Ordinal);
    private readonly Dictionary<string, RemoteSender>.AlternateLookup<ReadOnlySpan<char>> _sendersBySpan;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly EventCounter _batches = new("batches");
    private readonly EventCounter _messages = new("messages");
    private readonly EventCounter _repeated = new("repeated");
    private readonly EventCounter _posts = new("posts");
    private readonly EventCounter _repeatedPosts = new("repeated_posts");
    private readonly EventCounter _waited = new("waited");
    private readonly EventCounter _noRoom = new("no_room");
    private readonly EventCounter _refusedAfter = new("refused_after");
    private readonly EventCounter _refusedClosed = new("refused_closed");
    private readonly EventCounter _refusedInvalid = new("refused_invalid");
    private readonly EventCounter _refusedLoops = new("refused_loops");
    private readonly EventCounter _refusedOversize = new("refused_oversize");
    private readonly EventCounter _refusedSenders = new("refused_senders");
    private IMessageSink? _sink;
    private int _underWay;

    /// <summary>What was refused last that somebody must put right: one sentence, or null.</summary>
    internal string? LastRefusal { get; private set; }

    internal IReadOnlyList<KeyValuePair<string, long>> Counters => EventCounter.Snapshot(
        _batches, _messages, _repeated, _posts, _repeatedPosts, _waited, _noRoom, _refusedAfter, _refusedClosed, _refusedInvalid, _refusedLoops,
        _refusedOversize, _refusedSenders);

    /// <summary>The senders that were heard of lately.</summary>
    internal List<string> SeenLately
    {
        get
        {
            lock (_lock) return [.. _senders.Values.Where(sender => _time.GetElapsedTime(sender.SeenAt) <= SeenWithin).Select(sender => sender.Name)];
        }
    }

    /// <summary>
    /// Takes what comes until <paramref name="stop"/>, then answers what is under way and returns. What waits for room or for a predecessor is
    /// refused at once; what waits until it is secured goes on waiting, as long as the sink lets it. Once in its life.
    /// </summary>
    internal async Task ServeAsync(IMessageSink sink, CancellationToken stop)
    {
        lock (_lock) _sink = sink;
        await Task.Delay(Timeout.InfiniteTimeSpan, _time, stop).QuietlyAsync();
        lock (_lock)
        {
            _sink = null;
            if (_underWay == 0) _idle.TrySetResult();
        }

        _stopping.Cancel();
        await _idle.Task;
    }

    private IMessageSink? Enter()
    {
        lock (_lock)
        {
            if (_sink is not null) _underWay++;
            return _sink;
        }
    }

    private void Leave()
    {
        lock (_lock)
        {
            if (--_underWay == 0 && _sink is null) _idle.TrySetResult();
        }
    }

    /// <summary>Null: messages of as many others as can be told apart are held.</summary>
    private RemoteSender? EnterSender(RemoteBatch batch, IMessageSink sink)
    {
        Span<char> name = stackalloc char[RemoteName.NameBytesMax];
        return EnterSender(name[..Encoding.ASCII.GetChars(batch.Sender, name)], sink);
    }

    private RemoteSender? EnterSender(ReadOnlySpan<char> name, IMessageSink sink)
    {
        lock (_lock)
        {
            if (!_sendersBySpan.TryGetValue(name, out var sender))
            {
                if (_senders.Count == SendersMax && !ForgetOne(sink)) return null;
                sender = new RemoteSender(name.ToString());
                _senders.Add(sender.Name, sender);
            }

            sender.UnderWay++;
            sender.SeenAt = _time.GetTimestamp();
            return sender;
        }
    }

    private void LeaveSender(RemoteSender sender)
    {
        lock (_lock) sender.UnderWay--;
    }

    /// <summary>Makes place for a sender: one that asked, and never sent anything, need not be known.</summary>
    private bool ForgetOne(IMessageSink sink)
    {
        foreach (var (name, sender) in _senders)
            if (sender.UnderWay == 0 && sink.HeldFrom(name).Lives.Count == 0) return _senders.Remove(name);
        return false;
    }

    private RemoteReply Refuse(EventCounter counter, int status, string code, string error, HeldMarks? held = null, long refused = 0)
    {
        counter.Add();
        if (status is 403 or 508) LastRefusal = error;
        return new RemoteReply(status) { Receiver = _instance, Code = code, Error = error, Marks = held?.Lives ?? [], Refused = refused };
    }

    private RemoteReply NoRoom()
    {
        _noRoom.Add();
        return new RemoteReply(503) { Receiver = _instance, Code = "no_room", Error = $"{_instance} has no room now.", RetryAfter = RetryAfter };
    }

    private RemoteReply Stopping() =>
        new(503) { Receiver = _instance, Code = "stopping", Error = $"{_instance} is not running now.", RetryAfter = RetryAfter };
}
