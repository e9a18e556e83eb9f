using System.Net.Sockets;
using System.Text.Json;

namespace IoBufferEdge.Control;

/// <summary>The other end of the control socket, for the CLI and for tests.</summary>
public sealed class ControlClient : IDisposable
{
    private readonly NetworkStream _stream;
    private readonly StreamReader _lines;

    private ControlClient(Socket socket)
    {
        _stream = new NetworkStream(socket, ownsSocket: true);
        _lines = new StreamReader(_stream);
    }

    /// <exception cref="IOException">Nobody listens there, or we may not: one sentence.</exception>
    public static async Task<ControlClient> ConnectAsync(string socketPath, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancel);
            return new ControlClient(socket);
        }
        catch (Exception e)
        {
            socket.Dispose();
            if (e is not (SocketException or ArgumentException)) throw;
            if (e is SocketException { SocketErrorCode: SocketError.AccessDenied })
                throw new IOException($"{socketPath} is closed to this user: it is for root and for members of the data folder's group.", e);
            var reason = File.Exists(socketPath) ? e.Message : "there is no such socket";
            throw new IOException($"No gateway answers at {socketPath} ({reason}): does it run, and is --data its data folder?", e);
        }
    }

    /// <exception cref="IOException">The connection ended before the answer.</exception>
    public async Task<ControlResponse> AskAsync(ControlRequest request, CancellationToken cancel)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(request, ControlJson.Default.ControlRequest);
        return Parse(await AskLineAsync((byte[])[.. json, (byte)'\n'], cancel));
    }

    /// <summary>Sends bytes as they are and reads one line; null: the gateway closed the connection.</summary>
    internal async Task<string?> AskLineAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        try
        {
            await _stream.WriteAsync(bytes, cancel);
        }
        catch (IOException)
        {
            // Closed before we asked: one client too many, for which the gateway has left the reason to read.
        }

        return await _lines.ReadLineAsync(cancel);
    }

    public void Dispose() => _lines.Dispose();

    private static ControlResponse Parse(string? line)
    {
        if (line is null) throw new IOException("The gateway closed the control connection before it had answered: it is stopping.");
        try
        {
            return JsonSerializer.Deserialize(line, ControlJson.Default.ControlResponse) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new IOException($"The gateway's answer cannot be read ({e.Message}): use the iobuffer of its own version.", e);
        }
    }
}
