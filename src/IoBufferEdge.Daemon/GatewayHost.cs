using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Boards;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Commands;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Control.Mqtt;
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
internal sealed class GatewayHost
{
    /// <summary>How long what should move may stand still before it counts as stalled: above any disk's longest sync.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);

    /// <summary>Below what a start may take by the unit, and seldom enough for a flash that logs it.</summary>
    private static readonly TimeSpan WaitForFile = TimeSpan.FromMinutes(1);

    /// <summary>A disk that stalls must not leave the sockets without threads.</summary>
    private const int MinThreads = 8;

    /// <summary>Set by the firmware image: the folder by which it and the gateway talk (<see cref="SystemImage"/>).</summary>
    private const string ImageFolder = "IOBUFFER_IMAGE";

    private const string LedClass = "/sys/class/leds";

    private readonly TimeProvider _time = TimeProvider.System;
    private readonly TaskCompletionSource _stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SystemdNotifier _systemd = new();
    private readonly LogRing _logLines = new(new LineFormatter(TimeProvider.System, journal: false));
    private readonly DriverLines _driverLines = new(LinuxGpioChip.Open);
    private readonly SecretStore _secrets;
    private readonly ConfigSource _source;
    private readonly ConfigStore _store;
    private readonly SystemImage? _image = Environment.GetEnvironmentVariable(ImageFolder) is { Length: > 0 } image ? new(image, TimeProvider.System) : null;
    private readonly string _dataPath;

    public GatewayHost(string? configPath, string dataPath)
    {
        _dataPath = dataPath;
        _secrets = SecretStore.Of(dataPath);
        var folder = Path.Combine(Path.GetFullPath(dataPath), "config");
        _store = new ConfigStore(new ConfigFolder(folder));
        _source = new ConfigSource(configPath, _secrets);
    }

    public static string Version { get; } = typeof(Gateway).Assembly.GetName().Version!.ToString(3);

    private string ConfigName => _source.ConfigPath ?? "no configuration file";

    /// <summary>Runs until a signal; returns the exit code.</summary>
    public async Task<int> RunAsync()
    {
        var problems = new List<ConfigProblem>();
        var state = _store.Load();
        var factory = _store.LoadFactory();
        try
        {
            if (Provisioning.IsDue(state, factory))
            {
                using var folder = DataFolder.Take(_dataPath);
                state = Provisioning.TakeUp(_store, _secrets, state, factory, new RocksStoreOptions { Directory = folder.Store }.Erase);
            }
        }
        catch (Exception e) when (e is DataFolderException or SecretException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"What provisioning left is not taken up at this start: {e.Message}");
            if (e is DataFolderException { InUse: true }) return ExitCode.TemporaryFailure;
            factory = null;
        }

        var chosen = _source.ChooseAtStart(state, factory, problems);
        foreach (var problem in problems) await Console.Error.WriteLineAsync(problem.ToString());
        if (chosen is null)
        {
            if (_systemd.IsEnabled) await WaitForFileAsync(problems);
            return _source.IsUnreadable ? ExitCode.IoError : ExitCode.BadConfiguration;
        }

        var start = new ConfigStart(chosen, state, factory?.Hash);
        if (_source.IsWrong) _wrongFile = $"{ConfigName} is wrong, what was kept goes on: {string.Join("; ", problems)}";
        LinuxMemory.KeepSmall();
        ThreadPool.SetMinThreads(MinThreads, MinThreads);
        _driverLines.SwitchOff(chosen.Config);
        using var logs = NewLogs();
        var log = logs.CreateLogger("iobuffer");
        try
        {
            using var folder = DataFolder.Take(_dataPath);
            return await RunAsync(start, folder, log);
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

    private async Task<int> RunAsync(ConfigStart start, DataFolder folder, ILogger log)
    {
        using var signals = new Signals(_stop, () => _ = ReloadOnSignalAsync());
        var config = start.Config.Config;
        var random = Random.Shared;
        var network = new SocketNetwork(_time, log);
        var storeOptions = new RocksStoreOptions { Directory = folder.Store };
        var serial = new SerialLines(new LinuxSerialPorts(_driverLines, _time), _time, log);
        var hub = new RemoteHub();
        var taps = new LineTaps(_time);
        EndpointContext Endpoints(ChannelConfig channel, ChannelEnd end, MemoryBudget memory) => new(network, memory, _time, random, log, serial)
        {
            Hub = hub,
            Tap = new EndTap(taps.Of(channel.Id), end),
            NewRemote = remoteChannel => new HttpRemoteTransport(remoteChannel, _secrets, _time, log),
        };
        await using var gateway = new Gateway(config, new GatewayServices(
            new RocksBufferStore(storeOptions, _time, random, log),
            (channel, memory) => EndpointFactory.CreateSource(channel, Endpoints(channel, ChannelEnd.Source, memory)),
            (channel, memory) => EndpointFactory.CreateDestination(channel, Endpoints(channel, ChannelEnd.Destination, memory)),
            _time, random, log, Version, Machine.ReadBootId("/"), Machine.ReadId("/"))) { ConfigHash = start.Config.Hash };
        using var ending = new CancellationTokenSource();
        ConfigKeeper? keeper = null;
        await using var panel = new FrontPanel(LedClass, LinuxGpioChip.Open, gateway, () => _ = ResetAsync(keeper, log), _time, log);
        panel.Start(AppliedParts.BoardOf(config));
        await gateway.StartAsync();

        var watch = new StatusWatch(gateway, new HealthWatch(_time, Patience), _systemd, _time);
        await using var metrics = new MetricsServer(() => gateway.Status, () => watch.Report, log);
        await metrics.ListenAsync(config.Http?.MetricsListen);
        await using var remote = new RemoteServer(hub, _time, log);
        await remote.ListenAsync(config);
        var redactor = new Redactor(_secrets);
        using var journal = CommandJournal.Open(folder.Commands);
        var support = new SupportBundle(folder.Path, _secrets, redactor, Version, _time);
        Task<byte[]> BundleAsync() => Task.Run(() => support.Create(
            gateway.Status, keeper!.Document, _systemd.IsEnabled && SupportBundle.ReadJournal() is { Count: > 0 } lines ? lines : _logLines.Lines));
        MqttLink? publishing = null;
        using var ordered = new MqttCommands(gateway, _secrets, redactor, journal, new CommandDuties(
            () => gateway.Config.Mqtt?.Commands, () => _stop.TrySetResult(), () => ForgetAsync(keeper!, log), BundleAsync,
            (id, number, bytes) => publishing!.PublishPart("support_bundle", id, number, bytes), _image), _time, log);
        var duties = new MqttDuties(
            () => gateway.Status,
            desired =>
            {
                redactor.Learn(desired.Span, folder.Secrets);
                return keeper!.OfferAsync(desired);
            },
            ordered.HandleAsync,
            () => JsonSerializer.SerializeToUtf8Bytes(keeper!.Report, ControlJson.Default.ConfigReport))
        {
            Redact = json => redactor.RedactJson(json.Span),
        };
        using var link = publishing = new MqttLink(new MqttNetBroker(_secrets, _time, log), duties, new DeviceReadings("/"), _time, random, log);
        gateway.Mqtt = () => link.Status;
        if (_image is not null) gateway.Image = () => _image.Status;
        using var meter = StatusMetrics.Publish(() => gateway.Status);
        using var configuring = keeper = new ConfigKeeper(
            _store, _source, start, new AppliedParts(gateway, panel, metrics, remote, link).ApplyAsync, () => NotUp(gateway.Status), _time, log);
        gateway.ConfigControl = keeper;
        if (_wrongFile is not null) gateway.RefuseConfiguration(_wrongFile);
        redactor.Learn(Encoding.UTF8.GetBytes(keeper.Document), folder.Path);
        keeper.OnReport(() => redactor.Learn(Encoding.UTF8.GetBytes(keeper.Document), "/"));
        keeper.OnReport(link.Hurry);
        link.Use(MqttTarget.Of(config, gateway.Status.DeviceId));
        var linking = link.RunAsync();
        _reloadAsync = () => ReloadAsync(gateway, keeper);
        var configCommands = new ConfigCommands(keeper, redactor, gateway.RefuseConfiguration);
        var commands = new ControlCommands(gateway, _secrets, _reloadAsync, configCommands, taps, BundleAsync);
        using var control = new ControlServer(folder.ControlSocket, commands.HandleAsync, _time, log);
        control.Open();
        var serving = control.RunAsync(ending.Token);
        var watching = watch.RunAsync(LookEvery, ending.Token);
        var keeping = keeper.RunAsync(ending.Token);
        Log.Ready(log, Version, ConfigName, folder.Path, Listing(gateway.Status));
        _systemd.Notify(ServiceState.Ready);

        await Task.WhenAny(_stop.Task, gateway.Completion);
        _systemd.Notify(ServiceState.Stopping);
        Log.Stopping(log);
        link.Stop();
        var unsecured = await gateway.StopAsync();
        await ending.CancelAsync();
        await Task.WhenAll(serving, watching, keeping, linking, gateway.Completion);
        return unsecured == 0 ? ExitCode.Ok : ExitCode.TemporaryFailure;
    }

    /// <summary>By the button; one that comes before there is anything to reset has no effect.</summary>
    private async Task ResetAsync(ConfigKeeper? keeper, ILogger log)
    {
        if (keeper is null) return;
        try
        {
            await ForgetAsync(keeper, log);
            _stop.TrySetResult();
        }
        catch (ConfigControlException e)
        {
            Log.ControlCommandFailed(log, "factory reset", e.Message);
        }
    }

    /// <summary>
    /// The next start makes the device as provisioning left it. Of an image the whole data partition is emptied; where that cannot be asked for, it is
    /// the gateway's own folder all the same.
    /// </summary>
    private async Task ForgetAsync(ConfigKeeper keeper, ILogger log)
    {
        await keeper.ResetAsync();
        try
        {
            _image?.RequestFactoryReset();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.ControlCommandFailed(log, "factory reset of the image", e.Message);
        }
    }

    private Func<ValueTask<string>>? _reloadAsync;

    /// <summary>Why the configuration file does not count although the gateway runs; null: it does.</summary>
    private string? _wrongFile;

    /// <summary>
    /// systemd starts the service again a second after its end, for ever: where only a mended file can help, the end waits for that, or a while.
    /// </summary>
    private async Task WaitForFileAsync(List<ConfigProblem> problems)
    {
        _systemd.Notify(new ServiceState($"STATUS={ConfigName} cannot be used: {string.Join("; ", problems).Replace('\n', ' ')}"));
        var written = File.GetLastWriteTimeUtc(ConfigName);
        for (var waited = TimeSpan.Zero; waited < WaitForFile && File.GetLastWriteTimeUtc(ConfigName) == written; waited += LookEvery)
            await Task.Delay(LookEvery, _time);
    }

    /// <summary>A signal has nobody to answer: what went wrong has been logged, and stands in the status.</summary>
    private async Task ReloadOnSignalAsync()
    {
        try
        {
            if (_reloadAsync is { } reloadAsync) await reloadAsync();
        }
        catch (ConfigControlException)
        {
        }
    }

    private static async ValueTask<string> ReloadAsync(Gateway gateway, ConfigKeeper keeper)
    {
        try
        {
            return await keeper.ReloadAsync();
        }
        catch (ConfigControlException e)
        {
            gateway.RefuseConfiguration(e.Message);
            throw;
        }
    }

    /// <summary>Null: a configuration that was just applied does what it should, apart from peers that may be away.</summary>
    private static string? NotUp(GatewayStatus status) =>
        status.Channels.FirstOrDefault(c => c.State == ChannelState.Failed) is { } failed ? $"channel {failed.Id} cannot open its ends"
        : status.Mqtt is { Connected: false } ? "the broker is not reached" : null;

    private static string Listing(GatewayStatus status) => status.Channels.Count == 0
        ? "no channels"
        : string.Join("; ", status.Channels.Select(c => $"{c.Id}: {c.Source} -> {c.Destination}"));

    /// <summary>To standard output; never blocks the gateway: lines that nobody takes are dropped.</summary>
    private ILoggerFactory NewLogs() => LoggerFactory.Create(builder =>
    {
        builder.Services.AddSingleton<ConsoleFormatter>(new LineFormatter(_time, _systemd.IsEnabled));
        builder.AddProvider(_logLines);
        builder.AddConsole(console =>
        {
            console.FormatterName = LineFormatter.FormatterName;
            console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite;
        });
    });

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
