using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Daemon;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace IoBufferEdge.Tests.Daemon;

/// <summary>The real web server on a port of its own, real intakes behind it, and queues in memory behind those.</summary>
internal sealed class RemoteServerRig : IAsyncDisposable
{
    public const string Batch = "application/vnd.iobuffer.batch;version=1";

    private static readonly AuthConfig Account = new()
    {
        Username = "relay", PasswordHash = PasswordHash.Create("correct horse", new byte[16], 100_000).ToString(),
    };

    private readonly RemoteHub _hub = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _serving = [];
    private readonly RemoteServer _server;

    private RemoteServerRig(MinDataRate? bodyRate) =>
        _server = bodyRate is null ? new(_hub, TimeProvider.System, Lines) : new(_hub, TimeProvider.System, Lines) { BodyRate = bodyRate };

    public LogLines Lines { get; } = new();

    /// <summary>Of the channel "in", which asks for the account; "open" takes from anyone.</summary>
    public MemoryQueue Queue { get; } = new();

    public MemoryQueue OpenQueue { get; } = new();

    public HttpClient Client { get; private set; } = new();

    public Uri Url => new(_server.Url!);

    public string? ListensOn => _server.Url;

    public long BodyBytes => _server.BodyBytes;

    public static string Basic(string credentials) => "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials));

    public static async Task<RemoteServerRig> StartAsync(TlsConfig? tls = null, MinDataRate? bodyRate = null, int maxMessageBytes = 64 * 1024)
    {
        var rig = new RemoteServerRig(bodyRate);
        rig.Open("in", rig.Queue, Account, maxMessageBytes);
        rig.Open("open", rig.OpenQueue, null, maxMessageBytes);
        await rig.ListenAsync(tls);
        rig.Client.BaseAddress = new Uri(rig.Url, "/v1/channels/");
        rig.Client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", Basic("relay:correct horse"));
        return rig;
    }

    public Task ListenAsync(TlsConfig? tls = null, bool enabled = true) => _server.ListenAsync(new GatewayConfig
    {
        Http = new() { Listen = "127.0.0.1:0", Tls = tls ?? new() },
        Channels = [.. new[] { "in", "open", "stopped" }.Select(id => new ChannelConfig
        {
            Id = id, Enabled = enabled, Source = new() { Type = EndpointType.RemoteIcombuffer }, Destination = new() { Type = EndpointType.TcpClient },
        })],
    });

    /// <summary>A client of this server over TLS.</summary>
    public HttpClient NewTlsClient(string authority, X509Certificate2? certificate = null)
    {
        var handler = new SocketsHttpHandler();
        var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(authority);
        handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = trust };
        if (certificate is not null) handler.SslOptions.ClientCertificates = [certificate];
        Client.Dispose();
        Client = new HttpClient(handler) { BaseAddress = new Uri(Url, "/v1/channels/") };
        Client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", Basic("relay:correct horse"));
        return Client;
    }

    /// <summary>A batch of short messages, numbers from <paramref name="first"/> on, that follows <paramref name="first"/> - 1.</summary>
    public static byte[] NewBatch(long first, int count, int messageBytes = 10)
    {
        using var writer = new RemoteBatchWriter(new MemoryBudget(1 << 20));
        writer.Begin("plant/line", 0xABC, first == 1 ? MessageIdentity.None : new(0xABC, first - 1), first + count - 1);
        for (var i = 0; i < count; i++)
        {
            Assert.True(writer.TryAdd(first + i, messageBytes, MessageFlags.None, new MessageOrigin(null, 0xABC, first + i, 1_000_000)));
            writer.AddPayload(Encoding.ASCII.GetBytes($"{first + i}".PadLeft(messageBytes, '.')));
        }

        return [.. writer.Finish().SelectMany(part => part.ToArray())];
    }

    public static HttpContent Content(byte[] body, string type = Batch, string? encoding = null)
    {
        var content = new ByteArrayContent(body);
        content.Headers.TryAddWithoutValidation("Content-Type", type);
        if (encoding is not null) content.Headers.ContentEncoding.Add(encoding);
        return content;
    }

    /// <summary>Status and body of an answer; a refusal must say why in a sentence.</summary>
    public static async Task<(int Status, JsonElement Body)> ReadAsync(HttpResponseMessage response)
    {
        Assert.Equal("application/json", response.Content.Headers.ContentType?.MediaType);
        using var json = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        if (!response.IsSuccessStatusCode) Assert.EndsWith(".", json.RootElement.GetProperty("error").GetString(), StringComparison.Ordinal);
        return ((int)response.StatusCode, json.RootElement.Clone());
    }

    public async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, Url.Port);
        return socket;
    }

    /// <summary>All that comes until the server closes.</summary>
    public static async Task<string> ReadToEndAsync(Socket socket)
    {
        var (text, buffer) = (new StringBuilder(), new byte[4096]);
        try
        {
            while (await socket.ReceiveAsync(buffer).WaitAsync(TimeSpan.FromSeconds(60)) is > 0 and var read)
                text.Append(Encoding.ASCII.GetString(buffer, 0, read));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // What had come is what counts.
        }

        return text.ToString();
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _stop.CancelAsync();
        Queue.GiveUp();
        OpenQueue.GiveUp();
        await Task.WhenAll(_serving);
        await _server.DisposeAsync();
        Assert.Equal(0, BodyBytes);
        _stop.Dispose();
    }

    private void Open(string id, MemoryQueue queue, AuthConfig? auth, int maxMessageBytes)
    {
        var intake = new RemoteIntake($"centre/{id}", TimeProvider.System)
        {
            Auth = auth, MaxMessageBytes = maxMessageBytes, MaxBatchBytes = maxMessageBytes + 64 * 1024,
        };
        _hub.Open(id, intake);
        _serving.Add(intake.ServeAsync(queue, _stop.Token));
    }

    /// <summary>Takes all, and secures it at once unless a test holds that back.</summary>
    internal sealed class MemoryQueue : IMessageSink
    {
        private readonly Lock _lock = new();
        private readonly Dictionary<string, HeldMarks> _held = [];
        private readonly Dictionary<UInt128, long> _keys = [];
        private readonly List<string> _messages = [];
        private readonly CancellationTokenSource _gaveUp = new();

        /// <summary>What securing waits for.</summary>
        public Task Secured { get; set; } = Task.CompletedTask;

        public IReadOnlyList<string> Messages
        {
            get
            {
                lock (_lock) return [.. _messages];
            }
        }

        public long SecuredSequence => Messages.Count;

        public void GiveUp() => _gaveUp.Cancel();

        public bool TryAppend(ReadOnlySpan<byte> payload, MessageFlags flags, out long sequence) => throw new NotSupportedException();

        public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence)
        {
            lock (_lock)
            {
                _messages.Add(Encoding.Latin1.GetString(payload));
                sequence = _messages.Count;
                if (stamp.Sender is { } sender) _held[sender] = new([new(stamp.Identity.Life, stamp.Identity.Sequence, stamp.Claimed)], sequence);
                else _keys[stamp.Key] = sequence;
                return true;
            }
        }

        public HeldMarks HeldFrom(string sender)
        {
            lock (_lock) return _held.GetValueOrDefault(sender, HeldMarks.None);
        }

        public long? FindKey(UInt128 key)
        {
            lock (_lock) return _keys.TryGetValue(key, out var sequence) ? sequence : null;
        }

        public void Publish()
        {
        }

        public ValueTask WaitForRoomAsync(int payloadBytes, CancellationToken cancel) => throw new NotSupportedException();

        public async ValueTask WaitSecuredAsync(long sequence, CancellationToken cancel)
        {
            using var any = CancellationTokenSource.CreateLinkedTokenSource(cancel, _gaveUp.Token);
            await Secured.WaitAsync(any.Token);
        }
    }
}
