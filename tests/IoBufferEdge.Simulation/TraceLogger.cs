using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Simulation;

/// <summary>The gateway's log lines become events of the trace; an exception that nobody foresaw is a violation.</summary>
internal sealed class TraceLogger(SimulatedProcess process) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (!process.Alive) return;
        process.Scheduler.Trace.Add(process.Scheduler, "log", formatter(state, exception));
        if (exception is not null and not (IOException or OperationCanceledException or Buffers.StoreException))
            process.Scheduler.Violate($"{process.Name} logged an exception: {exception}");
    }
}
