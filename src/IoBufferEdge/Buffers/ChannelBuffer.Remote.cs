namespace IoBufferEdge.Buffers;

/// <summary>
/// What rule 12 asks of a queue. As a receiver's: a message from another instance and the mark that says so are of one batch
/// (<see cref="SenderMarks"/>). As a sender's: each number belongs to a life, and what the receiver is known to hold lags behind the truth,
/// never ahead of it, because it is written with the cursor.
/// </summary>
public sealed partial class ChannelBuffer
{
    private readonly SenderMarks _remote;

    /// <summary>Where lives begin, ascending; replaced as a whole, so that it may be read without the lock.</summary>
    private volatile LifeRecord[] _lives;

    private IReadOnlyList<LifeRecord> _renamedLives = [];
    private IReadOnlyList<LifeRecord> _committingRenames = [];

    /// <summary>What is to be known of the receiver, what of it is durable, and what is in the batch under way.</summary>
    private ReceiverNote _receiver;
    private ReceiverNote _syncedReceiver;
    private ReceiverNote? _committingReceiver;

    /// <summary>The newest message that was delivered in this life; 0: none, the note's own stands.</summary>
    private long _lastDelivered;
    private bool _receiverIsDue;
    private bool _remoteUnderWay;

    /// <summary>Something asks for a batch by itself: marks never do, they go with their messages.</summary>
    private bool RemoteIsDue => _receiverIsDue || _renamedLives.Count > 0;

    public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence)
    {
        lock (_sync)
        {
            if (!TryAppend(payload, flags, stamp.Origin, out sequence)) return false;
            _remote.Add(stamp, Math.Max(sequence, _last));
            return true;
        }
    }

    public HeldMarks HeldFrom(string sender)
    {
        lock (_sync) return _remote.HeldFrom(sender);
    }

    public long? FindKey(UInt128 key)
    {
        lock (_sync) return _remote.FindKey(key);
    }

    public long LifeOf(long sequence, out long lastOfLife)
    {
        var lives = _lives;
        lastOfLife = long.MaxValue;
        for (var i = lives.Length - 1; i >= 0; i--)
        {
            if (lives[i].BeginsAt <= sequence) return lives[i].Life;
            lastOfLife = lives[i].RecoveredUpTo;
        }

        return 0;
    }

    public bool Knows(long life) => _lives.Any(l => l.Life == life) || Receiver.LastDelivered.Life == life;

    public (MessageFlags Flags, MessageOrigin Origin) Describe(in SlabMessage message)
    {
        var (slab, index) = message;
        var origin = slab.Origin(index);
        if (origin.Route is not null) return (slab.Flags(index), origin);
        var sequence = slab.FirstSequence + index;
        var receivedUnixUs = slab.ReceivedRunningUs(index) + (slab.UnixLessRunningUs ?? _clock.UnixUs - _clock.NowUs);
        return (slab.Flags(index), new MessageOrigin(null, LifeOf(sequence, out _), sequence, receivedUnixUs));
    }

    public ReceiverNote Receiver
    {
        get
        {
            lock (_sync) return ReceiverNow();
        }
    }

    public void NoteReceiver(ReceiverNote note)
    {
        lock (_sync)
        {
            _receiver = note;
            _lastDelivered = 0;
            _receiverIsDue = true;
        }

        _committer.WakeBy(0);
    }

    public void BeginLifeAt(long sequence)
    {
        lock (_sync)
        {
            if (_renamedLives.Count > 0) return;
            var lives = _lives;
            var here = Array.Find(lives, l => l.BeginsAt == sequence);
            _renamedLives =
            [
                new LifeRecord(NewLife(0), sequence, here.BeginsAt == 0 ? sequence - 1 : here.RecoveredUpTo),
                .. lives.Where(l => l.BeginsAt > sequence).Select((l, i) => l with { Life = NewLife(i + 1) }),
            ];
        }

        _committer.WakeBy(0);
    }

    /// <summary>A number that no life had: they are random, and this one's successors stay as far from all others.</summary>
    private long NewLife(int index) => (_lives[^1].Life + (index + 1) * 0x5851F42D4C957F2D) & long.MaxValue;

    private ReceiverNote ReceiverNow() =>
        _lastDelivered == 0 ? _receiver : _receiver with { LastDelivered = new MessageIdentity(LifeOf(_lastDelivered, out _), _lastDelivered) };

    /// <summary>This batch's part; the marks and keys of what it settles are taken beside it.</summary>
    private ReceiverNote? TakeReceiver()
    {
        (_remoteUnderWay, _receiverIsDue, _committingRenames, _committingReceiver) = (true, false, _renamedLives, null);
        if (_receiver.Name.Length == 0) return null;
        var now = ReceiverNow();
        return _committingReceiver = now == _syncedReceiver ? null : now;
    }

    private void RemoteFailed()
    {
        if (!_remoteUnderWay) return;
        (_remoteUnderWay, _receiverIsDue) = (false, _committingReceiver is not null);
    }

    private void SettleRemote()
    {
        if (!_remoteUnderWay) return; // what a stop writes back carries nothing of this
        _remoteUnderWay = false;
        _remote.Committed();
        _syncedReceiver = _committingReceiver ?? _syncedReceiver;
        if (_committingRenames.Count == 0) return;
        var firstRenamed = _committingRenames[0].BeginsAt;
        _lives = [.. _lives.Where(l => l.BeginsAt < firstRenamed), .. _committingRenames];
        (_renamedLives, _committingRenames) = ([], []);
    }
}
