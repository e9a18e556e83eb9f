namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// When a silent peer is dead: no segment has come from it for 25 s with something in flight. Over a closed window the kernel's probes grow
/// rarer the longer it stays closed (0.2, 0.4 … up to 120 s), each at most twice as far behind the last answer as the one before; there
/// only a probe that goes unanswered says anything, so the silence may last twice the longest that ended, and 5 s.
/// </summary>
internal sealed class PeerSilence(TimeProvider time)
{
    private static readonly TimeSpan DeadAfter = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan ProbeAnswerWithin = TimeSpan.FromSeconds(5);
    private long _inFlightSince = time.GetTimestamp();
    private TimeSpan _last;
    private TimeSpan _longestAnswered;

    /// <summary>At every look at the connection.</summary>
    public bool IsDead(bool inFlight, in SendState state)
    {
        if (!inFlight)
        {
            (_inFlightSince, _last, _longestAnswered) = (time.GetTimestamp(), TimeSpan.Zero, TimeSpan.Zero);
            return false;
        }

        var since = time.GetElapsedTime(_inFlightSince);
        var silence = since < state.SinceLastSegment ? since : state.SinceLastSegment;
        if (!state.Probing) _longestAnswered = TimeSpan.Zero;
        else if (silence < _last && _last > _longestAnswered) _longestAnswered = _last;
        _last = silence;
        var limit = _longestAnswered * 2 + ProbeAnswerWithin;
        return silence > (limit > DeadAfter ? limit : DeadAfter);
    }
}
