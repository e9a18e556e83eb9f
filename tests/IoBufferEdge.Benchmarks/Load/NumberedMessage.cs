using System.Buffers.Text;
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>How messages are told apart on the wire.</summary>
public enum MessageFraming
{
    /// <summary>One line, ended by a line feed; also what one datagram holds.</summary>
    Line,

    /// <summary>An HL7 message between 0x0B and 0x1C 0x0D; MSH-10 names the message, a ZZZ segment holds the line.</summary>
    Mllp,
}

/// <summary>What a received frame says; <see cref="Intact"/> is false where the checksum or the shape does not hold.</summary>
/// <param name="Number">The sender's number, from 1.</param>
/// <param name="Attempt">Which connection of the sender carried it, from 1: tells the sender's repeats from the gateway's.</param>
public readonly record struct NumberedFrame(long Number, int Attempt, bool Intact);

/// <summary>
/// The messages of the load generator: <c>#NNNNNNNNNNNN AAAA CCCCCCCC filler\n</c>, that is number, attempt and the CRC32C (hex) of all
/// the rest. Filler is pseudo-random bytes from 0x80 upwards: practically incompressible, and no delimiter or acknowledgement of any
/// framing.
/// </summary>
public static class NumberedMessage
{
    /// <summary>The smallest line.</summary>
    public const int MinBytes = HeaderBytes + 1;

    /// <summary>What MLLP adds to a line at most.</summary>
    public const int MllpOverheadBytes = 128;

    private const int HeaderBytes = 28;
    private static readonly byte[] s_filler = MakeFiller(1 << 20);
    private static ReadOnlySpan<byte> LineSegment => "\rZZZ|"u8;

    /// <summary>Writes one message whose line has <paramref name="bytes"/> bytes; returns what it takes on the wire.</summary>
    public static int Write(Span<byte> destination, long number, int attempt, int bytes, MessageFraming framing)
    {
        if (framing == MessageFraming.Line)
            return WriteLine(destination, number, attempt, bytes);
        var head = Encoding.ASCII.GetBytes(
            string.Create(CultureInfo.InvariantCulture, $"\vMSH|^~\\&|LOAD|LAB|GW|EDGE|20260101000000||ORU^R01|{number}-{attempt}|P|2.5"),
            destination);
        LineSegment.CopyTo(destination[head..]);
        head += LineSegment.Length;
        head += WriteLine(destination[head..], number, attempt, bytes);
        "\r\x1c\r"u8.CopyTo(destination[(head - 1)..]);
        return head + 2;
    }

    public static NumberedFrame Parse(ReadOnlySpan<byte> frame, MessageFraming framing)
    {
        var line = frame;
        if (framing == MessageFraming.Mllp)
        {
            var at = frame.IndexOf(LineSegment);
            if (at < 0 || !frame.EndsWith("\r\x1c\r"u8))
                return default;
            line = frame[(at + LineSegment.Length)..^2];
        }

        if (!TryReadHeader(line, out var number, out var attempt))
            return default;
        var intact = Utf8Parser.TryParse(line[19..27], out uint crc, out var used, 'x') && used == 8 && crc == Checksum(line);
        return new NumberedFrame(number, attempt, intact);
    }

    /// <summary>The header alone, without the checksum: what the benchmark's sink looks at for every message.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> line, out long number, out int attempt)
    {
        number = attempt = 0;
        return line.Length >= MinBytes && line[0] == '#'
            && Utf8Parser.TryParse(line[1..13], out number, out var used) && used == 12
            && Utf8Parser.TryParse(line[14..18], out attempt, out used) && used == 4;
    }

    private static int WriteLine(Span<byte> destination, long number, int attempt, int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, MinBytes);
        var line = destination[..bytes];
        line[0] = (byte)'#';
        WriteDigits(line[1..13], number);
        line[13] = line[18] = line[27] = (byte)' ';
        WriteDigits(line[14..18], attempt % 10000);
        s_filler.AsSpan((int)(number * 61 % 4096), bytes - MinBytes).CopyTo(line[HeaderBytes..]);
        line[^1] = (byte)'\n';
        Utf8Formatter.TryFormat(Checksum(line), line[19..27], out _, new('x', 8));
        return bytes;
    }

    private static void WriteDigits(Span<byte> field, long value)
    {
        for (var i = field.Length - 1; i >= 0; i--, value /= 10)
            field[i] = (byte)('0' + value % 10);
    }

    private static uint Checksum(ReadOnlySpan<byte> line) => Crc(Crc(0, line[..18]), line[HeaderBytes..^1]);

    private static uint Crc(uint crc, ReadOnlySpan<byte> bytes)
    {
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes))
            crc = BitOperations.Crc32C(crc, word);
        foreach (var value in bytes[(bytes.Length & ~7)..])
            crc = BitOperations.Crc32C(crc, value);
        return crc;
    }

    private static byte[] MakeFiller(int bytes)
    {
        var filler = new byte[bytes + 4096];
        new Random(7).NextBytes(filler);
        foreach (ref var value in filler.AsSpan())
            value |= 0x80;
        return filler;
    }
}

/// <summary>Cuts what a socket delivers into whole frames; keeps the begun one for the next call.</summary>
public sealed class FrameSplitter(MessageFraming framing)
{
    private byte[] _buffer = new byte[64 * 1024];
    private int _length;

    public delegate void OnFrame(ReadOnlySpan<byte> frame);

    /// <summary>Bytes of a begun frame.</summary>
    public int PartialBytes => _length;

    public void Feed(ReadOnlySpan<byte> bytes, OnFrame onFrame)
    {
        if (_length + bytes.Length > _buffer.Length)
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _length + bytes.Length));
        bytes.CopyTo(_buffer.AsSpan(_length));
        _length += bytes.Length;

        var end = framing == MessageFraming.Line ? "\n"u8 : "\x1c\r"u8;
        var rest = _buffer.AsSpan(0, _length);
        for (int at; (at = rest.IndexOf(end)) >= 0; rest = rest[(at + end.Length)..])
            onFrame(rest[..(at + end.Length)]);
        rest.CopyTo(_buffer);
        _length = rest.Length;
    }
}
