using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// A framing, with and without strip, both ways to treat what is too long, and several limits. However the network cuts the stream
/// into reads, the frames are the same; they are those that <see cref="FrameModel"/> finds, cut up or dropped where they are too long;
/// and a stripped payload that is framed again is found again.
/// </summary>
internal sealed class FramingTarget(string name) : FuzzTarget
{
    public static readonly IReadOnlyDictionary<string, FramingConfig[]> Framings = new Dictionary<string, FramingConfig[]>
    {
        ["framing-line"] = [new() { Type = FramingType.Line }],
        ["framing-delimiter"] = [.. ((string[])["0d0a", "616162", "00", "616161"]).Select(hex =>
            new FramingConfig { Type = FramingType.Delimiter, DelimiterHex = hex })],
        ["framing-stx_etx"] = [.. (((string, string)[])[("02", "03"), ("0202", "02"), ("0203", "0302"), ("02", "02")]).Select(hex =>
            new FramingConfig { Type = FramingType.StxEtx, StartHex = hex.Item1, EndHex = hex.Item2 })],
        ["framing-mllp"] = [new() { Type = FramingType.Mllp }],
        ["framing-length_prefix"] = [.. (((int, string)[])[(1, "big"), (2, "big"), (2, "little"), (4, "big"), (4, "little")]).Select(p =>
            new FramingConfig { Type = FramingType.LengthPrefix, Bytes = p.Item1, Endian = p.Item2 })],
        ["framing-fixed"] = [.. ((int[])[1, 3, 64]).Select(bytes => new FramingConfig { Type = FramingType.Fixed, Bytes = bytes })],
    };

    private static readonly int[] Limits = [8, 64, 1 << 20];

    private readonly FramingConfig[] _configs =
        [.. Framings[name].SelectMany(config => (FramingConfig[])[config, config with { Strip = config.Type != FramingType.Fixed }]).Distinct()];

    private readonly List<Piece> _whole = [];
    private readonly List<Piece> _cut = [];
    private (FramingConfig Config, int Limit, OnOversize OnOversize) _variant;

    public override string Name => name;

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        "\r\n"u8.ToArray(), "aab"u8.ToArray(), "aaa"u8.ToArray(), [0x02], [0x03], [0x02, 0x02], [0x0B], [0x1C, 0x0D], "MSH|"u8.ToArray(),
        [0, 0, 0, 5], [5, 0, 0, 0], [0, 5], [0, 65], [9, 0], [255, 255, 255, 255], [127, 255, 255, 255], new byte[4],
    ];

    public override void Judge(byte[] input, Behaviours seen)
    {
        foreach (var config in _configs)
        {
            var model = FrameModel.Find(config, input);
            foreach (var limit in Limits)
            {
                foreach (var onOversize in (OnOversize[])[OnOversize.Split, OnOversize.Reject])
                {
                    _variant = (config, limit, onOversize);
                    Judge(model, input, seen);
                }
            }
        }
    }

    private void Judge(List<ModelFrame> model, byte[] input, Behaviours seen)
    {
        var (config, limit, onOversize) = _variant;
        var decoder = FrameDecoder.Create(config, limit, onOversize);
        Decode(decoder, input, input.Length, _whole, seen);
        if (_whole.Exists(p => p.Length > limit)) throw Broken("a piece is longer than the limit");
        if (onOversize == OnOversize.Split) JudgeSplit(model);
        else JudgeReject(model);

        Decode(decoder, input, 1, _cut, null);
        if (!_whole.SequenceEqual(_cut)) throw Broken($"reads of one byte find {Show(_cut)}, one read {Show(_whole)}");
        Decode(decoder, input, 7, _cut, seen);
        if (!_whole.SequenceEqual(_cut)) throw Broken($"reads of up to 7 bytes find {Show(_cut)}, one read {Show(_whole)}");
        JudgeEncoded(model, input);
    }

    /// <summary>The pieces of each frame, put together, are the frame.</summary>
    private void JudgeSplit(List<ModelFrame> model)
    {
        var next = 0;
        foreach (var frame in model)
        {
            if (frame.IsNothing) continue;
            var (at, end) = (frame.Start, frame.Start + frame.Length);
            do
            {
                if (next == _whole.Count) throw Broken($"{frame} is not whole in {Show(_whole)}");
                var piece = _whole[next++];
                if (piece.Dropped || piece.Start != at || at + piece.Length > end) throw Broken($"{piece} stands where {frame} goes on at {at}");
                at += piece.Length;
                // Where the stream ends just behind a piece of a frame that would have gone on, nothing is left to be flagged.
                var isLast = at == end && !(frame.Partial && piece.More);
                var flags = (frame.Declared > _variant.Limit ? MessageFlags.Split : MessageFlags.None)
                    | (isLast && frame.Partial ? MessageFlags.Partial : MessageFlags.None);
                if (piece.Flags != flags || piece.More == isLast) throw Broken($"{piece} of {frame} should have the flags {flags}");
            }
            while (at < end);
        }

        if (next < _whole.Count) throw Broken($"{Show(_whole)} are more than {model.Count} frames");
    }

    /// <summary>What fits is there as it is; each frame that does not is reported once, in its turn.</summary>
    private void JudgeReject(List<ModelFrame> model)
    {
        var expected = model.Where(frame => !frame.IsNothing || frame.Declared > _variant.Limit).Select(frame => frame.Declared > _variant.Limit
            ? Piece.OfDropped
            : new Piece(frame.Start, frame.Length, frame.Partial ? MessageFlags.Partial : MessageFlags.None, Dropped: false, More: false));
        if (!_whole.SequenceEqual(expected)) throw Broken($"it finds {Show(_whole)} instead of {Show([.. expected])}");
    }

    private void JudgeEncoded(List<ModelFrame> model, byte[] input)
    {
        var (config, limit, _) = _variant;
        if (!config.Strip || FrameEncoder.Create(config) is not { } encoder) return;
        foreach (var frame in model.Take(3).Where(f => !f.Partial && f.Length <= limit))
        {
            var framed = new byte[frame.Length + encoder.OverheadBytes];
            Assert.Equal(framed.Length, encoder.Encode(input.AsSpan(frame.Start, frame.Length), framed));
            var found = FrameDecoder.Create(config, limit, OnOversize.Reject).Next(framed, endOfInput: false);
            // A line that ended with two carriage returns loses the second of them at the next stripping.
            var losesReturn = config.Type == FramingType.Line && frame.Length > 0 && input[frame.Start + frame.Length - 1] == '\r';
            var payload = input.AsSpan(frame.Start, losesReturn ? frame.Length - 1 : frame.Length);
            if (found.Status != FrameStatus.Frame || found.Consumed != framed.Length
                || !framed.AsSpan(found.Start, found.Length).SequenceEqual(payload))
                throw Broken($"{frame}, framed again, is found as {found}");
        }
    }

    /// <summary>As a source does it, but that nothing is copied: pieces are places in the stream.</summary>
    /// <param name="readMax">Reads have this many bytes, then one less, down to one, and so on.</param>
    private void Decode(FrameDecoder decoder, byte[] stream, int readMax, List<Piece> pieces, Behaviours? seen)
    {
        var read = readMax;
        decoder.Reset();
        pieces.Clear();
        var (done, received) = (0, 0);
        for (var ended = false; !ended;)
        {
            received = Math.Min(stream.Length, received + read);
            read = read > 1 ? read - 1 : readMax;
            ended = received == stream.Length;
            FrameResult found;
            do
            {
                found = decoder.Next(stream.AsSpan(done, received - done), ended);
                seen?.Saw((found.Status, found.Flags), found.MoreFollows, (Math.Min(found.Consumed, 9), found.Start > 0, Math.Min(found.Length, 3)));
                if (found.Consumed < 0 || found.Consumed > received - done || found.Start + found.Length > found.Consumed)
                    throw Broken($"{found} in {received - done} bytes");
                if (found.Status == FrameStatus.Oversize) pieces.Add(Piece.OfDropped);
                if (found.Status == FrameStatus.Frame)
                    pieces.Add(new(done + found.Start, found.Length, found.Flags, Dropped: false, found.MoreFollows));
                if (found.Status != FrameStatus.NeedMore && found.Consumed == 0) throw Broken($"{found} makes no progress");
                done += found.Consumed;
            }
            while (found.Status != FrameStatus.NeedMore);
            if (received - done >= decoder.BufferBytesNeeded) throw Broken("a full buffer makes no progress");
        }

        if (done < stream.Length) throw Broken($"{stream.Length - done} bytes are left at the end");
    }

    private InvalidDataException Broken(string what) => new(
        $"{_variant.Config.Type} {_variant.Config.DelimiterHex}{_variant.Config.StartHex} {_variant.Config.Bytes} {_variant.Config.Endian}, "
        + $"strip {_variant.Config.Strip}, at most {_variant.Limit} bytes, {_variant.OnOversize}: {what}.");

    private static string Show(IReadOnlyCollection<Piece> pieces) => $"[{string.Join(", ", pieces.Take(20))}]";

    private readonly record struct Piece(int Start, int Length, MessageFlags Flags, bool Dropped, bool More)
    {
        public static readonly Piece OfDropped = new(0, 0, MessageFlags.None, Dropped: true, More: false);

        public override string ToString() => Dropped ? "dropped" : $"{Start}+{Length} {Flags}{(More ? " …" : "")}";
    }
}

/// <param name="Start">Where what is stored of it begins in the stream.</param>
/// <param name="Length">What of it is stored and there.</param>
/// <param name="Declared">What it would be with all of its bytes: more than there is where the stream ends inside of it.</param>
/// <param name="Partial">The stream ends inside of it.</param>
internal readonly record struct ModelFrame(int Start, int Length, long Declared, bool Partial)
{
    /// <summary>The stream ends right behind a prefix that strip takes away.</summary>
    public bool IsNothing => Partial && Length == 0;
}

/// <summary>Frames of a whole stream without any limit, found in the plainest way: the yardstick for the decoders.</summary>
internal static class FrameModel
{
    public static List<ModelFrame> Find(FramingConfig framing, byte[] stream) => framing.Type switch
    {
        FramingType.Line => Delimited(stream, [], "\n"u8, framing.Strip, carriageReturns: framing.Strip),
        FramingType.Delimiter => Delimited(stream, [], Convert.FromHexString(framing.DelimiterHex!), framing.Strip, false),
        FramingType.StxEtx => Delimited(
            stream, Convert.FromHexString(framing.StartHex!), Convert.FromHexString(framing.EndHex!), framing.Strip, false),
        FramingType.Mllp => Delimited(stream, [0x0B], [0x1C, 0x0D], framing.Strip, false),
        FramingType.Fixed => Counted(stream, 0, _ => framing.Bytes, strip: false),
        _ => Counted(stream, framing.Bytes, prefix => Number(prefix, framing.Endian == "big"), framing.Strip),
    };

    private static List<ModelFrame> Delimited(
        byte[] stream, ReadOnlySpan<byte> start, ReadOnlySpan<byte> end, bool strip, bool carriageReturns)
    {
        var frames = new List<ModelFrame>();
        for (var at = 0; at < stream.Length;)
        {
            var head = stream.AsSpan(at).IndexOf(start);
            if (head < 0) break;
            var first = at + head;
            var payload = first + start.Length;
            var from = strip ? payload : first;
            var tail = stream.AsSpan(payload).IndexOf(end);
            if (tail < 0)
            {
                if (from < stream.Length) frames.Add(new(from, stream.Length - from, stream.Length - from, Partial: true));
                break;
            }

            at = payload + tail + end.Length;
            var to = strip ? payload + tail : at;
            if (carriageReturns && to > from && stream[to - 1] == '\r') to--;
            frames.Add(new(from, to - from, to - from, Partial: false));
        }

        return frames;
    }

    private static List<ModelFrame> Counted(byte[] stream, int prefixBytes, Func<byte[], long> payloadBytes, bool strip)
    {
        var frames = new List<ModelFrame>();
        for (var at = 0; at < stream.Length;)
        {
            var left = stream.Length - at;
            var from = at + (strip ? prefixBytes : 0);
            var declared = left < prefixBytes ? 0 : prefixBytes + payloadBytes(stream[at..(at + prefixBytes)]);
            if (left < prefixBytes || declared > left)
            {
                var stored = declared == 0 ? left : declared - (strip ? prefixBytes : 0);
                if (from < stream.Length || stored > 0 && left >= prefixBytes)
                    frames.Add(new(from, Math.Max(0, stream.Length - from), stored, Partial: true));
                break;
            }

            at += (int)declared;
            frames.Add(new(from, at - from, at - from, Partial: false));
        }

        return frames;
    }

    private static long Number(byte[] prefix, bool bigEndian) =>
        Convert.ToInt64(Convert.ToHexString([.. bigEndian ? prefix : prefix.Reverse()]), 16);
}
