using IoBufferEdge.Interop.LibRocksDb;

namespace IoBufferEdge.Buffers;

/// <summary>
/// Looks at a store before anything may change it. Opened for writing, the engine deletes tables that a damaged list of files does
/// not name, and silently drops what lies behind a damaged place of its log: so a suspect store is told from a sound one by reading only.
/// </summary>
internal static class StoreInspection
{
    /// <summary>What is wrong, in words that end a sentence, or null.</summary>
    /// <exception cref="StoreException">The store cannot be looked at: no permission, no room, or written by a newer version.</exception>
    public static string? FindDamage(RocksStoreOptions options, Mark? mark)
    {
        var files = new DirectoryInfo(options.Directory).GetFiles();
        if (!files.Any(f => f.Extension is ".sst" || f.Extension is ".log" && f.Length > 0))
            return mark is null ? null : $"its folder is empty, though its high-water mark tells of {mark.Queues.Count} queues";
        if (!files.Any(f => f.Name is "CURRENT")) return "its file CURRENT is missing";
        try
        {
            foreach (var log in files.Where(f => f.Extension is ".log"))
                if (LogScan.IsDamaged(log.FullName))
                    return $"{log.Name} is damaged in the middle";

            using var engine = RocksEngine.Open(options.Directory, RocksStoreOptions.Database, RocksStoreOptions.Families, readOnly: true);
            return FindDamage(StoreContents.Load(engine), mark);
        }
        catch (RocksException failure) when (IsDamage(failure))
        {
            return failure.Message;
        }
        catch (IOException failure)
        {
            return failure.Message; // the medium does not give a file's bytes
        }
    }

    /// <summary>True for what the medium lost or changed; false for a full medium, no permission, or an engine in use.</summary>
    public static bool IsDamage(RocksException failure) =>
        !IsOutOfSpace(failure) && !failure.Message.Contains("Permission denied", StringComparison.Ordinal) &&
        !failure.Message.Contains("lock file", StringComparison.Ordinal);

    public static bool IsOutOfSpace(RocksException failure) =>
        failure.Message.Contains("No space left", StringComparison.Ordinal) ||
        failure.Message.Contains("quota exceeded", StringComparison.OrdinalIgnoreCase);

    private static string? FindDamage(StoreContents? contents, Mark? mark)
    {
        if (contents is null) return mark is null ? null : "its records are gone";
        if (contents.DamagedRecords > 0) return $"{contents.DamagedRecords} of its records are damaged";
        if (mark is not null && contents.IsBehind(mark)) return "it is older than its high-water mark";
        foreach (var (number, queue) in contents.Queues)
        {
            MarkEntry? entry = mark?.Generation == contents.Generation && mark.Queues.TryGetValue(number, out var e) ? e : null;
            var missing = contents.Missing(number, entry, out var damage);
            if (damage) return $"{queue.Id} lacks {string.Join(", ", missing)}";
        }

        return null;
    }
}
