using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Simulation;

/// <summary>
/// What really happened to one channel's messages, kept by the world outside the code under test, and the rules that it is held to:
/// rules 9 and 11 of the message's life and its loss table. Sequence numbers come from the queue's own <c>TryAppend</c>; what was
/// secured from its own <c>SecuredSequence</c> and from the acknowledgements; everything else from the peers and the medium.
/// </summary>
public sealed partial class ChannelTruth(Scheduler scheduler, SimulatedDisk disk, int number, ChannelConfig config)
{
    private readonly Dictionary<TransmissionId, Transmission> _transmissions = [];
    private readonly List<Transmission> _accepted = [];
    private readonly Dictionary<string, List<Transmission>> _fragments = [];
    private readonly List<(long Ticks, long Cursor)> _cursors = [];
    private int _frontier;
    private int _fragmentNumber;
    private long _highestSeen;
    private long _acceptedInLife;
    private long _largestMessage;
    private long _droppedInLife;
    private long _receivedAtBegin;
    private long _cursorThatHolds;

    public string Id { get; } = config.Id;

    /// <summary>The channel's number in the identities.</summary>
    public int Number => number;

    public ChannelConfig Config { get; set; } = config;

    /// <summary>The queue of the present life; null while the gateway is down.</summary>
    public ChannelBuffer? Buffer { get; private set; }

    public int Life { get; private set; }

    public long Accepted => _accepted.Count;

    public long Delivered { get; private set; }

    public long Repeats { get; private set; }

    private bool Acknowledges => Config.Source.Ack is not null;

    private bool HandedCounts => Config.Destination.EffectiveConfirm.Type == ConfirmType.None;

    private TimeSpan Hold => TimeSpan.FromMilliseconds(Config.Destination.EffectiveConfirm.HoldMs ?? (Acknowledges ? 1000 : 0));

    public Transmission Send(TransmissionId id, byte[] payload)
    {
        var transmission = new Transmission(id, payload);
        _transmissions.Add(id, transmission);
        return transmission;
    }

    /// <summary>A gateway process begins.</summary>
    public void BeginLife(int life)
    {
        Life = life;
        (_acceptedInLife, _droppedInLife) = (0, 0);
        _cursors.Clear();
    }

    /// <summary>It has opened the queue, and is about to receive into it.</summary>
    public void Attach(ChannelBuffer buffer)
    {
        if (Buffer == buffer) return;
        Buffer = buffer;
        _receivedAtBegin = buffer.Ledger.Received;
        Trace("truth.life", Life, buffer.LastSequence);
    }

    /// <summary>The queue took a message and gave it a number; 0: policy discarded it.</summary>
    public void Accept(ReadOnlySpan<byte> payload, MessageFlags flags, long sequence)
    {
        if (sequence == 0)
        {
            _droppedInLife++;
            if (Config.Buffer.WhenFull != WhenFull.DropNewest) Violate("a message was dropped although the channel does not drop the newest");
            return;
        }

        Transmission? transmission = null;
        if (TransmissionId.TryFind(payload, out var id)) _transmissions.TryGetValue(id, out transmission);
        if (transmission is null || !payload.SequenceEqual(transmission.Payload)) transmission = Fragment(payload, flags);
        else if (transmission.Sequence != 0) Violate($"message {transmission} was taken twice from the wire, now as {sequence}");
        if (transmission is null) return;
        if (_accepted.Count > 0 && sequence <= _accepted[^1].Sequence) Violate($"sequence number {sequence} was given after {_accepted[^1].Sequence}");
        (transmission.Sequence, transmission.Life) = (sequence, Life);
        _accepted.Add(transmission);
        _acceptedInLife++;
        _largestMessage = Math.Max(_largestMessage, payload.Length);
        Trace("accepted", sequence, payload.Length);
    }

    /// <summary>The sender has an acknowledgement for this transmission.</summary>
    public void Acknowledged(Transmission transmission)
    {
        transmission.Acknowledged = true;
        Trace("acknowledged", transmission.Sequence);
        if (transmission.Sequence == 0)
        {
            if (Config.Buffer.WhenFull != WhenFull.DropNewest) Violate($"message {transmission.Id} was acknowledged and never taken");
            return;
        }

        if (!IsSecured(transmission)) Violate($"message {transmission} was acknowledged before it was secured");
        transmission.Secured = true;
    }

    /// <summary>
    /// The peer's application has read a message. Rule 9. <paramref name="taken"/>: it keeps it; else it refuses it.
    /// </summary>
    public Transmission? Arrive(PeerConnection connection, byte[] payload, bool taken)
    {
        var transmission = Identify(connection, payload);
        if (transmission is null)
        {
            Violate($"the peer read {payload.Length} bytes that nobody sent: {Text(payload)}");
            return null;
        }

        var sequence = transmission.Sequence;
        Trace(transmission.Seen ? "repeated" : taken ? "delivered" : "offered", sequence, connection.Number);
        if (sequence <= connection.LastSequence && !connection.MayRepeat(sequence))
            Violate($"message {transmission} arrived behind {connection.LastSequence} on one connection");
        CheckNotDiscarded(connection, transmission);
        CheckSynced(connection, transmission);
        CheckNothingMissing(transmission);
        if (transmission.Seen) CheckRepeat(connection, transmission);
        else if (sequence < _highestSeen) Violate($"message {transmission} arrived for the first time after {_highestSeen}");
        CheckRun(connection, sequence);

        connection.LastSequence = sequence;
        if (!taken) return transmission;
        if (!transmission.Seen) Delivered++;
        transmission.Seen = true;
        _highestSeen = Math.Max(_highestSeen, sequence);
        return transmission;
    }

    /// <summary>A datagram has arrived: whatever order, but nothing that nobody sent.</summary>
    public void ArriveDatagram(byte[] payload)
    {
        if (Known(payload) is not { Sequence: > 0 } transmission)
        {
            Violate($"the peer got a datagram that nobody sent: {Text(payload)}");
            return;
        }

        if (!transmission.Seen) Delivered++;
        else Repeats++;
        transmission.Seen = true;
        Trace("datagram", transmission.Sequence);
    }

    /// <summary>With <c>none</c> and <c>udp</c> what was handed over counts as delivered.</summary>
    public void HandedOver(ReadOnlySpan<byte> payload)
    {
        if (!HandedCounts) return;
        if (TransmissionId.TryFind(payload, out var id) && _transmissions.TryGetValue(id, out var transmission) &&
            payload.SequenceEqual(transmission.Payload)) transmission.Handed = true;
        else if (_fragments.Count > 0 && _fragments.TryGetValue(Text(payload), out var same)) same.ForEach(fragment => fragment.Handed = true);
    }

    /// <summary>A peer died and left these unread in its kernel, since when; the connection was made in <paramref name="life"/>.</summary>
    public void LostUnread(int life, byte[] payload, long sinceTicks, bool halfClosed, bool gone)
    {
        if (Known(payload) is not { Seen: false } transmission) return;
        var lives = _ends.GetValueOrDefault(life);
        if (life == Life && Buffer is not null)
        {
            (transmission.LostUnreadAtTicks, transmission.LostUnreadSinceTicks) = (gone ? long.MaxValue : scheduler.NowTicks, sinceTicks);
            if (halfClosed) Excuse(transmission);
        }
        else if (halfClosed || (lives is { Crashed: true } && MayBeLost(sinceTicks, lives.Ticks)))
        {
            Excuse(transmission);
        }
    }

    /// <summary>Called now and then while the gateway runs: where the cursor is, and whether the ledger's equation holds.</summary>
    public void Sample()
    {
        if (Buffer is not { } buffer) return;
        _cursors.Add((scheduler.NowTicks, buffer.Cursor));
        CheckLedger(buffer);
    }

    /// <summary>
    /// The life ended. Everything that it had declared secured must be with the peer, on the medium, parked, discarded or, within the
    /// loss table, lost. <paramref name="settled"/>: from when on the medium has worked without a failure.
    /// </summary>
    public void EndLife(bool crashed, TimeSpan settled, Func<Transmission, bool> unreadAtPeer)
    {
        var secured = Buffer?.SecuredSequence ?? 0;
        _ends[Life] = new LifeEnd(crashed, scheduler.NowTicks);
        foreach (var transmission in _accepted)
        {
            if (transmission.Life == Life && transmission.Sequence <= secured) transmission.Secured = true;
            if (transmission.Life == Life && !transmission.Secured) transmission.Optional = true;
            if (transmission.LostUnreadAtTicks >= 0 && !transmission.Seen && crashed &&
                MayBeLost(transmission.LostUnreadSinceTicks, Math.Min(scheduler.NowTicks, transmission.LostUnreadAtTicks))) Excuse(transmission);
            transmission.LostUnreadAtTicks = -1;
        }

        _cursorThatHolds = crashed ? SettledCursor(settled) : 0;
        Buffer = null;
        Trace("truth.end", secured, crashed ? 1 : 0);
        CheckSecuredIsSomewhere(unreadAtPeer);
    }

    /// <summary>The medium lost its power while no gateway ran: what was secured before must have survived.</summary>
    public void Recheck(Func<Transmission, bool> unreadAtPeer) => CheckSecuredIsSomewhere(unreadAtPeer);

    /// <summary>Bit flips: what the damaged blocks held is lost, and may have been.</summary>
    public void ExcuseDamage()
    {
        foreach (var (queue, range) in disk.Damage)
        {
            if (queue != Id) continue;
            foreach (var transmission in _accepted)
            {
                if (range.Contains(transmission.Sequence)) Excuse(transmission);
            }
        }
    }

    /// <summary>Null when nothing is left to deliver; else what is.</summary>
    public string? Undrained()
    {
        if (Buffer is not { } buffer) return $"channel {Id} is not running";
        if (buffer.Ledger.Buffered > 0 || buffer.Cursor < buffer.LastSequence && buffer.SecuredSequence < buffer.LastSequence)
        {
            return $"channel {Id} has its cursor at {buffer.Cursor}, secured {buffer.SecuredSequence}, last {buffer.LastSequence}, " +
                $"{buffer.Ledger.Buffered} buffered";
        }

        return _accepted.Find(transmission => !IsAccountedFor(transmission) && !transmission.Optional) is { } open
            ? $"channel {Id}: message {open} is neither delivered nor parked nor discarded"
            : null;
    }

    private sealed record LifeEnd(bool Crashed, long Ticks);

    private readonly Dictionary<int, LifeEnd> _ends = [];

    private bool IsSecured(Transmission transmission) =>
        transmission.Secured || (Buffer is { } buffer && transmission.Life == Life && transmission.Sequence <= buffer.SecuredSequence);

    private bool IsParked(long sequence) => disk.IsParked(Id, sequence);

    private bool IsDiscarded(long sequence) => disk.IsDiscarded(Id, sequence);

    private bool IsAccountedFor(Transmission transmission) =>
        transmission.Seen || transmission.Excused || (transmission.Handed && HandedCounts) || IsParked(transmission.Sequence) ||
        IsDiscarded(transmission.Sequence);

    private bool MayBeLost(long sinceTicks, long untilTicks) =>
        Config.Destination.EffectiveConfirm.Type == ConfirmType.Transport && untilTicks - sinceTicks > (Acknowledges ? Hold.Ticks : 0);

    private void Excuse(Transmission transmission)
    {
        if (!transmission.Excused && !transmission.Seen) Trace("excused", transmission.Sequence);
        transmission.Excused = true;
    }

    private int IndexOf(long sequence)
    {
        int low = 0, high = _accepted.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_accepted[middle].Sequence <= sequence) low = middle + 1;
            else high = middle;
        }

        return low - 1;
    }

    /// <summary>A frame whose connection ended inside it: a message of its own, known by its bytes.</summary>
    private Transmission? Fragment(ReadOnlySpan<byte> payload, MessageFlags flags)
    {
        if ((flags & MessageFlags.Partial) == 0)
        {
            Violate($"the queue took {payload.Length} bytes that nobody sent, and does not call them partial: {Text(payload)}");
            return null;
        }

        var transmission = new Transmission(new TransmissionId(0, 0, 0, ++_fragmentNumber), payload.ToArray());
        var text = Text(payload);
        if (!_fragments.TryGetValue(text, out var same)) _fragments.Add(text, same = []);
        same.Add(transmission);
        return transmission;
    }

    private Transmission? Known(byte[] payload) =>
        TransmissionId.TryFind(payload, out var id) && _transmissions.TryGetValue(id, out var transmission) &&
        payload.AsSpan().SequenceEqual(transmission.Payload)
            ? transmission
            : _fragments.Count == 0 ? null
            : _fragments.GetValueOrDefault(Text(payload))?.Find(fragment => !fragment.Seen) ?? _fragments.GetValueOrDefault(Text(payload))?[^1];

    /// <summary>Which message this is. Fragments may look alike: the first one behind what this connection has brought.</summary>
    private Transmission? Identify(PeerConnection connection, byte[] payload)
    {
        if (_fragments.Count > 0 && _fragments.TryGetValue(Text(payload), out var same))
            return same.Find(fragment => fragment.Sequence > connection.LastSequence) ?? same[^1];
        return Known(payload) is { Sequence: > 0 } transmission ? transmission : null;
    }

    internal static string Text(ReadOnlySpan<byte> payload) => System.Text.Encoding.Latin1.GetString(payload);

    private void Trace(string what, long a, long b = 0) => scheduler.Trace.Add(scheduler, what, Id, a, b);

    private void Violate(string sentence) => scheduler.Violate($"{Id}: {sentence}.");
}
