using System.Runtime.InteropServices;
using static IoBufferEdge.Interop.LibRocksDb.RocksNative;

namespace IoBufferEdge.Interop.LibRocksDb;

/// <summary>One column family to open: its name and its options, written as the engine's own "name=value;…".</summary>
public readonly record struct RocksFamily(string Name, string Options);

/// <summary>
/// An open RocksDB. Column families are named by their index in the list that it was opened with. Writes and reads may come from
/// several threads; closing waits for none of them: whoever closes makes sure that nobody reads or writes any more.
/// </summary>
public sealed unsafe class RocksEngine : IDisposable
{
    private readonly RocksHandle _database;
    private readonly RocksHandle[] _families;
    private readonly List<RocksHandle> _options;
    private readonly RocksHandle _syncedWrite = new(rocksdb_writeoptions_create(), rocksdb_writeoptions_destroy);

    private RocksEngine(RocksHandle database, RocksHandle[] families, List<RocksHandle> options)
    {
        (_database, _families, _options) = (database, families, options);
        rocksdb_writeoptions_set_sync(_syncedWrite, 1);
    }

    /// <exception cref="RocksException">An option was not understood, or the folder does not open.</exception>
    public static RocksEngine Open(string path, string options, IReadOnlyList<RocksFamily> families, bool readOnly = false)
    {
        var allOptions = new List<RocksHandle> { ParseOptions(options) };
        var names = stackalloc byte*[families.Count];
        var familyOptions = stackalloc nint[families.Count];
        var handles = stackalloc nint[families.Count];
        try
        {
            for (var i = 0; i < families.Count; i++)
            {
                names[i] = (byte*)Marshal.StringToCoTaskMemUTF8(families[i].Name);
                allOptions.Add(ParseOptions(families[i].Options));
                familyOptions[i] = allOptions[i + 1].DangerousGetHandle();
            }

            byte* error = null;
            var database = readOnly
                ? rocksdb_open_for_read_only_column_families(allOptions[0], path, families.Count, names, familyOptions, handles, 0, &error)
                : rocksdb_open_column_families(allOptions[0], path, families.Count, names, familyOptions, handles, &error);
            ThrowIf(error);
            var familyHandles = new RocksHandle[families.Count];
            for (var i = 0; i < families.Count; i++) familyHandles[i] = new RocksHandle(handles[i], rocksdb_column_family_handle_destroy);
            return new RocksEngine(new RocksHandle(database, rocksdb_close), familyHandles, allOptions);
        }
        catch (RocksException)
        {
            foreach (var handle in allOptions) handle.Dispose();
            throw;
        }
        finally
        {
            for (var i = 0; i < families.Count; i++) Marshal.FreeCoTaskMem((nint)names[i]);
        }
    }

    /// <summary>Rebuilds a folder's list of files from the files that read; what does not goes to its subfolder "lost".</summary>
    public static void Repair(string path, string options)
    {
        using var parsed = ParseOptions(options);
        byte* error = null;
        rocksdb_repair_db(parsed, path, &error);
        ThrowIf(error);
    }

    /// <summary>Writes the batch, all of it or nothing, and returns when it is on the medium.</summary>
    public void WriteSynced(RocksBatch batch)
    {
        byte* error = null;
        rocksdb_write(_database, _syncedWrite, batch.Handle, &error);
        ThrowIf(error);
    }

    /// <summary>Begins to write what is in memory, of all families, into files; with <paramref name="wait"/> returns at its end.</summary>
    public void Flush(bool wait)
    {
        using var options = new RocksHandle(rocksdb_flushoptions_create(), rocksdb_flushoptions_destroy);
        rocksdb_flushoptions_set_wait(options, wait ? (byte)1 : (byte)0);
        var families = stackalloc nint[_families.Length];
        for (var i = 0; i < _families.Length; i++) families[i] = _families[i].DangerousGetHandle();
        byte* error = null;
        rocksdb_flush_cfs(_database, options, families, _families.Length, &error);
        ThrowIf(error);
    }

    /// <summary>Deletes tables that lie wholly in [<paramref name="start"/>, <paramref name="limit"/>); those of level 0 stay.</summary>
    public void DeleteFilesInRange(int family, ReadOnlySpan<byte> start, ReadOnlySpan<byte> limit)
    {
        byte* error = null;
        fixed (byte* s = start, l = limit)
            rocksdb_delete_file_in_range_cf(_database, _families[family], s, (nuint)start.Length, l, (nuint)limit.Length, &error);
        ThrowIf(error);
    }

    /// <summary>Names of the tables, of all families, whose keys overlap [<paramref name="start"/>, <paramref name="limit"/>).</summary>
    public List<string> TablesInRange(ReadOnlySpan<byte> start, ReadOnlySpan<byte> limit)
    {
        using var files = new RocksHandle(rocksdb_livefiles(_database), rocksdb_livefiles_destroy);
        var names = new List<string>();
        for (var i = 0; i < rocksdb_livefiles_count(files); i++)
        {
            nuint smallestLength, largestLength;
            var smallest = rocksdb_livefiles_smallestkey(files, i, &smallestLength);
            var largest = rocksdb_livefiles_largestkey(files, i, &largestLength);
            if (new ReadOnlySpan<byte>(smallest, (int)smallestLength).SequenceCompareTo(limit) >= 0) continue;
            if (new ReadOnlySpan<byte>(largest, (int)largestLength).SequenceCompareTo(start) < 0) continue;
            names.Add(Marshal.PtrToStringUTF8((nint)rocksdb_livefiles_name(files, i))!.TrimStart('/'));
        }

        return names;
    }

    public RocksBatch NewBatch() => new(_families);

    /// <summary>An iterator that leaves the block cache alone. Keep it short-lived.</summary>
    /// <param name="family">Index of the family.</param>
    /// <param name="lower">First key that may be seen.</param>
    /// <param name="upper">First key that may not be seen any more.</param>
    /// <param name="verifyChecksums">False: reads on through damaged files; the values carry their own checksums.</param>
    public RocksIterator NewIterator(int family, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, bool verifyChecksums = true) =>
        new(_database, _families[family], lower, upper, verifyChecksums);

    public void Dispose()
    {
        foreach (var family in _families) family.Dispose();
        _database.Dispose();
        _syncedWrite.Dispose();
        foreach (var handle in _options) handle.Dispose();
    }

    private static RocksHandle ParseOptions(string text)
    {
        using var defaults = new RocksHandle(rocksdb_options_create(), rocksdb_options_destroy);
        var parsed = new RocksHandle(rocksdb_options_create(), rocksdb_options_destroy);
        byte* error = null;
        rocksdb_get_options_from_string(defaults, text, parsed, &error);
        ThrowIf(error);
        return parsed;
    }
}

/// <summary>Changes that are written together. Later changes of one key win over earlier ones.</summary>
public sealed unsafe class RocksBatch : IDisposable
{
    private readonly RocksHandle[] _families;

    internal RocksBatch(RocksHandle[] families) => _families = families;

    internal RocksHandle Handle { get; } = new(rocksdb_writebatch_create(), rocksdb_writebatch_destroy);

    public void Put(int family, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        fixed (byte* k = key, v = value)
            rocksdb_writebatch_put_cf(Handle, _families[family], k, (nuint)key.Length, v, (nuint)value.Length);
    }

    public void Delete(int family, ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key) rocksdb_writebatch_delete_cf(Handle, _families[family], k, (nuint)key.Length);
    }

    /// <summary>Deletes the keys of [<paramref name="start"/>, <paramref name="limit"/>).</summary>
    public void DeleteRange(int family, ReadOnlySpan<byte> start, ReadOnlySpan<byte> limit)
    {
        fixed (byte* s = start, l = limit)
            rocksdb_writebatch_delete_range_cf(Handle, _families[family], s, (nuint)start.Length, l, (nuint)limit.Length);
    }

    public void Clear() => rocksdb_writebatch_clear(Handle);

    public void Dispose() => Handle.Dispose();
}

/// <summary>
/// Walks over keys in order. <see cref="Key"/> and <see cref="Value"/> are valid until the next move.
/// A move that runs into damage leaves the iterator invalid: <see cref="ThrowIfFailed"/> tells it from the end.
/// </summary>
public sealed unsafe class RocksIterator : IDisposable
{
    private readonly RocksHandle _options = new(rocksdb_readoptions_create(), rocksdb_readoptions_destroy);
    private readonly RocksHandle _iterator;
    private readonly byte* _bounds; // the engine keeps pointers to both: they live as long as the iterator

    internal RocksIterator(
        RocksHandle database, RocksHandle family, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, bool verifyChecksums)
    {
        _bounds = (byte*)NativeMemory.Alloc((nuint)(lower.Length + upper.Length));
        lower.CopyTo(new Span<byte>(_bounds, lower.Length));
        upper.CopyTo(new Span<byte>(_bounds + lower.Length, upper.Length));
        rocksdb_readoptions_set_iterate_lower_bound(_options, _bounds, (nuint)lower.Length);
        rocksdb_readoptions_set_iterate_upper_bound(_options, _bounds + lower.Length, (nuint)upper.Length);
        rocksdb_readoptions_set_fill_cache(_options, 0);
        rocksdb_readoptions_set_verify_checksums(_options, verifyChecksums ? (byte)1 : (byte)0);
        _iterator = new RocksHandle(rocksdb_create_iterator_cf(database, _options, family), rocksdb_iter_destroy);
    }

    public bool IsValid => rocksdb_iter_valid(_iterator) != 0;

    public ReadOnlySpan<byte> Key
    {
        get
        {
            nuint length;
            var key = rocksdb_iter_key(_iterator, &length);
            return new ReadOnlySpan<byte>(key, (int)length);
        }
    }

    public ReadOnlySpan<byte> Value
    {
        get
        {
            nuint length;
            var value = rocksdb_iter_value(_iterator, &length);
            return new ReadOnlySpan<byte>(value, (int)length);
        }
    }

    /// <summary>Moves to the first key at or above <paramref name="key"/>.</summary>
    public void Seek(ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key) rocksdb_iter_seek(_iterator, k, (nuint)key.Length);
    }

    /// <summary>Moves to the last key at or below <paramref name="key"/>.</summary>
    public void SeekForPrev(ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key) rocksdb_iter_seek_for_prev(_iterator, k, (nuint)key.Length);
    }

    public void Next() => rocksdb_iter_next(_iterator);

    /// <exception cref="RocksException">The last move ran into damage or an I/O error.</exception>
    public void ThrowIfFailed()
    {
        byte* error = null;
        rocksdb_iter_get_error(_iterator, &error);
        ThrowIf(error);
    }

    public void Dispose()
    {
        _iterator.Dispose();
        _options.Dispose();
        NativeMemory.Free(_bounds);
    }
}
