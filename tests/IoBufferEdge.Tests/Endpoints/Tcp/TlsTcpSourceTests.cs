using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>A TCP source over TLS, in both roles, down to the stop that reads out the kernel.</summary>
public sealed class TlsTcpSourceTests : TcpSourceContract, IDisposable
{
    private readonly SocketNetwork _network = new(TimeProvider.System, NullLogger.Instance);
    private readonly TestCertificates _certificates = new();
    private readonly TlsNetwork _peers;

    public TlsTcpSourceTests()
    {
        var (cert, key) = _certificates.Issue("gateway");
        ServerTls = new TlsConfig { Enabled = true, Cert = cert, Key = key, Ca = _certificates.Authority };
        _peers = new TlsNetwork(_network, TlsContext.Load(ServerTls));
    }

    protected override INetwork SourceNetwork => _network;

    protected override INetwork PeerNetwork => _peers;

    protected override string SourceHost => "127.0.0.1";

    protected override string PeerHost => "127.0.0.1";

    protected override TimeProvider Time => TimeProvider.System;

    private TlsConfig ServerTls { get; }

    public void Dispose() => _certificates.Dispose();

    protected override Task RunAsync(Func<Task> body) => body().WaitAsync(TimeSpan.FromSeconds(60));

    protected override SourceConfig Server() => base.Server() with { Tls = ServerTls };

    [Fact]
    public Task A_client_that_speaks_no_tls_is_closed_and_counted() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server());
        using var peer = await _network.ConnectAsync("127.0.0.1", run.Source.Port, new TcpTuning(), default);
        await SendAllAsync(peer, Bytes("GET / HTTP/1.1\r\n\r\n"));
        try
        {
            await ReadToEndAsync(peer);
        }
        catch (IOException)
        {
            // A reset is an end, too.
        }

        while (run.Counter("failed_handshakes") == 0) await Task.Delay(TimeSpan.FromMilliseconds(2));
    });

    /// <summary>The network of the source's peers: what they connect and accept speaks TLS with a certificate of the same authority.</summary>
    private sealed class TlsNetwork(INetwork network, TlsContext tls) : INetwork
    {
        public async ValueTask<IConnection> ConnectAsync(string host, int port, TcpTuning tuning, CancellationToken cancel)
        {
            var plain = await network.ConnectAsync(host, port, tuning, cancel);
            try
            {
                return await TlsConnection.ClientAsync(plain, tls, host, cancel);
            }
            catch (EndpointException)
            {
                // Refused at once: whatever is read from it now shows that.
                return plain;
            }
        }

        public IListener Listen(string host, int port, TcpTuning tuning) => new TlsListener(network.Listen(host, port, tuning), tls);

        public ValueTask<IDatagramSocket> OpenDatagramAsync(
            string? bind, int port, System.Net.DnsEndPoint? remote, int receiveBufferBytes, CancellationToken cancel) =>
            network.OpenDatagramAsync(bind, port, remote, receiveBufferBytes, cancel);
    }

    private sealed class TlsListener(IListener inner, TlsContext tls) : IListener
    {
        public int Port => inner.Port;

        public async ValueTask<IConnection> AcceptAsync(CancellationToken cancel) =>
            await TlsConnection.ServerAsync(await inner.AcceptAsync(cancel), tls, cancel);

        public void Dispose() => inner.Dispose();
    }
}
