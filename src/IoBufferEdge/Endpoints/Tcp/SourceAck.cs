using System.Globalization;
using System.Text;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>Writes what a source answers to a message: fixed bytes, or an HL7 v2 acknowledgement made from the message's own header.</summary>
internal sealed class SourceAck
{
    private const byte StartOfBlock = 0x0B;
    private const int Hl7FieldsUsed = 19;
    private const int Hl7HeaderBytesMax = 2048;

    private readonly bool _hl7;
    private readonly byte[] _ack;
    private readonly byte[]? _nak;
    private readonly TimeProvider _time;

    /// <exception cref="EndpointException">ack_hex is missing or not hex.</exception>
    public SourceAck(AckConfig config, TimeProvider time)
    {
        _hl7 = config.Type == AckType.Mllp;
        _time = time;
        _ack = _hl7 ? [] : Hex("ack_hex", config.AckHex) ?? throw new EndpointException("ack: ack_hex must name at least one byte, such as 06.");
        _nak = _hl7 ? null : Hex("nak_hex", config.NakHex);
    }

    /// <summary>What answers a message that was too long; null: nothing does, and the connection is closed.</summary>
    public byte[]? Nak => _nak;

    /// <summary>The acknowledgement of <paramref name="message"/>, with or without its MLLP framing.</summary>
    public byte[] For(ReadOnlySpan<byte> message) => _hl7 ? Hl7Accept(message) : _ack;

    /// <summary>
    /// HL7 v2 (chapter 2.9.2): MSH with sender and receiver swapped, MSA-1 AA, MSA-2 the message's MSH-10, in the message's own
    /// delimiters, version, processing id and character set. What has no MSH is answered with an AA that names no message.
    /// </summary>
    private byte[] Hl7Accept(ReadOnlySpan<byte> message)
    {
        var header = Hl7.Header(message);
        if (header.IsEmpty) header = "MSH|^~\\&|||||||||P|2.3"u8;
        header = header[..Math.Min(header.Length, Hl7HeaderBytesMax)];
        var separator = header[3];
        // MSH-1 is the separator itself: the part at index n is MSH-(n + 1). Missing parts stay empty.
        Span<Range> fields = stackalloc Range[Hl7FieldsUsed];
        fields.Clear();
        var count = 0;
        foreach (var part in MemoryExtensions.Split(header, separator))
            if (count < fields.Length) fields[count++] = part;
        var component = header[4];
        var type = Field(header, fields, 9);
        var trigger = type.IndexOf(component) is >= 0 and var at ? type[(at + 1)..] : default;
        if (trigger.IndexOf(component) is >= 0 and var triggerEnd) trigger = trigger[..triggerEnd];

        var ack = new List<byte>(256) { StartOfBlock };
        ack.AddRange("MSH"u8);
        Add(ack, separator, Field(header, fields, 2));
        Add(ack, separator, Field(header, fields, 5));
        Add(ack, separator, Field(header, fields, 6));
        Add(ack, separator, Field(header, fields, 3));
        Add(ack, separator, Field(header, fields, 4));
        Add(ack, separator, Encoding.ASCII.GetBytes(_time.GetUtcNow().ToString("yyyyMMddHHmmss+0000", CultureInfo.InvariantCulture)));
        Add(ack, separator, default);
        Add(ack, separator, "ACK"u8);
        if (!trigger.IsEmpty) Add(ack, component, trigger);
        var controlId = Field(header, fields, 10);
        Add(ack, separator, controlId);
        Add(ack, separator, Field(header, fields, 11));
        Add(ack, separator, Field(header, fields, 12));
        if (Field(header, fields, 18) is { IsEmpty: false } characterSet)
        {
            for (var field = 13; field < 18; field++) Add(ack, separator, default);
            Add(ack, separator, characterSet);
        }

        ack.AddRange("\rMSA"u8);
        Add(ack, separator, "AA"u8);
        Add(ack, separator, controlId);
        ack.AddRange([(byte)'\r', 0x1C, 0x0D]);
        return [.. ack];
    }

    private static ReadOnlySpan<byte> Field(ReadOnlySpan<byte> header, ReadOnlySpan<Range> fields, int number) =>
        header[fields[number - 1]];

    private static void Add(List<byte> ack, byte separator, ReadOnlySpan<byte> field)
    {
        ack.Add(separator);
        ack.AddRange(field);
    }

    private static byte[]? Hex(string key, string? hex)
    {
        if (string.IsNullOrEmpty(hex)) return null;
        try
        {
            return Convert.FromHexString(hex);
        }
        catch (FormatException e)
        {
            throw new EndpointException($"ack: {key} must be pairs of hex digits such as 06, not {hex}.", e);
        }
    }
}
