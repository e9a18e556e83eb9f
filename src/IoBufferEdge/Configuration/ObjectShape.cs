using System.Text.Json;

namespace IoBufferEdge.Configuration;

/// <summary>An object of the configuration, as the schema sees it: its definitions stand once, under <c>$defs</c>.</summary>
internal abstract class ObjectShapeBase<T>(string name) : Shape<T>, IDefinition
{
    public string Name { get; } = name;

    public override void WriteSchema(Utf8JsonWriter writer) => writer.WriteString("$ref", "#/$defs/" + Name);

    public abstract void WriteDefinition(Utf8JsonWriter writer);
}

internal interface IDefinition
{
    string Name { get; }

    IEnumerable<Shape> Parts { get; }

    void WriteDefinition(Utf8JsonWriter writer);
}

/// <summary>
/// The table of keys of one object, and how each goes into its record. Where the object has a <c>type</c>, a key may belong to some types
/// only, and stand twice with another shape for other types. Reading reports everything: unknown and repeated keys, keys of another
/// type, missing ones, and whatever the values report; a value that could not be read leaves the record's default.
/// </summary>
/// <param name="expected">Completes "must be …".</param>
/// <param name="empty">The record with its defaults.</param>
internal sealed class ObjectShape<T>(string name, string expected, Func<ConfigProblems, T> empty) : ObjectShapeBase<T>(name)
{
    private readonly List<KeyRow> _keys = [];
    private string[] _types = [];

    /// <param name="Types">The types that the key belongs to; null: all.</param>
    /// <param name="TryApply">Reads the value and puts it into the record.</param>
    private sealed record KeyRow(string Name, string Description, Shape Shape, bool Required, string[]? Types, TryApply TryApply)
    {
        public bool BelongsTo(string? type) => Types is null || type is null || Types.Contains(type);
    }

    private delegate bool TryApply(ref T record, JsonElement json, string path, ConfigProblems problems);

    public override string Expected => expected;

    public override IEnumerable<Shape> Parts => _keys.Select(k => k.Shape);

    /// <summary>Names and descriptions, in order.</summary>
    public IEnumerable<(string Name, string Description)> Keys => _keys.Select(k => (k.Name, k.Description));

    /// <summary>The object on the other side of a channel, whose keys are often put here by mistake.</summary>
    public (string Where, IEnumerable<string> Keys) Elsewhere { get; set; } = ("", []);

    /// <summary>What to say of keys that somebody will look for here in vain.</summary>
    public IReadOnlyDictionary<string, string> Instead { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Told what was read, before anything behind it in the enclosing table is.</summary>
    public Action<T, ConfigProblems>? OnRead { get; init; }

    /// <summary>The key <c>type</c>, always required, which decides what other keys belong here.</summary>
    public ObjectShape<T> Type<TType>(string description, WordShape<TType> words, Func<T, TType, T> set)
    {
        _types = [.. words.Words];
        return Key("type", description, words, set, required: true);
    }

    public ObjectShape<T> Key<TValue>(
        string name, string description, Shape<TValue> shape, Func<T, TValue, T> set, bool required = false, string[]? types = null)
    {
        _keys.Add(new(name, description, shape, required, types, Apply));
        return this;

        bool Apply(ref T record, JsonElement json, string path, ConfigProblems problems)
        {
            if (!shape.TryRead(json, path, problems, out var value)) return false;
            record = set(record, value);
            return true;
        }
    }

    /// <summary>Takes over all keys of <paramref name="part"/>, which go into a part of this record.</summary>
    public ObjectShape<T> Include<TPart>(ObjectShape<TPart> part, Func<T, TPart> get, Func<T, TPart, T> set)
    {
        foreach (var key in part._keys)
        {
            _keys.Add(new(key.Name, key.Description, key.Shape, key.Required, key.Types, Apply));

            bool Apply(ref T record, JsonElement json, string path, ConfigProblems problems)
            {
                var inner = get(record);
                if (!key.TryApply(ref inner, json, path, problems)) return false;
                record = set(record, inner);
                return true;
            }
        }

        if (part._types.Length > 0) _types = part._types;
        return this;
    }

    protected override bool TryReadValue(JsonElement json, string path, ConfigProblems problems, out T value)
    {
        value = empty(problems);
        if (json.ValueKind != JsonValueKind.Object) return false;
        if (_types.Length > 0) return TryReadTyped(json, path, problems, ref value);
        ReadKeys(json, null, path, problems, ref value);
        return true;
    }

    /// <summary>Without a type nothing else can be judged: then that is reported, and the object counts as unreadable.</summary>
    private bool TryReadTyped(JsonElement json, string path, ConfigProblems problems, ref T value)
    {
        var type = json.TryGetProperty("type", out var given) && given.ValueKind == JsonValueKind.String
            ? Array.Find(_types, t => given.ValueEquals(t))
            : null;
        if (type is not null)
        {
            ReadKeys(json, type, path, problems, ref value);
            return true;
        }

        ReadKey(_keys.Find(k => k.Name == "type")!, json, path, problems, ref value);
        problems.MarkUnreadable(path);
        return true;
    }

    private void ReadKeys(JsonElement json, string? type, string path, ConfigProblems problems, ref T value)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in json.EnumerateObject())
        {
            var at = At(path, property.Name);
            if (!seen.Add(property.Name)) problems.Error(at, "stands here more than once; keep one of them");
            else if (!_keys.Exists(k => k.Name == property.Name && k.BelongsTo(type))) problems.Error(at, NotAKey(property.Name, type));
        }

        foreach (var key in _keys)
        {
            if (key.BelongsTo(type)) ReadKey(key, json, path, problems, ref value);
        }

        OnRead?.Invoke(value, problems);
    }

    private static void ReadKey(KeyRow key, JsonElement json, string path, ConfigProblems problems, ref T value)
    {
        var at = At(path, key.Name);
        if (json.TryGetProperty(key.Name, out var given))
        {
            problems.MarkGiven(at);
            key.TryApply(ref value, given, at, problems);
        }
        else if (key.Required)
        {
            problems.Unreadable(at, $"is missing: must be {key.Shape.Expected}");
        }
    }

    private string NotAKey(string name, string? type)
    {
        var owners = _keys.Where(k => k.Name == name).SelectMany(k => k.Types ?? []).ToArray();
        if (Instead.TryGetValue(name, out var instead)) return instead;
        if (owners.Length > 0) return $"does not belong to type {type}; it belongs to {string.Join(", ", owners)}";
        if (Elsewhere.Keys.Contains(name)) return $"belongs into the {Elsewhere.Where}";
        var known = _keys.Where(k => k.BelongsTo(type)).Select(k => k.Name).Distinct().ToArray();
        return Spelling.Nearest(name, known) is { } near
            ? $"is not a key; did you mean {near}?"
            : $"is not a key; known here: {string.Join(", ", known)}";
    }

    private static string At(string path, string name)
    {
        var plain = name.Length is > 0 and <= 64 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '$');
        if (plain) return path == "$" ? name : $"{path}.{name}";
        return $"{path}[{Spelling.Quote(name)}]";
    }

    public override void WriteDefinition(Utf8JsonWriter writer)
    {
        writer.WriteStartObject(Name);
        writer.WriteString("type", "object");
        if (_types.Length == 0)
        {
            WriteKeys(writer, null);
            writer.WriteEndObject();
            return;
        }

        writer.WriteStartArray("required");
        writer.WriteStringValue("type");
        writer.WriteEndArray();
        writer.WriteStartObject("properties");
        WriteKey(writer, _keys.Find(k => k.Name == "type")!);
        writer.WriteEndObject();
        writer.WriteStartArray("allOf");
        foreach (var type in _types) WriteTypeRule(writer, type);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    /// <summary>If the type is this one, then these are the keys.</summary>
    private void WriteTypeRule(Utf8JsonWriter writer, string type)
    {
        writer.WriteStartObject();
        writer.WriteStartObject("if");
        writer.WriteStartArray("required");
        writer.WriteStringValue("type");
        writer.WriteEndArray();
        writer.WriteStartObject("properties");
        writer.WriteStartObject("type");
        writer.WriteString("const", type);
        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.WriteStartObject("then");
        WriteKeys(writer, type);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private void WriteKeys(Utf8JsonWriter writer, string? type)
    {
        var keys = _keys.Where(k => k.BelongsTo(type)).ToArray();
        writer.WriteStartArray("required");
        foreach (var key in keys.Where(k => k.Required)) writer.WriteStringValue(key.Name);
        writer.WriteEndArray();
        writer.WriteStartObject("properties");
        foreach (var key in keys) WriteKey(writer, key);
        writer.WriteEndObject();
        writer.WriteBoolean("additionalProperties", false);
    }

    private static void WriteKey(Utf8JsonWriter writer, KeyRow key)
    {
        writer.WriteStartObject(key.Name);
        writer.WriteString("description", key.Description);
        key.Shape.WriteSchema(writer);
        writer.WriteEndObject();
    }
}
