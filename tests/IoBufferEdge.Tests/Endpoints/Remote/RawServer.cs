using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>A server by hand: takes one request as it comes over the wire, and answers with the bytes it is given.</summary>
internal sealed class RawServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

    public RawServer() => _listener.Start();

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public Uri Url => new($"http://127.0.0.1:{Port}");

    /// <summary>Somebody has connected and was not accepted yet.</summary>
    public bool HasCaller => _listener.Pending();

    public async Task<TcpClient> AcceptAsync() => await _listener.AcceptTcpClientAsync();

    /// <summary>Reads one request to its end, answers (Latin-1) and closes.</summary>
    public async Task<(string Head, byte[] Body)> AnswerAsync(string answer)
    {
        using var client = await AcceptAsync();
        return await AnswerAsync(client.GetStream(), answer);
    }

    /// <summary>The same over TLS, with the protocols that the server offers.</summary>
    public async Task<string> AnswerTlsAsync((string Cert, string Key) files, string answer, params SslApplicationProtocol[] protocols)
    {
        using var client = await AcceptAsync();
        using var certificate = X509Certificate2.CreateFromPemFile(files.Cert, files.Key);
        await using var secured = new SslStream(client.GetStream());
        await secured.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate, ApplicationProtocols = [.. protocols] });
        return (await AnswerAsync(secured, answer)).Head;
    }

    /// <summary>The request line and the headers, with the empty line behind them; nothing of what follows is read.</summary>
    public static async Task<string> ReadHeadAsync(Stream stream)
    {
        var (head, one) = (new StringBuilder(), new byte[1]);
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(one) == 1) head.Append((char)one[0]);
        return head.ToString();
    }

    /// <summary>Reads until the client has closed; how many bytes came.</summary>
    public static async Task<long> DrainAsync(Stream stream)
    {
        var (buffer, bytes) = (new byte[64 * 1024], 0L);
        try
        {
            while (await stream.ReadAsync(buffer) is > 0 and var read) bytes += read;
        }
        catch (IOException)
        {
            // Broken off: what had come is what counts.
        }

        return bytes;
    }

    public void Dispose() => _listener.Dispose();

    private static async Task<(string Head, byte[] Body)> AnswerAsync(Stream stream, string answer)
    {
        var head = await ReadHeadAsync(stream);
        var length = head.Split("\r\n").FirstOrDefault(line => line.StartsWith("Content-Length: ", StringComparison.Ordinal));
        var body = new byte[length is null ? 0 : int.Parse(length.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture)];
        await stream.ReadExactlyAsync(body);
        try
        {
            await stream.WriteAsync(Encoding.Latin1.GetBytes(answer));
        }
        catch (IOException)
        {
            // The client has seen enough.
        }

        return (head, body);
    }
}
