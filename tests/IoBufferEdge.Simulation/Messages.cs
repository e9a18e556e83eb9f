using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace IoBufferEdge.Simulation;

/// <summary>
/// One transmission of one message: who sent it, its number, and which attempt this is. It is written into the payload, so that
/// everybody who sees the payload knows it; a message that is sent again is another transmission.
/// </summary>
public readonly record struct TransmissionId(int Channel, int Sender, int Number, int Attempt)
{
    /// <summary>In a payload: <c>{c1s02n000003t004}</c>.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{{c{Channel:D1}s{Sender:D2}n{Number:D6}t{Attempt:D3}}}");

    /// <summary>Finds the first identity in a payload.</summary>
    public static bool TryFind(ReadOnlySpan<byte> payload, out TransmissionId id)
    {
        id = default;
        var at = payload.IndexOf((byte)'{');
        if (at < 0 || payload.Length < at + Length || payload[at + Length - 1] != '}') return false;
        var text = payload.Slice(at, Length);
        if (!Digits(text[2..3], out var channel) || !Digits(text[4..6], out var sender)) return false;
        if (!Digits(text[7..13], out var number) || !Digits(text[14..17], out var attempt)) return false;
        id = new TransmissionId(channel, sender, number, attempt);
        return true;
    }

    private const int Length = 18;

    private static bool Digits(ReadOnlySpan<byte> text, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
}

/// <summary>How messages are told apart on a wire. Written apart from the product's framing: it is what that is checked against.</summary>
public enum Wire
{
    Line,
    LengthPrefix,
    StxEtx,
    Mllp,
}

public static class WireFormat
{
    internal const byte Vt = 0x0B, Fs = 0x1C, Cr = 0x0D, Stx = 0x02, Etx = 0x03;

    /// <summary>An HL7 message whose control id is the identity where the wire is MLLP; else the identity and letters.</summary>
    public static byte[] Payload(TransmissionId id, int length, Wire wire)
    {
        var head = wire == Wire.Mllp ? $"MSH|^~\\&|A|B|C|D|20300101||ADT^A01|{id}|P|2.3\rOBX|" : id.ToString();
        var payload = new byte[Math.Max(head.Length, length)];
        Encoding.ASCII.GetBytes(head, payload);
        var letter = (id.Number * 7) + id.Attempt;
        for (var at = head.Length; at < payload.Length; at++) payload[at] = (byte)('a' + (letter++ % 26));
        return payload;
    }

    public static byte[] Encode(ReadOnlySpan<byte> payload, Wire wire)
    {
        var length = payload.Length;
        ReadOnlySpan<byte> before = wire switch
        {
            Wire.Line => [],
            Wire.StxEtx => [Stx],
            Wire.Mllp => [Vt],
            _ => [(byte)(length >> 24), (byte)(length >> 16), (byte)(length >> 8), (byte)length],
        };
        ReadOnlySpan<byte> after = wire switch
        {
            Wire.Line => [(byte)'\n'],
            Wire.StxEtx => [Etx],
            Wire.Mllp => [Fs, Cr],
            _ => [],
        };
        var frame = new byte[before.Length + length + after.Length];
        before.CopyTo(frame);
        payload.CopyTo(frame.AsSpan(before.Length));
        after.CopyTo(frame.AsSpan(before.Length + length));
        return frame;
    }

    /// <summary>MSH-10; empty where the message has none.</summary>
    public static string Hl7ControlId(ReadOnlySpan<byte> payload) =>
        Encoding.ASCII.GetString(payload).Split('\r')[0].Split('|') is { Length: > 9 } fields ? fields[9] : "";

    /// <summary>The answer to an HL7 message: AA, AE or AR with its control id.</summary>
    public static byte[] Hl7Acknowledgement(string code, string controlId) =>
        Encode(Encoding.ASCII.GetBytes($"MSH|^~\\&|C|D|A|B|20300101||ACK|x|P|2.3\rMSA|{code}|{controlId}\r"), Wire.Mllp);
}

/// <summary>Takes a wire's bytes as they come and gives the payloads.</summary>
public sealed class WireReader(Wire wire)
{
    private readonly List<byte> _rest = [];
    private int _scanned;

    public Wire Wire => wire;

    public int RestBytes => _rest.Count;

    public WireReader Clone()
    {
        var clone = new WireReader(wire);
        clone._rest.AddRange(_rest);
        clone._scanned = _scanned;
        return clone;
    }

    /// <summary>The payloads that are complete now; <paramref name="ends"/> gives where in <paramref name="bytes"/> each ends.</summary>
    public List<byte[]> Feed(ReadOnlySpan<byte> bytes, List<int>? ends = null)
    {
        var before = _rest.Count;
        _rest.AddRange(bytes);
        var payloads = new List<byte[]>();
        var at = 0;
        while (Next(Bytes[at..], out var consumed, out var start, out var length))
        {
            payloads.Add(Bytes.Slice(at + start, length).ToArray());
            at += consumed;
            _scanned = 0;
            ends?.Add(at - before);
        }

        _rest.RemoveRange(0, at);
        return payloads;
    }

    private ReadOnlySpan<byte> Bytes => CollectionsMarshal.AsSpan(_rest);

    private bool Next(ReadOnlySpan<byte> bytes, out int consumed, out int start, out int length)
    {
        (consumed, start, length) = (0, 0, 0);
        if (wire == Wire.LengthPrefix)
        {
            if (bytes.Length < 4) return false;
            (start, length) = (4, (bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]);
            consumed = start + length;
            return bytes.Length >= consumed;
        }

        // A long message comes in many pieces: what has been searched is not searched again.
        var ahead = bytes[_scanned..];
        var (begin, found) = wire switch
        {
            Wire.StxEtx => (1, ahead.IndexOf(WireFormat.Etx)),
            Wire.Mllp => (1, ahead.IndexOf([WireFormat.Fs, WireFormat.Cr])),
            _ => (0, ahead.IndexOf((byte)'\n')),
        };
        if (found < 0)
        {
            _scanned = Math.Max(0, bytes.Length - 1);
            return false;
        }

        var end = _scanned + found;
        (start, length, consumed) = (begin, end - begin, end + (wire == Wire.Mllp ? 2 : 1));
        return true;
    }
}
