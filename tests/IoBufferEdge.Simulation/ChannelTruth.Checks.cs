using IoBufferEdge.Buffers;

namespace IoBufferEdge.Simulation;

/// <summary>The rules, each as one check.</summary>
public sealed partial class ChannelTruth
{
    /// <summary>A run is admitted whole once the window has room.</summary>
    private const int RunBytesMax = 64 * 1024;

    private void CheckNothingMissing(Transmission arrived)
    {
        while (_frontier < _accepted.Count && (_accepted[_frontier].Optional || IsAccountedFor(_accepted[_frontier]))) _frontier++;
        for (var i = _frontier; i < _accepted.Count && _accepted[i].Sequence < arrived.Sequence; i++)
        {
            var earlier = _accepted[i];
            if (!earlier.Optional && IsSecured(earlier) && !IsAccountedFor(earlier))
                Violate($"message {arrived} arrived while {earlier}, secured, is neither delivered nor parked nor discarded");
        }
    }

    /// <summary>A link that ended before the discard may have left the message with the peer, which reads it late.</summary>
    private void CheckNotDiscarded(PeerConnection connection, Transmission transmission)
    {
        if (disk.DiscardedAtTicks(Id, transmission.Sequence) is not { } discarded) return;
        if (connection.FarEndedAtTicks() is { } ended && ended <= discarded) return;
        Violate($"message {transmission} arrived although it was discarded");
    }

    /// <summary>Rule 3: in durable_first nothing is sent that is not synced.</summary>
    private void CheckSynced(PeerConnection connection, Transmission transmission)
    {
        if (!connection.DurableFirst || connection.Life != Life || Buffer is not { } buffer || transmission.Life != Life) return;
        if (transmission.Sequence > Math.Max(buffer.DurableSequence, buffer.Cursor))
            Violate($"message {transmission} arrived ahead of its sync, with {buffer.DurableSequence} durable, although the channel is durable_first");
    }

    private void CheckRepeat(PeerConnection connection, Transmission transmission)
    {
        Repeats++;
        connection.RepeatedBytes += transmission.Payload.Length;
        connection.Repeats = true;
        var destination = Config.Destination;
        // The window, as much again that was asked with, and three large messages that KeptBound remembers.
        var bound = (2L * destination.WindowBytes) + destination.ResendBytes + RunBytesMax + (3 * _largestMessage);
        // What is held is not confirmed either: with a hold the time counts, not the bytes.
        if (Hold == TimeSpan.Zero && connection.Life == Life && !connection.FirstOfLife && connection.RepeatedBytes > bound)
            Violate($"{connection.RepeatedBytes} bytes came again on one connection; window and resend_bytes allow {bound}");
        if (transmission.Sequence <= _cursorThatHolds && transmission.Life < connection.Life && connection.FirstOfLife)
            Violate($"message {transmission} came again after a crash although the cursor {_cursorThatHolds} had been there for long");
    }

    /// <summary>Inside one life repeats are unbroken runs.</summary>
    private void CheckRun(PeerConnection connection, long sequence)
    {
        if (!connection.Repeats || connection.LastSequence == 0 || connection.Life != Life) return;
        for (var i = IndexOf(connection.LastSequence) + 1; i < _accepted.Count && _accepted[i].Sequence < sequence; i++)
        {
            var between = _accepted[i];
            if (between is { Seen: true, Excused: false } && between.Life == Life && !IsParked(between.Sequence) && !IsDiscarded(between.Sequence))
                Violate($"repeats are no unbroken run: {between} was left out between {connection.LastSequence} and {sequence}");
        }
    }

    private void CheckLedger(ChannelBuffer buffer)
    {
        var ledger = buffer.Ledger;
        // What damage destroyed leaves a difference until the next start takes stock.
        var difference = ledger.Received - ledger.Delivered - ledger.Buffered - ledger.Parked - ledger.Discarded;
        if (difference < 0 || difference > ledger.Lost)
        {
            Violate($"the ledger does not add up: received {ledger.Received}, delivered {ledger.Delivered}, buffered {ledger.Buffered}, " +
                $"parked {ledger.Parked}, discarded {ledger.Discarded}, lost {ledger.Lost}");
        }

        var secured = buffer.SecuredSequence;
        var unsecured = 0L;
        for (var i = _accepted.Count - 1; i >= 0 && _accepted[i].Life == Life && _accepted[i].Sequence > secured; i--) unsecured++;
        var received = _receivedAtBegin + _acceptedInLife - unsecured + _droppedInLife;
        if (ledger.Received != received) Violate($"the ledger says {ledger.Received} received; {received} were (begin {_receivedAtBegin})");
    }

    private void CheckSecuredIsSomewhere(Func<Transmission, bool> unreadAtPeer)
    {
        var readable = disk.Readable(Id);
        foreach (var transmission in _accepted)
        {
            if (!transmission.Secured || IsAccountedFor(transmission) || readable.Contains(transmission.Sequence)) continue;
            if (unreadAtPeer(transmission)) continue;
            Violate($"message {transmission}, secured, is neither delivered, nor on the medium behind the cursor, nor parked, nor discarded");
        }
    }

    /// <summary>Where the cursor was so long ago that a commit must have carried it since (rule 9), while the medium worked.</summary>
    private long SettledCursor(TimeSpan settled)
    {
        var until = scheduler.NowTicks - TimeSpan.FromSeconds(2).Ticks;
        if (settled.Ticks > until) return 0;
        return _cursors.LastOrDefault(sample => sample.Ticks <= until).Cursor;
    }
}
