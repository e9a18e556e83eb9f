using System.Text.Json;
using System.Text.RegularExpressions;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>Evaluates the keywords of JSON Schema 2020-12 that our schemas use, and refuses to meet another.</summary>
internal sealed class SchemaEvaluator(JsonElement root)
{
    private readonly Dictionary<string, Regex> _patterns = [];

    public bool IsValid(JsonElement json) => IsValid(root, json);

    /// <param name="schema">A part of the schema.</param>
    public bool IsValid(JsonElement schema, JsonElement json)
    {
        foreach (var keyword in schema.EnumerateObject())
        {
            if (!Holds(keyword.Name, keyword.Value, schema, json)) return false;
        }

        return true;
    }

    private bool Holds(string keyword, JsonElement value, JsonElement schema, JsonElement json) => keyword switch
    {
        "$schema" or "$defs" or "title" or "description" or "examples" or "then" => true,
        "$ref" => IsValid(root.GetProperty("$defs").GetProperty(value.GetString()!["#/$defs/".Length..]), json),
        "type" => IsOfType(value.GetString()!, json),
        "enum" => value.EnumerateArray().Any(choice => AreEqual(choice, json)),
        "const" => AreEqual(value, json),
        "minimum" => json.ValueKind != JsonValueKind.Number || json.GetDouble() >= value.GetDouble(),
        "maximum" => json.ValueKind != JsonValueKind.Number || json.GetDouble() <= value.GetDouble(),
        "minLength" => json.ValueKind != JsonValueKind.String || json.GetString()!.EnumerateRunes().Count() >= value.GetInt32(),
        "maxLength" => json.ValueKind != JsonValueKind.String || json.GetString()!.EnumerateRunes().Count() <= value.GetInt32(),
        "pattern" => json.ValueKind != JsonValueKind.String || Pattern(value.GetString()!).IsMatch(json.GetString()!),
        "items" => json.ValueKind != JsonValueKind.Array || json.EnumerateArray().All(item => IsValid(value, item)),
        "required" => json.ValueKind != JsonValueKind.Object
            || value.EnumerateArray().All(name => json.TryGetProperty(name.GetString()!, out _)),
        "properties" => json.ValueKind != JsonValueKind.Object
            || json.EnumerateObject().All(p => !value.TryGetProperty(p.Name, out var rule) || IsValid(rule, p.Value)),
        "additionalProperties" when value.ValueKind == JsonValueKind.False => json.ValueKind != JsonValueKind.Object
            || json.EnumerateObject().All(p => schema.GetProperty("properties").TryGetProperty(p.Name, out _)),
        "additionalProperties" => json.ValueKind != JsonValueKind.Object || json.EnumerateObject()
            .Where(p => !schema.TryGetProperty("properties", out var known) || !known.TryGetProperty(p.Name, out _)).All(p => IsValid(value, p.Value)),
        "format" when value.GetString() == "date-time" => json.ValueKind != JsonValueKind.String || json.TryGetDateTimeOffset(out _),
        "anyOf" => value.EnumerateArray().Any(part => IsValid(part, json)),
        "allOf" => value.EnumerateArray().All(part => IsValid(part, json)),
        "oneOf" => value.EnumerateArray().Count(part => IsValid(part, json)) == 1,
        "if" => !IsValid(value, json) || IsValid(schema.GetProperty("then"), json),
        _ => throw new NotSupportedException($"The schema uses the keyword {keyword}, which this evaluator does not know."),
    };

    private static bool IsOfType(string type, JsonElement json) => type switch
    {
        "object" => json.ValueKind == JsonValueKind.Object,
        "array" => json.ValueKind == JsonValueKind.Array,
        "string" => json.ValueKind == JsonValueKind.String,
        "boolean" => json.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "number" => json.ValueKind == JsonValueKind.Number,
        "integer" => json.ValueKind == JsonValueKind.Number && Math.Truncate(json.GetDouble()) == json.GetDouble(),
        _ => throw new NotSupportedException($"The schema uses the type {type}."),
    };

    private static bool AreEqual(JsonElement a, JsonElement b) => a.ValueKind == b.ValueKind && a.ValueKind switch
    {
        JsonValueKind.String => a.GetString() == b.GetString(),
        JsonValueKind.Number => a.GetDouble().Equals(b.GetDouble()),
        _ => throw new NotSupportedException($"The schema compares with a {a.ValueKind}."),
    };

    /// <summary>ECMA 262, which schemas are written in: there $ is the very end.</summary>
    private Regex Pattern(string text)
    {
        if (!_patterns.TryGetValue(text, out var pattern))
        {
            var strict = Regex.Replace(text, @"\$$", @"\z");
            _patterns[text] = pattern = new Regex(strict, RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
        }

        return pattern;
    }
}
