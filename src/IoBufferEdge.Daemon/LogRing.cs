using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Daemon;

/// <summary>
/// The newest log lines, for a support bundle where the journal cannot be read: at most <see cref="MaxLines"/> with <see cref="MaxChars"/>
/// in all. Any thread.
/// </summary>
internal sealed class LogRing(LineFormatter formatter) : ILoggerProvider, ILogger
{
    public const int MaxLines = 1000, MaxChars = 256 * 1024, MaxLineChars = 16 * 1024;

    private readonly Lock _lock = new();
    private readonly Queue<string> _lines = new();
    private int _chars;

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lock) return [.. _lines];
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> sentence)
    {
        if (!IsEnabled(logLevel)) return;
        using var text = new StringWriter();
        formatter.Write(new LogEntry<TState>(logLevel, "iobuffer", eventId, state, exception, sentence), null, text);
        var line = text.ToString().TrimEnd('\n');
        if (line.Length > MaxLineChars) line = $"(a line of {line.Length} characters)"; // cut, it could end in half a secret, which nobody finds
        lock (_lock)
        {
            _lines.Enqueue(line);
            _chars += line.Length;
            while (_lines.Count > MaxLines || _chars > MaxChars) _chars -= _lines.Dequeue().Length;
        }
    }

    public void Dispose()
    {
    }
}
