namespace IoBufferEdge.Buffers;

/// <summary>
/// How far back delivered messages stay in memory, as the peer may not have read them (rule 14), in cumulative payload bytes of the queue:
/// every message of which a byte lies up to <c>resend_bytes</c> before the newest delivered one.
/// <para>A message larger than a run goes out whole, and may alone be more than that. Until the peer's window shows that it was read, what is
/// asked with behind it must not push out what lies before it. What may go out behind one, while nothing shows that it was read, is bounded:
/// as much again to ask with as was unread, since a peer reads in order (<c>PeerWindow</c>); another large one is asked with only once the one
/// before it was read. So three of them are remembered (sent in an open window, asked with, waiting to be), each for twice its length.</para>
/// <para>Positions count what was discarded, parked or lost as well, and the peer never got that: it takes nothing from the bound.</para>
/// Not thread-safe but for <see cref="ResendBytes"/> and <see cref="DiffersFrom"/>: the <see cref="ChannelBuffer"/>'s lock guards it.
/// </summary>
internal sealed class KeptBound
{
    private const int LargeMax = 3;

    private readonly List<(long Sequence, long AtBytes, long UntilBytes)> _large = [];
    private readonly List<(long AtBytes, long Bytes)> _passed = [];
    private volatile bool _hasLarge;
    private long _resendBytes;

    /// <summary>The bound in effect, in bytes of payload.</summary>
    public long ResendBytes => Volatile.Read(ref _resendBytes);

    /// <summary>Where the newest delivered message begins.</summary>
    public long NewestAtBytes { get; private set; }

    /// <summary>Messages that end behind this are kept.</summary>
    public long FromBytes { get; private set; }

    /// <summary>A message was delivered that begins here.</summary>
    public void Delivered(long atBytes)
    {
        NewestAtBytes = atBytes;
        Place();
    }

    /// <summary>The cursor passes what was discarded, parked or lost.</summary>
    public void Passed(long atBytes, long bytes)
    {
        if (bytes <= 0) return;
        _passed.Add((atBytes, bytes));
        for (var i = 0; i < _large.Count; i++) _large[i] = _large[i] with { UntilBytes = _large[i].UntilBytes + bytes };
    }

    private void Place()
    {
        var newest = NewestAtBytes;
        foreach (var (_, at, until) in _large)
            if (until >= NewestAtBytes) newest = Math.Min(newest, at);
        var from = newest - _resendBytes;
        var oldest = _passed.Count;
        for (; oldest > 0 && _passed[oldest - 1].AtBytes + _passed[oldest - 1].Bytes > from; oldest--)
            if (_passed[oldest - 1].AtBytes < newest) from -= _passed[oldest - 1].Bytes;
        if (_large.Count == 0) _passed.RemoveRange(0, oldest);
        FromBytes = from;
    }

    /// <summary>A new link begins: what the last one left in doubt is held for the repeat, or was read.</summary>
    public void BeginLink(long resendBytes)
    {
        _large.Clear();
        _hasLarge = false;
        Volatile.Write(ref _resendBytes, resendBytes);
        Place();
    }

    /// <summary>A message that is larger than a run is handed out.</summary>
    public void NoteLarge(long sequence, long atBytes, long length)
    {
        if (_large.Count == LargeMax) _large.RemoveAt(0);
        _large.Add((sequence, atBytes, atBytes + 2 * (length + _resendBytes)));
        _hasLarge = true;
        Place();
    }

    /// <summary>Whether <see cref="Fits"/> may change anything.</summary>
    public bool DiffersFrom(long resendBytes) => _hasLarge || ResendBytes != resendBytes;

    /// <summary>What is unread and unacknowledged at the peer fits the bound: large messages that this link has confirmed need no more.</summary>
    public void Fits(long resendBytes, long linkConfirmed)
    {
        _large.RemoveAll(large => large.Sequence <= linkConfirmed);
        _hasLarge = _large.Count > 0;
        Volatile.Write(ref _resendBytes, resendBytes);
        Place();
    }
}
