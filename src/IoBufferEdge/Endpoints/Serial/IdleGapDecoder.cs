using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Frames that end with a silence on the line: who knows the times says so with <see cref="EndFrame"/>, and everything offered by then is
/// a frame. A frame longer than <c>max_message_bytes</c> is cut into pieces while it comes, or dropped up to its silence.
/// </summary>
internal sealed class IdleGapDecoder(int maxBytes, OnOversize onOversize) : FrameDecoder
{
    private bool _ended;
    private bool _cut;
    private bool _dropping;

    public override int BufferBytesNeeded => maxBytes + 1;

    /// <summary>The frame ends with what is offered to the next <see cref="Next"/>.</summary>
    public void EndFrame() => _ended = true;

    public override void Reset() => (_ended, _cut, _dropping) = (false, false, false);

    public override FrameResult Next(ReadOnlySpan<byte> bytes, bool endOfInput)
    {
        if (bytes.Length > maxBytes || _dropping) return Cut(bytes.Length, endOfInput);
        if (!_ended && !endOfInput) return NeedMore(0);
        var (ended, cut) = (_ended, _cut);
        Reset();
        return bytes.IsEmpty ? NeedMore(0) : Frame(bytes.Length, 0, bytes.Length, cut, partial: !ended);
    }

    private FrameResult Cut(int length, bool endOfInput)
    {
        if (onOversize == OnOversize.Split)
        {
            _cut = true;
            return Frame(maxBytes, 0, maxBytes, split: true, moreFollows: true);
        }

        if (!_ended && !endOfInput)
        {
            _dropping = true;
            return NeedMore(length);
        }

        Reset();
        return Oversize(length);
    }
}
