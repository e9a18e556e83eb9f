using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Buffers;

/// <summary>
/// A file that holds room on the medium. When a write finds the medium full the file is deleted, so that park, discard and cursor
/// records, which make room in the end, can still be written, and the engine, which needs more than a memtable to go on, goes on.
/// </summary>
internal sealed class Ballast(string path, long bytes)
{
    public long HeldBytes { get; private set; }

    /// <summary>Room that must be free to make it: its own, and as much again.</summary>
    public long RoomNeeded => 2 * bytes;

    /// <summary>Takes the room, when as much again stays free. False when there is too little.</summary>
    public bool TryMake(long freeBytes)
    {
        if (HeldBytes > 0) return true;
        if (freeBytes < RoomNeeded) return false;
        try
        {
            using var file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.Write);
            LinuxFiles.Allocate(file, path, bytes);
            HeldBytes = bytes;
            return true;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            TryDelete();
            return false;
        }
    }

    /// <summary>Notes what a former process left.</summary>
    public void Adopt()
    {
        if (File.Exists(path)) HeldBytes = new FileInfo(path).Length;
    }

    /// <summary>Gives the room back. False when there was none to give.</summary>
    public bool Release()
    {
        if (HeldBytes == 0 || !TryDelete()) return false;
        HeldBytes = 0;
        return true;
    }

    /// <summary>On a medium that fails even this may: the room is then a wish, and what needs it fails by itself.</summary>
    private bool TryDelete()
    {
        try
        {
            File.Delete(path);
            return true;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
