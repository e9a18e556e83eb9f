using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Channels;

/// <summary>What the link reports, and what the operator chooses where the receiver does not hold what it should.</summary>
public sealed partial class Channel
{
    /// <summary>Goes on by the operator's choice, at once, paused or not.</summary>
    public ResumeOutcome Resume(ResumeChoice choice)
    {
        _buffer.Paused = false;
        var outcome = _destination.Resume(choice, _buffer);
        if (outcome.IsTaken) RetryNow();
        return outcome;
    }

    void IDeliverySink.Confirmed(long upTo)
    {
        if (!_buffer.Confirm(upTo)) return;
        _blocked = false;
        if (_resetsInARow > 0) _resetsInARow = 0;
        if (_backoff.Attempts > 0) _backoff.Reset();
    }

    void IDeliverySink.Rejected(long sequence, bool permanent, string reason)
    {
        NoteError(ref _destinationError, reason);
        if (permanent && Config.Destination.OnReject == OnReject.Park)
        {
            ((IDeliverySink)this).SetAside(sequence, reason);
            return;
        }

        _blocked = true;
        _retries++;
        var delay = _backoff.NextDelay();
        Log.MessageRefused(_log, Config.Id, sequence, reason, delay.TotalMilliseconds);
        _buffer.RetryAfter(delay);
    }

    void IDeliverySink.SetAside(long sequence, string reason)
    {
        Log.MessageParked(_log, Config.Id, sequence, reason);
        _buffer.Park(sequence);
    }

    ISenderQueue IDeliverySink.Queue => _buffer;

    long IDeliverySink.WindowBytes(long outstandingBytes, long hiddenBytes) => _buffer.WindowFor(outstandingBytes, hiddenBytes);
}
