using System.Collections.Concurrent;

namespace IoBufferEdge.Buffers;

/// <summary>The store's one thread: does what it is given, in order, and completes whoever awaits it.</summary>
internal sealed class StoreThread
{
    private readonly BlockingCollection<Action> _work = [];

    public StoreThread() => new Thread(RunWork) { Name = "store", IsBackground = true }.Start();

    public async ValueTask RunAsync(Action action) => await RunAsync(() =>
    {
        action();
        return true;
    });

    public ValueTask<T> RunAsync<T>(Func<T> function)
    {
        var done = new TaskCompletionSource<T>();
        _work.Add(() =>
        {
            T result;
            try
            {
                result = function();
            }
            catch (Exception failure)
            {
                done.SetException(failure);
                return;
            }

            done.SetResult(result);
        });
        return new ValueTask<T>(done.Task);
    }

    /// <summary>Does it when its turn has come; does nothing once the thread ends.</summary>
    public void Post(Action action)
    {
        try
        {
            _work.Add(action);
        }
        catch (InvalidOperationException)
        {
            // It has ended.
        }
    }

    /// <summary>Does one thing more and ends. A second call does nothing.</summary>
    public async ValueTask EndAsync(Action last)
    {
        if (_work.IsAddingCompleted) return;
        var done = RunAsync(last);
        _work.CompleteAdding();
        await done;
    }

    private void RunWork()
    {
        foreach (var action in _work.GetConsumingEnumerable()) action();
    }
}
