using System.Net;
using IoBufferEdge.Control;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Daemon;

/// <summary>
/// <c>/metrics</c> and <c>/healthz</c> over HTTP, while <c>http.metrics_listen</c> is configured; without it nothing of the web server is
/// started. None of the web framework's defaults: no configuration files, no file watchers, no logging of its own. An address that
/// cannot be bound is an error in the log and does not keep messages from flowing.
/// </summary>
internal sealed class MetricsServer(Func<GatewayStatus> status, Func<HealthReport> health, ILogger log) : IAsyncDisposable
{
    private const int MaxConnections = 100;
    private static readonly TimeSpan HeadersTimeout = TimeSpan.FromSeconds(10);

    private WebApplication? _server;
    private string? _listen;

    /// <summary>Goes over to another address; null: none.</summary>
    public async Task ListenAsync(string? listen)
    {
        if (listen == _listen) return;
        await DisposeAsync();
        if (listen is null) return;
        try
        {
            _server = NewServer(IPEndPoint.Parse(listen.Replace("localhost", "127.0.0.1")));
            await _server.StartAsync();
            _listen = listen;
            Log.MetricsListening(log, listen);
        }
        catch (IOException e)
        {
            await DisposeAsync();
            Log.MetricsNotListening(log, listen, e.Message);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        (_server, _listen) = (null, null);
    }

    private WebApplication NewServer(IPEndPoint address)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.UseKestrelCore().UseSockets(RemoteServer.LimitSockets).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxConcurrentConnections = MaxConnections;
            kestrel.Limits.RequestHeadersTimeout = HeadersTimeout;
            kestrel.Limits.MaxRequestBodySize = 0;
            kestrel.Listen(address);
        });
        var app = builder.Build();
        app.Run(AnswerAsync);
        return app;
    }

    private Task AnswerAsync(HttpContext context)
    {
        var response = context.Response;
        switch (context.Request.Path.Value)
        {
            case "/metrics":
                response.ContentType = StatusMetrics.ContentType;
                return response.WriteAsync(StatusMetrics.Render(status()));
            case "/healthz":
                var report = health();
                response.StatusCode = report.IsHealthy ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
                response.ContentType = "text/plain; charset=utf-8";
                return response.WriteAsync($"{report}\n");
            default:
                response.StatusCode = StatusCodes.Status404NotFound;
                return Task.CompletedTask;
        }
    }
}
