namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>Rule 12's receiver in the plainest way: one sender, one request at a time, everything durable at once.</summary>
internal sealed class ReferenceReceiver
{
    private readonly List<(long Life, long Mark)> _marks = [];

    public IReadOnlyList<(long Life, long Mark)> Marks => _marks;

    public List<string> Taken { get; } = [];

    public MessageIdentity Head => _marks.Count == 0 ? default : new(_marks[^1].Life, _marks[^1].Mark);

    public (int Status, string? Code) Take(long life, MessageIdentity after, long[] sequences)
    {
        var at = _marks.FindIndex(mark => mark.Life == life);
        if (at >= 0 && sequences[^1] <= _marks[at].Mark) return (200, null);
        if (at >= 0 && at < _marks.Count - 1) return (409, "closed");
        var known = at >= 0 && sequences[0] <= _marks[at].Mark;
        if (!known && after != Head) return (409, "after");
        foreach (var sequence in sequences)
        {
            if (at >= 0 && sequence <= _marks[at].Mark) continue;
            if (at < 0) _marks.Add((life, sequence));
            at = _marks.Count - 1;
            _marks[at] = (life, sequence);
            Taken.Add(TestBatch.TextOf(life, sequence));
        }

        return (200, null);
    }
}
