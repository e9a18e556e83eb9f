using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>
/// What a TCP destination promises, over any network: run against real sockets here, and against the simulation's network beside it.
/// The other side of every connection is played through the same seam.
/// </summary>
public abstract class DestinationContract
{
    /// <summary>The network as the gateway sees it.</summary>
    protected abstract INetwork Network { get; }

    /// <summary>The network as the peer sees it, and the name that the gateway finds it under; and the other way round.</summary>
    protected abstract INetwork PeerNetwork { get; }

    protected abstract string PeerHost { get; }

    protected abstract string GatewayHost { get; }

    protected abstract TimeProvider Time { get; }

    /// <summary>Runs a test to its end; a test that hangs fails.</summary>
    protected abstract Task PlayAsync(Func<Task> story);

    [Fact]
    public Task Messages_arrive_in_order_and_are_confirmed() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 100, 50), default);
        await stage.Link.SendAsync(Messages.Numbered(101, 3, 70_000), default);
        Assert.Equal(Expected(1, 100, 50), await stage.Peer.ReadAsync(100 * 50));
        Assert.Equal(Expected(101, 3, 70_000), await stage.Peer.ReadAsync(3 * 70_000));
        await stage.Sink.ConfirmedAsync(103);
    });

    [Fact]
    public Task A_peer_that_has_read_everything_and_closes_ends_in_order() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(1000);
        await stage.Sink.ConfirmedAsync(10);
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.True(end.Orderly, end.Reason);
    });

    [Fact]
    public Task A_peer_that_closes_with_unread_bytes_ends_out_of_order() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        await stage.Peer.ReadAsync(100);
        await stage.Sink.ConfirmedAsync(10);
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.False(end.Orderly);
        Assert.Equal(0, end.RepeatFrom);
        await Assert.ThrowsAsync<IOException>(async () => await stage.Link.SendAsync(Messages.Numbered(11, 1, 1), default));
    });

    [Fact]
    public Task What_waits_in_the_send_queue_is_not_confirmed() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync(receiveBufferBytes: 256 * 1024);
        stage.Sink.WindowLimitBytes = 64 << 20;
        var sending = stage.Link.SendAsync(Messages.Numbered(1, 2000, 1000), default);
        await stage.Peer.ReadAsync(1000);
        await Task.Delay(TimeSpan.FromMilliseconds(300), Time);
        Assert.InRange(stage.Sink.ConfirmedUpTo, 1, 1900);
        await stage.Peer.ReadAsync(1_999_000);
        await sending;
        await stage.Sink.ConfirmedAsync(2000);
    });

    [Fact]
    public Task A_stop_waits_for_the_peers_end_and_confirms_meanwhile() => PlayAsync(async () =>
    {
        await using var stage = await ConnectAsync();
        await stage.Link.SendAsync(Messages.Numbered(1, 10, 100), default);
        stage.Stop();
        Assert.Equal(1000, (await stage.Peer.ReadToEndAsync()).Length);
        stage.Peer.Dispose();
        var end = await stage.Watch;
        Assert.True(end.Orderly, end.Reason);
        Assert.Equal(10, stage.Sink.ConfirmedUpTo);
    });

    private protected static byte[] Expected(long firstSequence, int count, int bytes) =>
        [.. Enumerable.Range(0, count).SelectMany(i => Messages.Payload(firstSequence + i, bytes))];

    private protected EndpointContext Context() =>
        new(Network, new MemoryBudget(1 << 20), Time, new Random(1), NullLogger.Instance);

    private protected static ChannelConfig Channel(DestinationConfig destination) => new()
    {
        Id = "channel-001",
        Source = new SourceConfig { Type = EndpointType.TcpServer },
        Destination = destination,
    };

    /// <summary>A destination with a link to a peer, watched.</summary>
    private protected async Task<Stage> ConnectAsync(Func<DestinationConfig, DestinationConfig>? adapt = null, int receiveBufferBytes = 0)
    {
        var listener = PeerNetwork.Listen(PeerHost, 0, new TcpTuning(ReceiveBufferBytes: receiveBufferBytes));
        var config = new DestinationConfig { Type = EndpointType.TcpClient, Host = PeerHost, Port = listener.Port };
        var destination = new TcpDestination(Channel(adapt?.Invoke(config) ?? config), Context());
        await destination.OpenAsync();
        var accepting = listener.AcceptAsync(default);
        var link = await destination.ConnectAsync(default);
        return new Stage(destination, link, new Peer(await accepting), listener);
    }

    /// <summary>A link in the middle of a test.</summary>
    private protected sealed class Stage : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly IDestination _destination;
        private readonly IDisposable _listener;

        public Stage(IDestination destination, IDestinationLink link, Peer peer, IDisposable listener)
        {
            (_destination, Link, Peer, _listener) = (destination, link, peer, listener);
            Watch = link.WatchAsync(Sink, _stop.Token);
        }

        public IDestinationLink Link { get; }

        public Peer Peer { get; }

        public RecordingSink Sink { get; } = new();

        public Task<LinkEnd> Watch { get; }

        public void Stop() => _stop.Cancel();

        public async ValueTask DisposeAsync()
        {
            await Link.DisposeAsync();
            await Watch;
            await _destination.DisposeAsync();
            Peer.Dispose();
            _listener.Dispose();
            _stop.Dispose();
        }
    }
}
