using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>
/// Rule 14 against the kernel: a peer that dies with unread bytes ends the link out of order, and what it had not read of what was
/// confirmed lies within what is kept for a repeat, at any speed and with any receive buffer.
/// </summary>
public sealed class UnreadBytesTests(ITestOutputHelper output)
{
    private const int MessageBytes = 1000;
    private const int ResendBytes = 2 << 20;

    /// <summary>A run is admitted whole, and the last look was before it.</summary>
    private const int SlackBytes = 128 * 1024;

    /// <param name="total">Bytes offered to the link.</param>
    /// <param name="readStop">Bytes that the peer reads before it stops.</param>
    /// <param name="readBytes">Bytes per read; small ones make a slow reader.</param>
    [Theory]
    [InlineData(3_000, 1_000, 65_536, 0)]
    [InlineData(60_000, 1_000, 65_536, 0)]
    [InlineData(6_000_000, 200_000, 4_096, 0)]
    [InlineData(40_000_000, 20_000_000, 65_536, 0)]
    [InlineData(40_000_000, 39_000_000, 65_536, 0)]
    [InlineData(6_000_000, 200_000, 4_096, 4 << 20)]
    [InlineData(40_000_000, 20_000_000, 65_536, 4 << 20)]
    [InlineData(40_000_000, 39_900_000, 65_536, 4 << 20)]
    public async Task What_a_dying_peer_had_not_read_is_kept(int total, int readStop, int readBytes, int receiveBufferBytes)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        if (receiveBufferBytes > 0) listener.ReceiveBufferSize = receiveBufferBytes;
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        await using var destination = new TcpDestination(
            new ChannelConfig
            {
                Id = "channel-001",
                Source = new SourceConfig { Type = EndpointType.TcpServer },
                Destination = new DestinationConfig
                {
                    Type = EndpointType.TcpClient, Host = "127.0.0.1", Port = ((IPEndPoint)listener.LocalEndPoint!).Port,
                },
            },
            new EndpointContext(
                new SocketNetwork(TimeProvider.System, NullLogger.Instance), new MemoryBudget(1 << 20), TimeProvider.System, new Random(1),
                NullLogger.Instance));
        await destination.OpenAsync();
        await using var link = await destination.ConnectAsync(default);
        using var peer = await listener.AcceptAsync();
        var sink = new RecordingSink();
        var watch = link.WatchAsync(sink, default);

        using var giveUp = new CancellationTokenSource();
        var sending = OfferAsync(link, total, giveUp.Token);
        var buffer = new byte[readBytes];
        var read = 0;
        while (read < readStop) read += await peer.ReceiveAsync(buffer.AsMemory(0, Math.Min(readBytes, readStop - read)));
        await SettleAsync(sink);
        var confirmedBytes = sink.ConfirmedUpTo * MessageBytes;
        var (shownBytes, hiddenBytes) = (sink.OutstandingLastBytes, sink.HiddenLastBytes);
        peer.Dispose();

        var end = await watch.WaitAsync(TimeSpan.FromSeconds(20));
        await giveUp.CancelAsync();
        await sending;
        var unreadBytes = confirmedBytes - read;
        output.WriteLine($"confirmed {confirmedBytes}, unread of it {unreadBytes}, shown {shownBytes}, at most hidden {hiddenBytes}");
        Assert.False(end.Orderly, end.Reason);
        Assert.Equal(0, end.RepeatFrom);
        Assert.InRange(unreadBytes, 1, ResendBytes);
        Assert.InRange(unreadBytes, 1, shownBytes + hiddenBytes + SlackBytes);
    }

    /// <summary>Waits until nothing more is confirmed.</summary>
    private static async Task SettleAsync(RecordingSink sink)
    {
        for (long before = -1; before != sink.ConfirmedUpTo;)
        {
            before = sink.ConfirmedUpTo;
            await Task.Delay(300);
        }
    }

    private static async Task OfferAsync(IDestinationLink link, int total, CancellationToken cancel)
    {
        try
        {
            for (var sent = 0; sent < total; sent += 60 * MessageBytes)
            {
                var count = Math.Min(60, (total - sent) / MessageBytes);
                await link.SendAsync(Messages.Numbered(1 + sent / MessageBytes, count, MessageBytes), cancel);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // The peer died in the middle, as it should.
        }
    }
}
