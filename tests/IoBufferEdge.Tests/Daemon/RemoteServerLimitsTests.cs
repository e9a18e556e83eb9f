using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using IoBufferEdge.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using static IoBufferEdge.Tests.Daemon.RemoteServerRig;

namespace IoBufferEdge.Tests.Daemon;

/// <summary>Clients that are slow, many, or strangers; and TLS.</summary>
public sealed class RemoteServerLimitsTests
{
    private static readonly MinDataRate Impatient = new(bytesPerSecond: 1 << 20, gracePeriod: TimeSpan.FromSeconds(2));

    /// <summary>The end of the client's stream takes the connection with it: nobody is there to be answered.</summary>
    [Fact]
    public async Task A_body_that_ends_early_is_not_taken()
    {
        await using var rig = await StartAsync();
        using var socket = await rig.ConnectAsync();
        await socket.SendAsync(Head(1000, "0123456789"));
        socket.Shutdown(SocketShutdown.Send);
        Assert.Equal("", await ReadToEndAsync(socket));
        using var next = await rig.Client.PostAsync("in/messages", Content(NewBatch(1, 1)));
        Assert.Equal(HttpStatusCode.OK, next.StatusCode);
        Assert.Equal([".........1"], rig.Queue.Messages);
    }

    [Fact]
    public async Task A_body_that_comes_too_slowly_is_408()
    {
        await using var rig = await StartAsync(bodyRate: Impatient);
        using var socket = await rig.ConnectAsync();
        await socket.SendAsync(Head(1000, "0123456789"));
        Assert.StartsWith("HTTP/1.1 408 ", await ReadToEndAsync(socket), StringComparison.Ordinal);
        Assert.Empty(rig.Queue.Messages);
    }

    [Fact]
    public async Task A_flood_of_headers_is_431()
    {
        await using var rig = await StartAsync();
        using var socket = await rig.ConnectAsync();
        var flood = string.Concat(Enumerable.Range(0, 90).Select(i => $"X-{i}: {new string('x', 200)}\r\n"));
        await socket.SendAsync(Encoding.ASCII.GetBytes($"GET /v1/channels/in/marks HTTP/1.1\r\nHost: h\r\n{flood}\r\n"));
        Assert.StartsWith("HTTP/1.1 431 ", await ReadToEndAsync(socket), StringComparison.Ordinal);
    }

    /// <summary>More than there are places: they are idle, and give theirs to who shows that it belongs here.</summary>
    [Fact]
    public async Task A_thousand_idle_connections_keep_nobody_out()
    {
        await using var rig = await StartAsync();
        (await rig.Client.GetAsync("in/marks?sender=a/b")).EnsureSuccessStatusCode().Dispose();
        var idle = new List<Socket>();
        try
        {
            for (var i = 0; i < 1000; i++)
            {
                idle.Add(await rig.ConnectAsync());
                if (i % 2 == 0) await idle[^1].SendAsync("POST /v1/channels/in/messages HT"u8.ToArray());
            }

            // On the connection that was there, and on new ones.
            for (var i = 0; i < 10; i++)
            {
                using var known = await rig.Client.PostAsync("in/messages", Content(NewBatch(1 + i, 1)));
                Assert.Equal(HttpStatusCode.OK, known.StatusCode);
                using var newcomer = new HttpClient { BaseAddress = rig.Client.BaseAddress };
                newcomer.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", Basic("relay:correct horse"));
                (await newcomer.GetAsync("in/marks?sender=plant/line")).EnsureSuccessStatusCode().Dispose();
            }

            // Those that lost their places were closed, and hold nothing.
            Assert.Equal("", await ReadToEndAsync(idle[0]));
        }
        finally
        {
            idle.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public async Task A_channel_that_stands_still_collects_no_requests_and_holds_up_no_other()
    {
        await using var rig = await StartAsync();
        var secured = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        (await rig.Client.GetAsync("in/marks?sender=a/b")).EnsureSuccessStatusCode().Dispose();
        rig.Queue.Secured = secured.Task;
        var waiting = Enumerable.Range(0, 40).Select(_ => rig.Client.GetAsync("in/marks?sender=a/b")).ToList();
        for (var i = 0; i < 8; i++)
        {
            var first = await Task.WhenAny(waiting);
            waiting.Remove(first);
            using var refused = await first;
            Assert.Equal(503, (await ReadAsync(refused)).Status);
        }

        using var other = await rig.Client.PostAsync("open/messages", Content(NewBatch(1, 1)));
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
        secured.SetResult();
        Assert.Equal(32, waiting.Count);
        foreach (var response in await Task.WhenAll(waiting)) Assert.Equal(200, (await ReadAsync(response)).Status);
    }

    /// <summary>Two bodies of 5 MB do not fit 8 MB: the second waits, and is sent away.</summary>
    [Fact]
    public async Task Without_memory_for_a_body_a_request_is_told_to_come_again()
    {
        await using var rig = await StartAsync(maxMessageBytes: 5 << 20);
        using var slow = await rig.ConnectAsync();
        await slow.SendAsync(Head(5 << 20, "0123456789"));
        while (rig.BodyBytes == 0) await Task.Yield();
        using var second = await rig.Client.PostAsync("in/messages", Content(new byte[5 << 20]));
        var (status, body) = await ReadAsync(second);
        Assert.Equal((503, "no_room"), (status, body.GetProperty("code").GetString()));

        // Another channel has the other half.
        using var other = await rig.Client.PostAsync("open/messages", Content(NewBatch(1, 1)));
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
    }

    [Fact]
    public async Task HTTP_2_is_spoken_over_TLS_and_a_new_certificate_is_used_without_a_restart()
    {
        using var certificates = new TestCertificates();
        var (cert, key) = certificates.Issue("gateway");
        await using var rig = await StartAsync(new() { Enabled = true, Cert = cert, Key = key });
        var client = rig.NewTlsClient(certificates.Authority);
        foreach (var version in new[] { HttpVersion.Version20, HttpVersion.Version11 })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "in/marks?sender=a/b")
            {
                Version = version, VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            };
            using var response = await client.SendAsync(request);
            Assert.Equal((version, HttpStatusCode.OK), (response.Version, response.StatusCode));
        }

        using var batch = new HttpRequestMessage(HttpMethod.Post, "in/messages") { Version = HttpVersion.Version20, Content = Content(NewBatch(1, 100, 1000)) };
        using var taken = await client.SendAsync(batch);
        Assert.Equal(100, (await ReadAsync(taken)).Body.GetProperty("mark").GetInt32());

        using var others = new TestCertificates("Another authority");
        var (newCert, newKey) = others.Issue("gateway");
        File.Copy(newCert, cert, overwrite: true);
        File.Copy(newKey, key, overwrite: true);
        var renewed = rig.NewTlsClient(others.Authority);
        (await renewed.GetAsync("in/marks?sender=a/b")).EnsureSuccessStatusCode().Dispose();
    }

    [Fact]
    public async Task Mutual_TLS_keeps_out_who_has_no_certificate_or_a_strangers()
    {
        using var certificates = new TestCertificates();
        using var strangers = new TestCertificates("Strangers");
        var (cert, key) = certificates.Issue("gateway");
        await using var rig = await StartAsync(new() { Enabled = true, Cert = cert, Key = key, Ca = certificates.Authority, VerifyPeer = true });

        await Assert.ThrowsAsync<HttpRequestException>(() => rig.NewTlsClient(certificates.Authority).GetAsync("in/marks?sender=a/b"));
        using var stranger = Load(strangers.Issue("stranger"));
        await Assert.ThrowsAsync<HttpRequestException>(() => rig.NewTlsClient(certificates.Authority, stranger).GetAsync("in/marks?sender=a/b"));
        using var known = Load(certificates.Issue("plant"));
        (await rig.NewTlsClient(certificates.Authority, known).GetAsync("in/marks?sender=a/b")).EnsureSuccessStatusCode().Dispose();
    }

    private static X509Certificate2 Load((string Cert, string Key) files) => X509Certificate2.CreateFromPemFile(files.Cert, files.Key);

    private static byte[] Head(int length, string body) => Encoding.ASCII.GetBytes(
        $"POST /v1/channels/in/messages HTTP/1.1\r\nHost: h\r\nAuthorization: {Basic("relay:correct horse")}\r\n"
        + $"Content-Type: {Batch}\r\nContent-Length: {length}\r\n\r\n{body}");
}
