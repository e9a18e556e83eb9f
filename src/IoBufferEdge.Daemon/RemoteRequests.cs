using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json;
using IoBufferEdge.Endpoints.Remote;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Net.Http.Headers;

namespace IoBufferEdge.Daemon;

/// <summary>
/// Answers requests of other instances (paths and bodies: README.md of Endpoints/Remote). First who asks is judged, then what; a body is read when there is
/// room for it, into native memory. A body without compression needs a Content-Length (411), so that its room is known; a compressed one takes the room
/// that it may need at most, and is refused (413) when that does not do. Every refusal is JSON with one sentence.
/// </summary>
internal sealed class RemoteRequests(RemoteHub hub, TimeProvider time, ILogger log) : IDisposable
{
    public const string KeyHeader = "Idempotency-Key";

    private const long MemoryBytes = 8 << 20;
    private const int RequestsPerChannel = 32;

    /// <summary>A disk that stalls must not collect requests.</summary>
    private static readonly TimeSpan LongestRequest = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan MemoryPatience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LogAgain = TimeSpan.FromHours(1);

    private readonly RemoteAccess _access = new(time);
    private readonly ConcurrentDictionary<(string Channel, int Status), long> _logged = new();
    private readonly ConcurrentDictionary<string, int> _running = new(StringComparer.Ordinal);

    private enum Kind
    {
        Marks,
        Batch,
        One,
    }

    /// <summary>The channels that are configured, running or not.</summary>
    public IReadOnlySet<string> Channels { get; set; } = new HashSet<string>(StringComparer.Ordinal);

    /// <summary>The room for bodies.</summary>
    public BodyMemory Memory { get; init; } = new(MemoryBytes, MemoryPatience, time);

    public void Dispose() => _access.Dispose();

    public async Task AnswerAsync(HttpContext context, ConnectionGate gate)
    {
        var (channelId, kind) = ("", Kind.One);
        using var timeout = new CancellationTokenSource(LongestRequest, time);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, context.RequestAborted);
        RemoteReply reply;
        try
        {
            if (!TryFind(context.Request.Path.Value, out channelId, out kind))
                reply = Refuse(404, "not_found", "There is nothing here: the paths are /v1/channels/CHANNEL/messages and /v1/channels/CHANNEL/marks.");
            else
                (reply, kind) = await JudgeAsync(context, gate, channelId, kind, cancel.Token);
        }
        catch (BadHttpRequestException e)
        {
            reply = e.StatusCode switch
            {
                408 => Refuse(408, "slow", "The body came too slowly."),
                413 => Refuse(413, "too_large", "The body is too large."),
                _ => Refuse(400, "cut", "The body ended before its Content-Length."),
            };
        }
        catch (InvalidDataException)
        {
            reply = Refuse(400, "encoding", "The body is not what its Content-Encoding says.");
        }
        catch (OperationCanceledException)
        {
            reply = Later("stopping", "This took too long, or the channel stops. Send it again: what is here already is recognised.", Soon);
        }
        catch (IOException)
        {
            // The client has gone.
            return;
        }
        catch (Exception e)
        {
            if (IsNews(channelId, 500)) Log.RemoteBroke(log, channelId, e);
            reply = Refuse(500, "fault", "The request broke by a fault of this gateway; its log says more.");
        }

        if (!reply.IsTaken && reply.Status != 500 && IsNews(channelId, reply.Status))
            Log.RemoteRefused(log, channelId.Length > 0 ? channelId : "(none)", context.Connection.RemoteIpAddress, reply.Status, reply.Error);
        if (!context.RequestAborted.IsCancellationRequested) await WriteAsync(context.Response, reply, kind);
    }

    private async ValueTask<(RemoteReply Reply, Kind Kind)> JudgeAsync(
        HttpContext context, ConnectionGate gate, string channelId, Kind kind, CancellationToken cancel)
    {
        var method = kind == Kind.Marks ? "GET" : "POST";
        if (context.Request.Method != method)
        {
            context.Response.Headers.Allow = method;
            return (Refuse(405, "method", $"{context.Request.Method} is not possible here: use {method}."), kind);
        }

        if (hub.Find(channelId) is not { } intake)
        {
            return (Channels.Contains(channelId)
                ? Later("stopping", "The channel is not running at the moment.", Soon)
                : Refuse(404, "not_found", $"There is no channel {Quote(channelId)} with a remote source here."), kind);
        }

        if (await RefusalAsync(context, channelId, intake, cancel) is { } refusal) return (refusal, kind);
        gate.LetIn(context);
        if (_running.AddOrUpdate(channelId, 1, (_, running) => running + 1) > RequestsPerChannel)
        {
            Done(channelId);
            return (Later("busy", $"This channel answers {RequestsPerChannel} requests at once already.", Soon), kind);
        }

        try
        {
            if (kind == Kind.Marks) return (await intake.MarksOfAsync(context.Request.Query["sender"].ToString(), cancel), kind);
            if (IsBatch(context.Request.ContentType, out var known)) kind = Kind.Batch;
            return (known
                ? await TakeAsync(context, channelId, intake, kind, cancel)
                : Refuse(415, "version", $"This version of {RemoteBatch.ContentType} is not known: version=1 is."), kind);
        }
        finally
        {
            Done(channelId);
        }
    }

    /// <summary>Null: who asks may go on.</summary>
    private async ValueTask<RemoteReply?> RefusalAsync(HttpContext context, string channelId, RemoteIntake intake, CancellationToken cancel)
    {
        if (intake.Auth is not { } auth) return null;
        var peer = context.Connection.RemoteIpAddress ?? IPAddress.None;
        var verdict = await _access.JudgeAsync(channelId, auth, peer, context.Request.Headers.Authorization, cancel);
        switch (verdict.Access)
        {
            case Access.Granted:
                return null;
            case Access.TooManyFailures:
                return Refuse(429, "password", "Too many wrong passwords came from this address.") with { RetryAfter = verdict.RetryAfter };
            case Access.Busy:
                return Later("busy", "Too many passwords are being checked.", verdict.RetryAfter);
            default:
                context.Response.Headers.WWWAuthenticate = "Basic realm=\"iobuffer\", charset=\"UTF-8\"";
                return Refuse(401, "password", "User name or password are missing or wrong.");
        }
    }

    private async ValueTask<RemoteReply> TakeAsync(HttpContext context, string channelId, RemoteIntake intake, Kind kind, CancellationToken cancel)
    {
        var request = context.Request;
        var key = request.Headers[KeyHeader].ToString();
        if (kind == Kind.One && (key.Length is 0 or > RemoteIntake.KeyCharsMax || key.Any(c => c is < '!' or > '~')))
            return Refuse(400, "key", $"The header {KeyHeader} must name this message in 1 to {RemoteIntake.KeyCharsMax} ASCII characters, none a space.");
        var encoding = request.Headers.ContentEncoding.ToString();
        if (!BodyReader.Knows(encoding)) return Refuse(415, "encoding", $"The Content-Encoding {Quote(encoding)} is not known: gzip and zstd are.");
        var maxBytes = kind == Kind.Batch ? intake.MaxBatchBytes : intake.MaxMessageBytes;
        if (BodyReader.RoomFor(encoding, request.ContentLength, maxBytes) is not { } room)
        {
            return request.ContentLength is null
                ? Refuse(411, "length", "The Content-Length is missing.")
                : Refuse(413, "too_large", $"The body may have {maxBytes} bytes.");
        }

        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = BodyReader.WireMax(maxBytes);
        using var body = await Memory.TakeAsync(channelId, room, cancel);
        if (body is null) return Later("no_room", "There is no memory for the body at the moment.", Soon);
        if (await BodyReader.ReadAsync(request, encoding, body, maxBytes, cancel) is not { } bytes)
            return Refuse(413, "too_large", $"The body may have {maxBytes} bytes uncompressed.");
        return kind == Kind.Batch ? await intake.TakeBatchAsync(bytes, cancel) : await intake.TakeOneAsync(bytes, key, cancel);
    }

    private void Done(string channelId)
    {
        // Entries stay: only channels that exist have one.
        _running.AddOrUpdate(channelId, 0, (_, running) => running - 1);
    }

    /// <summary>What was said of this channel and status an hour ago may be said again.</summary>
    private bool IsNews(string channelId, int status)
    {
        var (key, now) = ((Channels.Contains(channelId) ? channelId : "", status), time.GetTimestamp());
        if (_logged.TryGetValue(key, out var last) && time.GetElapsedTime(last, now) < LogAgain) return false;
        _logged[key] = now;
        return true;
    }

    private static bool TryFind(string? path, out string channelId, out Kind kind)
    {
        (channelId, kind) = ("", Kind.One);
        if (path?.Split('/') is not ["", "v1", "channels", { Length: > 0 and <= 64 } id, "messages" or "marks"] parts) return false;
        (channelId, kind) = (id, parts[4] == "marks" ? Kind.Marks : Kind.One);
        return true;
    }

    /// <param name="known">False: a batch, of a version that is not known here.</param>
    private static bool IsBatch(string? contentType, out bool known)
    {
        known = true;
        if (!MediaTypeHeaderValue.TryParse(contentType, out var type)) return false;
        if (!type.MediaType.Equals(RemoteBatch.ContentType, StringComparison.OrdinalIgnoreCase)) return false;
        known = type.Parameters.FirstOrDefault(p => p.Name.Equals("version", StringComparison.OrdinalIgnoreCase))?.Value == "1";
        return true;
    }

    private static string Quote(string text) => $"\"{(text.Length <= 64 ? text : text[..64])}\"";

    private static RemoteReply Refuse(int status, string code, string error) => new(status) { Code = code, Error = error };

    private static RemoteReply Later(string code, string error, TimeSpan wait) => new(503) { Code = code, Error = error, RetryAfter = wait };

    private static async Task WriteAsync(HttpResponse response, RemoteReply reply, Kind kind)
    {
        var body = kind switch { Kind.Marks => ReplyBody.OfMarks(reply), Kind.Batch => ReplyBody.OfBatch(reply), _ => ReplyBody.OfOne(reply) };
        var bytes = JsonSerializer.SerializeToUtf8Bytes(body, ReplyJson.Default.ReplyBody);
        response.StatusCode = reply.Status;
        response.ContentType = "application/json";
        response.ContentLength = bytes.Length;
        if (reply.RetryAfter is { } wait)
            response.Headers.RetryAfter = Math.Max(1, (int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        try
        {
            await response.Body.WriteAsync(bytes);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // The client has gone: it will ask again.
        }
    }
}
