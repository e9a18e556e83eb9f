using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;
using IoBufferEdge.Endpoints.Tcp;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>What a peer answers under <c>confirm: bytes</c>: the verdicts are those of a plain search, however the bytes are cut.</summary>
internal sealed class BytesAckTarget : FuzzTarget
{
    private static readonly (byte[] Ack, byte[] Nak)[] Pairs =
        [.. (((string, string)[])[("06", "15"), ("06", ""), ("414b", "4e414b"), ("0606", "0615"), ("0d0a", "0a")]).Select(hex =>
            (Convert.FromHexString(hex.Item1), Convert.FromHexString(hex.Item2)))];

    public override string Name => "ack-bytes";

    public override IReadOnlyList<byte[]> Words { get; } = [.. Pairs.SelectMany(p => (byte[][])[p.Ack, p.Nak])];

    public override void Judge(byte[] input, Behaviours seen)
    {
        foreach (var (ack, nak) in Pairs)
        {
            var expected = Search(input, ack, nak);
            foreach (var cut in (int[])[1, 7, int.MaxValue])
            {
                var found = AckReading.Verdicts(new BytesAckReader(ack, nak), input, default, cut);
                if (!found.SequenceEqual(expected))
                    Assert.Fail($"ack {Convert.ToHexString(ack)}, nak {Convert.ToHexString(nak)}, reads of {cut}: "
                        + $"{string.Join(' ', found)} instead of {string.Join(' ', expected)}");
            }

            seen.Saw(ack.Length, Math.Min(expected.Count, 5), expected.Contains(AckVerdict.Refused));
        }
    }

    /// <summary>From the front, the sequence that is complete first, and the longer of two that end together.</summary>
    private static List<AckVerdict> Search(byte[] input, byte[] ack, byte[] nak)
    {
        var verdicts = new List<AckVerdict>();
        for (int from = 0, to = 1; to <= input.Length; to++)
        {
            var answer = input.AsSpan(from..to);
            var (isAck, isNak) = (answer.EndsWith(ack), nak.Length > 0 && answer.EndsWith(nak));
            if (!isAck && !isNak) continue;
            verdicts.Add(isAck && isNak ? ack.Length >= nak.Length ? AckVerdict.Accepted : AckVerdict.Refused
                : isAck ? AckVerdict.Accepted : AckVerdict.Refused);
            from = to;
        }

        return verdicts;
    }
}

/// <summary>
/// What a peer answers under <c>confirm: mllp</c>: verdicts do not depend on the cuts, are those that the plain reading of HL7 gives,
/// and what is shown of an answer fits on one line of a terminal.
/// </summary>
internal sealed class MllpAckTarget : FuzzTarget
{
    private const int AnswerMaxBytes = 64 * 1024;

    private static readonly byte[][] Messages =
        [.. ((string[])["\vMSH|^~\\&|LAB|A|GW|B|20260101||ORU^R01|M1|P|2.3\rPID|1\r\x1C\r", "MSH#$~\\&#####x##t#M1", "MSH|^~\\&|", "no header", ""])
            .Select(Encoding.Latin1.GetBytes)];

    public override string Name => "ack-mllp";

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. ((string[])["\v", "\x1C\r", "\r", "|", "#", "MSH|", "MSH#", "MSA|", "MSA#", "AA|M1", "AR|M1", "AE|M1", "CA|", "CR#M1", "CE", "M1", "\v\x06\x1C\r",
            "\v\x15\x1C\r", "\vMSH|^~\\&|\rMSA|AA|M1\r\x1C\r"]).Select(Encoding.Latin1.GetBytes)];

    public override void Judge(byte[] input, Behaviours seen)
    {
        foreach (var message in Messages)
        {
            var reader = new MllpAckReader();
            var whole = AckReading.Verdicts(reader, input, message, int.MaxValue);
            if (reader.LastAnswer.Length > 200 || reader.LastAnswer.Any(char.IsControl)) Assert.Fail($"LastAnswer is {reader.LastAnswer}");
            foreach (var cut in (int[])[1, 7])
            {
                var found = AckReading.Verdicts(new MllpAckReader(), input, message, cut);
                if (!found.SequenceEqual(whole)) Assert.Fail($"reads of {cut}: {string.Join(' ', found)} instead of {string.Join(' ', whole)}");
            }

            var expected = Plainly(Encoding.Latin1.GetString(input), Encoding.Latin1.GetString(message));
            if (!whole.SequenceEqual(expected)) Assert.Fail($"{string.Join(' ', whole)} instead of {string.Join(' ', expected)}");
            foreach (var verdict in whole) seen.Saw(verdict, message.Length, Math.Min(whole.Count, 4));
        }
    }

    private static List<AckVerdict> Plainly(string stream, string message)
    {
        var verdicts = new List<AckVerdict>();
        for (var at = 0; (at = stream.IndexOf('\v', at) + 1) > 0;)
        {
            var end = stream.IndexOf("\x1C\r", at, StringComparison.Ordinal);
            var length = (end < 0 ? stream.Length : end) - at;
            if (length > AnswerMaxBytes && (end >= 0 || length > AnswerMaxBytes + 1)) verdicts.Add(AckVerdict.Unrelated);
            else if (end >= 0) verdicts.Add(Verdict(stream[at..end], message));
            if (end < 0) break;
            at = end + 2;
        }

        return verdicts;
    }

    private static AckVerdict Verdict(string answer, string message)
    {
        if (answer == "\x06") return AckVerdict.Accepted;
        if (answer == "\x15") return AckVerdict.Refused;
        if (!answer.StartsWith("MSH", StringComparison.Ordinal) || answer.Length < 4) return AckVerdict.Unrelated;
        if (Segment(answer, "MSA") is not { } msa) return AckVerdict.Unrelated;
        var fields = msa.Split(answer[3]);
        var header = Segment(message.TrimStart('\v'), "MSH") ?? "";
        var id = header.Length < 5 || char.IsAsciiLetterOrDigit(header[3]) ? "" : header.Split(header[3]).ElementAtOrDefault(9) ?? "";
        if ((fields.ElementAtOrDefault(2) ?? "") != id) return AckVerdict.Unrelated;
        return fields.ElementAtOrDefault(1) switch
        {
            "AA" or "CA" => AckVerdict.Accepted,
            "AR" or "CR" => AckVerdict.Refused,
            "AE" or "CE" => AckVerdict.Failed,
            _ => AckVerdict.Unrelated,
        };
    }

    private static string? Segment(string text, string name) =>
        text.Split('\r', '\n', '\x1C').FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal));
}

/// <summary>
/// What a source answers under <c>ack: mllp</c>, whatever it was sent: always one MLLP frame that fits where acknowledgements wait,
/// and one in which our own destination recognises the message.
/// </summary>
internal sealed class SourceAckTarget : FuzzTarget
{
    private const int AckBytesMax = 16 * 1024;
    private const int HeaderBytesMax = 2048;

    private readonly SourceAck _ack = new(new AckConfig { Type = AckType.Mllp }, new FakeTimeProvider());

    public override string Name => "source-ack";

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. ((string[])["\v", "\x1C\r", "\r", "\n", "|", "^", "MSH", "MSH|^~\\&|", "MSH|^~\\&|LAB|A|GW|B|20260101||ORU^R01|M1|P|2.3", "ORU^R01^ORU_R01",
            "FHS|", "||||||"]).Select(Encoding.Latin1.GetBytes)];

    public override void Judge(byte[] input, Behaviours seen)
    {
        var ack = _ack.For(input);
        Assert.InRange(ack.Length, 1, AckBytesMax);
        var decoder = FrameDecoder.Create(new FramingConfig { Type = FramingType.Mllp }, AckBytesMax, OnOversize.Reject);
        var found = decoder.Next(ack, endOfInput: true);
        Assert.Equal(new FrameResult(FrameStatus.Frame, ack.Length, 0, ack.Length, MessageFlags.None), found);
        seen.Saw(ack.AsSpan().Count(ack[4]), input.AsSpan().IndexOf("MSH"u8) >= 0, ack.Length > 100);

        if (input.Length > HeaderBytesMax) return;
        var verdicts = AckReading.Verdicts(new MllpAckReader(), ack, input, int.MaxValue);
        Assert.True(verdicts is [AckVerdict.Accepted], $"Our own destination reads {string.Join(' ', verdicts)} from {Encoding.Latin1.GetString(ack)}");
    }
}

/// <summary>How a destination reads answers.</summary>
internal static class AckReading
{
    /// <param name="cut">Bytes a read.</param>
    public static List<AckVerdict> Verdicts(AckReader reader, byte[] stream, ReadOnlySpan<byte> message, int cut)
    {
        var verdicts = new List<AckVerdict>();
        for (var at = 0; at < stream.Length;)
        {
            var length = Math.Min(cut, stream.Length - at);
            ReadOnlySpan<byte> bytes = stream.AsSpan(at, length);
            while (reader.Next(ref bytes, message) is not AckVerdict.NeedMore and var verdict) verdicts.Add(verdict);
            at += length;
        }

        return verdicts;
    }
}
