using IoBufferEdge.Interop;

namespace IoBufferEdge.Buffers;

/// <summary>
/// The one memory budget of the gateway (<c>memory_bytes</c>): tails, what is kept for a repeat, blocks read back from disk and
/// half-read frames live in blocks outside the garbage collector's heap, and each is charged to an account. Accounts share the
/// budget evenly; an account that holds nothing may always take one block, so that a message larger than its share still passes.
/// Blocks of <see cref="SlabBytes"/> are kept for the next taker. Receive buffers take one ordinary block each; a frame that needs
/// more waits until the budget has room, one such frame is always admitted. Thread-safe.
/// </summary>
public sealed class MemoryBudget(long totalBytes)
{
    /// <summary>The ordinary size of a block.</summary>
    public const int SlabBytes = 64 * 1024;

    private const int SparesMax = 16;

    private readonly Lock _lock = new();
    private readonly Stack<NativeMemoryBlock> _spares = new();
    private readonly List<MemoryAccount> _accounts = [];
    private readonly Queue<GrowthTurn> _growthTurns = new();
    private long _usedBytes;
    private int _grownBlocks;

    public long TotalBytes { get; set; } = totalBytes;

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

    /// <summary>
    /// Takes a block for a frame that outgrows its receive buffer: when the budget has room for it, or no other such block is out, and
    /// no sooner than those who asked earlier. Who is told to <paramref name="hurry"/> gets it at once: a source that stops waits for no other channel.
    /// </summary>
    internal async ValueTask<NativeMemoryBlock> GrowAsync(int capacityBytes, CancellationToken hurry)
    {
        GrowthTurn? turn = null;
        lock (_lock)
        {
            if (hurry.IsCancellationRequested || _growthTurns.Count == 0 && MayGrow(capacityBytes)) ChargeGrowth(capacityBytes);
            else _growthTurns.Enqueue(turn = new GrowthTurn(capacityBytes));
        }

        if (turn is not null) await WaitForTurnAsync(turn, hurry);
        return new NativeMemoryBlock(capacityBytes);
    }

    internal void ReturnGrown(NativeMemoryBlock block)
    {
        lock (_lock) _grownBlocks--;
        Return(block);
    }

    private async ValueTask WaitForTurnAsync(GrowthTurn turn, CancellationToken hurry)
    {
        await using (hurry.UnsafeRegister(static t => ((GrowthTurn)t!).TrySetResult(false), turn))
        {
            if (await turn.Task) return;
        }

        lock (_lock) ChargeGrowth(turn.CapacityBytes);
    }

    private bool MayGrow(int capacityBytes) => _grownBlocks == 0 || UsedBytes + capacityBytes <= TotalBytes;

    private void ChargeGrowth(int capacityBytes)
    {
        _grownBlocks++;
        Interlocked.Add(ref _usedBytes, capacityBytes);
    }

    private void AdmitGrowth()
    {
        while (_growthTurns.TryPeek(out var turn) && (turn.Task.IsCompleted || MayGrow(turn.CapacityBytes)))
        {
            _growthTurns.Dequeue();
            if (turn.TrySetResult(true)) ChargeGrowth(turn.CapacityBytes);
        }
    }

    internal void Return(NativeMemoryBlock block)
    {
        Interlocked.Add(ref _usedBytes, -block.Capacity);
        lock (_lock)
        {
            AdmitGrowth();
            if (block.Capacity == SlabBytes && _spares.Count < SparesMax)
            {
                _spares.Push(block);
                return;
            }
        }

        ((IDisposable)block).Dispose();
    }

    /// <summary>Someone who waits to grow. Completes with true when admitted and charged, with false when told to hurry.</summary>
    private sealed class GrowthTurn(int capacityBytes) : TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public int CapacityBytes { get; } = capacityBytes;
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
