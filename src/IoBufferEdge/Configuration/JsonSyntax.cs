using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace IoBufferEdge.Configuration;

/// <summary>Finds what keeps a document from being JSON, and says so in words that name the line and what to do.</summary>
internal static class JsonSyntax
{
    /// <summary>A configuration has seven levels, a message that brings one two more.</summary>
    public const int MaxDepth = 32;

    /// <summary>Null: this is JSON, and all its strings are valid Unicode.</summary>
    public static ConfigProblem? Check(ReadOnlySpan<byte> utf8)
    {
        if (utf8.IndexOfAnyExcept(" \t\r\n"u8) < 0) return Problem(utf8, 0, "the document is empty: it must be a JSON object");
        if (!Utf8.IsValid(utf8)) return Problem(utf8, FirstInvalid(utf8), "the text is not valid UTF-8: save the file as UTF-8");

        var reader = new Utf8JsonReader(utf8);
        try
        {
            while (reader.Read())
            {
                if (reader.CurrentDepth >= MaxDepth) return Problem(utf8, (int)reader.TokenStartIndex, $"the document is nested deeper than {MaxDepth}");
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped) reader.GetString();
            }

            return null;
        }
        catch (InvalidOperationException)
        {
            return Problem(utf8, (int)reader.TokenStartIndex, "the string contains half of a surrogate pair: write the whole character");
        }
        catch (JsonException error)
        {
            return Explain(utf8, OffsetOf(utf8, error.LineNumber ?? 0, error.BytePositionInLine ?? 0));
        }
    }

    private static ConfigProblem Explain(ReadOnlySpan<byte> utf8, int at)
    {
        var before = utf8[..at].TrimEnd(" \t\r\n"u8);
        var after = utf8[at..].TrimStart(" \t\r\n"u8);
        var start = utf8.Length - after.Length;
        if (after.IsEmpty) return Problem(utf8, at, "the document ends too early: a bracket, brace or quote is not closed");
        if (after[0] == '/') return Problem(utf8, start, "JSON has no comments: remove it");
        if (after[0] is (byte)'}' or (byte)']' && before.EndsWith(","u8))
            return Problem(utf8, before.Length - 1, "a comma stands before the closing bracket: remove it");
        if (after[0] == '\'') return Problem(utf8, start, "strings stand in double quotes");
        if ("\"{["u8.Contains(after[0]) && !before.IsEmpty && !",:{["u8.Contains(before[^1]))
            return Problem(utf8, start, "a comma or colon is missing before this");
        Rune.DecodeFromUtf8(after, out var character, out _);
        var shown = Rune.IsControl(character) ? $"control character {character.Value:x2}" : $"'{character}'";
        return Problem(utf8, start, $"this is not JSON: {shown} cannot stand here");
    }

    private static ConfigProblem Problem(ReadOnlySpan<byte> utf8, int at, string message)
    {
        var line = utf8[..at].Count((byte)'\n') + 1;
        var lineStart = utf8[..at].LastIndexOf((byte)'\n') + 1;
        var column = Encoding.UTF8.GetString(utf8[lineStart..at]).Length + 1;
        return new(ConfigSeverity.Error, $"line {line}, column {column}", message);
    }

    private static int OffsetOf(ReadOnlySpan<byte> utf8, long line, long byteInLine)
    {
        var start = 0;
        for (; line > 0; line--) start += utf8[start..].IndexOf((byte)'\n') + 1;
        return (int)Math.Min(start + byteInLine, utf8.Length);
    }

    private static int FirstInvalid(ReadOnlySpan<byte> utf8)
    {
        var at = 0;
        while (Rune.DecodeFromUtf8(utf8[at..], out _, out var length) == System.Buffers.OperationStatus.Done) at += length;
        return at;
    }
}
