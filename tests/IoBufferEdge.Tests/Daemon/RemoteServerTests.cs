using System.IO.Compression;
using System.Net;
using System.Text;
using static IoBufferEdge.Tests.Daemon.RemoteServerRig;

namespace IoBufferEdge.Tests.Daemon;

/// <summary>What other instances and foreigners are answered, over real sockets.</summary>
public sealed class RemoteServerTests
{
    [Fact]
    public async Task A_batch_is_taken_and_answered_with_its_mark()
    {
        await using var rig = await StartAsync();
        using var marksBefore = await rig.Client.GetAsync("in/marks?sender=plant/line");
        Assert.Equal("""{"receiver":"centre/in","marks":[]}""", await marksBefore.Content.ReadAsStringAsync());

        using var taken = await rig.Client.PostAsync("in/messages", Content(NewBatch(1, 3)));
        Assert.Equal(HttpStatusCode.OK, taken.StatusCode);
        Assert.Equal("""{"receiver":"centre/in","life":"0000000000000abc","mark":3}""", await taken.Content.ReadAsStringAsync());
        Assert.Equal([".........1", ".........2", ".........3"], rig.Queue.Messages);

        using var marks = await rig.Client.GetAsync("in/marks?sender=plant%2Fline");
        Assert.Equal("""{"receiver":"centre/in","marks":[{"life":"0000000000000abc","mark":3,"claimed":3}]}""", await marks.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_batch_that_does_not_follow_is_refused_with_the_marks()
    {
        await using var rig = await StartAsync();
        (await rig.Client.PostAsync("in/messages", Content(NewBatch(1, 3)))).Dispose();
        using var response = await rig.Client.PostAsync("in/messages", Content(NewBatch(9, 1)));
        var (status, body) = await ReadAsync(response);
        Assert.Equal((409, "after", 3), (status, body.GetProperty("code").GetString(), body.GetProperty("marks")[0].GetProperty("mark").GetInt32()));
        Assert.Contains(rig.Lines.Lines, l => l.StartsWith("Channel in: 127.0.0.1 was answered 409: The batch follows", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Curl_can_push_a_message_in_once()
    {
        await using var rig = await StartAsync();
        foreach (var repeated in new[] { "false", "true" })
        {
            using var content = Content("hello"u8.ToArray(), "application/x-www-form-urlencoded");
            content.Headers.Add("Idempotency-Key", "order-17");
            using var response = await rig.Client.PostAsync("in/messages", content);
            Assert.Equal($$"""{"receiver":"centre/in","sequence":1,"repeated":{{repeated}}}""", await response.Content.ReadAsStringAsync());
        }

        Assert.Equal(["hello"], rig.Queue.Messages);
    }

    [Theory]
    [InlineData("GET", "/", 404)]
    [InlineData("GET", "/metrics", 404)]
    [InlineData("POST", "/v1/channels/in/messages/", 404)]
    [InlineData("POST", "/v1/channels//messages", 404)]
    [InlineData("POST", "/v1/channels/none/messages", 404)]
    [InlineData("GET", "/v1/channels/none/marks?sender=a/b", 404)]
    [InlineData("GET", "/v1/channels/in/messages", 405)]
    [InlineData("POST", "/v1/channels/in/marks", 405)]
    [InlineData("DELETE", "/v1/channels/in/messages", 405)]
    [InlineData("GET", "/v1/channels/in/marks", 400)]
    [InlineData("GET", "/v1/channels/in/marks?sender=nobody", 400)]
    [InlineData("POST", "/v1/channels/stopped/messages", 503)]
    public async Task What_is_not_there_is_said_in_a_sentence(string method, string path, int expected)
    {
        await using var rig = await StartAsync();
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(rig.Url, path));
        using var response = await rig.Client.SendAsync(request);
        Assert.Equal(expected, (await ReadAsync(response)).Status);
        if (expected == 405) Assert.NotEmpty(response.Content.Headers.Allow);
        if (expected == 503) Assert.Equal(TimeSpan.FromSeconds(1), response.Headers.RetryAfter?.Delta);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("relay:wrong horse")]
    [InlineData("other:correct horse")]
    public async Task A_wrong_password_is_401_and_nothing_is_taken(string? credentials)
    {
        await using var rig = await StartAsync();
        rig.Client.DefaultRequestHeaders.Remove("Authorization");
        if (credentials is not null) rig.Client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", Basic(credentials));
        using var response = await rig.Client.PostAsync("in/messages", Content(NewBatch(1, 1)));
        Assert.Equal(401, (await ReadAsync(response)).Status);
        Assert.Equal("Basic", Assert.Single(response.Headers.WwwAuthenticate).Scheme);
        Assert.Empty(rig.Queue.Messages);

        // A channel without auth takes it from anyone.
        using var open = await rig.Client.PostAsync("open/messages", Content(NewBatch(1, 1)));
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);
    }

    [Fact]
    public async Task Guessing_is_slowed_down_and_who_is_known_goes_on()
    {
        await using var rig = await StartAsync();
        (await rig.Client.GetAsync("in/marks?sender=a/b")).EnsureSuccessStatusCode().Dispose();
        using var guesser = new HttpClient { BaseAddress = rig.Client.BaseAddress };
        var statuses = new List<int>();
        for (var i = 0; i < 11; i++)
        {
            guesser.DefaultRequestHeaders.Remove("Authorization");
            guesser.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", Basic($"relay:guess {i}"));
            using var response = await guesser.GetAsync("in/marks?sender=a/b");
            statuses.Add((await ReadAsync(response)).Status);
            if (i == 10) Assert.NotNull(response.Headers.RetryAfter);
        }

        Assert.Equal([.. Enumerable.Repeat(401, 10), 429], statuses);
        using var known = await rig.Client.GetAsync("in/marks?sender=a/b");
        Assert.Equal(HttpStatusCode.OK, known.StatusCode);
        Assert.Single(rig.Lines.Lines, l => l.Contains("answered 401", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("application/vnd.iobuffer.batch;version=2", null, "", 415)]
    [InlineData("application/vnd.iobuffer.batch", null, "", 415)]
    [InlineData(Batch, "br", "", 415)]
    [InlineData(Batch, null, "no batch", 400)]
    [InlineData(Batch, null, "", 400)]
    [InlineData(Batch, "gzip", "no gzip", 400)]
    [InlineData(Batch, "zstd", "no zstd", 400)]
    [InlineData("text/plain", null, "no key", 400)]
    public async Task What_cannot_be_read_is_refused(string type, string? encoding, string body, int expected)
    {
        await using var rig = await StartAsync();
        using var response = await rig.Client.PostAsync("in/messages", Content(Encoding.ASCII.GetBytes(body), type, encoding));
        Assert.Equal(expected, (await ReadAsync(response)).Status);
        Assert.Empty(rig.Queue.Messages);
    }

    [Fact]
    public async Task A_batch_that_is_cut_or_damaged_is_refused_whole()
    {
        await using var rig = await StartAsync();
        var batch = NewBatch(1, 3);
        for (var cut = 0; cut < batch.Length; cut += 13)
        {
            using var response = await rig.Client.PostAsync("in/messages", Content(batch[..cut]));
            Assert.Equal(400, (await ReadAsync(response)).Status);
            var damaged = (byte[])batch.Clone();
            damaged[cut] ^= 1;
            using var other = await rig.Client.PostAsync("in/messages", Content(damaged));
            Assert.InRange((await ReadAsync(other)).Status, 400, 499);
        }

        Assert.Empty(rig.Queue.Messages);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("zstd")]
    public async Task A_compressed_batch_is_taken_with_and_without_its_length(string encoding)
    {
        await using var rig = await StartAsync();
        using var first = await rig.Client.PostAsync("in/messages", Content(Pack(NewBatch(1, 100, 500), encoding), encoding: encoding));
        Assert.Equal(100, (await ReadAsync(first)).Body.GetProperty("mark").GetInt32());
        using var request = new HttpRequestMessage(HttpMethod.Post, "in/messages") { Content = Content(Pack(NewBatch(101, 50), encoding), encoding: encoding) };
        request.Headers.TransferEncodingChunked = true;
        using var second = await rig.Client.SendAsync(request);
        Assert.Equal(150, (await ReadAsync(second)).Body.GetProperty("mark").GetInt32());
        Assert.Equal(150, rig.Queue.Messages.Count);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("zstd")]
    public async Task A_bomb_does_not_go_off(string encoding)
    {
        await using var rig = await StartAsync();
        var bomb = Pack(new byte[64 << 20], encoding);
        Assert.InRange(bomb.Length, 1, 100_000);
        for (var i = 0; i < 4; i++)
        {
            using var response = await rig.Client.PostAsync("in/messages", Content(bomb, encoding: encoding));
            Assert.Equal(413, (await ReadAsync(response)).Status);
        }

        using var cut = await rig.Client.PostAsync("in/messages", Content(Pack(NewBatch(1, 100), encoding)[..100], encoding: encoding));
        Assert.Equal(400, (await ReadAsync(cut)).Status);
    }

    [Fact]
    public async Task A_body_needs_a_length_that_fits()
    {
        await using var rig = await StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Post, "in/messages") { Content = Content(NewBatch(1, 1)) };
        request.Headers.TransferEncodingChunked = true;
        using var chunked = await rig.Client.SendAsync(request);
        Assert.Equal(411, (await ReadAsync(chunked)).Status);

        using var large = await rig.Client.PostAsync("in/messages", Content(new byte[128 * 1024 + 1]));
        Assert.Equal(413, (await ReadAsync(large)).Status);
        using var one = Content(new byte[64 * 1024 + 1], "text/plain");
        one.Headers.Add("Idempotency-Key", "k");
        using var oversize = await rig.Client.PostAsync("in/messages", one);
        Assert.Equal(413, (await ReadAsync(oversize)).Status);

        // A batch that fits, with a message that does not, names it.
        using var message = await rig.Client.PostAsync("in/messages", Content(NewBatch(1, 1, 64 * 1024 + 1)));
        var (status, body) = await ReadAsync(message);
        Assert.Equal((413, 1), (status, body.GetProperty("refused").GetInt32()));
    }

    [Fact]
    public async Task A_configuration_moves_it_and_takes_it_away()
    {
        await using var rig = await StartAsync();
        var before = rig.ListensOn;
        await rig.ListenAsync();
        Assert.Equal(before, rig.ListensOn);
        await rig.ListenAsync(enabled: false);
        Assert.Null(rig.ListensOn);
        await Assert.ThrowsAsync<HttpRequestException>(() => rig.Client.GetAsync("in/marks?sender=a/b"));
        await rig.ListenAsync(new() { Enabled = true, Cert = "/none/c.pem", Key = "/none/k.pem" });
        Assert.Null(rig.ListensOn);
        Assert.Contains(rig.Lines.Lines, l => l.StartsWith("Remote sources cannot be reached at 127.0.0.1:0: tls: cert /none/c.pem", StringComparison.Ordinal)
            || l.Contains("/none/", StringComparison.Ordinal));
    }

    private static byte[] Pack(byte[] bytes, string encoding)
    {
        if (encoding == "zstd") return new ZstdSharp.Compressor().Wrap(bytes).ToArray();
        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.SmallestSize)) gzip.Write(bytes);
        return packed.ToArray();
    }
}
