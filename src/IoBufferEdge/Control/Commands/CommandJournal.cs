using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace IoBufferEdge.Control.Commands;

/// <summary>What became of a command.</summary>
public enum CommandStatus
{
    /// <summary>Recorded and not ended; only in the journal.</summary>
    Begun,
    Done,
    Failed,

    /// <summary>Not even begun: the same id may be sent again.</summary>
    Refused,
}

/// <summary>The answer to a command, as it is published.</summary>
/// <param name="Message">One sentence, without secrets.</param>
/// <param name="At">When it ended.</param>
/// <param name="BootId">Of this boot: what destructive commands must carry.</param>
public sealed record CommandResult(string Id, string Type, CommandStatus Status, string Message, DateTimeOffset At, string BootId);

/// <summary>
/// The last <see cref="Kept"/> commands by id, in the file <c>commands</c> of the data folder, one JSON line each: first that it begins, then how
/// it ended, both on the medium when the call returns. So a command that comes again, after a power cut too, is answered and not carried out
/// again; one that was cut off in the middle is told as that. A line that a power cut left half belongs to a command that had not begun.
/// One caller at a time.
/// </summary>
public sealed class CommandJournal : IDisposable
{
    public const int Kept = 256;

    /// <summary>Then the file is written anew with what is kept.</summary>
    private const int MaxLines = 2048;

    /// <summary>More than <see cref="MaxLines"/> lines of the longest: a file beyond is not ours.</summary>
    private const int MaxBytes = 4 << 20;

    private readonly string _path;
    private readonly Dictionary<string, CommandResult> _byId = new(StringComparer.Ordinal);
    private readonly Queue<string> _order = new();
    private FileStream? _file;
    private int _lines;

    private CommandJournal(string path) => _path = path;

    /// <summary>Reads the journal of a data folder that this process holds.</summary>
    /// <exception cref="IOException">It is there and cannot be read: nothing is known of what ran before.</exception>
    public static CommandJournal Open(string path)
    {
        var journal = new CommandJournal(path);
        foreach (var line in Encoding.UTF8.GetString(PrivateFile.Read(path, MaxBytes) ?? []).Split('\n'))
            if (Parse(line) is { } result) journal.Keep(result);
        foreach (var (id, result) in journal._byId.Where(r => r.Value.Status == CommandStatus.Begun).ToList())
        {
            journal._byId[id] = result with
            {
                Status = CommandStatus.Failed,
                Message = "The gateway ended in the middle of it: whether it took effect is not known, and it is not carried out again.",
            };
        }

        journal.Rewrite();
        return journal;
    }

    /// <summary>What became of a command of this id; null: none of those that are kept.</summary>
    public CommandResult? Find(string id) => _byId.GetValueOrDefault(id);

    /// <summary>Records a command or its end.</summary>
    /// <exception cref="IOException">It is not on the medium.</exception>
    public void Record(CommandResult result)
    {
        // An end counts although the medium did not take it: until this process ends, the command is not carried out again.
        if (result.Status != CommandStatus.Begun) Keep(result);
        if (_lines >= MaxLines) Rewrite();
        Append(result);
        if (result.Status == CommandStatus.Begun) Keep(result);
    }

    public void Dispose() => _file?.Dispose();

    private void Append(CommandResult result)
    {
        // After a failure the file may end in half a line: it is opened again, and the next line begins one of its own.
        var isNew = _file is null;
        _file ??= new FileStream(_path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
        try
        {
            if (isNew && _file.Length > 0) _file.WriteByte((byte)'\n');
            _file.Write([.. JsonSerializer.SerializeToUtf8Bytes(result, CommandJson.Default.CommandResult), (byte)'\n']);
            RandomAccess.FlushToDisk(_file.SafeFileHandle);
            _lines++;
        }
        catch
        {
            _file.Dispose();
            _file = null;
            throw;
        }
    }

    private void Keep(CommandResult result)
    {
        if (!_byId.ContainsKey(result.Id)) _order.Enqueue(result.Id);
        _byId[result.Id] = result;
        if (_order.Count > Kept) _byId.Remove(_order.Dequeue());
    }

    private void Rewrite()
    {
        _file?.Dispose();
        _file = null;
        var text = new MemoryStream();
        foreach (var id in _order)
        {
            text.Write(JsonSerializer.SerializeToUtf8Bytes(_byId[id], CommandJson.Default.CommandResult));
            text.WriteByte((byte)'\n');
        }

        PrivateFile.Write(_path, text.GetBuffer().AsSpan(0, (int)text.Length));
        _lines = _order.Count;
    }

    private static CommandResult? Parse(string line)
    {
        try
        {
            return line.Length == 0 ? null : JsonSerializer.Deserialize(line, CommandJson.Default.CommandResult);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>What a command carries; each takes the keys it needs, and another key is refused.</summary>
internal sealed record CommandPayload
{
    public string? Channel { get; init; }

    /// <summary>resume: where the receiver does not hold what it should.</summary>
    public Endpoints.ResumeChoice? Choice { get; init; }

    /// <summary>park: list, replay or drop.</summary>
    public string? Action { get; init; }

    /// <summary>park, replay: the one message; left out: all.</summary>
    public long? Sequence { get; init; }

    /// <summary>replay: the first number wanted.</summary>
    public long? From { get; init; }

    /// <summary>secret_set: the secret's name.</summary>
    public string? Name { get; init; }

    /// <summary>secret_set: its value as text, or <see cref="ValueBase64"/>.</summary>
    public string? Value { get; init; }

    public byte[]? ValueBase64 { get; init; }

    /// <summary>update: where the bundle is.</summary>
    public string? Url { get; init; }

    public string? BootId { get; init; }

    public string? ConfigHash { get; init; }
}

/// <summary>JSON of commands: snake_case, null left out, unknown keys refused.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    Converters = [typeof(SnakeCaseConverter<CommandStatus>), typeof(SnakeCaseConverter<Endpoints.ResumeChoice>)])]
[JsonSerializable(typeof(CommandResult))]
[JsonSerializable(typeof(CommandPayload))]
internal sealed partial class CommandJson : JsonSerializerContext;
