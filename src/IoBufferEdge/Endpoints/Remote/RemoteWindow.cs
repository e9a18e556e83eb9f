namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// The requests under way, oldest first. Answers count in the order of the requests; one that speaks of a later request counts for all
/// before it. A receiver without room puts all of them off: then the oldest alone is tried, until it is taken. Used by its link's loop alone.
/// </summary>
internal sealed class RemoteWindow(int sizeMax, int size, TimeProvider time)
{
    private static readonly TimeSpan DefaultRetryAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ShortestRetryAfter = TimeSpan.FromSeconds(0.2);
    private static readonly TimeSpan LongestRetryAfter = TimeSpan.FromMinutes(1);

    /// <summary>How long the answer to a request may come behind the answer to a later one.</summary>
    private static readonly TimeSpan CoveredLimit = TimeSpan.FromSeconds(2);

    private readonly List<RemoteRequest> _requests = [];
    private long? _putOffUntil;
    private bool _triesOne;
    private int _size = size;

    public bool IsEmpty => _requests.Count == 0;

    public bool HasPlace => _requests.Count < _size && !_triesOne;

    public bool AnyUnderWay => _requests.Exists(request => request.Exchange.IsUnderWay);

    /// <summary>How long until something is due without an answer; null: nothing is.</summary>
    public TimeSpan? UntilDue
    {
        get
        {
            if (_putOffUntil is { } until) return time.GetElapsedTime(time.GetTimestamp(), until);
            return _requests is [{ CoveredAt: { } since }, ..] ? CoveredLimit - time.GetElapsedTime(since) : null;
        }
    }

    public void Add(RemoteRequest request) => _requests.Add(request);

    /// <summary>One more may be under way.</summary>
    public void Widen() => _size = Math.Min(_size + 1, sizeMax);

    /// <summary>What is to be sent now, in order.</summary>
    public IEnumerable<RemoteRequest> ToBeSent()
    {
        if (_putOffUntil is { } until && time.GetTimestamp() < until) return [];
        _putOffUntil = null;
        return _requests.Take(_triesOne ? 1 : _requests.Count).Where(request => request.IsToBeSent);
    }

    /// <summary>The oldest request once it is known what became of it; null: not yet.</summary>
    /// <param name="taken">Its messages are held by the receiver, by its own answer or by that to a later one.</param>
    public RemoteRequest? NextAnswered(out bool taken)
    {
        taken = false;
        while (_requests is [var first, ..])
        {
            var covered = IsCovered(first);
            if (first.Exchange.IsUnderWay && covered)
            {
                first.CoveredAt ??= time.GetTimestamp();
                if (time.GetElapsedTime(first.CoveredAt.Value) >= CoveredLimit) first.Exchange.GiveUp();
            }

            if (!first.Exchange.IsAnswered) return null;
            taken = covered || first.IsTaken;
            if (taken || !first.IsOvertaken) return first;
            Forget(first);
        }

        return null;
    }

    /// <summary>The oldest is done with: nobody reads its messages any more.</summary>
    public void RemoveFirst()
    {
        _requests[0].Dispose();
        _requests.RemoveAt(0);
        _triesOne = false;
    }

    /// <summary>The receiver had no room for the oldest, so none for those behind it.</summary>
    public void PutOff(TimeSpan? retryAfter)
    {
        foreach (var request in _requests)
        {
            if (request.Exchange.IsUnderWay) request.IsOvertaken = true;
            else if (!request.IsTaken) Forget(request);
        }

        var wait = retryAfter ?? DefaultRetryAfter;
        wait = wait < ShortestRetryAfter ? ShortestRetryAfter : wait > LongestRetryAfter ? LongestRetryAfter : wait;
        _putOffUntil = time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency);
        _triesOne = true;
    }

    /// <summary>Waits for the end of every exchange, once they are cut.</summary>
    public async ValueTask EndAsync()
    {
        foreach (var request in _requests)
        {
            await request.Exchange.Completion;
            request.Dispose();
        }

        _requests.Clear();
    }

    private bool IsCovered(RemoteRequest first)
    {
        for (var i = 1; i < _requests.Count; i++)
            if (_requests[i] is { IsTaken: true } later && later.Life == first.Life && RemoteAnswers.MarkOf(later.Exchange.Reply!, first.Life) >= first.Last)
                return true;
        return false;
    }

    private static void Forget(RemoteRequest request)
    {
        request.Exchange.Forget();
        request.IsOvertaken = false;
    }
}
