using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>What the peer's application says of the message it was sent.</summary>
internal enum AckVerdict
{
    /// <summary>Nothing more in the bytes given.</summary>
    NeedMore,

    Accepted,

    /// <summary>It will never take this message (AR, CR, nak).</summary>
    Refused,

    /// <summary>It failed this time (AE, CE).</summary>
    Failed,

    /// <summary>An answer that names another message, or none that we know.</summary>
    Unrelated,
}

/// <summary>Finds the application's acknowledgements in what the peer sends (<c>confirm: mllp | bytes</c>). One per connection.</summary>
internal abstract class AckReader
{
    /// <summary>Null where the application does not acknowledge.</summary>
    /// <exception cref="EndpointException">ack_hex is missing or not hex.</exception>
    public static AckReader? Create(ConfirmConfig confirm) => confirm.Type switch
    {
        ConfirmType.Mllp => new MllpAckReader(),
        ConfirmType.Bytes => new BytesAckReader(
            Hex("ack_hex", confirm.AckHex) ?? throw new EndpointException("confirm: ack_hex must name at least one byte, such as 06."),
            Hex("nak_hex", confirm.NakHex) ?? []),
        _ => null,
    };

    /// <summary>What the last verdict was read from, for the operator.</summary>
    public abstract string LastAnswer { get; }

    /// <summary>Consumes bytes up to and including the next answer.</summary>
    /// <param name="message">The message that waits for its answer.</param>
    public abstract AckVerdict Next(ref ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> message);

    private static byte[]? Hex(string key, string? hex)
    {
        try
        {
            return string.IsNullOrEmpty(hex) ? null : Convert.FromHexString(hex);
        }
        catch (FormatException e)
        {
            throw new EndpointException($"confirm: {key} must be pairs of hex digits such as 06, not {hex}.", e);
        }
    }
}

/// <summary>Fixed byte sequences; what stands between them is ignored. Where one sequence ends with the other, the longer counts.</summary>
internal sealed class BytesAckReader(byte[] ack, byte[] nak) : AckReader
{
    private readonly byte[] _recent = new byte[Math.Max(ack.Length, nak.Length)];
    private int _count;

    public override string LastAnswer => "a nak";

    public override AckVerdict Next(ref ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> message)
    {
        while (!bytes.IsEmpty)
        {
            if (_count == _recent.Length) _recent.AsSpan(1).CopyTo(_recent);
            else _count++;
            _recent[_count - 1] = bytes[0];
            bytes = bytes[1..];
            var recent = _recent.AsSpan(0, _count);
            var acked = recent.EndsWith(ack);
            var naked = nak.Length > 0 && recent.EndsWith(nak);
            if (!acked && !naked) continue;
            _count = 0;
            return naked && (!acked || nak.Length > ack.Length) ? AckVerdict.Refused : AckVerdict.Accepted;
        }

        return AckVerdict.NeedMore;
    }
}

/// <summary>
/// HL7 v2 acknowledgements in MLLP blocks: MSA-1 is the verdict, MSA-2 names the message by its MSH-10 (HL7 v2.5.1, 2.9.2). A block
/// of the single byte 06 or 15 (MLLP release 2) names none and means the one in flight.
/// </summary>
internal sealed class MllpAckReader : AckReader
{
    private const int AnswerMaxBytes = 64 * 1024;
    private const int ShownMaxBytes = 200;
    private static ReadOnlySpan<byte> CommitAck => [0x06];

    private static ReadOnlySpan<byte> CommitNak => [0x15];

    private readonly FrameDecoder _decoder =
        FrameDecoder.Create(new FramingConfig { Type = FramingType.Mllp, Strip = true }, AnswerMaxBytes, OnOversize.Reject);
    private byte[] _buffer = new byte[1024];
    private int _start;
    private int _end;
    private string _lastAnswer = "";

    public override string LastAnswer => _lastAnswer;

    public override AckVerdict Next(ref ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> message)
    {
        Append(bytes);
        bytes = default;
        var found = _decoder.Next(_buffer.AsSpan(_start, _end - _start), endOfInput: false);
        var answer = _buffer.AsSpan(_start + found.Start, found.Length);
        _start += found.Consumed;
        return found.Status switch
        {
            FrameStatus.NeedMore => AckVerdict.NeedMore,
            FrameStatus.Frame => Judge(answer, message),
            _ => AckVerdict.Unrelated,
        };
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (_end + bytes.Length > _buffer.Length)
        {
            var rest = _buffer.AsSpan(_start, _end - _start);
            var target = rest.Length + bytes.Length > _buffer.Length ? new byte[2 * (rest.Length + bytes.Length)] : _buffer;
            rest.CopyTo(target);
            (_buffer, _start, _end) = (target, 0, rest.Length);
        }

        bytes.CopyTo(_buffer.AsSpan(_end));
        _end += bytes.Length;
    }

    private AckVerdict Judge(ReadOnlySpan<byte> answer, ReadOnlySpan<byte> message)
    {
        if (answer.SequenceEqual(CommitAck)) return AckVerdict.Accepted;
        if (answer.SequenceEqual(CommitNak)) return Verdict(answer, AckVerdict.Refused);
        var msa = Hl7.Segment(answer, "MSA"u8);
        if (!answer.StartsWith("MSH"u8) || answer.Length < 4 || msa.IsEmpty) return AckVerdict.Unrelated;
        if (!Hl7.Field(msa, answer[3], 2).SequenceEqual(ControlId(message))) return AckVerdict.Unrelated;
        var code = Hl7.Field(msa, answer[3], 1);
        return Verdict(
            msa,
            code.SequenceEqual("AA"u8) || code.SequenceEqual("CA"u8) ? AckVerdict.Accepted
            : code.SequenceEqual("AR"u8) || code.SequenceEqual("CR"u8) ? AckVerdict.Refused
            : code.SequenceEqual("AE"u8) || code.SequenceEqual("CE"u8) ? AckVerdict.Failed
            : AckVerdict.Unrelated);
    }

    private AckVerdict Verdict(ReadOnlySpan<byte> shown, AckVerdict verdict)
    {
        if (verdict is AckVerdict.Refused or AckVerdict.Failed)
            _lastAnswer = shown.Length == 1 ? $"{shown[0]:X2}" : Printable(shown);
        return verdict;
    }

    /// <summary>MSH-10 of a message; empty where there is none. MSH-1 is the separator itself: behind the segment's name the fields
    /// count from 2.</summary>
    private static ReadOnlySpan<byte> ControlId(ReadOnlySpan<byte> message) =>
        Hl7.Header(message) is { IsEmpty: false } header ? Hl7.Field(header, header[3], 9) : default;

    /// <summary>An answer is shown to the operator on one line: what would steer a terminal becomes a question mark.</summary>
    private static string Printable(ReadOnlySpan<byte> answer)
    {
        var shown = answer[..Math.Min(answer.Length, ShownMaxBytes)].ToArray();
        foreach (ref var one in shown.AsSpan())
            if (one is < 0x20 or 0x7F) one = (byte)'?';
        return Encoding.ASCII.GetString(shown);
    }
}
