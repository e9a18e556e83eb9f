namespace IoBufferEdge.Simulation;

/// <summary>One transmission as the world knows it.</summary>
public sealed class Transmission(TransmissionId id, byte[] payload)
{
    public TransmissionId Id => id;

    public byte[] Payload => payload;

    /// <summary>The number that the queue gave it; 0: none.</summary>
    public long Sequence { get; set; }

    /// <summary>The gateway's life that took it.</summary>
    public int Life { get; set; }

    /// <summary>The sender has its acknowledgement.</summary>
    public bool Acknowledged { get; set; }

    /// <summary>The queue said that it is secured.</summary>
    public bool Secured { get; set; }

    /// <summary>The peer's application has taken it.</summary>
    public bool Seen { get; set; }

    /// <summary>With <c>none</c> and <c>udp</c>: handed to the network.</summary>
    public bool Handed { get; set; }

    /// <summary>The loss table allows that it is lost.</summary>
    public bool Excused { get; set; }

    /// <summary>It was not secured when its life ended: it may come or not.</summary>
    public bool Optional { get; set; }

    /// <summary>When a peer died with it unread in its kernel, and since when it had lain there; negative: no.</summary>
    public long LostUnreadAtTicks { get; set; } = -1;

    public long LostUnreadSinceTicks { get; set; }

    public override string ToString() => $"{Sequence} ({id})";
}

/// <summary>One connection as the peer's application sees it.</summary>
public sealed class PeerConnection
{
    public required int Number { get; init; }

    /// <summary>The gateway's life that it belongs to.</summary>
    public required int Life { get; init; }

    /// <summary>It is the first one of that life: it may repeat what the life before had confirmed and not yet written down.</summary>
    public required bool FirstOfLife { get; init; }

    /// <summary>Its link delivers only what is synced (rule 3).</summary>
    public bool DurableFirst { get; init; }

    /// <summary>When the gateway's end of it was over; null: it stands.</summary>
    public Func<long?> FarEndedAtTicks { get; init; } = static () => null;

    public long LastSequence { get; set; }

    public long RepeatedBytes { get; set; }

    public bool Repeats { get; set; }

    /// <summary>The last message was refused and not for good: it may come again on the same connection.</summary>
    public bool LastRefused { get; set; }

    public bool MayRepeat(long sequence) => LastRefused && sequence == LastSequence;
}
