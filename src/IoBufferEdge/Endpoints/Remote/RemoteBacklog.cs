namespace IoBufferEdge.Endpoints.Remote;

/// <summary>Runs that were handed to a link and are in no request yet, oldest first. Thread-safe.</summary>
internal sealed class RemoteBacklog(TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<DeliveryRun> _runs = new();
    private long _bytes;
    private long _since;

    /// <summary>Payloads and what a batch needs beside them.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock) return _bytes;
        }
    }

    /// <summary>How long it has not been empty, or since a batch was taken; zero: it is empty.</summary>
    public TimeSpan Age
    {
        get
        {
            lock (_lock) return _runs.Count == 0 ? TimeSpan.Zero : time.GetElapsedTime(_since);
        }
    }

    /// <summary>The oldest message's number; null: none waits.</summary>
    public long? FirstSequence
    {
        get
        {
            lock (_lock) return _runs.First?.Value.FirstSequence;
        }
    }

    public void Add(in DeliveryRun run)
    {
        lock (_lock)
        {
            if (_runs.Count == 0) _since = time.GetTimestamp();
            _runs.AddLast(run);
            _bytes += BytesOf(run);
        }
    }

    /// <summary>Takes the oldest run, but for what is above <paramref name="last"/>. False: none waits up to there.</summary>
    public bool TryTake(long last, out DeliveryRun run)
    {
        lock (_lock)
        {
            run = _runs.First?.Value ?? default;
            if (_runs.Count == 0 || run.FirstSequence > last) return false;
            _runs.RemoveFirst();
            var count = (int)Math.Min(run.Count, last - run.FirstSequence + 1);
            if (count < run.Count) _runs.AddFirst(run.Slice(count, run.Count - count));
            run = run.Slice(0, count);
            _bytes -= BytesOf(run);
            _since = time.GetTimestamp();
            return true;
        }
    }

    /// <summary>Puts what was taken last, or the end of it, back to its place.</summary>
    public void PutBack(in DeliveryRun run)
    {
        lock (_lock)
        {
            _runs.AddFirst(run);
            _bytes += BytesOf(run);
        }
    }

    private static long BytesOf(in DeliveryRun run) => run.Payload.Length + (long)run.Count * RemoteBatch.EntryBytes;
}
