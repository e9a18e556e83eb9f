using System.Buffers;
using System.IO.Compression;
using System.Net.Security;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Tests.Daemon;
using IoBufferEdge.Tests.Support;
using ZstdSharp;
using static IoBufferEdge.Tests.Endpoints.Remote.HttpRemoteTransportTests;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>What goes over the wire byte for byte, what is said when no answer comes, and who reads the pieces of a batch until when.</summary>
public sealed class HttpRemoteTransportWireTests
{
    private const string Sender = "plant/line";
    private const string Taken = "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"receiver\":\"centre/in\"}";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    // ---- the request

    [Fact]
    public async Task A_batch_goes_out_byte_for_byte_with_its_length()
    {
        using var server = new RawServer();
        var bytes = RandomBytes(300_000);
        var serving = server.AnswerAsync(Taken);
        await using var transport = Transport(server.Url, d => d with { Compression = Compression.None });
        await transport.SendAsync([bytes.AsMemory(0, 1), default, bytes.AsMemory(1, 200_000), bytes.AsMemory(200_001)], default).AsTask().WaitAsync(Limit);
        var (head, body) = await serving.WaitAsync(Limit);
        Assert.StartsWith("POST /v1/channels/in/messages HTTP/1.1\r\n", head, StringComparison.Ordinal);
        Assert.Contains($"\r\nAuthorization: {RemoteServerRig.Basic("relay:correct horse")}\r\n", head, StringComparison.Ordinal);
        Assert.Matches("\r\nContent-Type: application/vnd\\.iobuffer\\.batch; ?version=1\r\n", head);
        Assert.Contains("\r\nContent-Length: 300000\r\n", head, StringComparison.Ordinal);
        Assert.DoesNotContain("Transfer-Encoding", head, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("Content-Encoding", head, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(bytes, body);
    }

    [Theory]
    [InlineData(Compression.Gzip, "gzip")]
    [InlineData(Compression.Zstd, "zstd")]
    public async Task What_is_compressed_says_so_and_comes_out_the_same(Compression compression, string encoding)
    {
        using var server = new RawServer();
        var bytes = RandomBytes(100_000);
        for (var i = 0; i < bytes.Length; i++) bytes[i] &= 3;
        var serving = server.AnswerAsync(Taken);
        await using var transport = Transport(server.Url, d => d with { Compression = compression });
        await transport.SendAsync([bytes.AsMemory(0, 50_000), bytes.AsMemory(50_000)], default).AsTask().WaitAsync(Limit);
        var (head, body) = await serving.WaitAsync(Limit);
        Assert.Contains($"\r\nContent-Encoding: {encoding}\r\n", head, StringComparison.Ordinal);
        Assert.InRange(body.Length, 16 * 1024, 60_000);
        await using Stream plain = compression == Compression.Gzip
            ? new GZipStream(new MemoryStream(body), CompressionMode.Decompress)
            : new DecompressionStream(new MemoryStream(body));
        using var all = new MemoryStream();
        await plain.CopyToAsync(all);
        Assert.Equal(bytes, all.ToArray());
    }

    [Theory]
    [InlineData(Compression.Gzip)]
    [InlineData(Compression.Zstd)]
    public async Task What_compression_would_make_longer_goes_out_as_it_is(Compression compression)
    {
        using var server = new RawServer();
        var bytes = RandomBytes(50_000);
        var serving = server.AnswerAsync(Taken);
        await using var transport = Transport(server.Url, d => d with { Compression = compression });
        await transport.SendAsync([bytes], default).AsTask().WaitAsync(Limit);
        var (head, body) = await serving.WaitAsync(Limit);
        Assert.DoesNotContain("Content-Encoding", head, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(bytes, body);
    }

    // ---- the answer

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        using var server = new RawServer();
        using var target = new RawServer();
        var serving = server.AnswerAsync($"HTTP/1.1 302 Found\r\nLocation: {target.Url}\r\nContent-Length: 0\r\n\r\n");
        await using var transport = Transport(server.Url);
        Assert.Equal(302, (await transport.SendAsync([new byte[10]], default).AsTask().WaitAsync(Limit)).Status);
        await serving;
        Assert.False(target.HasCaller);
    }

    [Theory]
    [InlineData("Fri, 27 Nov 2026 02:00:30 GMT", 30.0)]
    [InlineData("Fri, 27 Nov 2026 01:59:50 GMT", -10.0)]
    [InlineData("120", 120.0)]
    [InlineData("soon", null)]
    public async Task Retry_after_is_a_date_or_seconds(string value, double? seconds)
    {
        using var server = new RawServer();
        var serving = server.AnswerAsync($"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        await using var transport = Transport(server.Url, time: new Clock());
        var reply = await transport.AskMarksAsync(Sender, default).AsTask().WaitAsync(Limit);
        await serving;
        Assert.Equal((503, seconds), (reply.Status, reply.RetryAfter?.TotalSeconds));
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"receiver\"", "broke off before the answer was complete")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Le", "broke off before the answer was complete")]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", "the answer is no HTTP")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", "the answer is no HTTP")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", "does not answer like another instance")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"marks\":[null]}", "does not answer like another instance")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"receiver\":\"\u00ff\"}", "does not answer like another instance")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{\"life\":\"0000000000000abc\",\"mark\":-1}", "does not answer like another instance")]
    public async Task No_usable_answer_is_told_with_its_reason(string answer, string reason)
    {
        using var server = new RawServer();
        var serving = server.AnswerAsync(answer);
        await using var transport = Transport(server.Url);
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), reason);
        await serving.WaitAsync(Limit);
    }

    [Fact]
    public async Task A_server_that_hangs_up_each_time_is_told()
    {
        using var server = new RawServer();
        var serving = Task.Run(async () =>
        {
            while (true) await server.AnswerAsync("");
        });
        await using var transport = Transport(server.Url);
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), "the connection broke off before the answer was complete");
        server.Dispose();
        await Assert.ThrowsAnyAsync<Exception>(() => serving.WaitAsync(Limit));
    }

    [Fact]
    public async Task Headers_without_end_are_broken_off()
    {
        using var server = new RawServer();
        var serving = server.AnswerAsync($"HTTP/1.1 200 OK\r\nX-Long: {new string('x', 70_000)}\r\nContent-Length: 0\r\n\r\n");
        await using var transport = Transport(server.Url);
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), server.Url.ToString());
        await serving.WaitAsync(Limit);
    }

    // ---- TLS and the account

    [Fact]
    public async Task Over_TLS_it_is_HTTP_2_where_the_server_speaks_it_else_1_1()
    {
        using var certificates = new TestCertificates();
        var files = certificates.Issue("gateway");
        using var server = new RawServer();
        await using var transport = Transport(
            new($"https://127.0.0.1:{server.Port}"), d => d with { Tls = new() { Enabled = true, Ca = certificates.Authority } });
        var serving = server.AnswerTlsAsync(files, Taken, SslApplicationProtocol.Http11);
        Assert.Equal("centre/in", (await transport.AskMarksAsync(Sender, default).AsTask().WaitAsync(Limit)).Receiver);
        Assert.StartsWith("GET /v1/channels/in/marks", await serving, StringComparison.Ordinal);

        await using var anew = Transport(
            new($"https://127.0.0.1:{server.Port}"), d => d with { Tls = new() { Enabled = true, Ca = certificates.Authority } });
        var newer = server.AnswerTlsAsync(files, "", SslApplicationProtocol.Http2, SslApplicationProtocol.Http11);
        await FailsAsync(() => anew.AskMarksAsync(Sender, default), "ends the connection without an answer");
        Assert.Equal("PRI * HTTP/2.0\r\n\r\n", await newer);
    }

    [Fact]
    public async Task A_certificate_that_is_not_accepted_is_told_with_host_and_reason()
    {
        using var certificates = new TestCertificates();
        using var others = new TestCertificates("Another authority");
        var (cert, key) = certificates.Issue("gateway");
        await using var rig = await RemoteServerRig.StartAsync(
            new() { Enabled = true, Cert = cert, Key = key, Ca = certificates.Authority, VerifyPeer = true });
        await using var elsewhere = Transport(rig.Url, d => d with { Tls = new() { Enabled = true, Ca = others.Authority } });
        await FailsAsync(
            () => elsewhere.AskMarksAsync(Sender, default),
            "TLS with 127.0.0.1 failed: the peer's certificate (CN=gateway) does not come from a trusted authority.");
        await using var otherName = Transport(
            new($"https://localhost:{rig.Url.Port}"), d => d with { Tls = new() { Enabled = true, Ca = certificates.Authority } });
        await FailsAsync(
            () => otherName.AskMarksAsync(Sender, default), "TLS with localhost failed: the peer's certificate (CN=gateway) is for another name.");
        await using var stranger = Transport(rig.Url, d => d with { Tls = new() { Enabled = true, Ca = certificates.Authority } });
        await FailsAsync(
            () => stranger.AskMarksAsync(Sender, default),
            "TLS with 127.0.0.1 works, but the server ends the connection without an answer: it may ask for a client certificate (tls.cert, tls.key).");
    }

    [Fact]
    public async Task A_password_file_without_password_is_told_at_the_start_and_later()
    {
        using var files = new TestCertificates();
        await using var rig = await RemoteServerRig.StartAsync();
        var file = files.Write("password", "correct horse\n");
        HttpRemoteTransport Open(string path) => Transport(rig.Url, d => d with { Auth = new() { Username = "relay", PasswordFile = path } });
        await using var transport = Open(file);
        Assert.Equal(200, (await transport.AskMarksAsync(Sender, default)).Status);
        files.Write("password", "\n");
        var empty = $"auth: the first line of password_file {file} is empty.";
        await FailsAsync(() => transport.AskMarksAsync(Sender, default), empty);
        Assert.Equal(empty, Assert.Throws<EndpointException>(() => Open(file)).Message);
        Assert.Equal(
            $"auth: password_file {file}.gone cannot be read: it does not exist.", Assert.Throws<EndpointException>(() => Open($"{file}.gone")).Message);
        files.Write("password", "correct horse\n");
        Assert.Equal(200, (await transport.AskMarksAsync(Sender, default)).Status);
    }

    // ---- who reads the pieces until when

    [Fact]
    public async Task Nobody_reads_the_pieces_when_the_end_has_come()
    {
        var stream = new GatedStream();
        using var content = new PartsContent([new byte[10], new byte[20], new byte[30]]);
        var sending = content.CopyToAsync(stream);
        await stream.Entered.Task.WaitAsync(Limit);
        var ending = content.EndAsync().AsTask();
        Assert.False(ending.IsCompleted);
        stream.Gate.SetResult();
        await ending.WaitAsync(Limit);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending.WaitAsync(Limit));
        Assert.Equal(10, stream.Length);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => content.CopyToAsync(stream).WaitAsync(Limit));
        Assert.Equal(10, stream.Length);
    }

    [Fact]
    public async Task A_body_that_is_never_sent_ends_at_once()
    {
        using var content = new PartsContent([new byte[10]]);
        await content.EndAsync().AsTask().WaitAsync(Limit);
    }

    [Fact]
    public async Task An_answer_before_the_whole_body_ends_the_call_and_the_reading()
    {
        using var certificates = new TestCertificates();
        var (cert, key) = certificates.Issue("gateway");
        await using var rig = await RemoteServerRig.StartAsync(new() { Enabled = true, Cert = cert, Key = key });
        var transport = Transport(rig.Url, d => d with
        {
            Compression = Compression.None, Tls = new() { Enabled = true, Ca = certificates.Authority },
            Auth = new() { Username = "relay", Password = "wrong" },
        });
        using var piece = new WatchedMemory(1 << 20);
        var reply = await transport.SendAsync([.. Enumerable.Repeat((ReadOnlyMemory<byte>)piece.Memory, 64)], default).AsTask().WaitAsync(Limit);
        piece.HasEnded = true;
        Assert.Equal((401, true), (reply.Status, reply.Error?.EndsWith('.')));
        await transport.DisposeAsync();
        Assert.Equal(0, piece.LateReads);
    }

    [Fact]
    public async Task A_call_that_is_cancelled_while_it_sends_leaves_the_pieces_alone()
    {
        using var server = new RawServer();
        using var cancel = new CancellationTokenSource();
        await using var transport = Transport(server.Url, d => d with { Compression = Compression.None });
        using var piece = new WatchedMemory(1 << 20);
        var sending = transport.SendAsync([.. Enumerable.Repeat((ReadOnlyMemory<byte>)piece.Memory, 64)], cancel.Token).AsTask();
        using var client = await server.AcceptAsync().WaitAsync(Limit);
        var head = await RawServer.ReadHeadAsync(client.GetStream()).WaitAsync(Limit);
        Assert.Contains("\r\nContent-Length: 67108864\r\n", head, StringComparison.Ordinal);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending.WaitAsync(Limit));
        piece.HasEnded = true;
        Assert.InRange(await RawServer.DrainAsync(client.GetStream()).WaitAsync(Limit), 0, (64 << 20) - 1);
        Assert.Equal(0, piece.LateReads);
    }

    private static byte[] RandomBytes(int count)
    {
        var bytes = new byte[count];
        new Random(7).NextBytes(bytes);
        return bytes;
    }

    /// <summary>A wall clock that stands; timers run.</summary>
    private sealed class Clock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2026, 11, 27, 2, 0, 0, TimeSpan.Zero);
    }

    /// <summary>Holds the first write until the gate opens, whoever cancels it.</summary>
    private sealed class GatedStream : MemoryStream
    {
        public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Gate { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Entered.TrySetResult();
            await Gate.Task;
            Write(buffer.Span);
        }
    }

    /// <summary>Memory that counts who still reads it after the call that it was lent to.</summary>
    private sealed class WatchedMemory(int length) : MemoryManager<byte>
    {
        private readonly byte[] _bytes = new byte[length];
        private int _lateReads;

        public volatile bool HasEnded;

        public int LateReads => Volatile.Read(ref _lateReads);

        public override Span<byte> GetSpan()
        {
            if (HasEnded) Interlocked.Increment(ref _lateReads);
            return _bytes;
        }

        public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException();

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
