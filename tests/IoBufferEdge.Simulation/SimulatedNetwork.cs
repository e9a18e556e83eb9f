using System.Net;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <summary>
/// Machines, the cables between them, and TCP as its two ends see it: send queue, receive buffer with a window, FIN, RST, silence.
///
/// Modelled after Linux. Bytes handed over wait in the send queue until the other kernel has acknowledged them. A process that
/// closes, or is killed, with unread bytes in its receive buffer sends RST and they are gone; one that has read everything sends FIN,
/// and what it had handed over still goes out. Bytes for a socket that is closed are answered with RST. A machine that loses power
/// says nothing; once it is up again it answers segments of its old connections with RST. A cable that is out loses segments, which go
/// out again once it is in. Segments are never lost otherwise, reordered or damaged: TCP hides that.
/// Keepalive (10 s, 3 × 5 s) and the user time-out (20 s) end a connection whose other side is silent.
/// Not modelled: congestion, a SYN queue, out-of-band data.
/// </summary>
public sealed class SimulatedNetwork(Scheduler scheduler)
{
    private readonly Random _random = scheduler.Derive("network");
    private readonly List<SimulatedHost> _hosts = [];

    internal Scheduler Scheduler => scheduler;

    internal Random Random => _random;

    /// <summary>One way between two machines, at least and at most.</summary>
    public TimeSpan LatencyMin { get; set; } = TimeSpan.FromMilliseconds(0.05);

    public TimeSpan LatencyMax { get; set; } = TimeSpan.FromMilliseconds(2);

    /// <summary>The share of sends that take less than offered, of receives that give less than there is, of segments cut short.</summary>
    public double PartialRate { get; set; } = 0.2;

    /// <summary>The share of datagrams that vanish.</summary>
    public double DatagramLossRate { get; set; }

    /// <summary>Told of the bytes that a process hands over.</summary>
    internal Action<SimulatedConnection, ReadOnlyMemory<byte>>? Sent { get; set; }

    /// <summary>Told of the datagrams that a process hands over, with the port they go to.</summary>
    internal Action<int, ReadOnlyMemory<byte>>? DatagramSent { get; set; }

    public SimulatedHost AddHost(string name)
    {
        var host = new SimulatedHost(this, name, new IPAddress([10, 0, 0, (byte)(_hosts.Count + 1)]));
        _hosts.Add(host);
        return host;
    }

    internal SimulatedHost? Find(string name) => _hosts.Find(host => host.Name == name || host.Address.ToString() == name);

    internal TimeSpan Latency() => LatencyMin + TimeSpan.FromTicks(_random.NextInt64((LatencyMax - LatencyMin).Ticks + 1));

    /// <summary>A part of <paramref name="count"/>, at least one; mostly all of it.</summary>
    internal int Part(int count) => count > 1 && _random.NextDouble() < PartialRate ? _random.Next(1, count) : count;
}

/// <summary>A machine: its power, its cable, its sockets.</summary>
public sealed class SimulatedHost(SimulatedNetwork network, string name, IPAddress address)
{
    private readonly List<SimulatedConnection> _connections = [];
    private readonly Dictionary<int, SimulatedListener> _listeners = [];
    private readonly Dictionary<int, SimulatedDatagramSocket> _datagramSockets = [];
    private int _ephemeral = 40000;

    public string Name => name;

    public IPAddress Address => address;

    public bool Powered { get; private set; } = true;

    /// <summary>False: the cable is out, segments in both directions vanish.</summary>
    public bool CableIn { get; private set; } = true;

    public bool Reachable => Powered && CableIn;

    internal SimulatedNetwork Network => network;

    internal IReadOnlyList<SimulatedConnection> Connections => _connections;

    /// <summary>The network as one process on this machine sees it.</summary>
    public INetwork For(SimulatedProcess process) => new ProcessNetwork(this, process);

    /// <summary>kill -9: the kernel closes what the process had open.</summary>
    public void Kill(SimulatedProcess process)
    {
        process.Kill();
        CloseSockets(process);
    }

    /// <summary>The machine and everything on it goes dark; nobody is told.</summary>
    public void PowerOff(params IEnumerable<SimulatedProcess> processes)
    {
        foreach (var process in processes) process.Kill();
        Powered = false;
        foreach (var connection in _connections.ToList()) connection.Vanish();
        _connections.Clear();
        _listeners.Clear();
        _datagramSockets.Clear();
        network.Scheduler.Trace.Add(network.Scheduler, "host.power_off", name);
    }

    public void PowerOn()
    {
        Powered = true;
        network.Scheduler.Trace.Add(network.Scheduler, "host.power_on", name);
    }

    public void PullCable()
    {
        CableIn = false;
        network.Scheduler.Trace.Add(network.Scheduler, "host.cable_out", name);
        foreach (var connection in _connections.ToList()) connection.PathLost();
    }

    public void PlugCable()
    {
        CableIn = true;
        network.Scheduler.Trace.Add(network.Scheduler, "host.cable_in", name);
        foreach (var connection in _connections.ToList()) connection.PathRestored();
    }

    /// <summary>Closes everything that the process had open, as its end does.</summary>
    internal void CloseSockets(SimulatedProcess process)
    {
        foreach (var listener in _listeners.Values.Where(listener => listener.Owner == process).ToList()) listener.Dispose();
        foreach (var socket in _datagramSockets.Values.Where(socket => socket.Owner == process).ToList()) socket.Dispose();
        foreach (var connection in _connections.Where(connection => connection.Owner == process).ToList()) connection.Dispose();
    }

    internal int NextPort() => _ephemeral++;

    internal void Add(SimulatedConnection connection) => _connections.Add(connection);

    internal void Remove(SimulatedConnection connection) => _connections.Remove(connection);

    internal bool Bind(SimulatedListener listener) => _listeners.TryAdd(listener.Port, listener);

    internal void Unbind(SimulatedListener listener) => _listeners.Remove(listener.Port);

    internal bool Bind(SimulatedDatagramSocket socket) => _datagramSockets.TryAdd(socket.Port, socket);

    internal void Unbind(SimulatedDatagramSocket socket)
    {
        if (_datagramSockets.TryGetValue(socket.Port, out var bound) && bound == socket) _datagramSockets.Remove(socket.Port);
    }

    internal SimulatedListener? ListenerOn(int port) => _listeners.GetValueOrDefault(port);

    internal SimulatedDatagramSocket? DatagramSocketOn(int port) => _datagramSockets.GetValueOrDefault(port);

    private sealed class ProcessNetwork(SimulatedHost host, SimulatedProcess process) : INetwork
    {
        private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

        public async ValueTask<IConnection> ConnectAsync(string name, int port, TcpTuning tuning, CancellationToken cancel)
        {
            cancel.ThrowIfCancellationRequested();
            var network = host.Network;
            var waited = TimeSpan.Zero;
            while (true)
            {
                var way = network.Latency() + network.Latency();
                await Task.Delay(way, process.Time, cancel);
                var target = network.Find(name) ?? throw new EndpointException($"{name} is not a known name.");
                if (host.Reachable && target.Reachable)
                {
                    var listener = target.ListenerOn(port) ?? throw new EndpointException($"{name}:{port} refused the connection.");
                    await process.OperateAsync();
                    return SimulatedConnection.Pair(host, process, tuning, target, listener);
                }

                waited += TimeSpan.FromSeconds(1);
                if (waited > ConnectTimeout) throw new EndpointException($"{name}:{port} did not answer within {ConnectTimeout.TotalSeconds} s.");
                await Task.Delay(TimeSpan.FromSeconds(1), process.Time, cancel);
            }
        }

        public IListener Listen(string name, int port, TcpTuning tuning)
        {
            if (!process.Alive) throw new EndpointException("The process is dead.");
            var listener = new SimulatedListener(host, process, port == 0 ? host.NextPort() : port, tuning);
            return host.Bind(listener) ? listener : throw new EndpointException($"{name}:{port} is in use.");
        }

        public ValueTask<IDatagramSocket> OpenDatagramAsync(
            string? bind, int port, DnsEndPoint? remote, int receiveBufferBytes, CancellationToken cancel) =>
            new(Open(port == 0 ? host.NextPort() : port, remote));

        private SimulatedDatagramSocket Open(int port, DnsEndPoint? remote)
        {
            if (!process.Alive) throw new EndpointException("The process is dead.");
            var socket = new SimulatedDatagramSocket(host, process, port, remote);
            return host.Bind(socket) ? socket : throw new EndpointException($"UDP port {port} is in use.");
        }
    }
}

internal sealed class SimulatedListener(SimulatedHost host, SimulatedProcess owner, int port, TcpTuning tuning) : IListener
{
    private readonly Queue<SimulatedConnection> _waiting = new();
    private TaskCompletionSource? _accepting;
    private bool _closed;

    public int Port => port;

    public SimulatedHost Host => host;

    public SimulatedProcess Owner => owner;

    public TcpTuning Tuning => tuning;

    public async ValueTask<IConnection> AcceptAsync(CancellationToken cancel)
    {
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_closed, this);
            if (_waiting.TryDequeue(out var connection))
            {
                await owner.OperateAsync();
                return connection;
            }

            _accepting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await _accepting.EndOrAsync(cancel);
        }
    }

    public void Dispose()
    {
        if (_closed) return;
        _closed = true;
        host.Unbind(this);
        foreach (var connection in _waiting)
        {
            connection.AbortOnDispose();
            connection.Dispose();
        }

        _waiting.Clear();
        _accepting?.TrySetResult();
    }

    internal void Arrive(SimulatedConnection connection)
    {
        _waiting.Enqueue(connection);
        _accepting?.TrySetResult();
    }
}

internal sealed class SimulatedDatagramSocket(SimulatedHost host, SimulatedProcess owner, int port, DnsEndPoint? remote) : IDatagramSocket
{
    private const int QueueMax = 64;
    private readonly Queue<(byte[] Bytes, IPEndPoint From)> _received = new();
    private TaskCompletionSource? _receiving;
    private bool _icmpError;
    private bool _closed;

    public int Port => port;

    public SimulatedProcess Owner => owner;

    public long KernelDrops { get; private set; }

    public ValueTask<int> SendAsync(ReadOnlyMemory<byte> datagram, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(_closed, this);
        ThrowIcmp();
        if (remote is null) throw new InvalidOperationException("This datagram socket has no remote address.");
        owner.Operate();
        if (!owner.Alive) return new ValueTask<int>(datagram.Length);
        var network = host.Network;
        var bytes = datagram.ToArray();
        network.DatagramSent?.Invoke(remote.Port, datagram);
        if (network.Random.NextDouble() >= network.DatagramLossRate) network.Scheduler.After(network.Latency(), () => Arrive(bytes));
        return new ValueTask<int>(datagram.Length);
    }

    public async ValueTask<Datagram> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel)
    {
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_closed, this);
            if (ReceiveNow(bytes.Span) is { } datagram) return datagram;
            _receiving = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await _receiving.EndOrAsync(cancel);
        }
    }

    public Datagram? ReceiveNow(Span<byte> bytes)
    {
        ThrowIcmp();
        if (!_received.TryDequeue(out var datagram)) return null;
        var length = Math.Min(bytes.Length, datagram.Bytes.Length);
        datagram.Bytes.AsSpan(0, length).CopyTo(bytes);
        return new Datagram(length, datagram.From, length < datagram.Bytes.Length);
    }

    public void Dispose()
    {
        if (_closed) return;
        _closed = true;
        host.Unbind(this);
        _receiving?.TrySetResult();
    }

    private void Arrive(byte[] bytes)
    {
        var target = host.Network.Find(remote!.Host);
        if (target is not { Reachable: true } || !host.Reachable) return;
        if (target.DatagramSocketOn(remote.Port) is { } socket)
        {
            socket.Deliver(bytes, new IPEndPoint(host.Address, port));
            return;
        }

        host.Network.Scheduler.After(host.Network.Latency(), () =>
        {
            _icmpError = true;
            _receiving?.TrySetResult();
        });
    }

    private void Deliver(byte[] bytes, IPEndPoint from)
    {
        if (_received.Count >= QueueMax)
        {
            KernelDrops++;
            return;
        }

        _received.Enqueue((bytes, from));
        _receiving?.TrySetResult();
    }

    private void ThrowIcmp()
    {
        if (!_icmpError) return;
        _icmpError = false;
        throw new IOException("Connection refused (ICMP port unreachable).");
    }
}
