namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// How much the peer has not read, as far as its window shows: largest − present. A receiver tells of a larger window only with an
/// acknowledgement, or when its reader has at least doubled one that was half closed: a peer that has long read everything may look
/// behind by half its buffer (3.7 MB seen over loopback). Once everything is acknowledged only more bytes, or the keepalive, make it say
/// more. So a sender that waits then may ask with a run: at once, and after 1, 2, 4 … ms, with few bytes in all until the window has
/// opened: they add to what is unread. (The window's right edge is no sign of reading: a buffer that grows moves it, too.) Not thread-safe.
/// </summary>
internal sealed class PeerWindow(TimeProvider time)
{
    private static readonly TimeSpan AskAfter = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan AskAfterAtMost = TimeSpan.FromSeconds(1);
    private long _largestBytes;
    private long _askedBytes;
    private long _askedAt;
    private TimeSpan _askAfter;

    /// <summary>Bytes that look unread; 0 where the kernel does not tell.</summary>
    public long Observe(in SendState state)
    {
        if (state.PeerWindowBytes < 0) return 0;
        _largestBytes = Math.Max(_largestBytes, state.PeerWindowBytes);
        return _largestBytes - state.PeerWindowBytes;
    }

    /// <summary>The peer's window was seen wide enough again: asking starts anew.</summary>
    public void Opened() => (_askedBytes, _askAfter) = (0, TimeSpan.Zero);

    /// <summary>Whether so many bytes may go out to learn the present window. True takes the turn.</summary>
    /// <param name="askedBytesMax">In all, until the window opens; the last turn may go beyond.</param>
    public bool MayAsk(int bytes, long askedBytesMax)
    {
        if (_askedBytes >= askedBytesMax || time.GetElapsedTime(_askedAt) < _askAfter) return false;
        _askedBytes += bytes;
        _askedAt = time.GetTimestamp();
        _askAfter = _askAfter == TimeSpan.Zero ? AskAfter : _askAfter * 2 > AskAfterAtMost ? AskAfterAtMost : _askAfter * 2;
        return true;
    }
}
