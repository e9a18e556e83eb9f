using System.Net;
using System.Net.Sockets;
using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Daemon;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>The way over HTTP: against the real web server, and against one that answers what it should not.</summary>
public sealed class HttpRemoteTransportTests
{
    private const string Sender = "plant/line";

    [Theory]
    [InlineData(Compression.None)]
    [InlineData(Compression.Gzip)]
    [InlineData(Compression.Zstd)]
    public async Task A_batch_goes_out_in_pieces_and_comes_back_as_a_mark(Compression compression)
    {
        await using var rig = await RemoteServerRig.StartAsync();
        await using var transport = Transport(rig.Url, d => d with { Compression = compression });
        Assert.Empty((await transport.AskMarksAsync(Sender, default)).Marks);
        var batch = RemoteServerRig.NewBatch(1, 50, 200);
        var reply = await transport.SendAsync([batch.AsMemory(0, 10), batch.AsMemory(10, 1000), batch.AsMemory(1010)], default);
        Assert.Equal((200, "centre/in", 50), (reply.Status, reply.Receiver, reply.Marks.Single().Sequence));
        Assert.Equal(50, rig.Queue.Messages.Count);
        var marks = await transport.AskMarksAsync(Sender, default);
        Assert.Equal((0xABC, 50, 50), (marks.Marks.Single().Life, marks.Marks.Single().Sequence, marks.Marks.Single().Claimed));
    }

    [Fact]
    public async Task A_password_file_is_read_anew_when_it_changes()
    {
        using var files = new TestCertificates();
        await using var rig = await RemoteServerRig.StartAsync();
        var file = files.Write("password", "wrong\n");
        await using var transport = Transport(rig.Url, d => d with { Auth = new() { Username = "relay", PasswordFile = file } });
        var refused = await transport.AskMarksAsync(Sender, default);
        Assert.Equal((401, true), (refused.Status, refused.Error?.EndsWith('.')));
        files.Write("password", "correct horse\n");
        Assert.Equal(200, (await transport.AskMarksAsync(Sender, default)).Status);
        File.Delete(file);
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), "password_file");
    }

    [Fact]
    public async Task Over_TLS_the_server_must_come_from_the_authority_that_is_named()
    {
        using var certificates = new TestCertificates();
        using var others = new TestCertificates("Another authority");
        var (cert, key) = certificates.Issue("gateway");
        await using var rig = await RemoteServerRig.StartAsync(new() { Enabled = true, Cert = cert, Key = key });
        await using var pinned = Transport(rig.Url, d => d with { Tls = new() { Enabled = true, Ca = certificates.Authority } });
        Assert.Equal(200, (await pinned.SendAsync([RemoteServerRig.NewBatch(1, 100, 500)], default)).Status);
        await using var elsewhere = Transport(rig.Url, d => d with { Tls = new() { Enabled = true, Ca = others.Authority } });
        await FailsAsync(() => elsewhere.AskMarksAsync(Sender, default), "TLS with 127.0.0.1 failed");
        var localhost = new Uri($"https://localhost:{rig.Url.Port}");
        await using var otherName = Transport(localhost, d => d with { Tls = new() { Enabled = true, Ca = certificates.Authority } });
        await FailsAsync(() => otherName.AskMarksAsync(Sender, default), "TLS with localhost failed");
        await using var careless = Transport(rig.Url, d => d with { Tls = new() { Enabled = true, VerifyPeer = false } });
        Assert.Equal(200, (await careless.AskMarksAsync(Sender, default)).Status);
    }

    [Fact]
    public async Task Mutual_TLS_lets_in_who_has_a_certificate()
    {
        using var certificates = new TestCertificates();
        var (cert, key) = certificates.Issue("gateway");
        var ours = certificates.Issue("plant");
        await using var rig = await RemoteServerRig.StartAsync(
            new() { Enabled = true, Cert = cert, Key = key, Ca = certificates.Authority, VerifyPeer = true });
        TlsConfig Tls(bool withCertificate) => new()
        {
            Enabled = true, Ca = certificates.Authority, Cert = withCertificate ? ours.Cert : null, Key = withCertificate ? ours.Key : null,
        };
        await using var known = Transport(rig.Url, d => d with { Tls = Tls(withCertificate: true) });
        Assert.Equal(200, (await known.AskMarksAsync(Sender, default)).Status);
        await using var stranger = Transport(rig.Url, d => d with { Tls = Tls(withCertificate: false) });
        await Assert.ThrowsAsync<EndpointException>(() => stranger.AskMarksAsync(Sender, default).AsTask());
    }

    [Theory]
    [InlineData("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", 302, null)]
    [InlineData("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, 7)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot JSON!", null, null)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"receiver\"", null, null)]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", null, null)]
    public async Task What_is_no_answer_of_another_instance_is_told(string answer, int? status, int? retryAfterS)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var serving = AnswerAsync(listener, Encoding.ASCII.GetBytes(answer));
        await using var transport = Transport(new($"http://{listener.LocalEndpoint}"));
        if (status is null)
        {
            await FailsAsync(() => transport.AskMarksAsync(Sender, default), "http://127.0.0.1");
        }
        else
        {
            var reply = await transport.AskMarksAsync(Sender, default);
            Assert.Equal((status, retryAfterS), (reply.Status, (int?)reply.RetryAfter?.TotalSeconds));
        }

        var request = await serving;
        Assert.StartsWith("GET /v1/channels/in/marks?sender=plant%2Fline HTTP/1.1\r\n", request, StringComparison.Ordinal);
        Assert.Contains($"Authorization: {RemoteServerRig.Basic("relay:correct horse")}\r\n", request, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_is_asked_for_at_each_request_so_that_it_may_come_later_and_change()
    {
        var folder = Directory.CreateTempSubdirectory("iobuffer-account-").FullName;
        try
        {
            await using var rig = await RemoteServerRig.StartAsync();
            var secrets = new SecretStore(Path.Combine(folder, "secrets"), null);
            await using var transport = Transport(
                rig.Url, d => d with { Auth = new() { Username = "relay", PasswordSecret = "centre" } }, secrets: secrets);
            await FailsAsync(() => transport.AskMarksAsync(Sender, default), "iobuffer secret set centre");
            secrets.Set("centre", "wrong password"u8);
            Assert.Equal(401, (await transport.AskMarksAsync(Sender, default)).Status);
            secrets.Set("centre", "correct horse\n"u8);
            Assert.Equal(200, (await transport.AskMarksAsync(Sender, default)).Status);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task An_answer_without_end_is_broken_off()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var serving = AnswerAsync(listener, [.. "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"u8, .. new byte[100_000]]);
        await using var transport = Transport(new($"http://{listener.LocalEndpoint}"));
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), "more than 65536 bytes");
        await serving;
    }

    [Fact]
    public async Task Nobody_there_is_told()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        await using var transport = Transport(new($"http://127.0.0.1:{port}"));
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), "refused");
    }

    internal static HttpRemoteTransport Transport(
        Uri url, Func<DestinationConfig, DestinationConfig>? change = null, TimeProvider? time = null, SecretStore? secrets = null)
    {
        var destination = new DestinationConfig
        {
            Type = EndpointType.RemoteIcombuffer, Url = url.ToString(), ChannelId = "in", Instance = Sender,
            Auth = new() { Username = "relay", Password = "correct horse" },
        };
        destination = change?.Invoke(destination) ?? destination;
        var channel = new ChannelConfig { Id = "line", Source = new() { Type = EndpointType.TcpServer }, Destination = destination };
        return new HttpRemoteTransport(channel, secrets ?? new SecretStore("/nowhere", null), time ?? TimeProvider.System, NullLogger.Instance);
    }

    internal static async Task FailsAsync(Func<ValueTask<RemoteReply>> ask, string part)
    {
        var sentence = (await Assert.ThrowsAsync<EndpointException>(() => ask().AsTask().WaitAsync(TimeSpan.FromSeconds(30)))).Message;
        Assert.Contains(part, sentence, StringComparison.Ordinal);
        Assert.Matches("[^.?!]\\.$", sentence);
    }

    /// <summary>Reads one request's head, answers, and closes; the head.</summary>
    private static async Task<string> AnswerAsync(TcpListener listener, byte[] answer)
    {
        using var client = await listener.AcceptTcpClientAsync();
        var stream = client.GetStream();
        var (head, buffer) = (new StringBuilder(), new byte[4096]);
        while (!head.ToString().Contains("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(buffer) is > 0 and var read)
            head.Append(Encoding.ASCII.GetString(buffer, 0, read));
        try
        {
            await stream.WriteAsync(answer);
        }
        catch (IOException)
        {
            // The client has seen enough.
        }

        return head.ToString();
    }
}
