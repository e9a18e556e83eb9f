using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>
/// A sender in the plainest way: everything that it accepts is durable at once. It asks for the receiver's marks, sends what is above them in
/// a window of requests, and begins anew after whatever is not a 2xx. What it sent before may still arrive then.
/// </summary>
internal sealed class ModelSender(RemoteWorld world, string name)
{
    private const int WindowMax = 4;
    private const int MessagesMax = 120;

    private readonly List<Waiting> _all = [];
    private long _life = 1;
    private long _nextSequence = 1;
    private int _produced;
    private int _cursor;
    private int _durableCursor;
    private int _generation;
    private string _doing = "begins";

    public string Name => name;

    public bool IsDone => _produced == MessagesMax && _cursor == _all.Count;

    public override string ToString() => $"{name} has {_produced} messages, {_all.Count - _cursor} of them wait in life {_life:x}, {_doing}";

    public void Start()
    {
        var generation = _generation;
        world.Begin(() => DeliverAsync(generation));
    }

    public async Task ProduceAsync()
    {
        for (; _produced < MessagesMax; _produced++)
        {
            await world.DelayAsync(900);
            _all.Add(new Waiting(_life, _nextSequence, $"{name}#{_produced}"));
            _nextSequence += world.Random.Next(5) == 0 ? world.Random.Next(2, 5) : 1;
        }
    }

    /// <summary>A new process, which knows what is durable; or one that knows nothing, whose device was replaced.</summary>
    public async Task TroubleAsync()
    {
        while (world.HasFaults)
        {
            await world.DelayAsync(15_000);
            _generation++;
            _life = world.Random.NextInt64(2, long.MaxValue);
            _cursor = _durableCursor;
            if (world.Random.Next(4) == 0)
            {
                world.Figures.Count("sender wiped");
                for (; _cursor < _all.Count; _cursor++) _all[_cursor] = _all[_cursor] with { WasWiped = true };
                (_durableCursor, _nextSequence) = (_cursor, 1);
            }
            else
            {
                world.Figures.Count("sender crashed");
            }

            await world.DelayAsync(500);
            Start();
        }
    }

    /// <summary>What is wrong with what has arrived; null: nothing.</summary>
    public string? FailureOf(List<string> received)
    {
        var next = 0;
        foreach (var text in received)
        {
            while (next < _all.Count && _all[next].Text != text)
            {
                if (!_all[next].WasWiped) return $"{text} has arrived where {_all[next].Text} should: {string.Join(' ', received)}";
                next++;
            }

            if (next++ == _all.Count) return $"{text} has arrived twice or too late: {string.Join(' ', received)}";
        }

        var missing = _all.Skip(next).FirstOrDefault(message => !message.WasWiped);
        return missing is null ? null : $"{missing.Text} has not arrived.";
    }

    private async Task DeliverAsync(int generation)
    {
        while (generation == _generation && !(IsDone && !world.HasFaults))
        {
            var marks = await world.ExchangeAsync(intake => intake.MarksOfAsync(name, default));
            if (generation != _generation) return;
            _doing = $"the receiver says {marks}";
            if (marks is { IsTaken: true })
            {
                foreach (var mark in marks.Marks) Confirm(mark);
                var head = marks.Marks.Count == 0 ? MessageIdentity.None : new(marks.Marks[^1].Life, marks.Marks[^1].Sequence);
                if (_cursor < _all.Count && marks.Marks.SkipLast(1).Any(mark => mark.Life == _all[_cursor].Life))
                    world.Violate($"{name} waits with {_all[_cursor]}, whose life is closed.");
                await SendFromAsync(head, generation);
            }

            if (generation == _generation) await world.DelayAsync(2000);
        }
    }

    /// <summary>Returns after the first request that was not taken, or now and then just so.</summary>
    private async Task SendFromAsync(MessageIdentity after, int generation)
    {
        var next = _cursor;
        var underWay = new Queue<Task<RemoteReply?>>();
        while (generation == _generation)
        {
            while (underWay.Count < WindowMax && next < _all.Count) underWay.Enqueue(Send(ref next, ref after));
            if (underWay.Count == 0) return;
            var reply = await underWay.Dequeue();
            if (generation != _generation) return;
            _doing = $"was answered {reply}";
            if (reply is not { IsTaken: true }) return;
            foreach (var mark in reply.Marks) Confirm(mark);
        }
    }

    private Task<RemoteReply?> Send(ref int next, ref MessageIdentity after)
    {
        var life = _all[next].Life;
        var messages = _all.Skip(next).Take(world.Random.Next(1, 5)).TakeWhile(message => message.Life == life).ToArray();
        var batch = TestBatch.Write(name, life, after, messages[^1].Sequence, [.. messages.Select(m => new TestMessage(m.Sequence, m.Text))]);
        next += messages.Length;
        after = new MessageIdentity(life, messages[^1].Sequence);
        return world.ExchangeAsync(intake => intake.TakeBatchAsync(batch, default));
    }

    private void Confirm(LifeMark mark)
    {
        for (; _cursor < _all.Count && _all[_cursor].Life == mark.Life && _all[_cursor].Sequence <= mark.Sequence; _cursor++)
            if (!world.IsDurable(_all[_cursor].Text)) world.Violate($"{_all[_cursor].Text} was confirmed and would not survive a power cut.");
        if (world.Random.Next(3) == 0) _durableCursor = _cursor;
    }

    private sealed record Waiting(long Life, long Sequence, string Text, bool WasWiped = false);
}
