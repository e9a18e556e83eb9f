namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// How much the peer has not read, as far as its window tells (rule 14). A receiver advertises the smaller of two figures: the room in its
/// buffer, and a limit that begins low and rises with every segment that arrives, by at least twice the segment's bytes, until it meets the
/// room (rcv_ssthresh, tcp_grow_window in Linux's net/ipv4/tcp_input.c). From there on what is unread shows: largest − present window. While
/// the window still grows it shows nothing, and a reader that stops then hides what arrives: at most that, and at most half of the growth.
/// <para>Short segments raise that limit as much as long ones, up to a point: a sender that writes little at a time while the window grows
/// has next to nothing hidden when it has grown (over loopback 1 KB a step makes it 131 KB wider).</para>
/// <para>A receiver tells of a larger window only with an acknowledgement, or when its reader has at least doubled one that was half closed: a
/// peer that has long read everything may look behind by half its buffer (3.7 MB seen over loopback). Once everything is acknowledged only
/// more bytes, or the keepalive, make it say more. So a sender that waits then may ask with a run: at once, and after 1, 2, 4 … ms. The
/// window's right edge (acknowledged + window) moves as far as the peer has read, and shows it with the next asking: what was asked with and
/// not read is bounded, so askings are short.</para>
/// <para>A window may also shrink for good: when a segment takes more of the peer's buffer than those before it, its kernel holds less of
/// it for payload (scaling_ratio, tcp_measure_rcv_mss), by up to 2 % of the buffer (700 KB of 32 MB) where long segments vary. What it has
/// offered it does not take back (tcp_select_window): the right edge stands until so much has arrived, read or not, and moves again then. A
/// reader that takes what each of six askings brought, and no more in the ever longer pauses between, has nothing else to read: then the
/// present window is the largest. While the edge stands nothing tells that from a reader that has stopped, so askings grow to get past
/// it.</para>
/// <para>An edge that still stands seconds after all that may be asked with is left to a new connection: the orderly end costs nothing, and
/// a reader that has only stopped reads everything before it sees that end. Prompt acknowledgements do not tell the two apart: a kernel may
/// acknowledge at once what nobody reads. Not thread-safe.</para>
/// </summary>
internal sealed class PeerWindow(TimeProvider time)
{
    private static readonly TimeSpan AskAfter = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan AskAfterAtMost = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StandsStillAfter = TimeSpan.FromSeconds(5);
    private const int AsksToBeSure = 6;
    private const int BytesToBeSure = 16 * 1024;

    /// <summary>What is asked with first; twice as much each time that the right edge has not moved, up to a run.</summary>
    private const int AskBytesMin = 4 * 1024;

    private const int AskDoublingsMax = 4;

    private long _largestBytes;
    private long _acknowledgedBytes;
    private long _presentBytes;
    private long _rightEdge;

    // Asking, since the window was last seen wide enough.
    private long _unreadOfAskedBytes;
    private long _askedAt;
    private TimeSpan _askAfter;
    private long _lastAskBytes;
    private long _edgeAtAsk;
    private long _edgeMovedAt;
    private int _stood;
    private bool _hasStood;

    // Askings in a row each of which moved the right edge by about its bytes.
    private int _asks;
    private long _askedBytes;
    private long _windowAtFirstAsk;

    /// <summary>The last bytes that the peer acknowledged have widened its window beyond anything before: write little at a time.</summary>
    public bool IsGrowing { get; private set; }

    /// <summary>At most so much arrived unseen, in all times of growth together.</summary>
    public long HiddenBytes { get; private set; }

    /// <summary>Bytes that look unread; 0 where the kernel does not tell.</summary>
    public long Observe(in SendState state)
    {
        if (state.PeerWindowBytes < 0) return 0;
        var arrivedBytes = Math.Max(0, state.AcknowledgedBytes - _acknowledgedBytes);
        var grownBytes = state.PeerWindowBytes - _largestBytes;
        var rightEdge = state.AcknowledgedBytes + state.PeerWindowBytes;
        if (grownBytes > 0)
        {
            HiddenBytes = Math.Min(HiddenBytes + Math.Min(arrivedBytes, grownBytes / 2), state.PeerWindowBytes / 2);
            _largestBytes = state.PeerWindowBytes;
            IsGrowing = true;
        }
        else if (arrivedBytes > 0)
        {
            IsGrowing = false;
        }

        if (rightEdge > _rightEdge && _lastAskBytes > 0)
        {
            _unreadOfAskedBytes = Math.Max(0, _unreadOfAskedBytes - (rightEdge - _rightEdge));
            _edgeMovedAt = time.GetTimestamp();
        }

        _acknowledgedBytes += arrivedBytes;
        (_presentBytes, _rightEdge) = (state.PeerWindowBytes, Math.Max(_rightEdge, rightEdge));
        return _largestBytes - state.PeerWindowBytes;
    }

    /// <summary>The peer's window was seen wide enough again: asking starts anew.</summary>
    public void Opened()
    {
        if (_lastAskBytes == 0) return;
        (_unreadOfAskedBytes, _lastAskBytes, _stood) = (0, 0, 0);
        BeginSeries();
    }

    /// <summary>How many bytes to ask with next, so that no more than <paramref name="unreadBytesMax"/> of what was asked with is unread.</summary>
    public int AskBytesLeft(long unreadBytesMax) =>
        (int)Math.Clamp(unreadBytesMax - _unreadOfAskedBytes, 0, AskBytesMin << Math.Min(_stood, AskDoublingsMax));

    /// <summary>Whether so many bytes may go out to learn the present window. True takes the turn.</summary>
    /// <param name="unreadBytesMax">Of what was asked with, until the window opens; one message may go beyond.</param>
    public bool MayAsk(int bytes, long unreadBytesMax)
    {
        if (time.GetElapsedTime(_askedAt) < _askAfter) return false;
        var movedBytes = _rightEdge - _edgeAtAsk;
        var stands = _lastAskBytes > 0 && movedBytes < _lastAskBytes / 4;
        if (stands && _unreadOfAskedBytes >= unreadBytesMax) return false;
        if (stands)
            (_asks, _askedBytes, _stood, _hasStood) = (0, 0, _stood + 1, true);
        else if (_hasStood || movedBytes > 2 * _lastAskBytes || _presentBytes > _windowAtFirstAsk + _askedBytes / 4)
            BeginSeries();
        if (HasShrunkForGood) _largestBytes = _presentBytes;
        if (_unreadOfAskedBytes >= unreadBytesMax) return false;
        if (_asks++ == 0) _windowAtFirstAsk = _presentBytes;
        _askedBytes += bytes;
        _unreadOfAskedBytes += bytes;
        (_lastAskBytes, _edgeAtAsk, _askedAt) = (bytes, _rightEdge, time.GetTimestamp());
        _askAfter = _askAfter == TimeSpan.Zero ? AskAfter : _askAfter * 2 > AskAfterAtMost ? AskAfterAtMost : _askAfter * 2;
        return true;
    }

    /// <summary>No more may be asked with, and nothing has shown for long whether that was read: only an end will.</summary>
    public bool StandsStill(long unreadBytesMax) =>
        _lastAskBytes > 0 && _unreadOfAskedBytes >= unreadBytesMax &&
        time.GetElapsedTime(Math.Max(_askedAt, _edgeMovedAt)) >= StandsStillAfter;

    private void BeginSeries() => (_asks, _askedBytes, _askAfter, _hasStood) = (0, 0, TimeSpan.Zero, false);

    private bool HasShrunkForGood =>
        _asks >= AsksToBeSure && _askedBytes >= BytesToBeSure && _presentBytes >= _windowAtFirstAsk - _askedBytes / 4;
}
