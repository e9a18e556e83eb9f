using System.Reflection;
using System.Runtime.InteropServices;
using IoBufferEdge.Buffers;
using IoBufferEdge.Interop.LibRocksDb;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Buffers;

public sealed class RocksBufferStoreTests : BufferStoreContract, IDisposable
{
    private readonly string _data = Directory.CreateTempSubdirectory("iobuffer-store-").FullName;

    private string StorePath => Path.Combine(_data, "store");

    public void Dispose() => Directory.Delete(_data, recursive: true);

    [Fact]
    public void Every_function_of_the_binding_is_in_the_library()
    {
        var library = NativeLibrary.Load(RocksNative.Library, typeof(RocksNative).Assembly, null);
        var names = typeof(RocksNative).GetMethods(BindingFlags.Static | BindingFlags.NonPublic)
            .Select(m => m.Name)
            .Where(name => name.StartsWith("rocksdb_", StringComparison.Ordinal))
            .ToList();
        Assert.True(names.Count > 30);
        Assert.All(names, name => NativeLibrary.GetExport(library, name));
    }

    protected override IBufferStore CreateStore() => CreateStore(new RocksStoreOptions { Directory = StorePath });

    private static RocksBufferStore CreateStore(RocksStoreOptions options) =>
        new(options, TimeProvider.System, new Random(1), NullLogger.Instance);
}
