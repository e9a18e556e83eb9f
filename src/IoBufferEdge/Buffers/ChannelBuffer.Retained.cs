namespace IoBufferEdge.Buffers;

/// <summary>
/// What was delivered and stays on disk for a replay (<c>retain_bytes</c>). It is history: it does not count against <c>max_bytes</c>, and
/// it goes at once where the device's quota or the medium is full, because what is not delivered yet needs the room.
/// </summary>
public sealed partial class ChannelBuffer
{
    private readonly RetainedPart _retained;

    /// <summary>The first number above <paramref name="after"/> that may be sent once more; null: none up to the cursor.</summary>
    internal long? NextRetained(long after)
    {
        lock (_sync) return _retained.Next(after + 1) is var next && next <= _cursor && _retained.IsOn ? next : null;
    }

    private RetainMark? RetainAfter => _retained.IsOn ? _retained.After : null;

    private bool RetainedGivesWay => _committer.DeviceIsFull || _committer.RecordsOnly;

    /// <summary>Worth a batch of its own.</summary>
    private bool MustGiveUpRetained => RetainedGivesWay && _retained.IsOn && _retained.After.Sequence < _syncedCursor;

    /// <summary>Payload that is retained, discarded and parked messages with it.</summary>
    private long RetainedBytes => _retained.IsOn ? Math.Max(0, _cursorTotals.Bytes - _retained.After.Bytes) : 0;

    /// <summary>A batch is being taken: what is retained follows its cursor, and what it settles otherwise than by delivery is withheld.</summary>
    private void FollowRetained(RetainMark cursor)
    {
        var begins = _retained.Follow(cursor, _settings.Buffer.RetainBytes);
        if (!_retained.IsOn) return;
        if (RetainedGivesWay) _retained.GiveUp(cursor);
        if (begins)
            foreach (var range in _gaps.SettledBetween(cursor.Sequence, long.MaxValue)) _retained.Withhold(range);
        foreach (var park in _pendingParks) _retained.Withhold(new SequenceRange(park.FirstSequence, park.LastSequence));
        foreach (var (range, _) in _committingDiscards) _retained.Withhold(range);
    }
}
