namespace IoBufferEdge.Buffers;

/// <summary>What a message from another instance brings beside its payload.</summary>
public readonly record struct RemoteStamp
{
    /// <summary>The sender's queue, "device/channel"; null for the simple form, which has a <see cref="Key"/>.</summary>
    public string? Sender { get; init; }

    /// <summary>Who the message is in the sender's queue: it becomes the sender's mark.</summary>
    public MessageIdentity Identity { get; init; }

    /// <summary>The highest number of that life that the sender says to hold durably.</summary>
    public long Claimed { get; init; }

    /// <summary>Hash of the idempotency key; 0: none.</summary>
    public UInt128 Key { get; init; }

    public MessageOrigin Origin { get; init; }
}

/// <summary>How far a life of a sender has been received.</summary>
/// <param name="Sequence">The mark: everything up to it is held, or was.</param>
/// <param name="Claimed">The highest number that the sender said to hold durably; at least the mark.</param>
public readonly record struct LifeMark(long Life, long Sequence, long Claimed);

/// <summary>What a queue holds from one sender (rule 12).</summary>
/// <param name="Lives">Oldest first, at most <see cref="LivesKept"/>; all but the last are closed.</param>
/// <param name="SecuredBy">The marks are durable once this number of the queue is secured.</param>
public sealed record HeldMarks(IReadOnlyList<LifeMark> Lives, long SecuredBy)
{
    public const int LivesKept = 64;

    public static HeldMarks None { get; } = new([], 0);

    /// <summary>The newest message that was taken.</summary>
    public MessageIdentity Head => Lives.Count == 0 ? MessageIdentity.None : new(Lives[^1].Life, Lives[^1].Sequence);

    /// <summary>The mark of a life; null: none is kept.</summary>
    public long? MarkOf(long life)
    {
        for (var i = Lives.Count - 1; i >= 0; i--)
            if (Lives[i].Life == life) return Lives[i].Sequence;
        return null;
    }
}

/// <summary>
/// What delivery to another instance asks of a queue beside its messages (rule 12). Any thread.
/// </summary>
public interface ISenderQueue
{
    /// <summary>
    /// The life that a number belongs to, and the last number of it that is known here (long.MaxValue: the present life). 0: not known.
    /// </summary>
    long LifeOf(long sequence, out long lastOfLife);

    /// <summary>Whether a life is one of this queue's.</summary>
    bool Knows(long life);

    /// <summary>The highest number that is in a synced batch, or that the cursor has passed.</summary>
    long SecuredSequence { get; }

    /// <summary>Flags and origin of a message of a run; the origin of one that came in here has no route, and its own identity.</summary>
    (MessageFlags Flags, MessageOrigin Origin) Describe(in SlabMessage message);

    /// <summary>What the store knows of the receiver: it lags behind what the receiver knows, never ahead of it.</summary>
    ReceiverNote Receiver { get; }

    /// <summary>Notes something of the receiver; durable with the next batch, which it asks for.</summary>
    void NoteReceiver(ReceiverNote note);

    /// <summary>Gives what waits from this number on, and all that follows, a new life: the receiver takes it as new (<c>--resend</c>).</summary>
    void BeginLifeAt(long sequence);
}

/// <summary>One message of a run.</summary>
public readonly record struct SlabMessage(Slab Slab, int Index);

/// <summary>What a queue remembers of the instance it delivers to.</summary>
/// <param name="Name">The receiver's queue, "device/channel"; empty: it has not answered yet.</param>
/// <param name="LastDelivered">The newest message that it confirmed, as of the last synced cursor.</param>
/// <param name="Alarm">Found at a connect and not yet answered by the operator; null: nothing.</param>
public sealed record ReceiverNote(string Name, MessageIdentity LastDelivered, string? Alarm)
{
    public static ReceiverNote None { get; } = new("", MessageIdentity.None, null);
}
