namespace IoBufferEdge.Simulation;

/// <summary>How a connection ends otherwise than in order: reset, silence, time-out.</summary>
internal sealed partial class SimulatedConnection
{
    /// <summary>Our end is over at once: the other hears RST.</summary>
    private void Reset()
    {
        Fail("reset by us");
        AnswerWithReset();
    }

    private void AnswerWithReset()
    {
        if (_host.Reachable) _network.Scheduler.At(NextArrival(), _other.ArriveReset);
        else _other.WatchSilence();
    }

    private void ArriveReset()
    {
        if (Dead) return;
        if (!_host.Reachable)
        {
            WatchSilence();
            return;
        }

        Heard();
        Fail("Connection reset by peer.");
    }

    private void Fail(string error)
    {
        if (Dead) return;
        _error = error;
        _endedAtTicks ??= _network.Scheduler.NowTicks;
        _network.Scheduler.Trace.Add(_network.Scheduler, "tcp.end", Owner.Name, _received.Count, _sendQueue.Count);
        Wake();
        if (_closed) _host.Remove(this);
    }

    private void Wake()
    {
        _sending?.TrySetResult();
        _receiving?.TrySetResult();
        Readable?.Set();
    }

    /// <summary>A closed end stays until both FINs are through.</summary>
    private void LeaveWhenDone()
    {
        if (_closed && _finAcknowledged && _finReceived) _host.Remove(this);
    }

    /// <summary>While nothing comes back, looks every second whether a time-out is due.</summary>
    private void WatchSilence()
    {
        if (_watched || Dead) return;
        _watched = true;
        _network.Scheduler.After(TimeSpan.FromSeconds(1), LookForSilence);
    }

    private void LookForSilence()
    {
        _watched = false;
        if (Dead) return;
        if (PathUp && !_other.Dead) return;
        var now = _network.Scheduler.NowTicks;
        var silent = new TimeSpan(now - _lastSegmentTicks);
        var outstanding = _sendQueue.Count > 0;
        if (_other.Dead && _host.Reachable && _other._host.Reachable && (outstanding || silent >= KeepaliveInterval))
        {
            // The other machine knows nothing of this connection, and says so when it is asked.
            _network.Scheduler.After(_network.Latency(), ArriveReset);
            return;
        }

        var waiting = outstanding ? new TimeSpan(now - Math.Max(_unacknowledgedSinceTicks, _lastSegmentTicks)) : silent;
        if ((outstanding && (_userTimeout || _closed) && waiting >= UserTimeout) || (!outstanding && silent >= KeepaliveTimeout))
        {
            Fail("Connection timed out.");
            return;
        }

        WatchSilence();
    }
}
