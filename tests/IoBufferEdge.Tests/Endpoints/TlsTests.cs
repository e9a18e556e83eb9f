using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints;

/// <summary>TLS over loopback connections, with certificates made for each test.</summary>
public sealed class TlsTests : IDisposable
{
    private readonly SocketNetwork _network = new(TimeProvider.System, NullLogger.Instance);
    private readonly TestCertificates _certificates = new();

    private TlsConfig Server => With(_certificates.Issue("server"));

    private TlsConfig Client => new() { Enabled = true, Ca = _certificates.Authority };

    public void Dispose() => _certificates.Dispose();

    [Fact]
    public async Task Bytes_pass_both_ways_and_an_orderly_end_is_told()
    {
        var (server, client) = await ConnectAsync(Server, Client);
        using (server)
        using (client)
        {
            var sent = new byte[300_000];
            new Random(1).NextBytes(sent);
            var sending = SendAllAsync(client, sent);
            Assert.Equal(sent, await ReadAsync(server, sent.Length));
            await sending;
            Assert.True(client.BytesSent > sent.Length, "ciphertext is counted");
            await SendAllAsync(server, "answer"u8.ToArray());
            Assert.Equal("answer", Encoding.ASCII.GetString(await ReadAsync(client, 6)));

            client.ShutdownSend();
            Assert.Equal(0, await server.ReceiveAsync(new byte[10], default));
            Assert.False(server.EndedWithoutCloseNotify);
        }
    }

    [Fact]
    public async Task A_fin_without_close_notify_is_told_from_an_orderly_end()
    {
        var (near, far) = await PairAsync();
        using (near)
        {
            var serving = TlsConnection.ServerAsync(far, TlsContext.Load(Server), default).AsTask();
            using var client = await TlsConnection.ClientAsync(near, TlsContext.Load(Client), "127.0.0.1", default);
            using var server = await serving;
            await SendAllAsync(client, "x"u8.ToArray());
            Assert.Single(await ReadAsync(server, 1));
            near.ShutdownSend();
            Assert.Equal(0, await server.ReceiveAsync(new byte[10], default));
            Assert.True(server.EndedWithoutCloseNotify);
        }
    }

    [Fact]
    public async Task What_the_kernel_holds_is_read_without_waiting_also_after_a_cancelled_read()
    {
        var (server, client) = await ConnectAsync(Server, Client);
        using (server)
        using (client)
        {
            Assert.Equal(-1, server.ReceiveNow(new byte[10]));
            using var cancel = new CancellationTokenSource();
            var reading = server.ReceiveAsync(new byte[10], cancel.Token).AsTask();
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);

            await SendAllAsync(client, "after"u8.ToArray());
            while (client.Inspect().UnacknowledgedBytes > 0) await Task.Delay(1);
            var buffer = new byte[10];
            Assert.Equal(5, server.ReceiveNow(buffer));
            Assert.Equal(-1, server.ReceiveNow(buffer));
            client.ShutdownSend();
            while (!server.Inspect().PeerFinished) await Task.Delay(1);
            Assert.Equal(0, server.ReceiveNow(buffer));
            Assert.False(server.EndedWithoutCloseNotify);
        }
    }

    [Fact]
    public async Task A_client_with_a_certificate_of_the_authority_passes_mutual_tls()
    {
        var (server, client) = await ConnectAsync(
            Server with { Ca = _certificates.Authority }, With(_certificates.Issue("client")) with { Ca = _certificates.Authority });
        using (server)
        using (client)
        {
            await SendAllAsync(client, "x"u8.ToArray());
            Assert.Single(await ReadAsync(server, 1));
        }
    }

    [Fact]
    public async Task A_client_without_a_certificate_does_not_pass_mutual_tls()
    {
        var refused = await Assert.ThrowsAsync<EndpointException>(() => ConnectAsync(Server with { Ca = _certificates.Authority }, Client));
        Assert.Contains("the peer has shown no certificate", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_certificate_of_another_authority_is_refused()
    {
        using var others = new TestCertificates("Another authority");
        var refused = await Assert.ThrowsAsync<EndpointException>(() => ConnectAsync(Server, new TlsConfig { Enabled = true, Ca = others.Authority }));
        Assert.Contains("does not come from a trusted authority", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_expired_certificate_is_refused()
    {
        var refused = await Assert.ThrowsAsync<EndpointException>(
            () => ConnectAsync(With(_certificates.Issue("server", expired: true)), Client));
        Assert.Matches("is valid from 20.* to 20.* only, and this machine's clock says 20[0-9]{2}-[0-9]{2}-[0-9]{2}\\.$", refused.Message);
    }

    [Fact]
    public async Task A_certificate_for_another_name_is_refused()
    {
        var refused = await Assert.ThrowsAsync<EndpointException>(() => ConnectAsync(Server, Client, targetHost: "gateway.example"));
        Assert.Contains("is for another name", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_verify_peer_any_certificate_passes()
    {
        var (server, client) = await ConnectAsync(With(_certificates.Issue("server", expired: true)), new TlsConfig { Enabled = true, VerifyPeer = false });
        server.Dispose();
        client.Dispose();
    }

    [Fact]
    public async Task Files_are_read_again_when_they_change_and_kept_when_they_do_not_fit()
    {
        var tls = TlsContext.Load(Server);
        Assert.Equal("CN=server", await SubjectShownBy(tls));
        _certificates.Issue("renewed", file: "server");
        Assert.Equal("CN=renewed", await SubjectShownBy(tls));
        _certificates.Write("server.key", "half a file");
        Assert.Equal("CN=renewed", await SubjectShownBy(tls));
    }

    [Fact]
    public void What_is_wrong_with_a_file_is_said_in_one_sentence()
    {
        var (cert, key) = _certificates.Issue("server");
        var (_, otherKey) = _certificates.Issue("other");
        var text = _certificates.Write("text.pem", "no certificate");
        Assert.Equal("tls: cert /nowhere/cert.pem does not exist.", Fault(new TlsConfig { Cert = "/nowhere/cert.pem", Key = key }));
        Assert.Equal($"tls: cert {text} holds no PEM certificate.", Fault(new TlsConfig { Cert = text, Key = key }));
        Assert.Equal(
            $"tls: key {otherKey} is not the PEM private key, without a password, of the certificate in {cert}.",
            Fault(new TlsConfig { Cert = cert, Key = otherKey }));
        Assert.Equal("tls: cert without key; both name PEM files, or neither does.", Fault(new TlsConfig { Cert = cert }));
        Assert.Equal($"tls: ca {text} holds no PEM certificate.", Fault(new TlsConfig { Ca = text }));

        static string Fault(TlsConfig config) => Assert.Throws<EndpointException>(() => TlsContext.Load(config)).Message;
    }

    private static TlsConfig With((string Cert, string Key) files) => new() { Enabled = true, Cert = files.Cert, Key = files.Key };

    private async Task<string> SubjectShownBy(TlsContext server)
    {
        var (near, far) = await PairAsync();
        using (near)
        using (far)
        {
            var serving = TlsConnection.ServerAsync(far, server, default).AsTask();
            var refusing = TlsConnection.ClientAsync(near, TlsContext.Load(new TlsConfig()), "gateway.example", default).AsTask();
            var subject = (await Assert.ThrowsAsync<EndpointException>(() => refusing)).Message;
            near.Dispose();
            await Task.WhenAny(serving);
            return subject[(subject.IndexOf('(', StringComparison.Ordinal) + 1)..subject.LastIndexOf(')')];
        }
    }

    /// <summary>A handshake over loopback; the server's failure comes before the client's.</summary>
    private async Task<(TlsConnection Server, TlsConnection Client)> ConnectAsync(TlsConfig server, TlsConfig client, string targetHost = "127.0.0.1")
    {
        var (near, far) = await PairAsync();
        var serving = TlsConnection.ServerAsync(far, TlsContext.Load(server), default).AsTask();
        var connecting = TlsConnection.ClientAsync(near, TlsContext.Load(client), targetHost, default).AsTask();
        try
        {
            await Task.WhenAny(serving, connecting);
            if (serving.IsFaulted) await serving;
            var connected = await connecting;
            return (await serving, connected);
        }
        catch
        {
            near.Dispose();
            far.Dispose();
            throw;
        }
    }

    private async Task<(IConnection Near, IConnection Far)> PairAsync()
    {
        using var listener = _network.Listen("127.0.0.1", 0, new TcpTuning());
        var accepting = listener.AcceptAsync(default);
        var near = await _network.ConnectAsync("127.0.0.1", listener.Port, new TcpTuning(), default);
        return (near, await accepting);
    }

    private static async Task SendAllAsync(IConnection connection, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await connection.SendAsync(bytes, default)..];
    }

    private static async Task<byte[]> ReadAsync(IConnection connection, int count)
    {
        var buffer = new byte[count];
        for (var at = 0; at < count;)
        {
            var read = await connection.ReceiveAsync(buffer.AsMemory(at), default);
            Assert.NotEqual(0, read);
            at += read;
        }

        return buffer;
    }
}
