using IoBufferEdge.Buffers;
using IoBufferEdge.Channels;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Endpoints;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge;

/// <summary>What a gateway is built from; the simulation gives it twins.</summary>
/// <param name="Store">Closed; the gateway opens it.</param>
/// <param name="NewSource">Makes a channel's source; half-read frames are charged to the budget.</param>
/// <param name="Random">Used from several threads.</param>
/// <param name="BootId">The kernel's id of this boot.</param>
/// <param name="MachineId">Names the device where its configuration does not; null: the machine has no number of its own.</param>
public sealed record GatewayServices(
    IBufferStore Store,
    Func<ChannelConfig, MemoryBudget, ISource> NewSource,
    Func<ChannelConfig, MemoryBudget, IDestination> NewDestination,
    TimeProvider Time,
    Random Random,
    ILogger Log,
    string Version,
    string BootId = "",
    string? MachineId = null);

/// <summary>A configuration could not be applied; the former one goes on. The message says which channel and why.</summary>
public sealed class ApplyException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// The whole device: owns the store, the committer, the memory budget, the queues and the channels on them. Queues belong to channel
/// ids and outlive configurations; channels are made and ended by <see cref="ApplyAsync"/>, which touches only what changed and goes
/// back as a whole when something cannot start. <see cref="Status"/> is what everybody else sees.
/// Callers: one at a time for Start, Apply and Stop (they queue up); Status and the operator's commands at any time. This file: the
/// life of channels, and the status; what an operator does with queues: Gateway.Operator.cs.
/// </summary>
public sealed partial class Gateway : IGatewayControl, IAsyncDisposable
{
    /// <summary>How long a planned stop may take (rule 10).</summary>
    private static readonly TimeSpan StopBudget = TimeSpan.FromSeconds(4.7);

    private readonly GatewayServices _services;
    private readonly MemoryBudget _memory;
    private readonly SemaphoreSlim _oneAtATime = new(1, 1);
    private readonly Lock _sync = new();
    private readonly Dictionary<string, ChannelBuffer> _queues = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Channel> _channels = new(StringComparer.Ordinal);
    private readonly Dictionary<string, QueueOpening> _idle = new(StringComparer.Ordinal);
    private readonly DeliveryProgress _progress;
    private readonly long _startedAt;
    private readonly long _life;

    private GatewayConfig _config;
    private GatewayState _state = GatewayState.Starting;
    private StoreOpening? _opening;
    private RunningClock? _clock;
    private Committer? _committer;
    private int _lastQueueNumber;
    private string? _configError;
    private bool _holdDiscards;
    private (long From, TimeSpan Span)? _identify;

    public Gateway(GatewayConfig config, GatewayServices services)
    {
        _config = config;
        _services = services;
        _memory = new MemoryBudget(config.Buffer.MemoryBytes);
        _progress = new DeliveryProgress(services.Time);
        _startedAt = services.Time.GetTimestamp();
        _life = services.Random.NextInt64(1, long.MaxValue);
    }

    /// <summary>Hash of the applied configuration, for the status.</summary>
    public string? ConfigHash { get; set; }

    /// <summary>Who hands configurations over, for the status.</summary>
    public IConfigControl? ConfigControl { get; set; }

    /// <summary>The tie to the broker, for the status; null: there is none.</summary>
    public Func<Control.Mqtt.MqttStatus?>? Mqtt { get; set; }

    /// <summary>The firmware image around it, for the status; null: there is none.</summary>
    public Func<ImageStatus?>? Image { get; set; }

    public GatewayConfig Config => _config;

    /// <summary>Completes when nothing can be written any more: after a stop, or failing by a fault of our own. Ask after the start.</summary>
    public Task Completion => _committer!.Completion;

    /// <summary>
    /// Starts, runs until the token, stops. Returns how many messages could not be secured: 0 unless the store refused. Fails when the
    /// committer does: a process that cannot write any more must not look alive.
    /// </summary>
    public async Task<long> RunAsync(CancellationToken stop)
    {
        await StartAsync();
        var stopped = new TaskCompletionSource();
        await using (stop.UnsafeRegister(static s => ((TaskCompletionSource)s!).TrySetResult(), stopped))
            await Task.WhenAny(stopped.Task, Completion);
        var unsecured = await StopAsync();
        await Completion;
        return unsecured;
    }

    /// <summary>Opens the store and starts every enabled channel. A channel that cannot open its ends keeps trying; the others work.</summary>
    /// <exception cref="StoreException">There is no store to be had: nothing was started.</exception>
    public async Task StartAsync()
    {
        await _oneAtATime.WaitAsync();
        try
        {
            _opening = await _services.Store.OpenAsync();
            if (_opening.Salvage is { } report) Log.StoreSalvaged(_services.Log, report);
            _clock = new RunningClock(_services.Time, _opening.RunningUs);
            var limits = _config.Buffer;
            _committer = new Committer(
                _services.Store, _clock, _life, limits.MaxSyncsPerS, limits.DeviceMaxBytes, _services.Time, _services.Log);
            foreach (var queue in _opening.Queues)
            {
                _lastQueueNumber = Math.Max(Math.Max(_lastQueueNumber, _opening.HighestQueue), queue.Number);
                _idle[queue.Id] = queue;
                foreach (var lost in queue.Lost) Log.MessagesLost(_services.Log, queue.Id, lost.First, lost.Last);
            }

            lock (_sync)
            {
                foreach (var config in _config.Channels)
                {
                    var queue = QueueFor(config);
                    if (config.Enabled) _channels[config.Id] = NewChannel(config, queue);
                }
            }

            _committer.Start(_opening.WithoutReserve);
            foreach (var channel in _channels.Values) channel.Start();
            _state = GatewayState.Running;
            Log.GatewayStarted(_services.Log, _channels.Count, _life, _opening.Generation);
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    /// <summary>Goes over to another configuration. Channels that are the same in both are not touched.</summary>
    /// <param name="holdDiscards">It may be taken back: from before it until the next one that is applied without this, no queue discards
    /// anything, neither by a quota nor by age nor by a command.</param>
    /// <param name="force">Ends that cannot be opened are tried again for ever instead of refusing the configuration.</param>
    /// <exception cref="ApplyException">Something could not stop or start; everything is as before.</exception>
    public async Task ApplyAsync(GatewayConfig next, bool holdDiscards = false, bool force = false)
    {
        await _oneAtATime.WaitAsync();
        var held = _holdDiscards;
        try
        {
            // Held before anything of the new one is in force, let go when it is.
            if (holdDiscards) HoldDiscards(true);
            await SwitchAsync(next, force);
            HoldDiscards(holdDiscards);
            _configError = null;
        }
        catch (ApplyException e)
        {
            HoldDiscards(held);
            _configError = e.Message;
            Log.ConfigurationRefused(_services.Log, e.Message);
            throw;
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    /// <summary>Notes why a configuration that was offered was not even tried.</summary>
    public void RefuseConfiguration(string reason)
    {
        _configError = reason;
        Log.ConfigurationRefused(_services.Log, reason);
    }

    /// <summary>Stops as rule 10 says, within 5 s. Returns how many messages are not secured: 0 unless the store refused.</summary>
    public async Task<long> StopAsync()
    {
        await _oneAtATime.WaitAsync();
        try
        {
            if (_state == GatewayState.Stopping) return 0;
            _state = GatewayState.Stopping;
            await Task.WhenAll(_channels.Values.Select(c => c.StopAsync(StopBudget, leaveQueue: true)));
            var unsecured = _queues.Values.Sum(q => q.UnsecuredMessages);
            foreach (var queue in _queues.Values) queue.Dispose();
            if (_committer is not null) await _committer.DisposeAsync();
            await _services.Store.DisposeAsync();
            Log.GatewayStopped(_services.Log, unsecured);
            return unsecured;
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_state != GatewayState.Stopping) await StopAsync();
        _oneAtATime.Dispose();
    }

    /// <summary>Holds a channel's delivery back, or lets it go on; reception goes on. False: no such channel.</summary>
    public bool SetPaused(string channelId, bool paused)
    {
        if (Find(channelId) is not { } channel) return false;
        channel.Buffer.Paused = paused;
        return true;
    }

    /// <summary>Makes a channel try again at once. False: no such channel.</summary>
    public bool RetryNow(string channelId)
    {
        if (Find(channelId) is not { } channel) return false;
        channel.RetryNow();
        return true;
    }

    /// <summary>Lets delivery go on by the operator's choice. Null: no such channel.</summary>
    public ResumeOutcome? Resume(string channelId, ResumeChoice choice) => Find(channelId)?.Resume(choice);

    /// <summary>Lets the LEDs show which device this is, for so long from now on.</summary>
    public void Identify(TimeSpan span)
    {
        lock (_sync) _identify = (_services.Time.GetTimestamp(), span);
    }

    public GatewayStatus Status
    {
        get
        {
            lock (_sync)
            {
                return new GatewayStatus
                {
                    DeviceId = _config.Device.Id ?? _services.MachineId,
                    Version = _services.Version,
                    BootId = _services.BootId,
                    State = _state,
                    TakenAt = _services.Time.GetUtcNow(),
                    Uptime = _services.Time.GetElapsedTime(_startedAt),
                    ConfigHash = ConfigHash,
                    ConfigError = _configError,
                    Config = ConfigControl?.Report,
                    ConfirmWithin = ConfigControl?.ConfirmWithin,
                    Identifying = _identify is { } asked && _services.Time.GetElapsedTime(asked.From) < asked.Span,
                    Store = new StoreStatus(
                        _committer?.Failure?.Message, _committer?.Failure?.OutOfSpace ?? false, _opening?.Salvage, _opening?.Generation ?? 0, _life,
                        _committer?.LastCommitTook.TotalMilliseconds ?? 0, _config.Buffer.DeviceMaxBytes, _services.Store.Usage),
                    Mqtt = Mqtt?.Invoke(),
                    Image = Image?.Invoke(),
                    MemoryUsedBytes = _memory.UsedBytes,
                    MemoryTotalBytes = _memory.TotalBytes,
                    Channels = [.. _config.Channels.Where(c => _queues.ContainsKey(c.Id)).Select(c => _progress.Note(DescribeChannel(c)))],
                    IdleQueues = [.. IdleQueues()],
                };
            }
        }
    }

    private IEnumerable<IdleQueue> IdleQueues()
    {
        foreach (var queue in _idle.Values)
        {
            var waiting = queue.TotalsAtEnd - queue.TotalsAtCursor;
            yield return new IdleQueue(queue.Id, waiting.Messages, waiting.Bytes, queue.Counters.Parked.Messages);
        }

        foreach (var queue in _queues.Values.Where(q => _config.Channels.All(c => c.Id != q.Id)))
        {
            var ledger = queue.Ledger;
            yield return new IdleQueue(queue.Id, ledger.Buffered, queue.BufferedBytes, ledger.Parked);
        }
    }

    private ChannelStatus DescribeChannel(ChannelConfig config)
    {
        var status = new ChannelStatus
        {
            Id = config.Id,
            Name = config.Name,
            State = ChannelState.Disabled,
            Source = config.Source.Summary,
            Destination = config.Destination.Summary,
            Ledger = new LedgerStatus(),
            Delivery = "",
        };
        return _channels.TryGetValue(config.Id, out var channel) ? channel.Describe(status) : _queues[config.Id].Describe(status);
    }

    private async Task SwitchAsync(GatewayConfig next, bool force)
    {
        var former = _config;
        var before = former.Channels.ToDictionary(c => c.Id, StringComparer.Ordinal);
        var after = next.Channels.ToDictionary(c => c.Id, StringComparer.Ordinal);
        var ending = before.Values.Where(c => !after.TryGetValue(c.Id, out var same) || same != c).ToList();
        var beginning = after.Values.Where(c => !before.TryGetValue(c.Id, out var same) || same != c).ToList();

        // All that changes stops, then all of it starts: a port may move from one channel to another.
        var stopped = await StopAllAsync(ending.Select(c => c.Id).ToList(), id => !after.ContainsKey(id));
        if (!stopped)
        {
            Restore(ending);
            throw new ApplyException(
                "the store refuses to take the last messages of the channels that change; they go on as they were. See the store's error in the status");
        }

        var started = new List<Channel>();
        try
        {
            foreach (var config in beginning)
            {
                ChannelBuffer queue;
                lock (_sync) queue = QueueFor(config);
                if (!config.Enabled) continue;
                var channel = NewChannel(config, queue);
                if (!force) await channel.OpenAsync();
                started.Add(channel);
            }
        }
        catch (EndpointException e)
        {
            foreach (var channel in started) await channel.StopAsync(StopBudget, leaveQueue: false);
            Restore(ending);
            throw new ApplyException($"{e.Message}; the former configuration goes on", e);
        }

        lock (_sync)
        {
            foreach (var channel in started) _channels[channel.Config.Id] = channel;
            _config = next;
            _memory.TotalBytes = next.Buffer.MemoryBytes;
        }

        _committer!.Limit(next.Buffer.MaxSyncsPerS, next.Buffer.DeviceMaxBytes);
        foreach (var channel in started) channel.Start();
        var changed = beginning.Count(c => before.ContainsKey(c.Id));
        Log.ConfigurationApplied(_services.Log, beginning.Count - changed, changed, ending.Count - changed, after.Count - beginning.Count);
    }

    private async Task<bool> StopAllAsync(List<string> ids, Func<string, bool> leavesQueue)
    {
        List<Channel> stopping;
        lock (_sync) stopping = [.. ids.Where(_channels.ContainsKey).Select(id => _channels[id])];
        var secured = await Task.WhenAll(stopping.Select(c => c.StopAsync(StopBudget, leavesQueue(c.Config.Id))));
        lock (_sync)
        {
            foreach (var channel in stopping) _channels.Remove(channel.Config.Id);
        }

        return secured.All(s => s);
    }

    private void Restore(List<ChannelConfig> configs)
    {
        lock (_sync)
        {
            foreach (var config in configs.Where(c => c.Enabled)) _channels[config.Id] = NewChannel(config, QueueFor(config));
            foreach (var config in configs.Where(c => c.Enabled)) _channels[config.Id].Start();
        }
    }

    private Channel NewChannel(ChannelConfig config, ChannelBuffer queue) => new(
        config,
        queue,
        () => _services.NewSource(config, _memory),
        () => _services.NewDestination(config, _memory),
        _services.Time,
        _services.Random,
        _services.Log);

    private Channel? Find(string channelId)
    {
        lock (_sync) return _channels.GetValueOrDefault(channelId);
    }
}
