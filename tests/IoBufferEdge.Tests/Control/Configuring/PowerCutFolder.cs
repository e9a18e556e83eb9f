using IoBufferEdge.Control.Configuring;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>
/// A folder in memory whose power is cut after so many steps. What was written and not synced may be there, gone, zeroed or torn; renames that
/// were not synced may have happened or not, each by itself: harsher than any file system. <see cref="AfterCut"/> gives what is found then.
/// </summary>
internal sealed class PowerCutFolder(int stepsLeft = int.MaxValue) : IConfigFolder
{
    /// <summary>A file's content, and what of it is on the medium; null: nothing yet.</summary>
    private sealed record Content(byte[] Bytes)
    {
        public bool IsSynced { get; set; }
    }

    private readonly Dictionary<string, Content> _now = new(StringComparer.Ordinal);
    private readonly List<Action<Dictionary<string, Content>>> _unsynced = [];
    private Dictionary<string, Content> _durable = new(StringComparer.Ordinal);
    private int _left = stepsLeft;

    /// <summary>The device is off: nothing more reaches the medium.</summary>
    public sealed class PowerCut : Exception;

    public int Steps { get; private set; }

    public bool IsOff => _left < 0;

    /// <summary>Steps fail, as with a full medium.</summary>
    public bool Refuses { get; set; }

    public byte[]? Read(string name) => _now.GetValueOrDefault(name)?.Bytes;

    public void Write(string name, ReadOnlySpan<byte> content)
    {
        var file = new Content(content.ToArray());
        Step(() => Entry(files => files[name] = file));
    }

    public void Sync(string name) => Step(() => _now[name].IsSynced = true);

    public void Rename(string from, string to)
    {
        var file = _now[from];
        Step(() => Entry(files =>
        {
            if (files.GetValueOrDefault(from) == file) files.Remove(from);
            files[to] = file;
        }));
    }

    public void SyncFolder() => Step(() =>
    {
        _durable = new(_now, StringComparer.Ordinal);
        _unsynced.Clear();
    });

    /// <summary>Everything that may be found after the cut.</summary>
    public IEnumerable<PowerCutFolder> AfterCut()
    {
        for (var happened = 0; happened < 1 << _unsynced.Count; happened++)
        {
            var files = new Dictionary<string, Content>(_durable, StringComparer.Ordinal);
            for (var i = 0; i < _unsynced.Count; i++)
                if ((happened & (1 << i)) != 0) _unsynced[i](files);
            if (files.Values.All(f => f.IsSynced)) yield return Found(files, _ => []);
            else
            {
                yield return Found(files, bytes => bytes);
                yield return Found(files, bytes => new byte[bytes.Length]);
                yield return Found(files, bytes => bytes[..(bytes.Length / 2)]);
                yield return Found(files, _ => []);
            }
        }
    }

    /// <summary>The same, all of it on the medium, and from here on so many steps until the cut.</summary>
    public PowerCutFolder With(int stepsLeft)
    {
        var folder = new PowerCutFolder(stepsLeft);
        foreach (var (name, file) in _now) folder._now[name] = file;
        folder._durable = new(folder._now, StringComparer.Ordinal);
        return folder;
    }

    private static PowerCutFolder Found(Dictionary<string, Content> files, Func<byte[], byte[]> unsynced)
    {
        var found = new PowerCutFolder();
        foreach (var (name, file) in files) found._now[name] = new(file.IsSynced ? file.Bytes : unsynced(file.Bytes)) { IsSynced = true };
        found._durable = new(found._now, StringComparer.Ordinal);
        return found;
    }

    private void Entry(Action<Dictionary<string, Content>> change)
    {
        change(_now);
        _unsynced.Add(change);
    }

    private void Step(Action act)
    {
        if (Refuses) throw new IOException("No space left on device");
        if (IsOff || --_left < 0) throw new PowerCut();
        act();
        Steps++;
    }
}
