using System.Text.Json;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Commands;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Support;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>A link and its broker in virtual time, and a status that the test writes.</summary>
internal sealed class LinkRig : IDisposable
{
    public const string Root = "iobuffer/v1/gw-0017/";

    private readonly Scheduler _scheduler = new(1);

    public LinkRig()
    {
        Broker = new TwinBroker(_scheduler.World);
        Link = new MqttLink(
            Broker,
            new MqttDuties(
                () => Status with { TakenAt = _scheduler.World.Time.GetUtcNow() },
                payload =>
                {
                    Offered.Add(System.Text.Encoding.UTF8.GetString(payload.Span));
                    return Task.CompletedTask;
                },
                async (type, id, _, retained, overTls) =>
                {
                    Commands.Add($"{type} {id}{(retained ? " retained" : "")}{(overTls ? " over TLS" : "")}");
                    await _scheduler.World.Delay(TimeSpan.FromMilliseconds(10));
                    return Result(type, id);
                },
                () => Reported),
            new DeviceReadings("/nowhere"), _scheduler.World.Time, _scheduler.Derive("link"), Log);
    }

    public TwinBroker Broker { get; }

    public MqttLink Link { get; }

    public LogLines Log { get; } = new();

    public GatewayStatus Status { get; set; } = Snapshots.Gateway(Snapshots.Channel());

    public byte[]? Reported { get; set; }

    public List<string> Offered { get; } = [];

    public List<string> Commands { get; } = [];

    public static MqttTarget Target(HomeAssistantConfig? home = null, string host = "broker") =>
        new("gw-0017", new MqttConfig { Host = host, HomeAssistant = home });

    /// <summary>
    /// Everything that a test does is a step of the simulation; the link is stopped at its end. Whatever it published kept to the schemas.
    /// </summary>
    public void Run(Func<Task> test)
    {
        _scheduler.Run(async () =>
        {
            var running = Link.RunAsync();
            await test();
            Link.Stop();
            await running;
        }, TimeSpan.FromHours(3));
        Assert.Empty(Broker.Violations);
    }

    public Task Pass(double seconds) => _scheduler.World.Delay(TimeSpan.FromSeconds(seconds));

    public void Change(Func<ChannelStatus, ChannelStatus> change) => Status = Status with { Channels = [.. Status.Channels.Select(change)] };

    public int Count(string topic) => Broker.Published.Count(m => m.Topic == Root + topic);

    private byte[] Result(string type, string id) => JsonSerializer.SerializeToUtf8Bytes(
        new CommandResult(id, type, CommandStatus.Done, "Done.", _scheduler.World.Time.GetUtcNow(), Status.BootId), CommandJson.Default.CommandResult);

    public void Dispose() => Link.Dispose();
}
