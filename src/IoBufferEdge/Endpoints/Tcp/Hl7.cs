namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// What acknowledging takes of HL7 v2: segments, fields, and a message's header. Both ends of an acknowledgement read the same header,
/// so that they never disagree about which message it names.
/// </summary>
internal static class Hl7
{
    private const int HeaderBytesMin = 5;

    /// <summary>
    /// The first MSH segment, wherever it stands (a batch has FHS and BHS before it), of a message with or without its MLLP framing; at
    /// least its name and its two first delimiters. Empty where there is none: a letter or a digit cannot separate fields.
    /// </summary>
    public static ReadOnlySpan<byte> Header(ReadOnlySpan<byte> message)
    {
        if (!message.IsEmpty && message[0] == 0x0B) message = message[1..];
        var header = Segment(message, "MSH"u8);
        return header.Length < HeaderBytesMin || char.IsAsciiLetterOrDigit((char)header[3]) ? default : header;
    }

    /// <summary>The segment of that name, without what ends it.</summary>
    public static ReadOnlySpan<byte> Segment(ReadOnlySpan<byte> text, ReadOnlySpan<byte> name)
    {
        while (!text.IsEmpty)
        {
            var end = text.IndexOfAny((byte)'\r', (byte)'\n', (byte)0x1C);
            var line = end < 0 ? text : text[..end];
            if (line.StartsWith(name)) return line;
            text = end < 0 ? default : text[(end + 1)..];
        }

        return default;
    }

    /// <summary>The part of a segment behind so many separators; empty where it has fewer.</summary>
    public static ReadOnlySpan<byte> Field(ReadOnlySpan<byte> segment, byte separator, int number)
    {
        for (; number > 0; number--)
        {
            var at = segment.IndexOf(separator);
            if (at < 0) return default;
            segment = segment[(at + 1)..];
        }

        var end = segment.IndexOf(separator);
        return end < 0 ? segment : segment[..end];
    }
}
