using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Framing;

public enum FrameStatus
{
    /// <summary>No frame is complete yet: read on.</summary>
    NeedMore,

    /// <summary>A frame, or a piece of one.</summary>
    Frame,

    /// <summary>A frame longer than <c>max_message_bytes</c> was dropped (<c>on_oversize: reject</c>). Reported once per frame.</summary>
    Oversize,
}

/// <param name="Status">What was found.</param>
/// <param name="Consumed">Bytes to drop from the front of the span. Those of them that no frame holds, and that are not stripped
/// framing, are line noise or the rest of a dropped frame.</param>
/// <param name="Start">With <see cref="FrameStatus.Frame"/>: where the bytes to store begin within the span.</param>
/// <param name="Length">With <see cref="FrameStatus.Frame"/>: how many they are; 0 for an empty frame that was stripped.</param>
/// <param name="Flags">With <see cref="FrameStatus.Frame"/>: partial, split.</param>
/// <param name="MoreFollows">With <see cref="FrameStatus.Frame"/>: a piece of a frame, and not its last.</param>
public readonly record struct FrameResult(
    FrameStatus Status, int Consumed, int Start, int Length, MessageFlags Flags, bool MoreFollows = false);

/// <summary>
/// Finds frames in a byte stream. The caller keeps the bytes: it offers all that it has not dropped yet, drops
/// <see cref="FrameResult.Consumed"/> of them, and goes on until <see cref="FrameStatus.NeedMore"/>; then it appends what it reads next.
/// The frames found do not depend on how the stream was cut into reads (raw and datagram excepted: there the read is the frame).
/// Frames are byte-exact, their framing included, unless <c>strip</c>. A decoder remembers how far it has searched, so that a
/// long frame that arrives in pieces is not searched twice. It allocates nothing and never throws, whatever the bytes are.
/// One decoder per connection; not thread-safe.
///
/// <c>max_message_bytes</c> bounds what is stored. A longer frame is cut into pieces of that size, all flagged
/// <see cref="MessageFlags.Split"/>, whose concatenation is the frame (a cut never parts an end sequence: the piece before it may be
/// shorter), or is dropped and reported. Bytes left at the end of the input are a frame flagged <see cref="MessageFlags.Partial"/>.
/// </summary>
public abstract class FrameDecoder
{
    /// <exception cref="ArgumentException">The framing lacks a value, or cannot be decoded by itself (idle_gap).</exception>
    public static FrameDecoder Create(FramingConfig framing, int maxMessageBytes, OnOversize onOversize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxMessageBytes);
        var split = onOversize == OnOversize.Split;
        var decoder = framing.Type switch
        {
            FramingType.Raw => new ChunkDecoder(maxMessageBytes, datagrams: false, split),
            FramingType.Datagram => new ChunkDecoder(maxMessageBytes, datagrams: true, split),
            FramingType.LengthPrefix => new CountedDecoder(
                FrameBytes.PrefixBytes(framing), FrameBytes.BigEndian(framing), fixedBytes: 0, maxMessageBytes, split, framing.Strip),
            FramingType.Fixed when framing.Bytes < 1 =>
                throw new ArgumentException($"Framing fixed: bytes must be at least 1, not {framing.Bytes}."),
            FramingType.Fixed => new CountedDecoder(0, bigEndian: true, framing.Bytes, maxMessageBytes, split, strip: false),
            FramingType.IdleGap =>
                throw new ArgumentException("Framing idle_gap: silence ends a frame only on a serial line; use another framing here."),
            _ => (FrameDecoder)new DelimitedDecoder(
                FrameBytes.Start(framing), FrameBytes.End(framing), maxMessageBytes, split, framing.Strip,
                carriageReturns: framing.Type == FramingType.Line),
        };
        return decoder;
    }

    /// <summary>
    /// Looks for the next frame in <paramref name="bytes"/>: everything received and not consumed yet.
    /// With <paramref name="endOfInput"/> nothing follows: what remains becomes a partial frame; call until
    /// <see cref="FrameStatus.NeedMore"/>.
    /// </summary>
    public abstract FrameResult Next(ReadOnlySpan<byte> bytes, bool endOfInput);

    /// <summary>Forgets everything, for a new connection.</summary>
    public abstract void Reset();

    /// <summary>With so many bytes unconsumed the decoder always makes progress: no caller needs a larger buffer.</summary>
    public abstract int BufferBytesNeeded { get; }

    private protected static FrameResult NeedMore(int consumed) => new(FrameStatus.NeedMore, consumed, 0, 0, MessageFlags.None);

    private protected static FrameResult Oversize(int consumed) => new(FrameStatus.Oversize, consumed, 0, 0, MessageFlags.None);

    private protected static FrameResult Frame(
        int consumed, int start, int length, bool split, bool partial = false, bool moreFollows = false) =>
        new(FrameStatus.Frame, consumed, start, length,
            (split ? MessageFlags.Split : MessageFlags.None) | (partial ? MessageFlags.Partial : MessageFlags.None), moreFollows);
}

/// <summary>The byte sequences that a <see cref="FramingConfig"/> stands for; shared by decoder and encoder.</summary>
internal static class FrameBytes
{
    /// <summary>What begins a frame; empty where nothing does.</summary>
    public static byte[] Start(FramingConfig framing) => framing.Type switch
    {
        FramingType.StxEtx => Hex(framing.StartHex, "stx_etx", "start_hex"),
        FramingType.Mllp => [0x0B],
        _ => [],
    };

    public static byte[] End(FramingConfig framing) => framing.Type switch
    {
        FramingType.Line => [(byte)'\n'],
        FramingType.Delimiter => Hex(framing.DelimiterHex, "delimiter", "delimiter_hex"),
        FramingType.StxEtx => Hex(framing.EndHex, "stx_etx", "end_hex"),
        FramingType.Mllp => [0x1C, 0x0D],
        _ => throw new ArgumentException($"Framing {framing.Type} has no end sequence."),
    };

    public static int PrefixBytes(FramingConfig framing) => framing.Bytes is 1 or 2 or 4
        ? framing.Bytes
        : throw new ArgumentException($"Framing length_prefix: bytes must be 1, 2 or 4, not {framing.Bytes}.");

    public static bool BigEndian(FramingConfig framing) => framing.Endian switch
    {
        "big" => true,
        "little" => false,
        _ => throw new ArgumentException($"Framing length_prefix: endian must be big or little, not {framing.Endian}."),
    };

    private static byte[] Hex(string? hex, string framing, string key)
    {
        if (string.IsNullOrEmpty(hex)) throw new ArgumentException($"Framing {framing}: {key} must name at least one byte, such as 0d0a.");
        try
        {
            return Convert.FromHexString(hex);
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"Framing {framing}: {key} must be pairs of hex digits such as 0d0a, not {hex}.", e);
        }
    }
}
