using System.IO.Hashing;
using System.Runtime.InteropServices;
using IoBufferEdge.Boards;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting.Systemd;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace IoBufferEdge.Daemon;

/// <summary>
/// <c>iobuffer run</c>: makes the gateway out of the real clock, network and store, and connects it with the outside: control socket,
/// metrics, signals, systemd. SIGTERM and Ctrl-C stop it in order, a second one at once; SIGHUP reads the configuration file again.
/// Not the generic host: what it brings (lifetimes, configuration sources, file watchers) is either written out here or unwanted.
/// </summary>
internal sealed class GatewayHost(string? configPath, string dataPath)
{
    /// <summary>How long what should move may stand still before it counts as stalled: above any disk's longest sync.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);

    /// <summary>A disk that stalls must not leave the sockets without threads.</summary>
    private const int MinThreads = 8;

    private const string LedClass = "/sys/class/leds";

    private readonly TimeProvider _time = TimeProvider.System;
    private readonly TaskCompletionSource _stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _oneReload = new(1, 1);
    private readonly SystemdNotifier _systemd = new();
    private readonly DriverLines _driverLines = new(LinuxGpioChip.Open);
    private readonly SecretStore _secrets = SecretStore.Of(dataPath);

    public static string Version { get; } = typeof(Gateway).Assembly.GetName().Version!.ToString(3);

    private string ConfigName => configPath ?? "the built-in configuration";

    /// <summary>Runs until a signal; returns the exit code.</summary>
    public async Task<int> RunAsync()
    {
        if (!TryLoad(Console.Error, out var config, out var hash, out var exitCode)) return exitCode;
        LinuxMemory.KeepSmall();
        ThreadPool.SetMinThreads(MinThreads, MinThreads);
        _driverLines.SwitchOff(config);
        using var logs = NewLogs();
        var log = logs.CreateLogger("iobuffer");
        try
        {
            using var folder = DataFolder.Take(dataPath);
            return await RunAsync(config, hash, folder, log);
        }
        catch (DataFolderException e)
        {
            Log.CannotStart(log, e.Message);
            return e.InUse ? ExitCode.TemporaryFailure : ExitCode.IoError;
        }
        catch (Exception e) when (e is StoreException or IOException)
        {
            Log.CannotStart(log, e.Message);
            return ExitCode.IoError;
        }
        catch (Exception e)
        {
            Log.Broken(log, e);
            return ExitCode.Failed;
        }
    }

    private async Task<int> RunAsync(GatewayConfig config, string? hash, DataFolder folder, ILogger log)
    {
        using var signals = new Signals(_stop, () => _ = ReloadOnSignalAsync());
        var random = Random.Shared;
        var network = new SocketNetwork(_time, log);
        var storeOptions = new RocksStoreOptions { Directory = folder.Store };
        var serial = new SerialLines(new LinuxSerialPorts(_driverLines, _time), _time, log);
        var hub = new RemoteHub();
        EndpointContext Endpoints(MemoryBudget memory) => new(network, memory, _time, random, log, serial)
        {
            Hub = hub,
            NewRemote = channel => new HttpRemoteTransport(channel, _secrets, _time, log),
        };
        await using var gateway = new Gateway(config, new GatewayServices(
            new RocksBufferStore(storeOptions, _time, random, log),
            (channel, memory) => EndpointFactory.CreateSource(channel, Endpoints(memory)),
            (channel, memory) => EndpointFactory.CreateDestination(channel, Endpoints(memory)),
            _time, random, log, Version, Machine.ReadBootId("/"), Machine.ReadId("/"))) { ConfigHash = hash };
        using var ending = new CancellationTokenSource();
        await using var panel = new FrontPanel(LedClass, LinuxGpioChip.Open, gateway, _time, log);
        panel.Start(BoardOf(config));
        await gateway.StartAsync();

        var watch = new StatusWatch(gateway, new HealthWatch(_time, Patience), _systemd, _time);
        await using var metrics = new MetricsServer(() => gateway.Status, () => watch.Report, log);
        await metrics.ListenAsync(config.Http?.MetricsListen);
        await using var remote = new RemoteServer(hub, _time, log);
        await remote.ListenAsync(config);
        using var meter = StatusMetrics.Publish(() => gateway.Status);
        _reloadAsync = () => ReloadAsync(gateway, panel, metrics, remote, log);
        using var control = new ControlServer(folder.ControlSocket, new ControlCommands(gateway, _secrets, _reloadAsync).HandleAsync, _time, log);
        control.Open();
        var serving = control.RunAsync(ending.Token);
        var watching = watch.RunAsync(LookEvery, ending.Token);
        Log.Ready(log, Version, ConfigName, folder.Path, Listing(gateway.Status));
        _systemd.Notify(ServiceState.Ready);

        await Task.WhenAny(_stop.Task, gateway.Completion);
        _systemd.Notify(ServiceState.Stopping);
        Log.Stopping(log);
        var unsecured = await gateway.StopAsync();
        await ending.CancelAsync();
        await Task.WhenAll(serving, watching, gateway.Completion);
        return unsecured == 0 ? ExitCode.Ok : ExitCode.TemporaryFailure;
    }

    private Func<ValueTask<string>>? _reloadAsync;

    /// <summary>A signal has nobody to answer: what went wrong has been logged, and stands in the status.</summary>
    private async Task ReloadOnSignalAsync()
    {
        try
        {
            if (_reloadAsync is { } reloadAsync) await reloadAsync();
        }
        catch (Exception e) when (e is ApplyException or ConfigurationException)
        {
        }
    }

    /// <summary>Reads the file again and goes over to it; when it is wrong or cannot be applied, the former one goes on.</summary>
    private async ValueTask<string> ReloadAsync(Gateway gateway, FrontPanel panel, MetricsServer metrics, RemoteServer remote, ILogger log)
    {
        if (configPath is null) return "The built-in configuration runs: there is no file to read again.";
        await _oneReload.WaitAsync();
        try
        {
            var problems = new StringWriter();
            var loaded = TryLoad(problems, out var config, out var hash, out _);
            var text = problems.ToString().TrimEnd().ReplaceLineEndings("; ");
            if (!loaded)
            {
                gateway.RefuseConfiguration(text);
                throw new ConfigurationException($"The former configuration goes on: {text}");
            }

            if (text.Length > 0) Log.ConfigurationWarnings(log, text);
            await ApplyAsync(gateway, panel, config);
            gateway.ConfigHash = hash;
            await metrics.ListenAsync(config.Http?.MetricsListen);
            await remote.ListenAsync(config);
            return $"{configPath} is applied: {config.Channels.Count} channels.";
        }
        finally
        {
            _oneReload.Release();
        }
    }

    /// <summary>A line may be an LED's on the one board and a transmitter's on the other: the panel lets go before, and takes up behind.</summary>
    private static async Task ApplyAsync(Gateway gateway, FrontPanel panel, GatewayConfig config)
    {
        var otherBoard = config.Device.Board != gateway.Config.Device.Board;
        if (otherBoard) await panel.StopAsync();
        try
        {
            await gateway.ApplyAsync(config);
        }
        finally
        {
            // The former board's where the configuration was refused.
            if (otherBoard) panel.Start(BoardOf(gateway.Config));
        }
    }

    private static Board? BoardOf(GatewayConfig config) => config.Device.Board is { } id ? BoardFiles.Find(id) : null;

    /// <summary>Reads the configuration; writes every problem, warnings too.</summary>
    private bool TryLoad(TextWriter problems, out GatewayConfig config, out string? hash, out int exitCode)
    {
        (config, hash, exitCode) = (DefaultConfig.Load(), null, ExitCode.Ok);
        if (configPath is null) return true;
        var read = ConfigCheck.TryLoad(configPath, problems, _secrets, out var result);
        exitCode = read ? ExitCode.BadConfiguration : ExitCode.IoError;
        if (result.Config is null) return false;
        config = result.Config;
        hash = Convert.ToHexStringLower(XxHash128.Hash(File.ReadAllBytes(configPath)));
        return true;
    }

    private static string Listing(GatewayStatus status) => status.Channels.Count == 0
        ? "no channels"
        : string.Join("; ", status.Channels.Select(c => $"{c.Id}: {c.Source} -> {c.Destination}"));

    /// <summary>To standard output; never blocks the gateway: lines that nobody takes are dropped.</summary>
    private ILoggerFactory NewLogs() => LoggerFactory.Create(builder =>
    {
        builder.Services.AddSingleton<ConsoleFormatter>(new LineFormatter(_time, _systemd.IsEnabled));
        builder.AddConsole(console =>
        {
            console.FormatterName = LineFormatter.FormatterName;
            console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite;
        });
    });

    /// <summary>What a reload that failed says to who asked for it.</summary>
    private sealed class ConfigurationException(string message) : Exception(message);

    /// <summary>Signals for as long as it lives.</summary>
    private sealed class Signals : IDisposable
    {
        private readonly PosixSignalRegistration[] _registrations;

        public Signals(TaskCompletionSource stop, Action reload)
        {
            // The first asks; from the second on the kernel's own way applies: the process ends at once.
            void Stop(PosixSignalContext context) => context.Cancel = stop.TrySetResult();
            _registrations =
            [
                PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop),
                PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop),
                PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
                {
                    context.Cancel = true;
                    reload();
                }),
            ];
        }

        public void Dispose() => Array.ForEach(_registrations, r => r.Dispose());
    }
}
