using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>Somebody cuts a quota and lets the oldest be dropped: until that is confirmed no message goes, and taken back it has cost none.</summary>
public sealed class HeldDiscardsTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-held-").FullName;
    private readonly int _port = FreePort();
    private Gateway _gateway = null!;

    private ChannelStatus Channel => _gateway.Status.Channels[0];

    public async ValueTask InitializeAsync()
    {
        var (time, random, log) = (TimeProvider.System, new Random(1), NullLogger.Instance);
        var network = new SocketNetwork(time, log);
        EndpointContext Context(MemoryBudget memory) => new(network, memory, time, random, log);
        _gateway = new Gateway(Config(new BufferConfig()), new GatewayServices(
            new RocksBufferStore(new RocksStoreOptions { Directory = Path.Combine(_folder, "store") }, time, random, log),
            (config, memory) => EndpointFactory.CreateSource(config, Context(memory)),
            (config, memory) => EndpointFactory.CreateDestination(config, Context(memory)),
            time, random, log, "test"));
        await _gateway.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData(WhenFull.DropOldest)]
    [InlineData(WhenFull.DropNewest)]
    public async Task A_cut_quota_that_is_taken_back_has_lost_nothing(WhenFull whenFull)
    {
        var cut = Config(new BufferConfig { MaxBytes = 64 * 1024, WhenFull = whenFull, TtlS = 1 });
        await SendAsync(40);
        await UntilAsync(() => Channel.Ledger.Buffered == 40);

        await _gateway.ApplyAsync(cut, holdDiscards: true);
        await SendAsync(5);
        await Task.Delay(500);
        Assert.Equal((40, 0), (Channel.Ledger.Buffered, Channel.Ledger.Discarded));
        await Assert.ThrowsAsync<InvalidOperationException>(() => _gateway.PurgeQueueAsync("lines", default));

        await _gateway.ApplyAsync(Config(new BufferConfig()), force: true);
        // The five were not taken while there was no room for them, and nobody was told that they were: they may have gone with their connection.
        Assert.InRange(Channel.Ledger.Received, 40, 45);
        await SendAsync(5);
        await UntilAsync(() => Channel.Ledger.Received >= 45 && Channel.Ledger.Buffered == Channel.Ledger.Received);
        Assert.Equal(0, Channel.Ledger.Discarded);

        // Confirmed, it does what it says.
        await _gateway.ApplyAsync(cut, holdDiscards: true);
        await _gateway.ApplyAsync(cut);
        await SendAsync(5);
        await UntilAsync(() => Channel.Ledger.Discarded > 0);
    }

    private GatewayConfig Config(BufferConfig buffer) => new()
    {
        Channels =
        [
            new ChannelConfig
            {
                Id = "lines",
                Source = new() { Type = EndpointType.TcpServer, Host = "127.0.0.1", Port = _port, Framing = new() { Type = FramingType.Line } },
                Buffer = buffer,
                Destination = new() { Type = EndpointType.TcpClient, Host = "127.0.0.1", Port = 9 },
            },
        ],
    };

    /// <summary>Lines of 5 KB over a connection of their own: the channel closes it when its configuration changes.</summary>
    private async Task SendAsync(int lines)
    {
        using var sender = new TcpClient();
        await sender.ConnectAsync(IPAddress.Loopback, _port);
        var line = new byte[5000];
        Array.Fill(line, (byte)'x');
        line[^1] = (byte)'\n';
        for (var i = 0; i < lines; i++) await sender.GetStream().WriteAsync(line);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        var since = TimeProvider.System.GetTimestamp();
        for (; !condition(); await Task.Delay(20)) Assert.True(TimeProvider.System.GetElapsedTime(since) < Patience, "It did not come about in time.");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
