using System.Runtime.InteropServices;
using System.Text;

namespace IoBufferEdge.Benchmarks.Disk;

/// <summary>
/// The folder below <c>root</c> as a disk sees it, rebuilt from the events that disk.c wrote down: what is durable and what is not. The
/// record spans lives: what one process left unsynced stays so until somebody syncs it.
/// </summary>
internal sealed class RecordedDisk(string root)
{
    private const uint Magic = 0x4A424F49;
    private const int OpenCreate = 0x40, OpenTruncate = 0x200;
    private readonly Dictionary<int, (RecordedNode Node, object? Sync)> _open = [];

    public RecordedFolder Root { get; } = new();

    /// <summary>Takes in what a life did; returns the number of events.</summary>
    public int Replay(ReadOnlySpan<byte> journal)
    {
        var count = 0;
        while (journal.Length >= Marshal.SizeOf<Event>())
        {
            var header = MemoryMarshal.Read<Event>(journal);
            if (header.Magic != Magic) throw new InvalidDataException($"Event {count + 1} of the disk's journal has no magic.");
            var dataAt = Marshal.SizeOf<Event>() + header.PathBytes;
            var dataBytes = header.Kind == Kind.Write ? (int)header.Length : 0;
            if (journal.Length < dataAt + dataBytes) break; // the process was killed while it wrote this one
            var paths = Encoding.UTF8.GetString(journal[Marshal.SizeOf<Event>()..dataAt]).Split('\0');
            Take(header, paths, journal.Slice(dataAt, dataBytes));
            journal = journal[(dataAt + dataBytes)..];
            count++;
        }

        return count;
    }

    /// <summary>The process is gone.</summary>
    public void EndLife()
    {
        _open.Clear();
        foreach (var (_, node) in All(Root, "")) node.EndLife();
    }

    /// <summary>The power fails: of what is not durable a random part stays, with null nothing. Returns how many files and folders had
    /// such.</summary>
    public int Cut(Random? random)
    {
        var atRisk = All(Root, "").Count(n => n.Node.HasPending);
        Root.Cut(random);
        return atRisk;
    }

    /// <summary>Makes the real folder what the record says; returns the recorded files that differed.</summary>
    public List<string> Materialize()
    {
        var changed = new List<string>();
        Materialize(Root, root, changed);
        return changed;
    }

    private static void Materialize(RecordedFolder folder, string path, List<string> changed)
    {
        Directory.CreateDirectory(path);
        foreach (var file in Directory.EnumerateFiles(path))
        {
            if (folder.Entries.GetValueOrDefault(Path.GetFileName(file)) is not RecordedFile) File.Delete(file);
        }

        foreach (var child in Directory.EnumerateDirectories(path))
        {
            if (folder.Entries.GetValueOrDefault(Path.GetFileName(child)) is not RecordedFolder) Directory.Delete(child, recursive: true);
        }

        foreach (var (name, node) in folder.Entries)
        {
            var target = Path.Combine(path, name);
            if (node is RecordedFolder below) Materialize(below, target, changed);
            else if (node is RecordedFile file && !IsSame(file, target))
            {
                File.Delete(target);
                File.WriteAllBytes(target, file.Content);
                changed.Add(target);
            }
        }
    }

    private static bool IsSame(RecordedFile file, string path) =>
        File.Exists(path) && new FileInfo(path).Length == file.Content.Length && file.Content.SequenceEqual(File.ReadAllBytes(path));

    private void Take(in Event header, string[] paths, ReadOnlySpan<byte> data)
    {
        switch (header.Kind)
        {
            case Kind.Open:
                Open(header, paths[0]);
                break;
            case Kind.Close:
                _open.Remove(header.Descriptor);
                break;
            case Kind.Write when Opened(header) is RecordedFile file:
                file.Write(header.Offset, data);
                break;
            case Kind.Truncate when Opened(header) is RecordedFile file:
                file.SetLength(header.Length);
                break;
            case Kind.Allocate when Opened(header) is RecordedFile file && header.Length > file.Content.Length:
                file.SetLength(header.Length);
                break;
            case Kind.SyncBegin when Opened(header) is { } node:
                _open[header.Descriptor] = (node, node.BeginSync());
                break;
            case Kind.SyncEnd or Kind.SyncFailed when _open.GetValueOrDefault(header.Descriptor) is { Sync: { } sync } synced:
                if (header.Kind == Kind.SyncEnd) synced.Node.EndSync(sync);
                else synced.Node.FailSync(sync);
                break;
            case >= Kind.Rename:
                ChangeNames(header.Kind, paths);
                break;
        }
    }

    private RecordedNode? Opened(in Event header) => _open.GetValueOrDefault(header.Descriptor).Node;

    private void Open(in Event header, string path)
    {
        var (folder, name) = Find(path);
        var node = name.Length == 0 ? folder : folder.Entries.GetValueOrDefault(name);
        if (node is null && (header.Flags & OpenCreate) != 0) folder.Change((name, node = new RecordedFile()));
        if (node is null) return; // it was not made through a call that is recorded
        if (node is RecordedFile file && (header.Flags & OpenTruncate) != 0) file.SetLength(0);
        _open[header.Descriptor] = (node, null);
    }

    private void ChangeNames(Kind kind, string[] paths)
    {
        var (folder, name) = Find(paths[0]);
        var node = folder.Entries.GetValueOrDefault(name);
        if (kind == Kind.MakeFolder) folder.Change((name, new RecordedFolder()));
        if (node is null) return;
        if (kind is Kind.Unlink or Kind.RemoveFolder) folder.Change((name, null));
        if (kind is not (Kind.Rename or Kind.Exchange or Kind.Link)) return;

        var (otherFolder, otherName) = Find(paths[1]);
        (string, RecordedNode?) here = (name, kind == Kind.Exchange ? otherFolder.Entries[otherName] : null);
        if (kind == Kind.Link) otherFolder.Change((otherName, node));
        else if (folder == otherFolder) folder.Change((otherName, node), here);
        else
        {
            otherFolder.Change((otherName, node));
            folder.Change(here);
        }
    }

    private (RecordedFolder Folder, string Name) Find(string path)
    {
        var parts = path[root.Length..].Split('/', StringSplitOptions.RemoveEmptyEntries);
        var folder = Root;
        foreach (var part in parts.SkipLast(1)) folder = (RecordedFolder)folder.Entries[part];
        return (folder, parts.Length == 0 ? "" : parts[^1]);
    }

    private static IEnumerable<(string Path, RecordedNode Node)> All(RecordedFolder folder, string path)
    {
        yield return (path, folder);
        foreach (var (name, node) in folder.Entries)
        {
            if (node is not RecordedFolder below) yield return ($"{path}/{name}", node);
            else
            {
                foreach (var found in All(below, $"{path}/{name}")) yield return found;
            }
        }
    }

    /// <summary>As in disk.c.</summary>
    private enum Kind : ushort
    {
        Open = 1, Close, Write, Truncate, Allocate, SyncBegin, SyncEnd, SyncFailed, Rename, Exchange, Unlink, Link, MakeFolder, RemoveFolder,
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Event
    {
        public readonly uint Magic;
        public readonly Kind Kind;
        public readonly ushort PathBytes;
        public readonly int Descriptor;
        public readonly int Flags;
        public readonly long Offset;
        public readonly long Length;
    }
}
