using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace IoBufferEdge.Daemon;

/// <summary>
/// One line per record: time, level, event, sentence, and the sentence's values once more as key=value for machines. For the journal,
/// which keeps the time itself, the line begins with the priority instead: <c>&lt;4&gt;</c>.
/// </summary>
internal sealed class LineFormatter(TimeProvider time, bool journal) : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "line";

    public override void Write<TState>(in LogEntry<TState> entry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var line = new StringBuilder();
        if (journal) line.Append(Priority(entry.LogLevel));
        else line.Append(CultureInfo.InvariantCulture, $"{time.GetUtcNow():yyyy-MM-ddTHH:mm:ss.fffZ} {Level(entry.LogLevel)} ");
        line.Append(entry.EventId.Name ?? entry.Category).Append(": ").Append(entry.Formatter(entry.State, entry.Exception));
        if (entry.State is IReadOnlyList<KeyValuePair<string, object?>> values)
        {
            foreach (var (name, value) in values)
            {
                if (name == "{OriginalFormat}") continue;
                line.Append(' ').Append(JsonNamingPolicy.SnakeCaseLower.ConvertName(name)).Append('=').Append(Quoted(value));
            }
        }

        if (entry.Exception is { } exception) line.Append(" exception=").Append(Quoted(exception));
        textWriter.WriteLine(line.Replace("\r", "").Replace("\n", " | ").ToString());
    }

    private static string Quoted(object? value)
    {
        var text = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
        return text.Length > 0 && text.AsSpan().IndexOfAny(" \"=\n") < 0 ? text : $"\"{text.Replace("\"", "\\\"")}\"";
    }

    private static string Level(LogLevel level) => level switch
    {
        LogLevel.Critical => "crit",
        LogLevel.Error => "fail",
        LogLevel.Warning => "warn",
        LogLevel.Information => "info",
        _ => "dbug",
    };

    private static string Priority(LogLevel level) => level switch
    {
        LogLevel.Critical => "<2>",
        LogLevel.Error => "<3>",
        LogLevel.Warning => "<4>",
        LogLevel.Information => "<6>",
        _ => "<7>",
    };
}
