namespace IoBufferEdge.Endpoints;

/// <summary>A named event count of an endpoint, for <see cref="EndpointStatus.Counters"/>.</summary>
/// <param name="name">snake_case.</param>
internal sealed class EventCounter(string name)
{
    private long _value;

    public long Value => Interlocked.Read(ref _value);

    public void Add(long count = 1) => Interlocked.Add(ref _value, count);

    public void Set(long value) => Interlocked.Exchange(ref _value, value);

    public static IReadOnlyList<KeyValuePair<string, long>> Snapshot(params ReadOnlySpan<EventCounter> counters)
    {
        var snapshot = new KeyValuePair<string, long>[counters.Length];
        for (var i = 0; i < counters.Length; i++) snapshot[i] = counters[i].Named();
        return snapshot;
    }

    private KeyValuePair<string, long> Named() => new(name, Value);
}
