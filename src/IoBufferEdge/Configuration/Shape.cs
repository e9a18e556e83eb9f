using System.Globalization;
using System.Numerics;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace IoBufferEdge.Configuration;

/// <summary>
/// What a value in the configuration may look like. One description serves three users: the reader (<see cref="Shape{T}.TryRead"/>),
/// its error texts (<see cref="Expected"/>) and the JSON Schema for editors (<see cref="WriteSchema"/>); a test keeps the three agreeing.
/// </summary>
internal abstract class Shape
{
    /// <summary>Completes "must be …".</summary>
    public abstract string Expected { get; }

    /// <summary>The shapes that this one is made of.</summary>
    public virtual IEnumerable<Shape> Parts => [];

    /// <summary>Writes the keywords of JSON Schema 2020-12 into the object that the caller has begun.</summary>
    public abstract void WriteSchema(Utf8JsonWriter writer);

    /// <summary>What a document has instead of what it should have; the value itself in at most 60 characters.</summary>
    protected static string Found(JsonElement json)
    {
        if (json.ValueKind == JsonValueKind.Null) return "null: leave the key out for its default";
        if (json.ValueKind == JsonValueKind.Object) return "an object";
        if (json.ValueKind == JsonValueKind.Array) return "a list";
        if (json.ValueKind == JsonValueKind.String) return Spelling.Quote(json.GetString()!);
        var raw = json.GetRawText();
        return raw.Length <= 40 ? raw : raw[..39] + "…";
    }
}

internal abstract class Shape<T> : Shape
{
    /// <summary>Reads a value, or reports what is wrong with it and returns false.</summary>
    public virtual bool TryRead(JsonElement json, string path, ConfigProblems problems, out T value) =>
        TryReadValue(json, path, problems, out value) || problems.Unreadable(path, $"must be {Expected}, but is {Describe(json)}");

    /// <summary>False: not of this shape; the caller says so.</summary>
    protected abstract bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out T value);

    protected virtual string Describe(JsonElement json) => Found(json);
}

internal sealed class BooleanShape : Shape<bool>
{
    public override string Expected => "true or false";

    public override void WriteSchema(Utf8JsonWriter writer) => writer.WriteString("type", "boolean");

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out bool value)
    {
        value = json.ValueKind == JsonValueKind.True;
        return json.ValueKind is JsonValueKind.True or JsonValueKind.False;
    }
}

/// <summary>A whole number in a range; <c>1.0</c> and <c>1e3</c> are whole numbers too, as in JSON Schema.</summary>
internal sealed class IntegerShape<T>(T min, T max) : Shape<T>
    where T : struct, IBinaryInteger<T>
{
    public override string Expected => $"a whole number from {min} to {max}";

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteString("type", "integer");
        writer.WriteNumber("minimum", long.CreateChecked(min));
        writer.WriteNumber("maximum", long.CreateChecked(max));
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out T value)
    {
        value = default;
        if (json.ValueKind != JsonValueKind.Number || !json.TryGetDecimal(out var number)) return false;
        if (decimal.Truncate(number) != number || number < decimal.CreateChecked(min) || number > decimal.CreateChecked(max)) return false;
        value = T.CreateChecked(number);
        return true;
    }
}

internal sealed class NumberShape(double min, double max) : Shape<double>
{
    public override string Expected => string.Create(CultureInfo.InvariantCulture, $"a number from {min} to {max}");

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteString("type", "number");
        writer.WriteNumber("minimum", min);
        writer.WriteNumber("maximum", max);
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out double value)
    {
        value = 0;
        return json.ValueKind == JsonValueKind.Number && json.TryGetDouble(out value) && value >= min && value <= max;
    }
}

/// <summary>A GPIO line, by its number on the chip or by its name. A name has something besides digits, or it could be meant as a
/// number.</summary>
internal sealed class GpioLineShape : Shape<string>
{
    private const int MaxNumber = 1023;

    public override string Expected => $"a line's number from 0 to {MaxNumber}, or its name in quotes";

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteStartArray("oneOf");
        writer.WriteStartObject();
        new IntegerShape<int>(0, MaxNumber).WriteSchema(writer);
        writer.WriteEndObject();
        writer.WriteStartObject();
        writer.WriteString("type", "string");
        writer.WriteString("pattern", "[^0-9]");
        writer.WriteEndObject();
        writer.WriteEndArray();
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out string value)
    {
        value = json.ValueKind == JsonValueKind.String ? json.GetString()! : "";
        if (json.ValueKind == JsonValueKind.String) return value.Any(c => !char.IsAsciiDigit(c));
        if (json.ValueKind != JsonValueKind.Number || !json.TryGetDecimal(out var number)) return false;
        if (decimal.Truncate(number) != number || number is < 0 or > MaxNumber) return false;
        value = ((int)number).ToString(CultureInfo.InvariantCulture);
        return true;
    }
}

/// <summary>A number out of a few.</summary>
internal sealed class NumberChoiceShape(params double[] choices) : Shape<double>
{
    public override string Expected => "one of " + string.Join(", ", choices.Select(c => c.ToString(CultureInfo.InvariantCulture)));

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteStartArray("enum");
        foreach (var choice in choices) writer.WriteNumberValue(choice);
        writer.WriteEndArray();
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out double value)
    {
        value = 0;
        return json.ValueKind == JsonValueKind.Number && json.TryGetDouble(out value) && choices.Contains(value);
    }
}

/// <summary>A string.</summary>
/// <param name="expected">Completes "must be …".</param>
/// <param name="pattern">For editors; null: one character or more.</param>
/// <param name="matches">Decides as the pattern does.</param>
/// <param name="secret">Error texts never quote it.</param>
internal sealed class TextShape(string expected, string? pattern = null, Func<string, bool>? matches = null, bool secret = false)
    : Shape<string>
{
    public override string Expected => expected;

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteString("type", "string");
        if (pattern is null) writer.WriteNumber("minLength", 1);
        else writer.WriteString("pattern", pattern);
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out string value)
    {
        value = json.ValueKind == JsonValueKind.String ? json.GetString()! : "";
        return value.Length > 0 && (matches is null || matches(value));
    }

    protected override string Describe(JsonElement json) => !secret ? Found(json) : json.ValueKind switch
    {
        JsonValueKind.Null => Found(json),
        JsonValueKind.String when json.ValueEquals("") => "empty",
        JsonValueKind.String => "another string",
        var kind => $"a JSON {kind.ToString().ToLowerInvariant()}",
    };
}

/// <summary>A file's name, made absolute; whether it can be read is the validator's question.</summary>
internal sealed class FileShape : Shape<string>
{
    public override string Expected => "the name of a file";

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteString("type", "string");
        writer.WriteString("pattern", "^[^\\u0000]+$");
    }

    public override bool TryRead(JsonElement json, string path, ConfigProblems problems, out string value) =>
        base.TryRead(json, path, problems, out value) && problems.TakeFile(path, json.GetString()!, value);

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out string value)
    {
        value = json.ValueKind == JsonValueKind.String ? json.GetString()! : "";
        if (value.Length == 0 || value.Contains('\0')) return false;
        value = problems.FullPath(value);
        return true;
    }
}

/// <summary>A string out of a few, each standing for a value.</summary>
internal sealed class WordShape<T>(params (string Word, T Value)[] words) : Shape<T>
{
    public IEnumerable<string> Words => words.Select(w => w.Word);

    public override string Expected => "one of " + string.Join(", ", Words.Select(word => $"\"{word}\""));

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteStartArray("enum");
        foreach (var word in Words) writer.WriteStringValue(word);
        writer.WriteEndArray();
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out T value)
    {
        var index = json.ValueKind == JsonValueKind.String ? Array.FindIndex(words, w => json.ValueEquals(w.Word)) : -1;
        value = index < 0 ? default! : words[index].Value;
        return index >= 0;
    }

    protected override string Describe(JsonElement json) =>
        json.ValueKind == JsonValueKind.String && Spelling.Nearest(json.GetString()!, Words) is { } near
            ? $"{Found(json)}; did you mean \"{near}\"?"
            : Found(json);
}

internal sealed class ListShape<T>(Shape<T> item, string expected) : Shape<EquatableList<T>>
{
    public override string Expected => expected;

    public override IEnumerable<Shape> Parts => [item];

    public override void WriteSchema(Utf8JsonWriter writer)
    {
        writer.WriteString("type", "array");
        writer.WriteStartObject("items");
        item.WriteSchema(writer);
        writer.WriteEndObject();
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out EquatableList<T> value)
    {
        value = [];
        if (json.ValueKind != JsonValueKind.Array) return false;
        var items = new List<T>();
        foreach (var element in json.EnumerateArray())
        {
            // An entry that cannot be read keeps its place: later paths count it.
            item.TryRead(element, $"{path}[{items.Count}]", problems, out var read);
            items.Add(read);
        }

        value = [.. items];
        return true;
    }
}

internal static class Spelling
{
    private const int QuoteMax = 60;

    /// <summary>A text in quotes, on one line; a long one loses its end.</summary>
    public static string Quote(string text)
    {
        var escaped = JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(text);
        return escaped.Length <= QuoteMax ? $"\"{escaped}\"" : $"\"{escaped[..(QuoteMax - 1)]}…\"";
    }

    /// <summary>The candidate that the word was probably meant to be: at most a third of its letters differ; else null.</summary>
    public static string? Nearest(string word, IEnumerable<string> candidates)
    {
        if (word.Length > 64) return null;
        var best = candidates.Select(c => (Candidate: c, Distance: Distance(word.ToLowerInvariant(), c.ToLowerInvariant())))
            .DefaultIfEmpty((Candidate: "", Distance: int.MaxValue)).MinBy(c => c.Distance);
        return best.Distance <= Math.Max(1, best.Candidate.Length / 3) ? best.Candidate : null;
    }

    /// <summary>Optimal string alignment: insertions, deletions, replacements and swaps of neighbours.</summary>
    private static int Distance(string a, string b)
    {
        var d = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++) d[i, 0] = i;
        for (var j = 0; j <= b.Length; j++) d[0, j] = j;
        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                var replace = d[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                d[i, j] = Math.Min(replace, Math.Min(d[i - 1, j], d[i, j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
            }
        }

        return d[a.Length, b.Length];
    }
}
