using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Gpio;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Endpoints.Tcp;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Serial sources and destinations over real ports, made as the gateway makes them.</summary>
internal sealed class SerialRig
{
    private readonly EndpointContext _context;

    /// <param name="tap">Sees every arrival as the source does.</param>
    /// <param name="opening">Called before a port is opened.</param>
    public SerialRig(Action<SerialArrival>? tap = null, Action? opening = null)
    {
        var time = TimeProvider.System;
        var ports = new TappedPorts(new LinuxSerialPorts(new DriverLines(LinuxGpioChip.Open), time), tap, opening);
        var lines = new SerialLines(ports, time, NullLogger.Instance);
        _context = new EndpointContext(
            new SocketNetwork(time, NullLogger.Instance), new MemoryBudget(12 << 20), time, new Random(1), NullLogger.Instance, lines);
    }

    public static SourceConfig Source(string port) => new() { Type = EndpointType.Serial, SerialPort = port, BaudRate = 115_200 };

    public static DestinationConfig Destination(string port) =>
        new() { Type = EndpointType.Serial, SerialPort = port, BaudRate = 115_200 };

    /// <exception cref="EndpointException">The port can't be used.</exception>
    public async Task<RunningSource> StartAsync(SourceConfig config, MemorySink? sink = null)
    {
        var channel = new ChannelConfig { Id = "c", Source = config, Destination = new DestinationConfig { Type = EndpointType.TcpClient } };
        var run = new RunningSource(new SerialSource(channel, _context), sink ?? new MemorySink(TimeProvider.System));
        await run.OpenAsync();
        return run;
    }

    /// <exception cref="EndpointException">The port can't be used.</exception>
    public async Task<SerialDestination> OpenAsync(DestinationConfig config)
    {
        var channel = new ChannelConfig { Id = "c", Source = new SourceConfig { Type = EndpointType.TcpServer }, Destination = config };
        var destination = new SerialDestination(channel, _context);
        await destination.OpenAsync();
        return destination;
    }
}

/// <summary>A source at work.</summary>
internal sealed class RunningSource(ISource source, MemorySink sink) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();

    public ISource Source => source;

    public MemorySink Sink => sink;

    public Task Running { get; private set; } = Task.CompletedTask;

    public IEnumerable<string> Texts => sink.Messages.Select(m => m.Text);

    public async Task OpenAsync()
    {
        await source.OpenAsync();
        Running = source.RunAsync(sink, _stop.Token);
    }

    public Task CountAsync(int messages) => sink.UntilAsync(s => s.Messages.Count >= messages);

    public void Stop() => _stop.Cancel();

    public long Counter(string name) => source.Status.Counters.Single(c => c.Key == name).Value;

    public async ValueTask DisposeAsync()
    {
        Stop();
        sink.Secure(long.MaxValue);
        sink.SetRoom(long.MaxValue);
        await Running.WaitAsync(TimeSpan.FromSeconds(20));
        await source.DisposeAsync();
        _stop.Dispose();
    }
}

/// <summary>A link at work, with what it reports.</summary>
internal sealed class RunningLink : IAsyncDisposable
{
    private readonly CancellationTokenSource _end = new();

    private RunningLink(IDestinationLink link)
    {
        Link = link;
        Watching = link.WatchAsync(Sink, _end.Token);
    }

    public IDestinationLink Link { get; }

    public RecordingSink Sink { get; } = new();

    public Task<LinkEnd> Watching { get; }

    public static async Task<RunningLink> StartAsync(IDestination destination)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        return new RunningLink(await destination.ConnectAsync(limit.Token));
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await Watching.WaitAsync(TimeSpan.FromSeconds(20));
        await Link.DisposeAsync();
        _end.Dispose();
    }
}

/// <summary>Real ports, with a listener on what is read from them.</summary>
internal sealed class TappedPorts(ISerialPorts ports, Action<SerialArrival>? tap, Action? opening) : ISerialPorts
{
    public ISerialPort? Open(SerialSettings settings, Action changed)
    {
        opening?.Invoke();
        return ports.Open(settings, changed) is { } port ? tap is null ? port : new TappedPort(port, tap) : null;
    }

    public void Release(SerialSettings settings) => ports.Release(settings);

    private sealed class TappedPort(ISerialPort port, Action<SerialArrival> tap) : ISerialPort
    {
        public bool IsDrained => port.IsDrained;

        public SerialOutput Output => port.Output;

        public IDrivenSender? Driven => port.Driven;

        public SerialErrors Errors => port.Errors;

        public string Summary => port.Summary;

        public string? End => port.End;

        public SerialArrival TryRead(Span<byte> bytes)
        {
            var arrival = port.TryRead(bytes);
            if (!arrival.IsNone) tap(arrival);
            return arrival;
        }

        public int Write(ReadOnlySpan<byte> bytes) => port.Write(bytes);

        public void DiscardOutput() => port.DiscardOutput();

        public void Dispose() => port.Dispose();
    }
}
