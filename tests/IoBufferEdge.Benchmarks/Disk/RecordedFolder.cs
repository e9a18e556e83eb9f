namespace IoBufferEdge.Benchmarks.Disk;

/// <summary>A file or a folder: what can be synced and what a power cut can hurt.</summary>
internal abstract class RecordedNode
{
    /// <summary>True when a power cut could change it.</summary>
    public abstract bool HasPending { get; }

    /// <returns>What the sync covers; handed to its end.</returns>
    public abstract object BeginSync();

    public abstract void EndSync(object begun);

    public abstract void FailSync(object begun);

    /// <summary>The process is gone: a sync that was under way will never be known to have ended.</summary>
    public abstract void EndLife();

    /// <summary>What is not durable is there, or not, or in part; what is found from now on is what the medium kept.</summary>
    /// <param name="random">Decides; null: nothing of it is there.</param>
    public abstract void Cut(Random? random);
}

/// <summary>
/// A folder's entries, now and durable. A change of names is durable when the folder was synced after it, and not by anything else; until
/// then a power cut keeps the first few of the changes in their order, and takes the others back.
/// </summary>
internal sealed class RecordedFolder : RecordedNode
{
    private readonly List<(string Name, RecordedNode? Node)[]> _pending = [];
    private Dictionary<string, RecordedNode> _durable = [];

    public Dictionary<string, RecordedNode> Entries { get; private set; } = [];

    public override bool HasPending => _pending.Count > 0;

    /// <summary>Sets entries, null: removes them; all in one step.</summary>
    public void Change(params (string Name, RecordedNode? Node)[] changes)
    {
        Apply(Entries, changes);
        _pending.Add(changes);
    }

    public override object BeginSync() => _pending.ToList();

    public override void EndSync(object begun)
    {
        foreach (var changes in (List<(string, RecordedNode?)[]>)begun)
        {
            if (_pending.Remove(changes)) Apply(_durable, changes);
        }
    }

    public override void FailSync(object begun)
    {
    }

    public override void EndLife()
    {
    }

    public override void Cut(Random? random)
    {
        foreach (var changes in _pending.Take(random?.Next(_pending.Count + 1) ?? 0)) Apply(_durable, changes);
        _pending.Clear();
        Entries = new(_durable);
        foreach (var node in Entries.Values) node.Cut(random);
    }

    private static void Apply(Dictionary<string, RecordedNode> entries, (string Name, RecordedNode? Node)[] changes)
    {
        foreach (var (name, node) in changes)
        {
            if (node is null) entries.Remove(name);
            else entries[name] = node;
        }
    }
}
