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
