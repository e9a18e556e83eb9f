namespace IoBufferEdge.Buffers;

/// <summary>Which parked or retained messages a command takes.</summary>
/// <param name="From">Numbers at or above.</param>
/// <param name="UpTo">Numbers at or below; null: up to the newest that is there now.</param>
/// <param name="Count">So many messages at most; the outcome says where to go on.</param>
public sealed record MessageSelection(long From = 0, long? UpTo = null, int Count = int.MaxValue);

/// <summary>What came of a command over them.</summary>
/// <param name="Messages">So many were taken.</param>
/// <param name="Busy">So many were left out because another command has them.</param>
/// <param name="Next">Where to go on; null: at the end.</param>
/// <param name="UpTo">The newest number that belongs to the command.</param>
public sealed record SelectionOutcome(int Messages, long Bytes, int Busy, long? Next, long UpTo);
