using System.Net;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Interop.Linux;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints;

/// <summary>What real sockets tell, and how failures read.</summary>
public sealed class SocketNetworkTests
{
    private readonly SocketNetwork _network = new(TimeProvider.System, NullLogger.Instance);

    [Fact]
    public async Task A_refused_connect_names_address_and_reason()
    {
        int port;
        using (var listener = _network.Listen("127.0.0.1", 0, new TcpTuning())) port = listener.Port;
        var refused = await Assert.ThrowsAsync<EndpointException>(() => Connect("127.0.0.1", port));
        Assert.Equal($"Cannot connect to 127.0.0.1:{port}: connection refused.", refused.Message);
    }

    [Fact]
    public async Task An_unknown_name_is_said_to_be_one()
    {
        var unknown = await Assert.ThrowsAsync<EndpointException>(() => Connect("no-such-host.invalid", 7000));
        Assert.StartsWith("Cannot connect to no-such-host.invalid:7000: the name", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_port_in_use_and_a_foreign_address_are_told_apart()
    {
        using var listener = _network.Listen("127.0.0.1", 0, new TcpTuning());
        var inUse = Assert.Throws<EndpointException>(() => _network.Listen("127.0.0.1", listener.Port, new TcpTuning()));
        Assert.Equal($"Cannot listen on 127.0.0.1:{listener.Port}: the address is already in use by another program.", inUse.Message);
        var foreign = Assert.Throws<EndpointException>(() => _network.Listen("192.0.2.1", 7000, new TcpTuning()));
        Assert.Equal("Cannot listen on 192.0.2.1:7000: the address is not one of this device's.", foreign.Message);
    }

    [Fact]
    public void An_interface_that_does_not_exist_is_named()
    {
        var missing = Assert.Throws<EndpointException>(() => _network.Listen("0.0.0.0", 0, new TcpTuning(Bind: "eth77")));
        Assert.Equal("Cannot bind to the interface eth77: there is no such interface.", missing.Message);
    }

    [Fact]
    public async Task A_local_address_is_where_a_connection_comes_from()
    {
        using var listener = _network.Listen("127.0.0.1", 0, new TcpTuning());
        var accepting = listener.AcceptAsync(default);
        using var near = await _network.ConnectAsync("127.0.0.1", listener.Port, new TcpTuning(Bind: "127.0.0.77"), default);
        using var far = await accepting;
        Assert.Equal(IPAddress.Parse("127.0.0.77"), far.Remote.Address);
    }

    [Fact]
    public async Task The_kernel_tells_what_is_unacknowledged_and_when_the_window_is_closed()
    {
        var (near, far) = await PairAsync(receiveBufferBytes: 16 * 1024);
        using (near)
        using (far)
        {
            var idle = near.Inspect();
            Assert.True(idle is { Established: true, UnacknowledgedBytes: 0, Probing: false, PeerFinished: false, PeerWindowBytes: > 0 });
            using var cancel = new CancellationTokenSource();
            var sending = FillAsync(near, cancel.Token);
            while (!near.Inspect().Probing) await Task.Delay(5);
            var stuck = near.Inspect();
            Assert.True(stuck.UnacknowledgedBytes > 0);
            var acknowledged = near.BytesSent - stuck.UnacknowledgedBytes;
            Assert.InRange(acknowledged, 1, 64 * 1024);

            var read = 0L;
            var buffer = new byte[64 * 1024];
            while (far.ReceiveNow(buffer) is var count and > 0) read += count;
            Assert.True(read >= acknowledged, "what is acknowledged has reached the peer's kernel");
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
        }
    }

    [Fact]
    public async Task The_peers_fin_and_reset_are_told_apart()
    {
        var (near, far) = await PairAsync();
        using (near)
        {
            far.ShutdownSend();
            Assert.Equal(0, await near.ReceiveAsync(new byte[1], default));
            Assert.True(near.Inspect() is { Established: true, PeerFinished: true });
            far.AbortOnDispose();
            far.Dispose();
            while (near.Inspect().Established) await Task.Delay(1);
            var broken = await Assert.ThrowsAsync<IOException>(async () => await near.SendAsync(new byte[1], default));
            Assert.Equal($"{near.Remote}: the peer has reset the connection.", broken.Message);
        }
    }

    [Fact]
    public async Task Datagrams_that_the_kernel_drops_are_counted()
    {
        using var receiver = await _network.OpenDatagramAsync("127.0.0.1", 0, null, 0, default);
        using var sender = await _network.OpenDatagramAsync(null, 0, new DnsEndPoint("127.0.0.1", receiver.Port), 0, default);
        const int Sent = 2000;
        for (var i = 0; i < Sent; i++) await sender.SendAsync(new byte[1000], default);
        var buffer = new byte[2000];
        var received = 0;
        while (receiver.ReceiveNow(buffer) is not null) received++;
        Assert.InRange(received, 1, Sent - 1);

        // The kernel tells with the next datagram that it takes.
        await sender.SendAsync(new byte[1], default);
        Assert.Equal(1, (await receiver.ReceiveAsync(buffer, default)).Length);
        Assert.Equal(Sent - received, receiver.KernelDrops);
    }

    [Fact]
    public async Task A_datagram_longer_than_the_buffer_is_cut_and_says_so()
    {
        using var receiver = await _network.OpenDatagramAsync("127.0.0.1", 0, null, 0, default);
        using var sender = await _network.OpenDatagramAsync(null, 0, new DnsEndPoint("127.0.0.1", receiver.Port), 0, default);
        var waiting = receiver.ReceiveAsync(new byte[10], default);
        await sender.SendAsync(new byte[11], default);
        var datagram = await waiting;
        Assert.Equal((10, true, sender.Port), (datagram.Length, datagram.Truncated, datagram.Remote.Port));
        await sender.SendAsync(new byte[10], default);
        Assert.False((await receiver.ReceiveAsync(new byte[10], default)).Truncated);
    }

    [Fact]
    public async Task A_datagram_to_nobody_comes_back_as_an_error()
    {
        int port;
        using (var receiver = await _network.OpenDatagramAsync("127.0.0.1", 0, null, 0, default)) port = receiver.Port;
        using var sender = await _network.OpenDatagramAsync(null, 0, new DnsEndPoint("127.0.0.1", port), 0, default);
        await sender.SendAsync(new byte[1], default);
        var refused = await Assert.ThrowsAsync<IOException>(async () => await sender.ReceiveAsync(new byte[1], default));
        Assert.Equal($"UDP 127.0.0.1:{port}: connection refused.", refused.Message);
    }

    [Fact]
    public async Task A_cancelled_receive_takes_nothing()
    {
        var (near, far) = await PairAsync();
        using (near)
        using (far)
        {
            using var cancel = new CancellationTokenSource();
            var receiving = near.ReceiveAsync(new byte[10], cancel.Token).AsTask();
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => receiving);
            await far.SendAsync(new byte[3], default);
            Assert.Equal(3, await near.ReceiveAsync(new byte[10], default));
            Assert.Equal(-1, near.ReceiveNow(new byte[10]));
        }
    }

    [Fact]
    public void A_short_tcp_info_of_an_old_kernel_has_no_window()
    {
        var info = new byte[232];
        info[0] = 8;
        info[228] = 9;
        Assert.Equal(9, TcpInfo.Parse(info)!.Value.PeerWindowBytes);
        Assert.Equal((-1, true), (TcpInfo.Parse(info.AsSpan(0, 224))!.Value.PeerWindowBytes, TcpInfo.Parse(info)!.Value.PeerHasFinished));
        Assert.Null(TcpInfo.Parse(info.AsSpan(0, 40)));
        Assert.Equal((true, -1), (TcpInfo.Parse(info.AsSpan(0, 4))!.Value.IsAlive, TcpInfo.Parse(info.AsSpan(0, 4))!.Value.PeerWindowBytes));
    }

    [Fact]
    public void An_allow_list_knows_addresses_networks_and_mapped_ones()
    {
        var list = new AllowList(["192.168.7.9/16", "10.0.0.1", "2001:db8::/33"]);
        Assert.True(list.IsAllowed(IPAddress.Parse("192.168.200.1")));
        Assert.True(list.IsAllowed(IPAddress.Parse("::ffff:10.0.0.1")));
        Assert.True(list.IsAllowed(IPAddress.Parse("2001:db8:7fff::1")));
        Assert.False(list.IsAllowed(IPAddress.Parse("2001:db8:8000::1")));
        Assert.False(list.IsAllowed(IPAddress.Parse("10.0.0.2")));
        Assert.Throws<EndpointException>(() => new AllowList(["10.0.0.0/33"]));
        Assert.Throws<EndpointException>(() => new AllowList(["everyone"]));
    }

    private Task<IConnection> Connect(string host, int port) => _network.ConnectAsync(host, port, new TcpTuning(), default).AsTask();

    private async Task<(IConnection Near, IConnection Far)> PairAsync(int receiveBufferBytes = 0)
    {
        using var listener = _network.Listen("127.0.0.1", 0, new TcpTuning(ReceiveBufferBytes: receiveBufferBytes));
        var accepting = listener.AcceptAsync(default);
        var near = await Connect("127.0.0.1", listener.Port);
        return (near, await accepting);
    }

    private static async Task FillAsync(IConnection connection, CancellationToken cancel)
    {
        while (true) await connection.SendAsync(new byte[100_000], cancel);
    }
}
