using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// The real way to another instance: HTTP/2 over TLS where the other side speaks it, else HTTP/1.1; over clear text HTTP/1.1. No proxy, no
/// cookies; a redirect is an answer like any other. Connections are made as all others of the gateway are, 10 s each; how long an answer may
/// take is the caller's. Answers are read up to 64 KiB.
/// </summary>
public sealed class HttpRemoteTransport : IRemoteTransport
{
    /// <summary>As many as a link has requests under way, and one that asks for marks.</summary>
    private const int ConnectionsMax = RemoteLink.Window + 1;

    private const int AnswerBytesMax = 64 * 1024;
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(10);

    private readonly DestinationConfig _config;
    private readonly TimeProvider _time;
    private readonly TlsContext? _tls;
    private readonly AccountHeader? _account;
    private readonly Uri _channel;
    private readonly HttpClient _client;
    private volatile bool _hasAnswered;

    /// <exception cref="EndpointException">The TLS files cannot be used, or there is no password.</exception>
    public HttpRemoteTransport(ChannelConfig channel, SecretStore secrets, TimeProvider time, ILogger log)
    {
        (_config, _time) = (channel.Destination, time);
        _channel = new Uri($"{_config.Url!.TrimEnd('/')}/v1/channels/{_config.ChannelId}/");
        if (_channel.Scheme == Uri.UriSchemeHttps) _tls = TlsContext.Load(_config.Tls, log);
        _account = _config.Auth is { } auth ? new AccountHeader(auth, secrets) : null;
        _client = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            MaxConnectionsPerServer = ConnectionsMax,
            MaxResponseHeadersLength = AnswerBytesMax / 1024,
            ConnectTimeout = Timeout.InfiniteTimeSpan,
            ActivityHeadersPropagator = null,
            ConnectCallback = ConnectAsync,
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    public async ValueTask<RemoteReply> AskMarksAsync(string sender, CancellationToken cancel)
    {
        using var request = NewRequest(HttpMethod.Get, $"marks?sender={Uri.EscapeDataString(sender)}");
        return await AskAsync(request, cancel);
    }

    public async ValueTask<RemoteReply> SendAsync(IReadOnlyList<ReadOnlyMemory<byte>> parts, CancellationToken cancel)
    {
        using var compressed = CompressedParts.Create(parts, _config.Compression);
        using var request = NewRequest(HttpMethod.Post, "messages");
        var content = new PartsContent(compressed?.Parts ?? parts);
        request.Content = content;
        request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse("application/vnd.iobuffer.batch;version=1");
        if (compressed is not null) request.Content.Headers.ContentEncoding.Add(_config.Compression == Compression.Gzip ? "gzip" : "zstd");
        try
        {
            return await AskAsync(request, cancel);
        }
        finally
        {
            await content.EndAsync();
        }
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }

    private HttpRequestMessage NewRequest(HttpMethod method, string path)
    {
        var request = new HttpRequestMessage(method, new Uri(_channel, path))
        {
            Version = _tls is null ? HttpVersion.Version11 : HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
        };
        request.Headers.Authorization = _account?.Current();
        return request;
    }

    private async ValueTask<RemoteReply> AskAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        try
        {
            using var response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel);
            _hasAnswered = true;
            var (body, length) = await ReadAsync(response, cancel);
            try
            {
                return RemoteReplyJson.Parse((int)response.StatusCode, body.AsSpan(0, length), RetryAfter(response), _config.Url!);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(body);
            }
        }
        catch (HttpRequestException e) when (e.Find<EndpointException>() is { } inner)
        {
            throw new EndpointException(inner.Message, e);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or SocketException)
        {
            throw new EndpointException($"{_config.Url}: {Reason(e)}.", e);
        }
    }

    /// <summary>The body of an answer, in an array of the pool.</summary>
    private async ValueTask<(byte[] Body, int Length)> ReadAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        var body = ArrayPool<byte>.Shared.Rent(AnswerBytesMax + 1);
        try
        {
            var length = 0;
            await using var stream = await response.Content.ReadAsStreamAsync(cancel);
            while (await stream.ReadAsync(body.AsMemory(length), cancel) is > 0 and var read)
            {
                length += read;
                if (length > AnswerBytesMax)
                    throw new EndpointException($"{_config.Url} answers with more than {AnswerBytesMax} bytes: this is no other instance; correct url.");
            }

            return (body, length);
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(body);
            throw;
        }
    }

    private TimeSpan? RetryAfter(HttpResponseMessage response) => response.Headers.RetryAfter switch
    {
        { Delta: { } delta } => delta,
        { Date: { } date } => date - _time.GetUtcNow(),
        _ => null,
    };

    // ---- connecting

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancel)
    {
        using var late = new CancellationTokenSource(ConnectLimit, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, late.Token);
        var (host, port) = (context.DnsEndPoint.Host.Trim('[', ']'), context.DnsEndPoint.Port);
        try
        {
            var (socket, _) = await SocketNetwork.DialAsync(host, port, new TcpTuning(_config.Bind), _time, either.Token);
            var stream = new NetworkStream(socket, ownsSocket: true);
            // Not SocketsHttpHandler's own TLS: it would keep the files of its first connection.
            return _tls is null ? stream : await _tls.SecureAsync(stream, host, [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11], either.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new EndpointException($"Cannot connect to {host}:{port}: no answer within {ConnectLimit.TotalSeconds} s.");
        }
    }

    private string Reason(Exception e)
    {
        if (_tls is not null && !_hasAnswered && IsEndedWithoutAnswer(e))
            return $"TLS with {_channel.Host} works, but the server ends the connection without an answer: " +
                "it may ask for a client certificate (tls.cert, tls.key)";
        if (e.Find<SocketException>() is { } socket) return SocketErrors.Describe(socket);
        if (e is HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse }
            or HttpIOException { HttpRequestError: HttpRequestError.InvalidResponse })
            return "the answer is no HTTP: another program is on this port, or url needs https";
        if (e.Find<HttpIOException>() is not null || e.Find<IOException>() is not null) return "the connection broke off before the answer was complete";
        return TlsConnection.Reason(e);
    }

    /// <summary>
    /// With TLS 1.3 a server that refuses the client's certificate, or misses it, says so after the handshake, by an end. HTTP/2 reports that as
    /// an invalid response with a cause; an invalid one without is text that is no HTTP.
    /// </summary>
    private static bool IsEndedWithoutAnswer(Exception e) => e is HttpRequestException request && request.HttpRequestError switch
    {
        HttpRequestError.InvalidResponse => request.InnerException is not null,
        HttpRequestError.ConfigurationLimitExceeded => false,
        _ => true,
    };
}
