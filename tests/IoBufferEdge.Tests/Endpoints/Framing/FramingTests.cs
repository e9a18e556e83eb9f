using System.Text;
using CsCheck;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Tests.Endpoints.Framing;

public class FramingTests
{
    private static readonly FramingConfig Line = new() { Type = FramingType.Line };
    private static readonly FramingConfig Delimiter = new() { Type = FramingType.Delimiter, DelimiterHex = "616162" };
    private static readonly FramingConfig StxEtx = new() { Type = FramingType.StxEtx, StartHex = "02", EndHex = "03" };
    private static readonly FramingConfig Mllp = new() { Type = FramingType.Mllp };
    private static readonly FramingConfig Fixed = new() { Type = FramingType.Fixed, Bytes = 3 };

    private static FramingConfig Prefix(int bytes, string endian = "big") =>
        new() { Type = FramingType.LengthPrefix, Bytes = bytes, Endian = endian };

    public static TheoryData<string, string, bool, string> Table => new()
    {
        // framing, stream, strip, frames: '|' between them, '!' in front of a dropped one, '…' behind a partial one, '~' behind a piece
        { "line", "ab\r\ncd\n\ne", false, "ab\r\n|cd\n|\n|e…" },
        { "line", "ab\r\ncd\n\r\n\ne\r", true, "ab|cd|||e\r…" },
        { "line", "0123456789\n0123456789abc\n", false, "0123456789~|\n~|0123456789~|abc\n~" },
        { "line", "0123456789\r\n0123456789a\n", true, "0123456789|0123456789~|a~" },
        { "line reject", "0123456789\nab\n0123456789abcdefghijkl\ncd\n0123456789abcdef", false, "!|ab\n|!|cd\n|!" },
        { "delimiter", "xaabyaaab", false, "xaab|yaaab" },
        { "delimiter", "xaabyaaabaab", true, "x|ya|" },
        { "delimiter", "01234567aab", false, "01234567~|aab~" },
        { "delimiter", "0123456789aab", true, "0123456789" },
        { "stx_etx", "zz\u0002ab\u0003noise\u0003\u0002c\u0002\u0003\u0002d", false, "\u0002ab\u0003|\u0002c\u0002\u0003|\u0002d…" },
        { "stx_etx", "zz\u0002ab\u0003noise\u0003\u0002\u0003\u0002d", true, "ab||d…" },
        { "stx_etx", "\u0002ab\u0003\u0002", true, "ab" },
        { "stx_etx reject", "\u00020123456789abcdef\u0003zz\u0002a\u0003", true, "!|a" },
        { "mllp", "\u000bMSH\u001cx\u001c\r\n\u000bA\u001c\r", false, "\u000bMSH\u001cx\u001c\r|\u000bA\u001c\r" },
        { "mllp", "\u000bMSH\u001cx\u001c\r\n\u000bA\u001c\r", true, "MSH\u001cx|A" },
        { "prefix1", "\u0002ab\0\u0003cde\u0004f", false, "\u0002ab|\0|\u0003cde|\u0004f…" },
        { "prefix1", "\u0002ab\0\u0003cde\u0004f", true, "ab||cde|f…" },
        { "prefix1", "\u000d0123456789abc\u0001d", false, "\u000d012345678~|9abc~|\u0001d" },
        { "prefix1 reject", "\u000d0123456789abc\u0001d", true, "!|d" },
        { "prefix2", "\0\u0002ab\0", true, "ab" },
        { "prefix2", "\0\u0002ab\0", false, "\0\u0002ab|\0…" },
        { "prefix2le", "\u0002\0ab", true, "ab" },
        { "prefix4", "\0\0\0\u0002ab", true, "ab" },
        { "prefix4le", "\u0001\0\0\0a", false, "\u0001\0\0\0a" },
        { "fixed", "abcdefgh", false, "abc|def|gh…" },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public void Frames_are_found(string framing, string stream, bool strip, string frames)
    {
        var config = Config(framing.Split(' ')[0]) with { Strip = strip };
        var onOversize = framing.EndsWith("reject", StringComparison.Ordinal) ? OnOversize.Reject : OnOversize.Split;
        var bytes = Encoding.Latin1.GetBytes(stream);

        Assert.Equal(frames, Show(Decode(config, 10, onOversize, bytes, [bytes.Length])));
        Assert.Equal(frames, Show(Decode(config, 10, onOversize, bytes, [1])));
    }

    [Fact]
    public void Raw_cuts_what_was_read()
    {
        var frames = Decode(new FramingConfig { Type = FramingType.Raw }, 4, OnOversize.Split, "0123456789"u8.ToArray(), [6, 4]);
        Assert.Equal("0123|45|6789", Show(frames));
    }

    [Fact]
    public void A_datagram_is_a_frame()
    {
        var framing = new FramingConfig { Type = FramingType.Datagram };
        Assert.Equal("0123~|45~|6789", Show(Decode(framing, 4, OnOversize.Split, "0123456789"u8.ToArray(), [6, 4])));
        Assert.Equal("!|6789", Show(Decode(framing, 4, OnOversize.Reject, "0123456789"u8.ToArray(), [6, 4])));
    }

    [Theory]
    [InlineData(FramingType.IdleGap, 10, "serial line")]
    [InlineData(FramingType.Delimiter, 10, "delimiter_hex")]
    [InlineData(FramingType.StxEtx, 10, "start_hex")]
    [InlineData(FramingType.Fixed, 10, "bytes")]
    [InlineData(FramingType.LengthPrefix, 10, "1, 2 or 4")]
    [InlineData(FramingType.Mllp, 3, "max_message_bytes")]
    public void A_framing_that_cannot_work_is_refused(FramingType type, int maxMessageBytes, string named)
    {
        var e = Assert.Throws<ArgumentException>(() =>
            FrameDecoder.Create(new FramingConfig { Type = type }, maxMessageBytes, OnOversize.Split));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bad_hex_is_refused() => Assert.Contains("0g", Assert.Throws<ArgumentException>(() =>
        FrameEncoder.Create(new FramingConfig { Type = FramingType.Delimiter, DelimiterHex = "0g" })).Message, StringComparison.Ordinal);

    [Fact]
    public void A_payload_that_its_prefix_cannot_count_is_refused()
    {
        var encoder = FrameEncoder.Create(Prefix(1))!;
        Assert.Equal(255, encoder.MaxPayloadBytes);
        Assert.Throws<ArgumentException>(() => encoder.Encode(new byte[256], new byte[300]));
    }

    /// <summary>How the network cuts the stream into reads changes nothing, whatever the bytes and limits.</summary>
    [Fact]
    public void Reads_do_not_matter() =>
        Gen.Select(GenFraming, Gen.Int[8, 40], Gen.Bool, GenBytes.Array[0, 300], Gen.Int[1, 30].Array[1, 8]).Sample(
            (framing, maxBytes, split, bytes, reads) =>
            {
                var onOversize = split ? OnOversize.Split : OnOversize.Reject;
                var whole = Decode(framing, maxBytes, onOversize, bytes, [Math.Max(1, bytes.Length)]);
                var pieces = Decode(framing, maxBytes, onOversize, bytes, reads);
                Assert.Equal(Show(whole), Show(pieces));
                Assert.All(whole, f => Assert.True(f.Bytes.Length <= maxBytes));
            }, iter: 20_000);

    /// <summary>Framings without a start sequence keep every byte.</summary>
    [Fact]
    public void Nothing_is_lost() =>
        Gen.Select(Gen.OneOf(Line, Delimiter, Prefix(1), Prefix(2, "little"), Fixed), Gen.Int[4, 20], GenBytes.Array[0, 300],
            Gen.Int[1, 30].Array[1, 8]).Sample(
            (framing, maxBytes, bytes, reads) =>
                Assert.Equal(bytes, Decode(framing, maxBytes, OnOversize.Split, bytes, reads).SelectMany(f => f.Bytes)), iter: 5_000);

    /// <summary>What the encoder framed, the decoder strips to the same payloads.</summary>
    [Fact]
    public void Encoded_payloads_come_back() =>
        Gen.Select(GenFraming.Where(f => f.Type != FramingType.Fixed), Gen.Byte[(byte)'0', (byte)'9'].Array[0, 60].Array[0, 10],
            Gen.Int[1, 50].Array[1, 8]).Sample(
            (framing, payloads, reads) =>
            {
                var encoder = FrameEncoder.Create(framing)!;
                var stream = payloads.SelectMany(payload =>
                {
                    var framed = new byte[payload.Length + encoder.OverheadBytes];
                    Assert.Equal(framed.Length, encoder.Encode(payload, framed));
                    return framed;
                }).ToArray();
                var frames = Decode(framing with { Strip = true }, 60, OnOversize.Reject, stream, reads);
                Assert.Equal(payloads, frames.Select(f => f.Bytes));
                Assert.All(frames, f => Assert.Equal(MessageFlags.None, f.Flags));
            }, iter: 5_000);

    /// <summary>A long frame that arrives byte by byte costs linear time: a decoder that searched from the front would take
    /// minutes.</summary>
    [Fact]
    public void A_long_frame_is_searched_once()
    {
        const int length = 1 << 20;
        var bytes = new byte[length];
        bytes[^1] = (byte)'\n';
        var decoder = FrameDecoder.Create(Line, length, OnOversize.Split);
        for (var have = 1; have < length; have++) Assert.Equal(FrameStatus.NeedMore, decoder.Next(bytes.AsSpan(0, have), false).Status);
        Assert.Equal(new FrameResult(FrameStatus.Frame, length, 0, length, MessageFlags.None), decoder.Next(bytes, false));
    }

    [Fact]
    public void Reset_forgets_the_old_connection()
    {
        foreach (var framing in new[] { Line, Delimiter, StxEtx, Mllp, Prefix(4), Fixed })
        {
            var decoder = FrameDecoder.Create(framing, 10, OnOversize.Split);
            decoder.Next("\u0002\u000b\0\0\u0001\u0001aaaaaaaaaaaaaa"u8, endOfInput: false);
            decoder.Reset();
            var encoder = FrameEncoder.Create(framing);
            var framed = new byte[3 + (encoder?.OverheadBytes ?? 0)];
            if (encoder is null) "xyz"u8.CopyTo(framed);
            else encoder.Encode("xyz"u8, framed);
            Assert.Equal(new FrameResult(FrameStatus.Frame, framed.Length, 0, framed.Length, MessageFlags.None), decoder.Next(framed, false));
        }
    }

    private static Gen<FramingConfig> GenFraming { get; } = Gen.Select(
        Gen.OneOf(Line, Delimiter, StxEtx, Mllp, Prefix(1), Prefix(2), Prefix(2, "little"), Prefix(4), Fixed,
            new FramingConfig { Type = FramingType.StxEtx, StartHex = "0202", EndHex = "02" }),
        Gen.Bool, (framing, strip) => framing with { Strip = strip });

    /// <summary>Bytes that often mean something to one of the framings.</summary>
    private static Gen<byte> GenBytes { get; } = Gen.Frequency(
        (4, Gen.OneOf<byte>(0x02, 0x03, 0x0A, 0x0B, 0x0D, 0x1C, (byte)'a', (byte)'b', 0)), (2, Gen.Byte[0, 40]), (1, Gen.Byte));

    private static FramingConfig Config(string name) => name switch
    {
        "line" => Line,
        "delimiter" => Delimiter,
        "stx_etx" => StxEtx,
        "mllp" => Mllp,
        "prefix1" => Prefix(1),
        "prefix2" => Prefix(2),
        "prefix2le" => Prefix(2, "little"),
        "prefix4" => Prefix(4),
        "prefix4le" => Prefix(4, "little"),
        _ => Fixed,
    };

    private sealed record Found(byte[] Bytes, MessageFlags Flags, bool Dropped);

    /// <summary>Decodes as a source does, in reads of the given lengths, over and over; asserts what a source relies on.</summary>
    private static List<Found> Decode(FramingConfig framing, int maxBytes, OnOversize onOversize, byte[] stream, int[] reads)
    {
        var decoder = FrameDecoder.Create(framing, maxBytes, onOversize);
        var found = new List<Found>();
        var held = Array.Empty<byte>();
        for (int at = 0, read = 0; ; read++)
        {
            var length = Math.Min(reads[read % reads.Length], stream.Length - at);
            held = [.. held, .. stream.AsSpan(at, length)];
            at += length;
            var ended = at == stream.Length;
            FrameResult result;
            do
            {
                result = decoder.Next(held, ended);
                Assert.InRange(result.Consumed, result.Status == FrameStatus.NeedMore ? 0 : 1, held.Length);
                if (result.Status == FrameStatus.Frame)
                {
                    Assert.InRange(result.Start + result.Length, 0, result.Consumed);
                    found.Add(new Found(held.AsSpan(result.Start, result.Length).ToArray(), result.Flags, false));
                }
                else if (result.Status == FrameStatus.Oversize)
                {
                    found.Add(new Found([], MessageFlags.None, true));
                }

                held = held[result.Consumed..];
            }
            while (result.Status != FrameStatus.NeedMore);
            Assert.True(held.Length < decoder.BufferBytesNeeded, "A full buffer must make progress.");
            if (!ended) continue;
            Assert.Empty(held);
            return found;
        }
    }

    private static string Show(List<Found> frames) => string.Join('|', frames.Select(f =>
        (f.Dropped ? "!" : "") + Encoding.Latin1.GetString(f.Bytes)
        + (f.Flags.HasFlag(MessageFlags.Split) ? "~" : "") + (f.Flags.HasFlag(MessageFlags.Partial) ? "…" : "")));
}
