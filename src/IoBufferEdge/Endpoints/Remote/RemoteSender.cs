using System.Diagnostics.CodeAnalysis;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// What an intake keeps of one sender while it runs: whose turn it is, and who waits for the messages before its own. One request at a time
/// has the turn; in order of arrival. Memory: what waits, nothing else. Continuations stay with the awaiting context.
/// </summary>
internal sealed class RemoteSender(string name)
{
    private readonly Lock _lock = new();
    private readonly Queue<TaskCompletionSource> _turns = new();
    private TaskCompletionSource _changed = NewSignal();
    private bool _taken;
    private int _waiting;

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

    /// <summary>
    /// Completes with the next change; ask while having the turn, and end it with <see cref="EndAwaitChange"/>. False: enough wait already.
    /// </summary>
    public bool TryAwaitChange([NotNullWhen(true)] out Task? changed)
    {
        lock (_lock)
        {
            changed = _waiting < RemoteIntake.WaitingMax ? _changed.Task : null;
            if (changed is not null) _waiting++;
            return changed is not null;
        }
    }

    public void EndAwaitChange()
    {
        lock (_lock) _waiting--;
    }

    /// <summary>Something was taken, or there was no room for it: who waits judges again.</summary>
    public void Change()
    {
        TaskCompletionSource changed;
        lock (_lock) (changed, _changed) = (_changed, NewSignal());
        changed.SetResult();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
