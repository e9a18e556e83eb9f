using System.Net.Sockets;
using System.Text.Json;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Control;

/// <summary>
/// The control socket: a Unix domain socket in the data folder on which local clients (the CLI) send one JSON object per line and get
/// one line back for each, in order. Who may open the socket's file may use it: its owner and group. A line that is no request gets
/// one error object and the conversation goes on. Limits: 512 KiB a line, for which a client's buffer
/// grows as it needs, and 16 clients; one more is told so and closed.
/// </summary>
/// <param name="socketPath">Its former file is replaced: whoever holds the data folder's lock owns the name.</param>
/// <param name="handleAsync">Answers a request; what it throws becomes the error's sentence.</param>
public sealed class ControlServer(
    string socketPath, Func<ControlRequest, CancellationToken, ValueTask<ControlResponse>> handleAsync, TimeProvider time, ILogger log)
    : IDisposable
{
    public const int MaxLineBytes = 512 * 1024;
    public const int MaxClients = 16;

    private const int FirstBufferBytes = 16 * 1024;

    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(1);

    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly List<Task> _clients = [];

    /// <summary>Binds the socket; clients can connect from now on.</summary>
    /// <exception cref="IOException">The socket cannot be made; the message names it.</exception>
    public void Open()
    {
        try
        {
            File.Delete(socketPath);
            _listener.Bind(new UnixDomainSocketEndPoint(socketPath));
            const UnixFileMode ownerAndGroup =
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite;
            File.SetUnixFileMode(socketPath, ownerAndGroup);
            _listener.Listen();
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new IOException($"The control socket {socketPath} cannot be opened: {e.Message}", e);
        }
    }

    /// <summary>Serves clients until asked to stop.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        while (!cancel.IsCancellationRequested)
        {
            var client = await AcceptAsync(cancel);
            if (client is null) continue;
            _clients.RemoveAll(c => c.IsCompleted);
            if (_clients.Count < MaxClients) _clients.Add(ServeAsync(client, cancel));
            else await RefuseAsync(client);
        }

        await Task.WhenAll(_clients);
    }

    public void Dispose() => _listener.Dispose();

    private async ValueTask<Socket?> AcceptAsync(CancellationToken cancel)
    {
        try
        {
            return await _listener.AcceptAsync(cancel);
        }
        catch (Exception e) when (e is OperationCanceledException || cancel.IsCancellationRequested)
        {
            return null;
        }
        catch (SocketException e)
        {
            // Out of file descriptors, most likely: they come back, or not; asking at once again would only burn the processor.
            Log.ControlAcceptFailed(log, e.Message);
            await Task.Delay(PauseAfterFailure, time, CancellationToken.None);
            return null;
        }
    }

    private static async Task RefuseAsync(Socket client)
    {
        using (client)
        {
            try
            {
                await SendAsync(client, ControlResponse.Failed($"{MaxClients} clients are connected already: try again later."), default);
            }
            catch (SocketException)
            {
                // It has gone by itself.
            }
        }
    }

    /// <summary>One client's conversation. Never throws: a client that goes away in the middle of it is no event.</summary>
    private async Task ServeAsync(Socket client, CancellationToken cancel)
    {
        var decoder = FrameDecoder.Create(new FramingConfig { Type = FramingType.Line, Strip = true }, MaxLineBytes, OnOversize.Reject);
        var buffer = new byte[FirstBufferBytes];
        var held = 0;
        using (client)
        {
            try
            {
                while (true)
                {
                    if (held == buffer.Length) Array.Resize(ref buffer, Math.Min(2 * buffer.Length, decoder.BufferBytesNeeded));
                    var read = await client.ReceiveAsync(buffer.AsMemory(held), cancel);
                    held = await AnswerAsync(client, decoder, buffer, held + read, ended: read == 0, cancel);
                    if (read == 0) return;
                }
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // Gone, or we stop.
            }
        }
    }

    /// <summary>Answers every line of the buffer; how many bytes of it wait for the rest of theirs.</summary>
    private async ValueTask<int> AnswerAsync(
        Socket client, FrameDecoder decoder, byte[] buffer, int held, bool ended, CancellationToken cancel)
    {
        var done = 0;
        while (true)
        {
            var found = decoder.Next(buffer.AsSpan(done, held - done), ended);
            if (found.Status == FrameStatus.Frame && found.Length > 0)
                await SendAsync(client, await AnswerLineAsync(buffer.AsMemory(done + found.Start, found.Length), cancel), cancel);
            if (found.Status == FrameStatus.Oversize)
                await SendAsync(client, ControlResponse.Failed($"A request is one line of at most {MaxLineBytes} bytes."), cancel);
            done += found.Consumed;
            if (found.Status != FrameStatus.NeedMore) continue;
            buffer.AsSpan(done, held - done).CopyTo(buffer);
            return held - done;
        }
    }

    private async ValueTask<ControlResponse> AnswerLineAsync(ReadOnlyMemory<byte> line, CancellationToken cancel)
    {
        ControlRequest? request;
        try
        {
            request = JsonSerializer.Deserialize(line.Span, ControlJson.Default.ControlRequest);
        }
        catch (JsonException e)
        {
            return ControlResponse.Failed($"This line is no request such as {{\"command\":\"status\"}}: {e.Message}");
        }

        if (request is null) return ControlResponse.Failed("This line is no request such as {\"command\":\"status\"}: it is null.");
        try
        {
            return await handleAsync(request, cancel);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.ControlCommandFailed(log, request.Command, e.Message);
            return ControlResponse.Failed(e.Message);
        }
    }

    private static async ValueTask SendAsync(Socket client, ControlResponse response, CancellationToken cancel)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(response, ControlJson.Default.ControlResponse);
        ReadOnlyMemory<byte> left = (byte[])[.. json, (byte)'\n'];
        while (!left.IsEmpty) left = left[await client.SendAsync(left, cancel)..];
    }
}
