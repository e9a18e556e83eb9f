using System.Globalization;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// What really happened on one channel, kept outside of the gateway: the numbers that its sender wrote, the highest that was acknowledged,
/// and what each connection of the receiver read, in order. It checks rule 9 of the message's life while it records:
/// inside one connection (attempt, number) rises; a number never read before is higher than all read.
/// A sender with acknowledgements repeats in order what was not acknowledged, so with one no number may ever be skipped; without,
/// a skipped range is a loss that the caller judges (<see cref="Gaps"/>).
/// Numbers are not stored one by one: memory depends on the gaps, not on the traffic. Safe for concurrent use.
/// </summary>
public sealed class Ledger
{
    private readonly Lock _lock = new();
    private readonly List<(long First, long Last)> _gaps = [];
    private readonly List<string> _violations = [];
    private long _sent;
    private long _acknowledged;
    private long _highestRead;
    private int _connection;
    private (int Attempt, long Number) _lastInConnection;
    private (int Attempt, long Number) _highestIdentity;
    private long _gatewayRepeats;
    private long _oldRepeatsHere;
    private long _mostOldRepeats;
    private readonly ReadTimes _times = new();
    private bool _firstFrame;
    private long _framesRead;
    private long _repeats;
    private long _torn;
    private long _damaged;

    /// <summary>True: the sender repeats what was not acknowledged, so that a gap is a violation at once.</summary>
    public bool Strict { get; init; } = true;

    /// <summary>True for datagrams: nothing is promised about them but that they are intact.</summary>
    public bool Unordered { get; init; }

    /// <summary>The highest number handed to the sender's socket.</summary>
    public long Sent => Volatile.Read(ref _sent);

    /// <summary>Up to this number everything was acknowledged by the gateway.</summary>
    public long Acknowledged => Volatile.Read(ref _acknowledged);

    public long HighestRead => Volatile.Read(ref _highestRead);

    public long FramesRead => Volatile.Read(ref _framesRead);

    /// <summary>Frames whose number had been read before, whoever repeated them.</summary>
    public long Repeats => Volatile.Read(ref _repeats);

    /// <summary>Those of them that the gateway repeated: the same number carried by the same connection of the sender.</summary>
    public long GatewayRepeats => Volatile.Read(ref _gatewayRepeats);

    /// <summary>From this age on, in time with a connection, a repeat by the gateway counts as old.</summary>
    public TimeSpan OldAfter { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The most old repeats that one connection brought.</summary>
    public long MostOldRepeats => Volatile.Read(ref _mostOldRepeats);

    /// <summary>Connections that began in the middle of a message: only a forwarder without frames does that.</summary>
    public long Torn => Volatile.Read(ref _torn);

    /// <summary>True: a damaged message is counted and no violation, because somebody other than the gateway may have cut it.</summary>
    public bool MayBeDamaged { get; init; }

    public long Damaged => Volatile.Read(ref _damaged);

    public int Connections => Volatile.Read(ref _connection);

    public (long First, long Last)[] Gaps { get { lock (_lock) return [.. _gaps]; } }

    public string[] Violations { get { lock (_lock) return [.. _violations]; } }

    /// <summary>Numbers that were skipped and have never been read.</summary>
    public long Lost { get { lock (_lock) return _gaps.Sum(gap => gap.Last - gap.First + 1); } }

    public void Wrote(long number) => Raise(ref _sent, number);

    public void GotAcknowledgement(long number) => Raise(ref _acknowledged, number);

    /// <summary>A connection to the receiver began.</summary>
    public void Connected()
    {
        lock (_lock)
        {
            _connection++;
            _lastInConnection = default;
            _oldRepeatsHere = 0;
            _times.Connected();
            _firstFrame = true;
        }
    }

    /// <summary>The receiver's connection is over.</summary>
    public void Disconnected()
    {
        lock (_lock)
            _times.Disconnected();
    }

    /// <summary>The receiver read one whole frame.</summary>
    public void Read(NumberedFrame frame)
    {
        lock (_lock)
        {
            if (!frame.Intact)
            {
                if (MayBeDamaged)
                    _damaged++;
                else if (_firstFrame && !Strict)
                    _torn++;
                else
                    Violate($"a damaged message after number {_lastInConnection.Number}");
                _firstFrame = false;
                return;
            }

            _firstFrame = false;
            _framesRead++;
            if (Unordered)
                NoteUnordered(frame.Number);
            else
                NoteOrdered(frame);
        }
    }

    /// <summary>What is wrong for good, once everything sent had time to arrive: nothing, or one line per violation.</summary>
    public IReadOnlyList<string> Verdict()
    {
        lock (_lock)
        {
            var lines = new List<string>(_violations);
            if (_acknowledged > _highestRead)
                lines.Add($"acknowledged up to {_acknowledged}, read only up to {_highestRead}");
            if (_highestRead > _sent)
                lines.Add($"read number {_highestRead}, which was never sent (sent: {_sent})");
            if (Strict && _gaps.Count > 0)
                lines.Add($"lost: {string.Join(", ", _gaps.Take(5).Select(gap => $"{gap.First}..{gap.Last}"))}");
            return lines;
        }
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"sent {Sent}, acknowledged {Acknowledged}, read up to {HighestRead} " +
        $"({FramesRead} frames, {Repeats} repeats, {Lost} lost, {Connections} connections)");

    private void NoteOrdered(NumberedFrame frame)
    {
        var identity = (frame.Attempt, frame.Number);
        if (identity.CompareTo(_lastInConnection) <= 0)
            Violate($"connection {_connection}: {identity} came behind {_lastInConnection}");
        _lastInConnection = identity;
        if (identity.CompareTo(_highestIdentity) > 0)
        {
            _highestIdentity = identity;
        }
        else
        {
            _gatewayRepeats++;
            if (_times.AgeOf(frame.Number) > OldAfter)
                _mostOldRepeats = Math.Max(_mostOldRepeats, ++_oldRepeatsHere);
        }

        if (frame.Number > _highestRead)
        {
            if (frame.Number > _highestRead + 1)
            {
                _gaps.Add((_highestRead + 1, frame.Number - 1));
                if (Strict)
                    Violate($"connection {_connection}: number {frame.Number} came before {_highestRead + 1}");
            }

            Volatile.Write(ref _highestRead, frame.Number);
            _times.First(frame.Number);
            return;
        }

        _repeats++;
        if (TryFillGap(frame.Number))
            Violate($"connection {_connection}: number {frame.Number}, never read before, came after {_highestRead}");
    }

    private void NoteUnordered(long number)
    {
        if (number > _highestRead + 1)
            _gaps.Add((_highestRead + 1, number - 1));
        if (number > _highestRead)
            Volatile.Write(ref _highestRead, number);
        else if (!TryFillGap(number))
            _repeats++;
    }

    private bool TryFillGap(long number)
    {
        var index = _gaps.FindIndex(gap => gap.First <= number && number <= gap.Last);
        if (index < 0)
            return false;
        var (first, last) = _gaps[index];
        _gaps.RemoveAt(index);
        if (number < last)
            _gaps.Insert(index, (number + 1, last));
        if (first < number)
            _gaps.Insert(index, (first, number - 1));
        return true;
    }

    private void Violate(string what)
    {
        if (_violations.Count < 20)
            _violations.Add(what);
    }

    private static void Raise(ref long field, long value)
    {
        if (value > Volatile.Read(ref field))
            Volatile.Write(ref field, value);
    }
}
