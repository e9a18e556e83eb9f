using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Simulation;
using Microsoft.Extensions.Logging.Abstractions;
using static IoBufferEdge.Tests.Endpoints.Remote.TestBatch;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>The channel's side: found in the hub while it lives, and what its status says.</summary>
public sealed class RemoteSourceTests
{
    private static readonly ChannelConfig Channel = new()
    {
        Id = "in",
        Source = new SourceConfig
        {
            Type = EndpointType.RemoteIcombuffer, Instance = "here/in", MaxMessageBytes = 1000, Auth = new AuthConfig { Username = "relay" },
        },
        Destination = new DestinationConfig { Type = EndpointType.Udp, Host = "127.0.0.1", Port = 9 },
    };

    private readonly Scheduler _scheduler = new(1);
    private readonly RemoteHub _hub = new();

    [Fact]
    public async Task Where_nobody_listens_it_cannot_be_opened()
    {
        await using var source = EndpointFactory.CreateSource(Channel, Context(null));
        var error = await Assert.ThrowsAsync<EndpointException>(async () => await source.OpenAsync());
        Assert.StartsWith("http.listen is not configured", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void It_is_in_the_hub_while_it_lives_and_serves_while_it_runs() => Run(async () =>
    {
        var source = EndpointFactory.CreateSource(Channel, Context(_hub));
        Assert.Null(_hub.Find("in"));
        await source.OpenAsync();
        var intake = _hub.Find("in")!;
        Assert.Equal(("relay", 1000), (intake.Auth?.Username, intake.MaxMessageBytes));
        Assert.True(intake.MaxBatchBytes >= RemoteBatch.OrdinaryBytesMax + 1000);
        Assert.Equal(503, (await intake.TakeBatchAsync(Of(LifeA, MessageIdentity.None, 1), default)).Status);

        using var stop = new CancellationTokenSource();
        var sink = new MemorySink(Time) { SecuresAtOnce = false };
        var running = source.RunAsync(sink, stop.Token);
        var taken = intake.TakeBatchAsync(Of(LifeA, MessageIdentity.None, 1), default).AsTask();
        stop.Cancel();
        await _scheduler.World.Delay(TimeSpan.FromSeconds(1));
        Assert.False(running.IsCompleted, "A request is under way.");
        sink.Secure(1);
        Assert.Equal(200, (await taken).Status);
        await running;
        Assert.Equal(EndpointState.Closed, source.Status.State);

        // Another one has taken its place: its end must not close that.
        await using var next = EndpointFactory.CreateSource(Channel, Context(_hub));
        await next.OpenAsync();
        await source.DisposeAsync();
        Assert.NotNull(_hub.Find("in"));
        await next.DisposeAsync();
        Assert.Null(_hub.Find("in"));
    });

    [Fact]
    public void Its_status_names_who_was_heard_of_lately() => Run(async () =>
    {
        await using var source = new RemoteSource(Channel, Context(_hub));
        Assert.Equal(EndpointState.Closed, source.Status.State);
        await source.OpenAsync();
        using var stop = new CancellationTokenSource();
        var running = source.RunAsync(new MemorySink(Time), stop.Token);
        var intake = _hub.Find("in")!;
        Assert.Equal((EndpointState.Waiting, 0, null), (source.Status.State, source.Status.Connections, source.Status.Detail));

        await intake.TakeBatchAsync(Of(LifeA, MessageIdentity.None, 1), default);
        await _scheduler.World.Delay(TimeSpan.FromSeconds(20));
        await intake.MarksOfAsync("other/line", default);
        Assert.Equal((EndpointState.Connected, 2, $"{TestBatch.Sender}, other/line"), (source.Status.State, source.Status.Connections, source.Status.Detail));
        Assert.Contains(new("batches", 1), source.Status.Counters);
        await _scheduler.World.Delay(TimeSpan.FromSeconds(11));
        Assert.Equal("other/line", source.Status.Detail);
        await _scheduler.World.Delay(TimeSpan.FromSeconds(31));
        await intake.TakeBatchAsync(From("here/in", LifeA, MessageIdentity.None, 1), default);
        Assert.Equal(EndpointState.Waiting, source.Status.State);
        Assert.Contains("itself", source.Status.Detail, StringComparison.Ordinal);
        stop.Cancel();
        await running;
    });

    private TimeProvider Time => _scheduler.World.Time;

    private void Run(Func<Task> body) => _scheduler.Run(body, TimeSpan.FromMinutes(5));

    private EndpointContext Context(RemoteHub? hub) =>
        new(new SocketNetwork(Time, NullLogger.Instance), new MemoryBudget(1 << 20), Time, new Random(1), NullLogger.Instance) { Hub = hub };
}
