using System.Net;
using System.Net.Security;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Daemon;

/// <summary>
/// Where other instances send to: <c>http.listen</c>, while a channel has a remote source; HTTP/1.1, with TLS also HTTP/2. This class listens;
/// <see cref="RemoteRequests"/> answers. All limits are set for a managed heap of 32 MB: a client that sends much before it is known fills no more than
/// one small buffer. An address that cannot be bound is an error in the log and does not keep messages from flowing.
/// </summary>
internal sealed class RemoteServer(RemoteHub hub, TimeProvider time, ILogger log) : IAsyncDisposable
{
    private const int MaxConnections = 100, StreamsPerConnection = 32;
    private const int HeaderBytes = 16 * 1024, BufferBytes = 32 * 1024, Http2ConnectionBytes = 128 * 1024, Http2StreamBytes = 96 * 1024;
    private static readonly TimeSpan HeadersTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(3);

    /// <summary>A sender that is idle asks for its marks every ten seconds.</summary>
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(130);

    private readonly RemoteRequests _requests = new(hub, time, log);
    private WebApplication? _server;
    private HttpConfig? _http;

    public MinDataRate BodyRate { get; init; } = new(bytesPerSecond: 1024, gracePeriod: TimeSpan.FromSeconds(5));

    /// <summary>Where it listens, as a URL; null: nowhere.</summary>
    public string? Url => _server?.Urls.FirstOrDefault();

    /// <summary>What bodies of requests take of memory.</summary>
    public long BodyBytes => _requests.Memory.UsedBytes;

    /// <summary>Goes over to what a configuration asks for.</summary>
    public async Task ListenAsync(GatewayConfig config)
    {
        var remote = config.Channels.Where(c => c is { Enabled: true, Source.Type: EndpointType.RemoteIcombuffer }).Select(c => c.Id).ToHashSet();
        _requests.Channels = remote;
        var http = remote.Count > 0 && config.Http is { Listen: not null } ? config.Http with { MetricsListen = null } : null;
        if (http == _http) return;
        await StopAsync();
        if (http is null) return;
        try
        {
            var server = NewServer(IPEndPoint.Parse(http.Listen!.Replace("localhost", "127.0.0.1", StringComparison.Ordinal)), http.Tls);
            _server = server;
            await server.StartAsync();
            _http = http;
            Log.RemoteListening(log, Url!);
        }
        catch (Exception e) when (e is IOException or EndpointException)
        {
            await StopAsync();
            Log.RemoteNotListening(log, http.Listen!, e.Message);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _requests.Dispose();
    }

    private async Task StopAsync()
    {
        if (_server is { } server)
        {
            await server.StopAsync();
            await server.DisposeAsync();
        }

        (_server, _http) = (null, null);
    }

    private WebApplication NewServer(IPEndPoint address, TlsConfig tls)
    {
        var context = tls.Enabled ? TlsContext.Load(tls, log) : null;
        var gate = new ConnectionGate(MaxConnections);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = EndTimeout);
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().UseSockets(LimitSockets).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            Limit(kestrel.Limits);
            kestrel.Listen(address, listen =>
            {
                listen.Protocols = context is null ? HttpProtocols.Http1 : HttpProtocols.Http1AndHttp2;
                listen.Use(next => connection => gate.RunAsync(connection, next));
                if (context is not null) listen.UseHttps(Handshakes(context));
            });
        });
        var app = builder.Build();
        app.Run(request => _requests.AnswerAsync(request, gate));
        return app;
    }

    /// <summary>What a socket may have read ahead has a limit of its own, 1 MB where nothing is said: thirty strangers would fill the heap.</summary>
    internal static void LimitSockets(SocketTransportOptions sockets)
    {
        sockets.MaxReadBufferSize = BufferBytes;
        sockets.MaxWriteBufferSize = BufferBytes;
    }

    private void Limit(KestrelServerLimits limits)
    {
        limits.RequestHeadersTimeout = HeadersTimeout;
        limits.KeepAliveTimeout = KeepAlive;
        limits.MinRequestBodyDataRate = BodyRate;
        limits.MaxRequestHeadersTotalSize = HeaderBytes;
        limits.MaxRequestBufferSize = BufferBytes;

        // Each channel has its own limit.
        limits.MaxRequestBodySize = null;
        limits.Http2.MaxStreamsPerConnection = StreamsPerConnection;
        limits.Http2.MaxRequestHeaderFieldSize = HeaderBytes;
        limits.Http2.InitialConnectionWindowSize = Http2ConnectionBytes;
        limits.Http2.InitialStreamWindowSize = Http2StreamBytes;
    }

    /// <summary>The files are looked at again at each handshake.</summary>
    private static TlsHandshakeCallbackOptions Handshakes(TlsContext tls) => new()
    {
        HandshakeTimeout = HeadersTimeout,
        OnConnection = _ => ValueTask.FromResult(tls.ServerOptions(SslApplicationProtocol.Http2, SslApplicationProtocol.Http11)),
    };
}
