using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>What the contract's tests play on.</summary>
public abstract partial class DestinationContract
{
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

    /// <summary>The same with the destination as the server.</summary>
    private protected async Task<Stage> ServeAsync(Func<DestinationConfig, DestinationConfig>? adapt = null)
    {
        var config = new DestinationConfig { Type = EndpointType.TcpServer, Host = GatewayHost };
        var destination = new TcpDestination(Channel(adapt?.Invoke(config) ?? config), Context());
        await destination.OpenAsync();
        var connecting = destination.ConnectAsync(default);
        var peer = new Peer(await PeerNetwork.ConnectAsync(GatewayHost, destination.Port, new TcpTuning(), default));
        return new Stage(destination, await connecting, peer, listener: null);
    }

    /// <summary>A link in the middle of a test.</summary>
    private protected sealed class Stage : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly IDisposable? _listener;

        public Stage(TcpDestination destination, IDestinationLink link, Peer peer, IDisposable? listener)
        {
            (Destination, Link, Peer, _listener) = (destination, link, peer, listener);
            Watch = link.WatchAsync(Sink, _stop.Token);
        }

        public TcpDestination Destination { get; }

        public int Port => Destination.Port;

        public IDestinationLink Link { get; }

        public Peer Peer { get; }

        public RecordingSink Sink { get; } = new();

        public Task<LinkEnd> Watch { get; }

        public void Stop() => _stop.Cancel();

        public async ValueTask DisposeAsync()
        {
            await Link.DisposeAsync();
            await Watch;
            await Destination.DisposeAsync();
            Peer.Dispose();
            _listener?.Dispose();
            _stop.Dispose();
        }
    }
}
