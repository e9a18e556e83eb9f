namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// What an intake keeps of one sender while it runs: whose turn it is, and who waits for the messages before its own. One request at a time
/// has the turn; in order of arrival. Memory: what waits, nothing else. Continuations stay with the awaiting context.
/// </summary>
internal sealed class RemoteSender(string name)
{
    private readonly Lock _lock = new();
    private readonly Queue<TaskCompletionSource> _turns = new();
    private readonly List<TaskCompletionSource> _waiting = [];
    private bool _taken;

    public string Name { get; } = name;

    /// <summary>Requests under way; guarded by the intake's lock.</summary>
    public int UnderWay { get; set; }

    /// <summary>Timestamp of the last request; guarded by the intake's lock.</summary>
    public long SeenAt { get; set; }

    /// <summary>The last one that wanted room found none: what waits for its messages finds none either. Guarded by the turn.</summary>
    public bool FoundNoRoom { get; set; }

    public Task TakeTurnAsync()
    {
        lock (_lock)
        {
            if (!_taken)
            {
                _taken = true;
                return Task.CompletedTask;
            }

            var turn = NewSignal();
            _turns.Enqueue(turn);
            return turn.Task;
        }
    }

    public void PassTurn()
    {
        TaskCompletionSource? next;
        lock (_lock)
        {
            if (!_turns.TryDequeue(out next)) _taken = false;
        }

        next?.SetResult();
    }

    /// <summary>Null: enough wait already. Else completes with the next change; ask while having the turn, end it with <see cref="EndWait"/>.</summary>
    public TaskCompletionSource? BeginWait()
    {
        lock (_lock)
        {
            if (_waiting.Count == RemoteIntake.WaitingMax) return null;
            var waiter = NewSignal();
            _waiting.Add(waiter);
            return waiter;
        }
    }

    public void EndWait(TaskCompletionSource waiter)
    {
        lock (_lock) _waiting.Remove(waiter);
    }

    /// <summary>Something was taken, or there was no room for it: who waits judges again.</summary>
    public void Change()
    {
        TaskCompletionSource[] woken;
        lock (_lock)
        {
            woken = [.. _waiting];
            _waiting.Clear();
        }

        foreach (var waiter in woken) waiter.TrySetResult();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
