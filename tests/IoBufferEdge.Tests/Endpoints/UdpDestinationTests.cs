using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Udp;
using IoBufferEdge.Tests.Endpoints.Tcp;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Endpoints;

/// <summary>The UDP destination over the loopback interface, where a closed port answers with an ICMP error at once.</summary>
public sealed class UdpDestinationTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_message_is_a_datagram_and_counts_when_handed_over()
    {
        using var receiver = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        receiver.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        await using var destination = Destination(((IPEndPoint)receiver.LocalEndPoint!).Port);
        await destination.OpenAsync();
        await using var link = await destination.ConnectAsync(default);
        var sink = new RecordingSink();
        using var stop = new CancellationTokenSource();
        var watch = link.WatchAsync(sink, stop.Token);
        await link.SendAsync(Messages.Run(1, "ab"u8.ToArray(), "c"u8.ToArray()), default);
        Assert.Equal(2, sink.ConfirmedUpTo);
        var buffer = new byte[100];
        Assert.Equal(2, await receiver.ReceiveAsync(buffer).WaitAsync(Patience));
        Assert.Equal(1, await receiver.ReceiveAsync(buffer).WaitAsync(Patience));
        await stop.CancelAsync();
        Assert.True((await watch.WaitAsync(Patience)).Orderly);
    }

    [Fact]
    public async Task Nobody_listening_ends_the_link_and_repeats_what_was_sent_within_the_last_second()
    {
        await using var destination = Destination(ClosedPort());
        await destination.OpenAsync();
        await using var link = await destination.ConnectAsync(default);
        var sink = new RecordingSink();
        var watch = link.WatchAsync(sink, default);
        await link.SendAsync(Messages.Numbered(7, 1, 10), default);
        var end = await watch.WaitAsync(Patience);
        Assert.False(end.Orderly);
        Assert.Equal(7, end.RepeatFrom);
        Assert.Contains(new KeyValuePair<string, long>("socket_errors", 1), destination.Status.Counters);
    }

    [Fact]
    public async Task A_message_longer_than_a_datagram_is_refused_for_good()
    {
        await using var destination = Destination(ClosedPort());
        await destination.OpenAsync();
        await using var link = await destination.ConnectAsync(default);
        var sink = new RecordingSink();
        var watch = link.WatchAsync(sink, default);
        await link.SendAsync(Messages.Numbered(1, 1, ChannelRules.DatagramMaxBytes + 1), default);
        var (sequence, permanent, reason) = Assert.Single(sink.Rejections);
        Assert.Equal((1, true), (sequence, permanent));
        Assert.Contains("65507", reason, StringComparison.Ordinal);
        Assert.False(watch.IsCompleted);
    }

    [Fact]
    public void Recent_sends_reach_back_a_second_and_not_much_more()
    {
        var time = new FakeTimeProvider();
        var recent = new RecentSends(TimeSpan.FromSeconds(1), time);
        Assert.Equal(long.MaxValue, recent.First());
        for (var sequence = 1; sequence <= 3000; sequence++)
        {
            recent.Add(sequence);
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.InRange(recent.First(), 3000 - 1100, 3000 - 999);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(long.MaxValue, recent.First());
    }

    private static UdpDestination Destination(int port) => new(
        new ChannelConfig
        {
            Id = "channel-001",
            Source = new SourceConfig { Type = EndpointType.Udp },
            Destination = new DestinationConfig { Type = EndpointType.Udp, Host = "127.0.0.1", Port = port },
        },
        new EndpointContext(
            new SocketNetwork(TimeProvider.System, NullLogger.Instance), new MemoryBudget(1 << 20), TimeProvider.System, new Random(1),
            NullLogger.Instance));

    /// <summary>A port that was ours a moment ago: nobody listens there.</summary>
    private static int ClosedPort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
