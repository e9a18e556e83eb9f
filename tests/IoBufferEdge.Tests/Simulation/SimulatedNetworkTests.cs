using IoBufferEdge.Endpoints;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Simulation;

/// <summary>The simulated TCP ends connections as the kernel was measured to: what it gets wrong, the endpoints get wrong unseen.</summary>
public sealed class SimulatedNetworkTests
{
    private readonly Scheduler _scheduler;
    private readonly SimulatedNetwork _network;
    private readonly SimulatedHost _gateway;
    private readonly SimulatedHost _peer;
    private readonly SimulatedProcess _peerProcess;

    public SimulatedNetworkTests()
        : this(7)
    {
    }

    private SimulatedNetworkTests(int seed)
    {
        _scheduler = new Scheduler(seed);
        _network = new SimulatedNetwork(_scheduler);
        _gateway = _network.AddHost("gateway");
        _peer = _network.AddHost("peer");
        _peerProcess = new SimulatedProcess(_scheduler, "peer");
    }

    [Fact]
    public void BytesArriveInOrderThroughPartialSendsAndReceives() => Run(async (near, far) =>
    {
        var sent = new byte[300_000];
        new Random(1).NextBytes(sent);
        var received = new List<byte>();
        var reader = Task.CompletedTask;
        async Task Read()
        {
            var buffer = new byte[5000];
            while (await far.ReceiveAsync(buffer, default) is var count and > 0) received.AddRange(buffer.AsSpan(0, count));
        }

        reader = Read();
        for (var at = 0; at < sent.Length;) at += await near.SendAsync(sent.AsMemory(at), default);
        near.ShutdownSend();
        await reader;
        Assert.Equal(sent, received);
        Assert.Equal(sent.Length, near.BytesSent);
    });

    [Fact]
    public void ClosedWithUnreadBytes_PeerSendsReset() => Run(async (near, far) =>
    {
        await near.SendAsync(new byte[100], default);
        await Seconds(1);
        Assert.Equal(0, near.Inspect().UnacknowledgedBytes);
        _peer.Kill(_peerProcess);
        await Assert.ThrowsAsync<IOException>(async () => await near.ReceiveAsync(new byte[1], default));
        Assert.False(near.Inspect().Established);
        Assert.NotNull(far);
    });

    [Fact]
    public void ClosedWithEverythingRead_PeerSendsFin() => Run(async (near, far) =>
    {
        await near.SendAsync(new byte[1], default);
        Assert.Equal(1, await far.ReceiveAsync(new byte[100], default));
        _peer.Kill(_peerProcess);
        Assert.Equal(0, await near.ReceiveAsync(new byte[1], default));
        Assert.Equal((true, true), (near.Inspect().Established, near.Inspect().PeerFinished));
    });

    [Fact]
    public void UnreadBytesShowInTheWindow_AndCloseIt() => Run(async (near, far) =>
    {
        var open = near.Inspect().PeerWindowBytes;
        for (var sent = 0L; sent < open;) sent += await near.SendAsync(new byte[open - sent], default);
        await near.SendAsync(new byte[1], default);
        await Seconds(1);
        var state = near.Inspect();
        Assert.Equal((0, 1, true), (state.PeerWindowBytes, state.UnacknowledgedBytes, state.Probing));

        for (var read = 0L; read < open;) read += await far.ReceiveAsync(new byte[open], default);
        await Seconds(1);
        Assert.Equal((0, false), (near.Inspect().UnacknowledgedBytes, near.Inspect().Probing));
    });

    [Fact]
    public void PeerMachineGone_EndsByUserTimeout() => Run(async (near, _) =>
    {
        _peer.PowerOff(_peerProcess);
        await near.SendAsync(new byte[10], default);
        var before = _scheduler.Now;
        await Assert.ThrowsAsync<IOException>(async () => await near.ReceiveAsync(new byte[1], default));
        Assert.InRange((_scheduler.Now - before).TotalSeconds, 19, 22);
        Assert.Equal(10, near.Inspect().UnacknowledgedBytes);
    });

    [Fact]
    public void CableOutForAWhile_BytesGoOutAgain() => Run(async (near, far) =>
    {
        _peer.PullCable();
        await near.SendAsync(new byte[10], default);
        await Seconds(5);
        Assert.Equal(-1, far.ReceiveNow(new byte[20]));
        _peer.PlugCable();
        var got = 0;
        while (got < 10) got += await far.ReceiveAsync(new byte[20], default);
        await Seconds(1);
        Assert.Equal((true, 0L), (near.Inspect().Established, near.Inspect().UnacknowledgedBytes));
    });

    [Fact]
    public void OneSeedReplaysBitForBit_AnotherDoesNot()
    {
        static ulong HashOf(int seed)
        {
            var test = new SimulatedNetworkTests(seed);
            test.BytesArriveInOrderThroughPartialSendsAndReceives();
            test._scheduler.Trace.Add(test._scheduler, "end", null, test._scheduler.Steps);
            return test._scheduler.Trace.Hash;
        }

        Assert.Equal(HashOf(1), HashOf(1));
        Assert.NotEqual(HashOf(1), HashOf(2));
    }

    private Task Seconds(double seconds) => _scheduler.World.Delay(TimeSpan.FromSeconds(seconds));

    private void Run(Func<IConnection, IConnection, Task> test) => _scheduler.Run(
        async () =>
        {
            var listener = _peer.For(_peerProcess).Listen("0.0.0.0", 9000, new TcpTuning());
            var near = await _gateway.For(_scheduler.World).ConnectAsync("peer", 9000, new TcpTuning(), default);
            var far = await listener.AcceptAsync(default);
            await test(near, far);
        },
        TimeSpan.FromMinutes(10));
}
