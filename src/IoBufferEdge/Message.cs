namespace IoBufferEdge;

/// <summary>What is special about a stored message. Four bits: they share a word with the length in the block format.</summary>
[Flags]
public enum MessageFlags : byte
{
    None = 0,

    /// <summary>The source ended inside this frame: bytes without their delimiter.</summary>
    Partial = 1,

    /// <summary>A piece of a frame that was longer than <c>max_message_bytes</c> (<c>on_oversize: split</c>).</summary>
    Split = 2,

    /// <summary>Serial: at least one byte came with a parity or frame error; all bytes are as they came.</summary>
    Damaged = 4,
}

/// <summary>An unbroken run of sequence numbers, both ends included.</summary>
public readonly record struct SequenceRange(long First, long Last)
{
    public long Count => Last - First + 1;

    public bool Contains(long sequence) => sequence >= First && sequence <= Last;

    public override string ToString() => First == Last ? $"{First}" : $"{First}..{Last}";
}

/// <summary>
/// Who a message is between a queue and those who receive from it: the life in which the queue took it, and its number there. Numbers alone
/// would not do: a queue that is put back to a backup gives the same number twice, a life never (rule 12).
/// </summary>
/// <param name="Sequence">0: no message.</param>
public readonly record struct MessageIdentity(long Life, long Sequence)
{
    public static MessageIdentity None => default;

    public bool IsNone => Sequence == 0;

    public override string ToString() => IsNone ? "none" : $"{Life:x16}:{Sequence}";
}

/// <summary>Where a message came into a chain of instances; it is kept along the chain.</summary>
/// <param name="Route">The instances passed, oldest first, each as "device/channel", with <c>&gt;</c> between them; null: it came in here.</param>
/// <param name="Life">Of the first instance's queue; 0 where the message came in without an identity.</param>
/// <param name="Sequence">The number that the first instance gave it.</param>
/// <param name="ReceivedUnixUs">When it was received there, by that device's wall clock: Unix time, µs.</param>
public readonly record struct MessageOrigin(string? Route, long Life, long Sequence, long ReceivedUnixUs);
