using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>A TCP destination over TLS: what is confirmed is the ciphertext that carried it, and only close_notify is an orderly end.</summary>
public sealed class TlsDestinationTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly SocketNetwork _network = new(TimeProvider.System, NullLogger.Instance);
    private readonly TestCertificates _certificates = new();
    private readonly TlsConfig _tls;

    public TlsDestinationTests()
    {
        var (cert, key) = _certificates.Issue("gateway");
        _tls = new TlsConfig { Enabled = true, Cert = cert, Key = key, Ca = _certificates.Authority };
    }

    public void Dispose() => _certificates.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Messages_are_confirmed_and_the_end_is_orderly_with_close_notify_only(bool closesInOrder)
    {
        using var listener = _network.Listen("127.0.0.1", 0, new TcpTuning());
        await using var destination = new TcpDestination(
            new ChannelConfig
            {
                Id = "channel-001",
                Source = new SourceConfig { Type = EndpointType.TcpServer },
                Destination = new DestinationConfig { Type = EndpointType.TcpClient, Host = "127.0.0.1", Port = listener.Port, Tls = _tls },
            },
            new EndpointContext(_network, new MemoryBudget(1 << 20), TimeProvider.System, new Random(1), NullLogger.Instance));
        await destination.OpenAsync();
        var connecting = destination.ConnectAsync(default);
        var inner = await listener.AcceptAsync(default);
        using var peer = new Peer(await TlsConnection.ServerAsync(inner, TlsContext.Load(_tls), default));
        await using var link = await connecting;
        var sink = new RecordingSink();
        var watch = link.WatchAsync(sink, default);

        await link.SendAsync(Messages.Numbered(1, 100, 1000), default);
        await link.SendAsync(Messages.Numbered(101, 3, 10), default);
        Assert.Equal(Messages.Payload(1, 1000), (await peer.ReadAsync(100_030).WaitAsync(Patience))[..1000]);
        await sink.ConfirmedAsync(103).WaitAsync(Patience);

        if (closesInOrder) peer.Connection.ShutdownSend();
        else inner.ShutdownSend();
        var end = await watch.WaitAsync(Patience);
        Assert.True(end.Orderly == closesInOrder, end.Reason);
    }
}
