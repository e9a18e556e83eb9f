using System.Text.Json.Nodes;
using IoBufferEdge.Configuration;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Control.Configuring;

/// <summary>Goes over to a configuration.</summary>
/// <param name="hash">For the status.</param>
/// <param name="holdDiscards">Nothing irreversible may happen: it is not confirmed yet.</param>
/// <param name="force">What cannot be opened is tried again for ever, instead of refusing the configuration.</param>
/// <exception cref="ApplyException">The former one goes on.</exception>
public delegate Task ApplyConfig(GatewayConfig config, string? hash, bool holdDiscards, bool force);

/// <summary>
/// Hands configurations over so that no one can lock the device out. One that is offered is read and judged; a mark that it is being tried is
/// on the medium before it is applied; then it must be confirmed within its time, by MQTT being back with all channels up, or by hand; and is kept.
/// Else the last good one is restored, which also every start does that finds the mark. A message that was handled is not handled again: it lies
/// retained on the broker and comes back at each reconnect. Until the confirmation nothing is discarded.
/// <code>offer ─▶ judged ─▶ mark durable ─▶ applied ─▶ confirmed ─▶ kept
///            └▶ FAILED             └▶ FAILED └▶ not in time: last good one restored ─▶ ROLLED_BACK</code>
/// Limits: one wish at a time, the newest counts; a wish that comes while one is tried takes its place. A mark that cannot be written refuses
/// the wish. A keeper has one loop, <see cref="RunAsync"/>; commands come from any thread and wait for each other.
/// </summary>
public sealed partial class ConfigKeeper : IConfigControl, IDisposable
{
    /// <summary>How long MQTT and channels must have been up: a connection that is about to break does not confirm.</summary>
    public static readonly TimeSpan SettleFor = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    private readonly ConfigStore _store;
    private readonly ConfigSource _source;
    private readonly ApplyConfig _applyAsync;
    private readonly Func<string?> _notUp;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly SemaphoreSlim _one = new(1, 1);
    private readonly AsyncSignal _wake;
    private ConfigState _state;
    private RunnableConfig _present;
    private RunnableConfig _good;
    private volatile Trial? _trial;
    private volatile ConfigReport _report = new();
    private byte[]? _offered;
    private Action? _told;

    /// <summary>A configuration that runs and is not confirmed.</summary>
    private sealed record Trial(long Since, TimeSpan Timeout, bool ByHand)
    {
        public long? UpSince { get; set; }
    }

    /// <param name="start">What was chosen for this start, which runs.</param>
    /// <param name="notUp">Null: MQTT is connected and all channels are up; else why not, in a few words.</param>
    public ConfigKeeper(
        ConfigStore store, ConfigSource source, ConfigStart start, ApplyConfig applyAsync, Func<string?> notUp, TimeProvider time, ILogger log)
    {
        (_store, _source, _applyAsync, _notUp, _time, _log) = (store, source, applyAsync, notUp, time, log);
        (_state, _present, _good) = (start.State, start.Config, start.Config);
        _wake = new AsyncSignal(time);
        SettleStart(start);
    }

    public ConfigReport Report => _report;

    public TimeSpan? ConfirmWithin => _trial is not { } trial ? null
        : TimeSpan.FromTicks(Math.Max(0, (trial.Timeout - _time.GetElapsedTime(trial.Since)).Ticks));

    /// <summary>The document that runs, in one line.</summary>
    public string Document => _present.Stored.Document;

    public ConfigOrigin Origin => _present.Stored.Origin;

    public void OnReport(Action told) => _told += told;

    public Task OfferAsync(ReadOnlyMemory<byte> desiredPayload)
    {
        // What is too large is refused all the same, but not kept until then.
        Volatile.Write(ref _offered, desiredPayload[..Math.Min(desiredPayload.Length, ConfigOffer.MaxBytes + 1)].ToArray());
        _wake.Set();
        return Task.CompletedTask;
    }

    /// <summary>Handles offers and watches over the one that is tried.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        await using var registration = stop.UnsafeRegister(static wake => ((AsyncSignal)wake!).Set(), _wake);
        while (!stop.IsCancellationRequested)
        {
            if (Interlocked.Exchange(ref _offered, null) is { } payload) await HandleAsync(payload);
            await LookAsync();
            await _wake.WaitAsync(_trial is null ? Timeout.InfiniteTimeSpan : LookEvery);
        }
    }

    public void Dispose()
    {
        _one.Dispose();
        _wake.Dispose();
    }

    internal Task HandleAsync(byte[] payload) => AloneAsync(async () =>
    {
        var message = ConfigStore.HashOf(payload);
        if (message == _state.Last?.Message) return;
        var problems = new List<ConfigProblem>();
        var offer = ConfigOffer.Read(payload, (JsonObject)JsonNode.Parse(Document)!, problems, out var revision);
        var next = offer is null ? null : _source.Read(offer, Document, _good.Stored.FileHash, problems);
        if (next is null)
        {
            Say(new ConfigReport { Revision = revision, Status = ConfigStatus.Failed, Errors = [.. problems.Where(IsError)] });
            return;
        }

        var wish = new WishOutcome(message, revision, next.Hash, ConfigStatus.Applying, [.. problems]);
        if (next.Hash != _present.Hash) await TryAsync(next, wish, new Trial(_time.GetTimestamp(), offer!.ConfirmTimeout, ByHand: false));
        else if (Keep(_state with { Last = wish with { Status = _trial is null ? ConfigStatus.Applied : ConfigStatus.Applying } }) is null) Say(_state.Last!);
    });

    /// <summary>
    /// A document from the command line. With a time to confirm it is tried like an offer, and confirmed by <see cref="ConfirmAsync"/>; without,
    /// it is kept once it runs.
    /// </summary>
    /// <param name="folder">Where relative file names in it start.</param>
    /// <returns>FAILED with all problems where it is wrong; the former one runs then.</returns>
    public async Task<ConfigReport> ApplyAsync(ReadOnlyMemory<byte> document, string folder, TimeSpan? confirmTimeout)
    {
        await AloneAsync(async () =>
        {
            var problems = new List<ConfigProblem>();
            var next = _source.Read(document.Span, folder, ConfigOrigin.Command, _good.Stored.FileHash, problems);
            if (next is null)
            {
                Say(new ConfigReport { Status = ConfigStatus.Failed, Errors = [.. problems.Where(IsError)] });
                return;
            }

            var wish = new WishOutcome(_state.Last?.Message, null, next.Hash, ConfigStatus.Applying, [.. problems]);
            if (confirmTimeout is { } timeout) await TryAsync(next, wish, new Trial(_time.GetTimestamp(), timeout, ByHand: true));
            else await ReplaceAsync(next, wish with { Status = ConfigStatus.Applied });
        });
        return _report;
    }

    /// <summary>Reads the configuration file again. It wins when it has changed; one sentence says what came of it.</summary>
    /// <exception cref="ConfigControlException">It is wrong, or cannot be applied or kept: one sentence.</exception>
    public async Task<string> ReloadAsync()
    {
        if (_source.ConfigPath is null) return "No configuration file was given: there is none to read again.";
        var sentence = "";
        await AloneAsync(async () =>
        {
            var problems = new List<ConfigProblem>();
            if (_source.ReadFile(problems) is not { } file)
                throw new ConfigControlException($"The former configuration goes on: {string.Join("; ", problems)}");
            if (file.Stored.FileHash == _good.Stored.FileHash && (_trial is not null || _good.Stored.Origin != ConfigOrigin.File))
            {
                sentence = $"{_source.ConfigPath} has not changed: the configuration that was applied since goes on.";
                return;
            }

            if (problems.Count > 0) Log.ConfigurationWarnings(_log, string.Join("; ", problems));
            await ReplaceAsync(file, new WishOutcome(_state.Last?.Message, null, file.Hash, ConfigStatus.Applied, problems));
            sentence = $"{_source.ConfigPath} is applied: {file.Config.Channels.Count} channels.";
        });
        return sentence;
    }

    public async Task<ConfigReport> ConfirmAsync()
    {
        await AloneAsync(async () =>
        {
            if (_trial is null) throw new ConfigControlException("No configuration waits for its confirmation.");
            await KeepPresentAsync();
        });
        return _report;
    }

    public async Task<ConfigReport> RollbackAsync()
    {
        await AloneAsync(async () =>
        {
            if (_trial is not null)
            {
                if (!await GoBackAsync(ConfigStatus.RolledBack, "was rolled back by command"))
                    throw new ConfigControlException("The last good configuration cannot be restored now; it is tried again every second.");
                return;
            }

            if (_source.Read(_state.Former, []) is not { } former)
                throw new ConfigControlException("No configuration was kept before this one: there is nothing to go back to.");
            var wish = new WishOutcome(
                _state.Last?.Message, _state.Last?.Revision, _good.Hash, ConfigStatus.RolledBack, [Problem("was rolled back by command")]);
            await ReplaceAsync(former, wish);
        });
        return _report;
    }

    /// <summary>Confirms what is tried once it is up, or goes back when its time is over.</summary>
    internal Task LookAsync() => AloneAsync(async () =>
    {
        if (_trial is not { } trial) return;
        var why = trial.ByHand ? "config confirm did not come" : _notUp();
        trial.UpSince = why is null ? trial.UpSince ?? _time.GetTimestamp() : null;
        if (trial.UpSince is { } since && _time.GetElapsedTime(since) >= SettleFor)
        {
            try
            {
                await KeepPresentAsync();
                return;
            }
            catch (ConfigControlException e)
            {
                why = e.Message;
            }
        }

        if (_time.GetElapsedTime(trial.Since) < trial.Timeout) return;
        await GoBackAsync(ConfigStatus.RolledBack, $"was not confirmed within {trial.Timeout.TotalSeconds:0} s: {why ?? "it was up too late"}");
    });

    /// <summary>What a start finds is settled: a mark means that the device did not live to confirm.</summary>
    private void SettleStart(ConfigStart start)
    {
        var taken = start.Factory is not null && start.Factory != _state.Factory && _good.Stored.Origin == ConfigOrigin.Factory;
        if (_state.Last is { Status: ConfigStatus.Applying } last && !taken)
        {
            var errors = new[] { Problem("was not confirmed before the device started again") };
            Keep(_state with { Last = last with { Status = ConfigStatus.RolledBack, Errors = errors } });
            Log.ConfigurationRolledBack(_log, last.Hash, errors[0].Message);
        }
        else if (taken || (_good.Stored.Origin is ConfigOrigin.File or ConfigOrigin.Factory && _good.Stored != _state.Good))
        {
            Keep(_state with
            {
                Good = _good.Stored, Former = _state.Good, Last = Superseded(_good), Factory = taken ? start.Factory : _state.Factory,
            });
        }

        if (_state.Last is { Status: ConfigStatus.RolledBack or ConfigStatus.Failed } stands) Say(stands);
        else Say(new ConfigReport { Revision = _good.Stored.Revision, Hash = _good.Hash });
    }

    private WishOutcome Superseded(RunnableConfig by) => new(_state.Last?.Message, null, by.Hash, ConfigStatus.Applied, []);

    private async Task TryAsync(RunnableConfig next, WishOutcome wish, Trial trial)
    {
        if (Keep(_state with { Last = wish }) is { } unkept)
        {
            Say(new ConfigReport { Revision = wish.Revision, Hash = wish.Hash, Status = ConfigStatus.Failed, Errors = [Problem(unkept)] });
            return;
        }

        try
        {
            await _applyAsync(next.Config, next.Hash, holdDiscards: true, force: false);
        }
        catch (ApplyException e)
        {
            _trial ??= trial with { Timeout = TimeSpan.Zero };
            await GoBackAsync(ConfigStatus.Failed, e.Message);
            return;
        }

        (_present, _trial) = (next, trial);
        Log.ConfigurationTried(_log, next.Hash, trial.Timeout.TotalSeconds);
        Say(wish);
        _wake.Set();
    }

    /// <summary>Restores the last good one. False: not now; the trial stands, and the next look tries again.</summary>
    private async Task<bool> GoBackAsync(ConfigStatus status, string why)
    {
        try
        {
            await _applyAsync(_good.Config, _good.Hash, holdDiscards: false, force: true);
        }
        catch (ApplyException e)
        {
            Log.ConfigurationRefused(_log, e.Message);
            return false;
        }

        (_present, _trial) = (_good, null);
        var outcome = _state.Last! with { Status = status, Errors = [Problem(why)] };
        if (Keep(_state with { Last = outcome }) is not null) _state = _state with { Last = outcome };
        Log.ConfigurationRolledBack(_log, outcome.Hash, why);
        Say(outcome);
        return true;
    }

    /// <exception cref="ConfigControlException">It cannot be written: it still waits.</exception>
    private async Task KeepPresentAsync()
    {
        var applied = _state.Last! with { Status = ConfigStatus.Applied };
        if (Keep(_state with { Good = _present.Stored, Former = _good.Stored, Last = applied }) is { } unkept) throw new ConfigControlException(unkept);
        (_good, _trial) = (_present, null);
        await _applyAsync(_present.Config, _present.Hash, holdDiscards: false, force: true);
        Log.ConfigurationKept(_log, _present.Hash);
        Say(applied);
    }

    /// <summary>Goes over and keeps it at once: who asked is at the device.</summary>
    private async Task ReplaceAsync(RunnableConfig next, WishOutcome wish, string? factory = null)
    {
        try
        {
            // What provisioning gives is in force for good: an end that cannot be opened yet is no reason to refuse it.
            await _applyAsync(next.Config, next.Hash, holdDiscards: false, force: factory is not null);
        }
        catch (ApplyException e)
        {
            throw new ConfigControlException(e.Message, e);
        }

        var unkept = Keep(_state with { Good = next.Stored, Former = _good.Stored, Last = wish, Factory = factory ?? _state.Factory });
        (_present, _good, _trial) = (next, next, null);
        Say(wish);
        if (unkept is not null) throw new ConfigControlException($"The configuration runs, but will not after a restart: it {unkept}");
    }

    /// <summary>Null: it is on the medium. Else why not, and nothing has changed.</summary>
    private string? Keep(ConfigState state)
    {
        if (_state.Reset) return "is not kept any more: the device starts anew as provisioning left it";
        try
        {
            _store.Save(state);
            _state = state;
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.ConfigurationNotKept(_log, e.Message);
            return $"cannot be kept in the data folder: {e.Message}";
        }
    }

    private void Say(WishOutcome outcome) =>
        Say(new ConfigReport { Revision = outcome.Revision, Hash = outcome.Hash, Status = outcome.Status, Errors = outcome.Errors });

    private void Say(ConfigReport report)
    {
        _report = report with { LastGoodHash = _good.Hash };
        _told?.Invoke();
    }

    private async Task AloneAsync(Func<Task> actAsync)
    {
        await _one.WaitAsync();
        try
        {
            await actAsync();
        }
        finally
        {
            _one.Release();
        }
    }

    private static bool IsError(ConfigProblem problem) => problem.Severity == ConfigSeverity.Error;

    private static ConfigProblem Problem(string message) => new(ConfigSeverity.Error, "$", message);
}

/// <summary>What a start begins with.</summary>
/// <param name="Config">What is to run.</param>
/// <param name="State">As it was found.</param>
/// <param name="Factory">Hash of what provisioning gave, whose secrets are there.</param>
public sealed record ConfigStart(RunnableConfig Config, ConfigState State, string? Factory = null);
