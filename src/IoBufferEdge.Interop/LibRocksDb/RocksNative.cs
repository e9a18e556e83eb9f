using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.LibRocksDb;

/// <summary>
/// The functions of librocksdb's C interface (rocksdb/c.h, 11.12) that the gateway uses, by their own names. Errors come back
/// through <c>char** error</c>, allocated by the library. The library lies beside the executable (or in its runtimes folder).
/// </summary>
internal static unsafe partial class RocksNative
{
    internal const string Library = "rocksdb";

    // Options
    [LibraryImport(Library)] internal static partial nint rocksdb_options_create();
    [LibraryImport(Library)] internal static partial void rocksdb_options_destroy(nint options);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void rocksdb_get_options_from_string(RocksHandle baseOptions, string text, RocksHandle options, byte** error);
    [LibraryImport(Library)] internal static partial nint rocksdb_writeoptions_create();
    [LibraryImport(Library)] internal static partial void rocksdb_writeoptions_destroy(nint options);
    [LibraryImport(Library)] internal static partial void rocksdb_writeoptions_set_sync(RocksHandle options, byte sync);
    [LibraryImport(Library)] internal static partial nint rocksdb_readoptions_create();
    [LibraryImport(Library)] internal static partial void rocksdb_readoptions_destroy(nint options);
    [LibraryImport(Library)] internal static partial void rocksdb_readoptions_set_verify_checksums(RocksHandle options, byte verify);
    [LibraryImport(Library)] internal static partial void rocksdb_readoptions_set_fill_cache(RocksHandle options, byte fill);
    [LibraryImport(Library)]
    internal static partial void rocksdb_readoptions_set_iterate_lower_bound(RocksHandle options, byte* key, nuint keyLength);
    [LibraryImport(Library)]
    internal static partial void rocksdb_readoptions_set_iterate_upper_bound(RocksHandle options, byte* key, nuint keyLength);
    [LibraryImport(Library)] internal static partial nint rocksdb_flushoptions_create();
    [LibraryImport(Library)] internal static partial void rocksdb_flushoptions_destroy(nint options);
    [LibraryImport(Library)] internal static partial void rocksdb_flushoptions_set_wait(RocksHandle options, byte wait);

    // Database
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint rocksdb_open_column_families(
        RocksHandle options, string path, int count, byte** names, nint* familyOptions, nint* families, byte** error);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint rocksdb_open_for_read_only_column_families(
        RocksHandle options, string path, int count, byte** names, nint* familyOptions, nint* families, byte failIfLogExists, byte** error);
    [LibraryImport(Library)] internal static partial void rocksdb_close(nint database);
    [LibraryImport(Library)] internal static partial void rocksdb_column_family_handle_destroy(nint family);
    [LibraryImport(Library)]
    internal static partial void rocksdb_write(RocksHandle database, RocksHandle options, RocksHandle batch, byte** error);
    [LibraryImport(Library)]
    internal static partial void rocksdb_flush_cfs(RocksHandle database, RocksHandle options, nint* families, int count, byte** error);
    [LibraryImport(Library)]
    internal static partial void rocksdb_delete_file_in_range_cf(
        RocksHandle database, RocksHandle family, byte* start, nuint startLength, byte* limit, nuint limitLength, byte** error);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void rocksdb_repair_db(RocksHandle options, string path, byte** error);
    [LibraryImport(Library)] internal static partial nint rocksdb_livefiles(RocksHandle database);
    [LibraryImport(Library)] internal static partial int rocksdb_livefiles_count(RocksHandle files);
    [LibraryImport(Library)] internal static partial byte* rocksdb_livefiles_name(RocksHandle files, int index);
    [LibraryImport(Library)] internal static partial byte* rocksdb_livefiles_smallestkey(RocksHandle files, int index, nuint* length);
    [LibraryImport(Library)] internal static partial byte* rocksdb_livefiles_largestkey(RocksHandle files, int index, nuint* length);
    [LibraryImport(Library)] internal static partial void rocksdb_livefiles_destroy(nint files);
    [LibraryImport(Library)] internal static partial void rocksdb_free(void* memory);

    // Write batch
    [LibraryImport(Library)] internal static partial nint rocksdb_writebatch_create();
    [LibraryImport(Library)] internal static partial void rocksdb_writebatch_destroy(nint batch);
    [LibraryImport(Library)] internal static partial void rocksdb_writebatch_clear(RocksHandle batch);
    [LibraryImport(Library)]
    internal static partial void rocksdb_writebatch_put_cf(
        RocksHandle batch, RocksHandle family, byte* key, nuint keyLength, byte* value, nuint valueLength);
    [LibraryImport(Library)]
    internal static partial void rocksdb_writebatch_delete_cf(RocksHandle batch, RocksHandle family, byte* key, nuint keyLength);
    [LibraryImport(Library)]
    internal static partial void rocksdb_writebatch_delete_range_cf(
        RocksHandle batch, RocksHandle family, byte* start, nuint startLength, byte* limit, nuint limitLength);

    // Iterator
    [LibraryImport(Library)]
    internal static partial nint rocksdb_create_iterator_cf(RocksHandle database, RocksHandle options, RocksHandle family);
    [LibraryImport(Library)] internal static partial void rocksdb_iter_destroy(nint iterator);
    [LibraryImport(Library)] internal static partial byte rocksdb_iter_valid(RocksHandle iterator);
    [LibraryImport(Library)] internal static partial void rocksdb_iter_seek(RocksHandle iterator, byte* key, nuint keyLength);
    [LibraryImport(Library)] internal static partial void rocksdb_iter_seek_for_prev(RocksHandle iterator, byte* key, nuint keyLength);
    [LibraryImport(Library)] internal static partial void rocksdb_iter_next(RocksHandle iterator);
    [LibraryImport(Library)] internal static partial byte* rocksdb_iter_key(RocksHandle iterator, nuint* length);
    [LibraryImport(Library)] internal static partial byte* rocksdb_iter_value(RocksHandle iterator, nuint* length);
    [LibraryImport(Library)] internal static partial void rocksdb_iter_get_error(RocksHandle iterator, byte** error);

    /// <summary>Throws what the library reported, and frees its text.</summary>
    internal static void ThrowIf(byte* error)
    {
        if (error == null) return;
        var text = Marshal.PtrToStringUTF8((nint)error) ?? "";
        rocksdb_free(error);
        throw new RocksException(text);
    }
}

/// <summary>The engine's own words about what failed.</summary>
public sealed class RocksException(string message) : Exception(message);

/// <summary>Any object of the library, with the function that destroys it.</summary>
internal sealed class RocksHandle : SafeHandle
{
    private readonly Action<nint> _destroy;

    internal RocksHandle(nint handle, Action<nint> destroy)
        : base(0, ownsHandle: true)
    {
        _destroy = destroy;
        SetHandle(handle);
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        _destroy(handle);
        return true;
    }
}
