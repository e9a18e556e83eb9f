namespace IoBufferEdge.Endpoints.Framing;

/// <summary>
/// Frames that end with a byte sequence and may begin with one: line, delimiter, stx_etx, mllp. Bytes before a start sequence are
/// noise. Nothing is escaped: a start sequence inside a frame belongs to it.
/// </summary>
internal sealed class DelimitedDecoder : FrameDecoder
{
    private readonly byte[] _start;
    private readonly byte[] _end;
    private readonly int _maxBytes;
    private readonly bool _split;
    private readonly bool _strip;

    /// <summary>A frame that has its end within so many bytes behind the longest payload fits; else it is too long.</summary>
    private readonly int _endBytesMax;

    private readonly bool _carriageReturns;

    /// <summary>Where the search goes on, from the front of the unconsumed bytes.</summary>
    private int _searched;

    private bool _inFrame;

    /// <summary>Start bytes at the front: none behind the first piece of a frame.</summary>
    private int _headBytes;

    /// <summary>The front is a later piece of a frame that was cut.</summary>
    private bool _cut;

    /// <summary>The front belongs to a frame that was dropped.</summary>
    private bool _dropping;

    /// <param name="carriageReturns">Stripping takes one CR before the end sequence too.</param>
    public DelimitedDecoder(byte[] start, byte[] end, int maxBytes, bool split, bool strip, bool carriageReturns)
    {
        if (maxBytes < start.Length + end.Length + 1)
            throw new ArgumentException(
                $"max_message_bytes must be more than the framing's own {start.Length + end.Length} bytes, not {maxBytes}.");
        (_start, _end, _maxBytes, _split, _strip) = (start, end, maxBytes, split, strip);
        _carriageReturns = carriageReturns && strip;
        _endBytesMax = end.Length + (_carriageReturns ? 1 : 0);
        Reset();
    }

    public override int BufferBytesNeeded => checked(_maxBytes + _start.Length + _endBytesMax);

    public override void Reset()
    {
        _searched = 0;
        _inFrame = _start.Length == 0;
        _headBytes = 0;
        _cut = false;
        _dropping = false;
    }

    public override FrameResult Next(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        var skipped = 0;
        if (_dropping)
        {
            var end = Find(bytes, _end);
            if (end < 0) return SkipAllBut(_end.Length - 1, bytes.Length, 0, endOfInput);
            skipped = end + _end.Length;
            Reset();
        }

        if (!_inFrame)
        {
            var start = Find(bytes[skipped..], _start);
            if (start < 0) return SkipAllBut(_start.Length - 1, bytes.Length, skipped, endOfInput);
            skipped += start;
            _inFrame = true;
            _headBytes = _searched = _start.Length;
        }

        var result = NextInFrame(bytes[skipped..], endOfInput);
        return result with { Consumed = result.Consumed + skipped, Start = result.Start + skipped };
    }

    /// <summary><paramref name="bytes"/> begin with the frame, or with what is left of it.</summary>
    private FrameResult NextInFrame(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        var from = _strip ? _headBytes : 0;
        var end = Find(bytes, _end);
        if (end >= 0)
        {
            var length = (_strip ? EndOfPayload(bytes, from, end) : end + _end.Length) - from;
            if (length <= _maxBytes) return Complete(end + _end.Length, from, length, partial: false);
            return _split ? Cut(from, Math.Min(_maxBytes, end - from)) : Drop(end + _end.Length, done: true);
        }

        var held = bytes.Length - from;
        if (held > _maxBytes && (endOfInput || held >= _maxBytes + _endBytesMax))
            return _split ? Cut(from, _maxBytes) : Drop(bytes.Length - (endOfInput ? 0 : _end.Length - 1), endOfInput);
        if (!endOfInput || bytes.IsEmpty) return NeedMore(0);
        if (held <= 0) return Discard(bytes.Length);
        return Complete(bytes.Length, from, held, partial: true);
    }

    private FrameResult Complete(int consumed, int from, int length, bool partial)
    {
        var split = _cut;
        Reset();
        return Frame(consumed, from, length, split, partial);
    }

    private FrameResult Cut(int from, int length)
    {
        _searched = Math.Max(0, _searched - from - length);
        _headBytes = 0;
        _cut = true;
        return Frame(from + length, from, length, split: true, moreFollows: true);
    }

    private FrameResult Drop(int consumed, bool done)
    {
        Reset();
        _dropping = !done;
        return Oversize(consumed);
    }

    /// <summary>The input ended behind a start sequence that strip takes away: nothing is left to store.</summary>
    private FrameResult Discard(int consumed)
    {
        Reset();
        return NeedMore(consumed);
    }

    private FrameResult SkipAllBut(int kept, int length, int skipped, bool endOfInput)
    {
        _searched = 0;
        return NeedMore(endOfInput ? length : Math.Max(skipped, length - kept));
    }

    /// <summary>Searches from where the last search stopped; −1, remembering how far it came, when the sequence is not there.</summary>
    private int Find(ReadOnlySpan<byte> bytes, byte[] sequence)
    {
        var at = bytes[Math.Min(_searched, bytes.Length)..].IndexOf(sequence);
        if (at < 0)
        {
            _searched = Math.Max(_searched, bytes.Length - sequence.Length + 1);
            return -1;
        }

        return _searched += at;
    }

    private int EndOfPayload(ReadOnlySpan<byte> bytes, int from, int end) =>
        _carriageReturns && end > from && bytes[end - 1] == '\r' ? end - 1 : end;
}
