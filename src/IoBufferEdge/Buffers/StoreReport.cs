namespace IoBufferEdge.Buffers;

/// <summary>What a verification found in a store.</summary>
/// <param name="Damage">What is wrong, a sentence each; empty: the store is sound.</param>
/// <param name="Queues">In the order of their numbers, as far as they could be read.</param>
/// <param name="Blocks">Blocks that were read and whose checksum holds.</param>
/// <param name="BlockBytes">Their size.</param>
public sealed record StoreReport(long Generation, IReadOnlyList<string> Damage, IReadOnlyList<QueueReport> Queues, long Blocks, long BlockBytes)
{
    public bool IsSound => Damage.Count == 0;
}

/// <summary>What a verification found of one queue.</summary>
/// <param name="Waiting">Messages above the cursor that read, less what was parked or discarded.</param>
/// <param name="Parked">Parked messages that read.</param>
/// <param name="DamagedBlocks">Blocks whose checksum does not hold.</param>
/// <param name="Missing">Numbers that should be there, are not, and that nothing explains.</param>
/// <param name="KnownMissing">Numbers that an earlier salvage did not find, and has reported.</param>
public sealed record QueueReport(
    string Id,
    int Number,
    long Waiting,
    long WaitingBytes,
    long Parked,
    long ParkedBytes,
    int DamagedBlocks,
    IReadOnlyList<SequenceRange> Missing,
    IReadOnlyList<SequenceRange> KnownMissing);
