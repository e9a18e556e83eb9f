using IoBufferEdge.Interop;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The one memory budget of the gateway (<c>memory_bytes</c>): tails, what is kept for a repeat, blocks read back from disk and
/// half-read frames live in blocks outside the garbage collector's heap, and each is charged to an account. Accounts share the
/// budget evenly; an account that holds nothing may always take one block, so that a message larger than its share still passes.
/// Blocks of <see cref="SlabBytes"/> are kept for the next taker. Thread-safe.
/// </summary>
public sealed class MemoryBudget(long totalBytes)
{
    /// <summary>The ordinary size of a block.</summary>
    public const int SlabBytes = 64 * 1024;

    private const int SparesMax = 16;

    private readonly Lock _lock = new();
    private readonly Stack<NativeMemoryBlock> _spares = new();
    private readonly List<MemoryAccount> _accounts = [];
    private long _usedBytes;

    public long TotalBytes { get; } = totalBytes;

    public long UsedBytes => Interlocked.Read(ref _usedBytes);

    /// <summary>What each account may hold.</summary>
    public long ShareBytes
    {
        get
        {
            lock (_lock) return TotalBytes / Math.Max(1, _accounts.Count);
        }
    }

    public MemoryAccount OpenAccount()
    {
        var account = new MemoryAccount(this);
        lock (_lock) _accounts.Add(account);
        return account;
    }

    internal void Close(MemoryAccount account)
    {
        lock (_lock) _accounts.Remove(account);
    }

    internal NativeMemoryBlock Take(int capacityBytes)
    {
        Interlocked.Add(ref _usedBytes, capacityBytes);
        lock (_lock)
        {
            if (capacityBytes == SlabBytes && _spares.TryPop(out var spare)) return spare;
        }

        return new NativeMemoryBlock(capacityBytes);
    }

    internal void Return(NativeMemoryBlock block)
    {
        Interlocked.Add(ref _usedBytes, -block.Capacity);
        lock (_lock)
        {
            if (block.Capacity == SlabBytes && _spares.Count < SparesMax)
            {
                _spares.Push(block);
                return;
            }
        }

        ((IDisposable)block).Dispose();
    }
}

/// <summary>One channel's part of the <see cref="MemoryBudget"/>. Not thread-safe but for <see cref="UsedBytes"/>: its owner's lock guards
/// it.</summary>
public sealed class MemoryAccount : IDisposable
{
    private readonly MemoryBudget _budget;
    private long _usedBytes;

    internal MemoryAccount(MemoryBudget budget) => _budget = budget;

    public long UsedBytes => Interlocked.Read(ref _usedBytes);

    public long ShareBytes => _budget.ShareBytes;

    /// <summary>True when a block of this size fits the account's share less <paramref name="spareBytes"/>, or the account is
    /// empty.</summary>
    public bool Fits(int capacityBytes, long spareBytes = 0) =>
        UsedBytes == 0 || UsedBytes + capacityBytes <= ShareBytes - spareBytes;

    /// <summary>Takes a block, fitting or not: who calls decides with <see cref="Fits"/>.</summary>
    public NativeMemoryBlock Take(int capacityBytes)
    {
        Interlocked.Add(ref _usedBytes, capacityBytes);
        return _budget.Take(capacityBytes);
    }

    public void Return(NativeMemoryBlock block)
    {
        Interlocked.Add(ref _usedBytes, -block.Capacity);
        _budget.Return(block);
    }

    public void Dispose() => _budget.Close(this);
}
