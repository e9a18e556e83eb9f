namespace IoBufferEdge.Buffers;

/// <summary>
/// What a queue has taken from other instances: for each sender a mark per life, for the simple form the newest idempotency keys. A mark
/// is tied to the number that its message has here and is written by the batch that settles that number: never before its message, never
/// later. Not thread-safe: the <see cref="ChannelBuffer"/>'s lock guards it.
/// </summary>
internal sealed class SenderMarks
{
    private const int KeysKept = 1024;

    private readonly Dictionary<string, Sender> _senders = new(StringComparer.Ordinal);
    private readonly List<(Sender Sender, LifeMark[] Lives, long Through)> _taken = [];
    private readonly Dictionary<UInt128, long> _keys = [];
    private readonly Queue<UInt128> _durableKeys = new();
    private readonly Queue<(UInt128 Key, long Number)> _pendingKeys = new();
    private int _takenKeys;
    private int _takenForgotten;

    public SenderMarks(QueueOpening opening)
    {
        foreach (var (name, lives) in opening.Held) _senders.Add(name, new Sender(name, [.. lives]));
        foreach (var (key, number) in opening.Keys)
        {
            _keys[key] = number;
            _durableKeys.Enqueue(key);
        }
    }

    /// <summary>How many senders there are.</summary>
    public int Count => _senders.Count;

    /// <param name="stamp">Of a message that was appended just now.</param>
    /// <param name="number">Its number here.</param>
    public void Add(in RemoteStamp stamp, long number)
    {
        if (stamp.Key != 0)
        {
            _keys[stamp.Key] = number;
            _pendingKeys.Enqueue((stamp.Key, number));
        }

        if (stamp.Sender is not { } name) return;
        if (!_senders.TryGetValue(name, out var sender)) _senders.Add(name, sender = new Sender(name, []));
        sender.Add(stamp, number);
    }

    public HeldMarks HeldFrom(string sender) => _senders.TryGetValue(sender, out var known) ? known.Held() : HeldMarks.None;

    public long? FindKey(UInt128 key) => _keys.TryGetValue(key, out var number) ? number : null;

    /// <summary>The marks as they are once everything up to a number is durable; only of senders of whom that is new.</summary>
    public IReadOnlyList<(string Sender, IReadOnlyList<LifeMark> Lives)> TakeHeld(long through)
    {
        _taken.Clear();
        if (_senders.Count == 0) return [];
        foreach (var sender in _senders.Values)
            if (sender.Through(through) is { } lives) _taken.Add((sender, lives, through));
        return [.. _taken.Select(t => (t.Sender.Name, (IReadOnlyList<LifeMark>)t.Lives))];
    }

    public IReadOnlyList<(UInt128 Key, long Number)> TakeKeys(long through)
    {
        _takenKeys = 0;
        if (_pendingKeys.Count == 0) return [];
        var keys = _pendingKeys.TakeWhile(k => k.Number <= through).ToList();
        _takenKeys = keys.Count;
        return keys;
    }

    /// <summary>Keys that are one of <see cref="KeysKept"/> no longer, once what was taken last is durable.</summary>
    public IReadOnlyList<UInt128> TakeForgotten()
    {
        _takenForgotten = Math.Clamp(_durableKeys.Count + _takenKeys - KeysKept, 0, _durableKeys.Count);
        return _takenForgotten == 0 ? [] : [.. _durableKeys.Take(_takenForgotten)];
    }

    /// <summary>What was taken last is durable. After a batch that failed it is simply taken again.</summary>
    public void Committed()
    {
        foreach (var (sender, lives, through) in _taken) sender.Committed(lives, through);
        _taken.Clear();
        for (; _takenForgotten > 0; _takenForgotten--) _keys.Remove(_durableKeys.Dequeue());
        for (; _takenKeys > 0; _takenKeys--) _durableKeys.Enqueue(_pendingKeys.Dequeue().Key);
    }

    /// <summary>One sender: what is durable, and what goes beyond it, as runs whose numbers here and there rise together.</summary>
    private sealed class Sender(string name, LifeMark[] durable)
    {
        private readonly List<Run> _pending = [];
        private LifeMark[] _durable = durable;
        private HeldMarks? _held;
        private long _securedBy;

        public string Name => name;

        public void Add(in RemoteStamp stamp, long number)
        {
            _held = null;
            _securedBy = number;
            var (life, sequence) = stamp.Identity;
            var claimed = Math.Max(stamp.Claimed, sequence);
            if (_pending.Count > 0 && _pending[^1] is var last && last.Life == life && last.Follows(number, sequence))
                _pending[^1] = last with { Count = last.Count + 1, Claimed = Math.Max(last.Claimed, claimed) };
            else
                _pending.Add(new Run(number, 1, life, sequence, claimed));
        }

        public HeldMarks Held() => _held ??= new HeldMarks(Through(long.MaxValue) ?? _durable, _securedBy);

        /// <summary>Null: nothing new.</summary>
        public LifeMark[]? Through(long number)
        {
            if (_pending.Count == 0 || _pending[0].Number > number) return null;
            var lives = new List<LifeMark>(_durable);
            foreach (var run in _pending)
            {
                if (run.Number > number) break;
                var mark = run.Sequence + Math.Min(run.Count, number - run.Number + 1) - 1;
                var claimed = Math.Max(run.Claimed, mark);
                var goesOn = lives.Count > 0 && lives[^1].Life == run.Life;
                if (goesOn) claimed = Math.Max(claimed, lives[^1].Claimed);
                if (goesOn) lives.RemoveAt(lives.Count - 1);
                lives.Add(new LifeMark(run.Life, mark, claimed));
            }

            return [.. lives.TakeLast(HeldMarks.LivesKept)];
        }

        public void Committed(LifeMark[] lives, long through)
        {
            _durable = lives;
            var done = _pending.FindLastIndex(r => r.LastNumber <= through) + 1;
            _pending.RemoveRange(0, done);
            if (_pending.Count > 0 && _pending[0].Number <= through) _pending[0] = _pending[0].Behind(through);
        }
    }

    private readonly record struct Run(long Number, long Count, long Life, long Sequence, long Claimed)
    {
        public long LastNumber => Number + Count - 1;

        public bool Follows(long number, long sequence) => number == Number + Count && sequence == Sequence + Count;

        public Run Behind(long number) => this with { Number = number + 1, Count = LastNumber - number, Sequence = Sequence + (number + 1 - Number) };
    }
}
