namespace IoBufferEdge.Benchmarks.Disk;

/// <summary>
/// One file as the kernel's page cache and the medium see it: what a reader gets now, and what is durable. Pages that were written since
/// the last sync are dirty. After a sync that failed they are taken as clean, as Linux does it, although the medium never got them: no
/// later sync writes them, unless they are written anew.
/// </summary>
internal sealed class RecordedFile : RecordedNode
{
    private const int PageBytes = 4096;
    private readonly SortedSet<int> _dirty = [];
    private readonly SortedSet<int> _given = [];
    private readonly List<Sync> _underWay = [];
    private byte[] _now = [];
    private byte[] _durable = [];
    private int _length;
    private int _durableLength;

    public ReadOnlySpan<byte> Content => _now.AsSpan(0, _length);

    public override bool HasPending => _dirty.Count + _given.Count + _underWay.Count > 0 || _length != _durableLength;

    public void Write(long offset, ReadOnlySpan<byte> data)
    {
        var (from, to) = ((int)offset, (int)offset + data.Length);
        if (to > _length) SetLength(to);
        data.CopyTo(_now.AsSpan(from));
        for (var page = from / PageBytes; page <= (to - 1) / PageBytes; page++)
        {
            _dirty.Add(page);
            _given.Remove(page);
        }
    }

    public void SetLength(long length)
    {
        Reserve(ref _now, (int)length);
        if (length < _length) _now.AsSpan((int)length.._length).Clear();
        _length = (int)length;
        _dirty.RemoveWhere(page => page * PageBytes >= length);
        _given.RemoveWhere(page => page * PageBytes >= length);
    }

    public override object BeginSync()
    {
        var sync = new Sync(_length, [.. _dirty.Select(page => (page, PageNow(page).ToArray()))]);
        _dirty.Clear();
        _underWay.Add(sync);
        return sync;
    }

    public override void EndSync(object begun)
    {
        var sync = (Sync)begun;
        _underWay.Remove(sync);
        SetDurableLength(sync.Length);
        foreach (var (page, content) in sync.Pages) PutDurable(page, content);
    }

    public override void FailSync(object begun)
    {
        _underWay.Remove((Sync)begun);
        _given.UnionWith(((Sync)begun).Pages.Select(p => p.Page).Where(page => !_dirty.Contains(page) && page * PageBytes < _length));
    }

    public override void EndLife()
    {
        foreach (var sync in _underWay) _dirty.UnionWith(sync.Pages.Select(p => p.Page).Where(page => page * PageBytes < _length));
        _underWay.Clear();
    }

    public override void Cut(Random? random)
    {
        var (atRisk, written) = ((List<int>)[.. _dirty.Union(_given).Order()], _length);
        if (random is not null && (atRisk.Count > 0 || written != _durableLength))
        {
            var kept = _durableLength;
            switch (random.Next(4))
            {
                case 0:
                    break;
                case 1:
                    atRisk.ForEach(page => kept = Math.Max(kept, Keep(page, PageBytes)));
                    break;
                case 2:
                    var torn = random.Next(atRisk.Count + 1);
                    foreach (var page in atRisk.Take(torn)) kept = Math.Max(kept, Keep(page, PageBytes));
                    if (torn < atRisk.Count) kept = Math.Max(kept, Keep(atRisk[torn], random.Next(PageBytes)));
                    break;
                default:
                    foreach (var page in atRisk.Where(_ => random.Next(2) == 0)) kept = Math.Max(kept, Keep(page, PageBytes));
                    break;
            }

            // A file's length is metadata: it may be ahead of the content, which then reads as zeros, or behind.
            SetDurableLength(random.Next(4) == 0 ? written : written < _durableLength ? _durableLength : Math.Min(kept, written));
        }

        (_now, _length) = (_durable.ToArray(), _durableLength);
        _dirty.Clear();
        _given.Clear();
    }

    private int Keep(int page, int bytes)
    {
        var now = PageNow(page);
        now = now[..Math.Min(bytes, now.Length)];
        PutDurable(page, now);
        return page * PageBytes + now.Length;
    }

    private Span<byte> PageNow(int page) => _now.AsSpan(page * PageBytes, Math.Min(PageBytes, _length - page * PageBytes));

    private void PutDurable(int page, ReadOnlySpan<byte> content)
    {
        Reserve(ref _durable, page * PageBytes + content.Length);
        content.CopyTo(_durable.AsSpan(page * PageBytes));
    }

    private void SetDurableLength(int length)
    {
        Reserve(ref _durable, length);
        if (length < _durableLength) _durable.AsSpan(length).Clear();
        _durableLength = length;
    }

    private static void Reserve(ref byte[] bytes, int length)
    {
        if (length > bytes.Length) Array.Resize(ref bytes, Math.Max(length, bytes.Length * 2));
    }

    private sealed record Sync(int Length, List<(int Page, byte[] Content)> Pages);
}
