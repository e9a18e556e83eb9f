namespace IoBufferEdge.Endpoints.Remote;

/// <summary>A question that is put to the receiver, over and over perhaps, and what came of it. All but the answering is its link's loop's.</summary>
internal sealed class RemoteExchange : IDisposable
{
    private CancellationTokenSource? _cut;
    private volatile bool _underWay;

    /// <summary>Completes with the newest exchange; it never fails.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    public RemoteReply? Reply { get; private set; }

    public Exception? Failure { get; private set; }

    public bool IsUnderWay => _underWay;

    /// <summary>An answer, or a failure, is there.</summary>
    public bool IsAnswered => !_underWay && (Reply is not null || Failure is not null);

    /// <summary>Asks; <paramref name="ended"/> is set when something has come of it.</summary>
    public void Start(Func<CancellationToken, Task<RemoteReply>> askAsync, AsyncSignal ended, CancellationToken cut)
    {
        Forget();
        _cut?.Dispose();
        _cut = CancellationTokenSource.CreateLinkedTokenSource(cut);
        _underWay = true;
        Completion = RunAsync(askAsync, ended, _cut.Token);
    }

    /// <summary>Waits for the answer no longer.</summary>
    public void GiveUp() => _cut?.Cancel();

    /// <summary>As if it had never been asked.</summary>
    public void Forget() => (Reply, Failure) = (null, null);

    public void Dispose() => _cut?.Dispose();

    private async Task RunAsync(Func<CancellationToken, Task<RemoteReply>> askAsync, AsyncSignal ended, CancellationToken cancel)
    {
        try
        {
            Reply = await askAsync(cancel);
        }
        catch (Exception e)
        {
            Failure = e;
        }

        _underWay = false;
        ended.Set();
    }
}
