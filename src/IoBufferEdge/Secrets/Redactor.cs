using System.Buffers;
using System.Text;
using System.Text.Json;

namespace IoBufferEdge.Secrets;

/// <summary>
/// The one thing that stands before everything that leaves the gateway: state, events, reported configurations, results of commands, support
/// bundles. It knows the values of all secrets, and of each document it was shown the passwords, hashes and the files they are kept in; where
/// one of them appears in a text, a mark stands instead. Beside that, what a URL carries before its @, and in JSON whatever stands under a
/// secret's key, are always marked. Values shorter than <see cref="MinLength"/> are only found under their keys: in free text they are words.
/// Any thread. Bound: the documents shown last.
/// </summary>
/// <param name="maxDocuments">So many; enough for the one that runs, the one to go back to, the one that is offered.</param>
public sealed class Redactor(SecretStore secrets, int maxDocuments = 3)
{
    public const string Mark = "***";

    /// <summary>Shorter values would make ordinary words unreadable.</summary>
    public const int MinLength = 6;

    private const int MaxFileBytes = 64 * 1024;

    private static readonly string[] SecretKeys = ["password", "password_hash"];
    private static readonly string[] FileKeys = ["password_file", "key"];

    private static readonly SearchValues<char> AuthorityEnds = SearchValues.Create(" /\"'\r\n\t");

    private readonly Lock _lock = new();
    private readonly Queue<(HashSet<string> Values, HashSet<string> Files)> _documents = new();
    private string[] _values = [];
    private string? _stamp;

    /// <summary>Takes note of a configuration's secrets before anything is said about it; what is no JSON holds none.</summary>
    /// <param name="document">The configuration, right or wrong.</param>
    /// <param name="baseDirectory">Where relative file names in it start.</param>
    public void Learn(ReadOnlySpan<byte> document, string baseDirectory)
    {
        var (values, files) = (new HashSet<string>(StringComparer.Ordinal), new HashSet<string>(StringComparer.Ordinal));
        try
        {
            var reader = new Utf8JsonReader(document, new JsonReaderOptions { CommentHandling = JsonCommentHandling.Skip });
            var key = "";
            while (reader.Read())
            {
                if (reader.TokenType == JsonTokenType.PropertyName) key = reader.GetString()!;
                if (reader.TokenType != JsonTokenType.String) continue;
                var text = reader.GetString()!;
                if (SecretKeys.Contains(key)) values.Add(text);
                else if (FileKeys.Contains(key) && text.Length > 0 && !text.Contains('\0')) files.Add(Path.GetFullPath(text, baseDirectory));
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // What stands before the fault counts all the same.
        }

        lock (_lock)
        {
            if (_documents.Count == maxDocuments) _documents.Dequeue();
            _documents.Enqueue((values, files));
            _stamp = null;
        }
    }

    /// <summary>A text without secrets.</summary>
    public string Redact(string text) => Redact(text, Values());

    /// <summary>A JSON document without secrets, in its strings and names; numbers stay as they are.</summary>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public byte[] RedactJson(ReadOnlySpan<byte> json)
    {
        var values = Values();
        var output = new ArrayBufferWriter<byte>(json.Length + 1);
        using var writer = new Utf8JsonWriter(output);
        var reader = new Utf8JsonReader(json);
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
            {
                Copy(ref reader, writer, values);
                continue;
            }

            var name = reader.GetString()!;
            writer.WritePropertyName(Redact(name, values));
            if (!SecretKeys.Contains(name)) continue;
            reader.Read();
            reader.Skip();
            writer.WriteStringValue(Mark);
        }

        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    private static void Copy(ref Utf8JsonReader reader, Utf8JsonWriter writer, string[] values)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.StartObject: writer.WriteStartObject(); break;
            case JsonTokenType.EndObject: writer.WriteEndObject(); break;
            case JsonTokenType.StartArray: writer.WriteStartArray(); break;
            case JsonTokenType.EndArray: writer.WriteEndArray(); break;
            case JsonTokenType.String: writer.WriteStringValue(Redact(reader.GetString()!, values)); break;
            default: writer.WriteRawValue(reader.ValueSpan); break;
        }
    }

    private static string Redact(string text, string[] values)
    {
        foreach (var value in values) text = text.Replace(value, Mark, StringComparison.Ordinal);
        return WithoutUserInfo(text);
    }

    /// <summary><c>scheme://user:password@host</c>: all between // and @ goes.</summary>
    private static string WithoutUserInfo(string text)
    {
        for (var at = 0; (at = text.IndexOf("://", at, StringComparison.Ordinal)) >= 0;)
        {
            at += 3;
            var end = text.AsSpan(at).IndexOfAny(AuthorityEnds);
            var authority = end < 0 ? text.AsSpan(at) : text.AsSpan(at, end);
            if (authority.LastIndexOf('@') is > 0 and var length) text = string.Concat(text.AsSpan(0, at), Mark, text.AsSpan(at + length));
        }

        return text;
    }

    /// <summary>Longest first: one may contain another.</summary>
    private string[] Values()
    {
        lock (_lock)
        {
            var files = _documents.SelectMany(d => d.Files).Distinct(StringComparer.Ordinal).ToList();
            var stamp = $"{secrets.Version}|{string.Join('|', files.Select(Stamp))}";
            if (stamp == _stamp) return _values;
            var texts = _documents.SelectMany(d => d.Values).Concat(files.Select(ReadFile)).Concat(secrets.List().Select(s => ReadSecret(s.Name)));
            _values = [.. texts.SelectMany(Parts).Where(p => p.Length >= MinLength).Distinct(StringComparer.Ordinal).OrderByDescending(p => p.Length)];
            _stamp = stamp;
            return _values;
        }
    }

    /// <summary>All of it, and each of its lines: a PEM file's are secret one by one, its frame is not.</summary>
    private static IEnumerable<string> Parts(string text) =>
        text.Split('\r', '\n').Select(line => line.Trim()).Where(line => !line.StartsWith("-----", StringComparison.Ordinal)).Prepend(text.Trim());

    private string ReadSecret(string name)
    {
        try
        {
            return Encoding.UTF8.GetString(secrets.Read(name) ?? []);
        }
        catch (SecretException)
        {
            return ""; // Who cannot read it cannot say it.
        }
    }

    private static string ReadFile(string path)
    {
        try
        {
            using var file = File.OpenHandle(path);
            var bytes = new byte[(int)Math.Min(RandomAccess.GetLength(file), MaxFileBytes)];
            return Encoding.UTF8.GetString(bytes, 0, RandomAccess.Read(file, bytes, 0));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            return "";
        }
    }

    private static string Stamp(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? $"{file.Length}:{file.LastWriteTimeUtc.Ticks}" : "";
    }
}
