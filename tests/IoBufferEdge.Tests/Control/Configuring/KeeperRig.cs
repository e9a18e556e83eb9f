using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>A keeper on a folder in memory; the gateway is what was applied last.</summary>
internal sealed class KeeperRig : IDisposable
{
    public const string Secrets = "/nowhere/secrets";

    public KeeperRig(IConfigFolder folder, string? configPath = null, string? secrets = null)
    {
        var store = new ConfigStore(folder);
        var source = new ConfigSource(configPath, new SecretStore(secrets ?? Secrets, null));
        var factory = store.LoadFactory();
        var state = Provisioning.TakeUp(store, source.Secrets, store.Load(), factory, () => Erased++);
        var start = source.ChooseAtStart(state, factory, Problems) ?? throw new InvalidOperationException(string.Join("; ", Problems));
        Running = start.Config;
        StartOrigin = start.Stored.Origin;
        Keeper = new ConfigKeeper(store, source, new ConfigStart(start, state, factory?.Hash), ApplyAsync, () => NotUp, Time, NullLogger.Instance);
        Keeper.OnReport(() => Reports.Add(Keeper.Report));
    }

    public FakeTimeProvider Time { get; } = new();

    public ConfigKeeper Keeper { get; }

    public List<ConfigProblem> Problems { get; } = [];

    public ConfigOrigin StartOrigin { get; }

    public GatewayConfig Running { get; private set; }

    public bool Held { get; private set; }

    public int Applied { get; private set; }

    /// <summary>How often the start discarded all that was buffered.</summary>
    public int Erased { get; private set; }

    public string? NotUp { get; set; } = "the broker is not connected";

    /// <summary>The gateway refuses to go over to a configuration with this channel.</summary>
    public string? Refuses { get; set; }

    public List<ConfigReport> Reports { get; } = [];

    public ConfigReport Report => Keeper.Report;

    public string Channels => string.Join(' ', Running.Channels.Select(c => c.Id));

    public Task OfferAsync(string payload) => Keeper.HandleAsync(Encoding.UTF8.GetBytes(payload));

    /// <summary>A message with one channel of this id.</summary>
    public static string Desired(string channel, string more = "") =>
        $$"""{"revision":"{{channel}}","config":{{Document.Of(Document.Channel(id: channel))}}{{more}}}""";

    public Task OfferChannelAsync(string channel, string more = "") => OfferAsync(Desired(channel, more));

    public async Task PassAsync(double seconds)
    {
        Time.Advance(TimeSpan.FromSeconds(seconds));
        await Keeper.LookAsync();
    }

    /// <summary>MQTT comes back, and stays.</summary>
    public async Task ConfirmAsync()
    {
        NotUp = null;
        await Keeper.LookAsync();
        await PassAsync(ConfigKeeper.SettleFor.TotalSeconds);
        NotUp = "the broker is not connected";
    }

    public void Dispose() => Keeper.Dispose();

    private Task ApplyAsync(GatewayConfig config, string? hash, bool holdDiscards, bool force)
    {
        if (!force && Refuses is { } id && config.Channels.Any(c => c.Id == id)) throw new ApplyException($"channel {id}: the port is taken");
        (Running, Held) = (config, holdDiscards);
        Applied++;
        return Task.CompletedTask;
    }
}
