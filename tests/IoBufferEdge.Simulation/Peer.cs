using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <summary>
/// The upstream system of one channel: its application reads one connection after the other, each to its end, answers where that is
/// the way, and tells the truth's ledger what it has read. Everything that may happen to such a system happens to this one.
/// </summary>
public sealed class Peer(Scheduler scheduler, ChannelTruth truth, Wire wire, SimulatedHost host, string gateway)
{
    private readonly Random _random = scheduler.Derive($"peer {truth.Id}");
    private readonly Queue<Open> _waiting = new();
    private Open? _current;
    private SimulatedProcess? _process;
    private AsyncSignal? _wake;
    private int _connections;
    private int _lastLife;
    private bool _closeRequested;

    /// <summary>The application does not read.</summary>
    public bool Paused { get; private set; }

    /// <summary>Longest pause after each read.</summary>
    public double SlowMs { get; set; }

    /// <summary>The share of messages it refuses, half of them for good.</summary>
    public double NakRate { get; set; }

    /// <summary>How many it refused for good.</summary>
    public long Refused { get; private set; }

    public bool Running => _process is { Alive: true };

    private bool Answers => truth.Config.Destination.EffectiveConfirm.Type is ConfirmType.Bytes or ConfirmType.Mllp;

    public void Start()
    {
        if (Running || !host.Powered) return;
        _process = new SimulatedProcess(scheduler, $"peer {truth.Id}");
        _wake = new AsyncSignal(_process.Time);
        var network = host.For(_process);
        switch (truth.Config.Destination.Type)
        {
            case EndpointType.TcpServer:
                _process.Start(() => ConnectLoopAsync(network));
                break;
            case EndpointType.Udp:
                _process.Start(() => DatagramLoopAsync(network));
                return;
            default:
                _process.Start(() => AcceptLoopAsync(network));
                break;
        }

        _process.Start(ReadLoopAsync);
    }

    public void Pause(bool paused)
    {
        Paused = paused;
        Wake();
    }

    /// <summary>Closes in order, once everything that has come is read.</summary>
    public void CloseInOrder()
    {
        _closeRequested = true;
        Wake();
    }

    /// <summary>Shuts down its sending side and goes on reading.</summary>
    public void HalfClose()
    {
        if (_current is not { } open) return;
        open.HalfClosed = true;
        open.Connection.ShutdownSend();
        Trace("peer.half_close");
    }

    /// <summary>Closes with RST, whatever is unread.</summary>
    public void Abort()
    {
        if (_current is not { } open) return;
        Report(open, gone: false);
        open.Connection.AbortOnDispose();
        open.Connection.Dispose();
        Wake();
        Trace("peer.abort");
    }

    /// <summary>Its kernel finds that segments take more of the receive buffer than it thought: up to half of the window is gone for good.</summary>
    public void ShrinkWindow()
    {
        _current?.Connection.ShrinkReceiveBuffer(0.5 + (0.5 * _random.NextDouble()));
        Trace("peer.window_shrinks");
    }

    /// <summary>kill -9: what it had not read is lost, and the kernel says so.</summary>
    public void Kill()
    {
        if (!Running) return;
        Trace("peer.kill");
        Forget(gone: false);
        host.Kill(_process!);
    }

    /// <summary>The machine is gone, and nobody says so.</summary>
    public void PowerOff()
    {
        Trace("peer.power_off");
        Forget(gone: true);
        if (_process is null) host.PowerOff();
        else host.PowerOff(_process);
    }

    public void PowerOn()
    {
        host.PowerOn();
        Start();
    }

    /// <summary>Messages that lie whole in the peer's kernel, unread, on connections that it can still read.</summary>
    public HashSet<string> Unread()
    {
        var unread = new HashSet<string>();
        foreach (var open in Opens())
        {
            foreach (var (payload, _) in open.Unread(wire)) unread.Add(ChannelTruth.Text(payload));
        }

        return unread;
    }

    private IEnumerable<Open> Opens() => _current is null ? _waiting : _waiting.Prepend(_current);

    private void Forget(bool gone)
    {
        foreach (var open in Opens()) Report(open, gone);
        _waiting.Clear();
        _current = null;
    }

    private void Report(Open open, bool gone)
    {
        // A reset that does not get through tells as little as a machine that went dark.
        gone |= !open.Connection.PathIsUp;
        foreach (var (payload, sinceTicks) in open.Unread(wire)) truth.LostUnread(open.State.Life, payload, sinceTicks, open.HalfClosed, gone);
    }

    private async Task AcceptLoopAsync(INetwork network)
    {
        using var listener = network.Listen("0.0.0.0", truth.Config.Destination.Port, new TcpTuning(ReceiveBufferBytes: ReceiveBuffer()));
        while (true) Add(await listener.AcceptAsync(default));
    }

    private async Task ConnectLoopAsync(INetwork network)
    {
        while (true)
        {
            try
            {
                Add(await network.ConnectAsync(gateway, truth.Config.Destination.Port, new TcpTuning(ReceiveBufferBytes: ReceiveBuffer()), default));
                var mine = _connections;
                while (_current is not null || _waiting.Count > 0 || mine != _connections) await _process!.Delay(TimeSpan.FromMilliseconds(50));
            }
            catch (EndpointException)
            {
                // The gateway is not there now.
            }

            await _process!.Delay(TimeSpan.FromMilliseconds(1 + _random.Next(400)));
        }
    }

    private async Task DatagramLoopAsync(INetwork network)
    {
        using var socket = await network.OpenDatagramAsync(null, truth.Config.Destination.Port, null, 0, default);
        var buffer = new byte[65536];
        while (true)
        {
            var datagram = await socket.ReceiveAsync(buffer, default);
            truth.ArriveDatagram(buffer.AsSpan(0, datagram.Length).ToArray());
        }
    }

    private int ReceiveBuffer() => 2048 << _random.Next(6);

    private void Add(IConnection connection)
    {
        _connections++;
        var near = (SimulatedConnection)connection;
        var state = new PeerConnection
        {
            Number = _connections,
            Life = truth.Life,
            FirstOfLife = truth.Life != _lastLife,
            DurableFirst = truth.Buffer?.Settings.Delivery == Configuration.DeliveryMode.DurableFirst,
            FarEndedAtTicks = () => near.FarEndedAtTicks,
        };
        _lastLife = truth.Life;
        near.Readable = _wake;
        _waiting.Enqueue(new Open(near, state, new WireReader(wire)));
        Wake();
    }

    private async Task ReadLoopAsync()
    {
        while (true)
        {
            if (_current is null && !_waiting.TryDequeue(out _current))
            {
                await _wake!.WaitAsync();
                continue;
            }

            try
            {
                await ReadToEndAsync(_current!);
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                // The gateway's end, or ours by Abort.
            }

            _current?.Connection.Dispose();
            _current = null;
        }
    }

    private async Task ReadToEndAsync(Open open)
    {
        var buffer = new byte[1 << _random.Next(6, 15)];
        while (true)
        {
            if (Paused)
            {
                await _wake!.WaitAsync();
                continue;
            }

            var count = open.Connection.ReceiveNow(buffer);
            if (count == 0) return;
            if (count < 0)
            {
                // Read out: a request to close is met, and a newer connection has its turn.
                if (_closeRequested || _waiting.Count > 0) break;
                await _wake!.WaitAsync();
                continue;
            }

            open.ReadPosition += count;
            foreach (var payload in open.Reader.Feed(buffer.AsSpan(0, count))) await TakeAsync(open, payload);
            if (SlowMs > 0) await _process!.Delay(TimeSpan.FromMilliseconds(_random.NextDouble() * SlowMs));
        }

        _closeRequested = false;
        Trace("peer.close");
    }

    private async Task TakeAsync(Open open, byte[] payload)
    {
        if (!Answers)
        {
            truth.Arrive(open.State, payload, taken: true);
            return;
        }

        var refuses = _random.NextDouble() < NakRate;
        var forGood = refuses && (truth.Config.Destination.EffectiveConfirm.Type == ConfirmType.Bytes || _random.Next(2) == 0);
        if (truth.Arrive(open.State, payload, !refuses) is null) return;
        open.State.LastRefused = refuses;
        if (forGood) Refused++;
        if (_random.Next(4) == 0) await _process!.Delay(TimeSpan.FromMilliseconds(_random.Next(30)));
        var answer = truth.Config.Destination.EffectiveConfirm.Type == ConfirmType.Bytes
            ? [(byte)(refuses ? 0x15 : 0x06)]
            : WireFormat.Hl7Acknowledgement(!refuses ? "AA" : forGood ? "AR" : "AE", WireFormat.Hl7ControlId(payload));
        for (var at = 0; at < answer.Length;) at += await open.Connection.SendAsync(answer.AsMemory(at), default);
    }

    private void Wake() => _wake?.Set();

    private void Trace(string what) => scheduler.Trace.Add(scheduler, what, truth.Id);

    /// <summary>A connection that the application has not finished with.</summary>
    private sealed class Open(SimulatedConnection connection, PeerConnection state, WireReader reader)
    {
        public SimulatedConnection Connection => connection;

        public PeerConnection State => state;

        public WireReader Reader => reader;

        public long ReadPosition { get; set; }

        public bool HalfClosed { get; set; }

        /// <summary>The messages whose last byte is unread in the kernel, with the time of its arrival.</summary>
        public IEnumerable<(byte[] Payload, long SinceTicks)> Unread(Wire wire)
        {
            var clone = reader.Clone();
            var ends = new List<int>();
            var payloads = clone.Feed(connection.CopyUnread(), ends);
            for (var i = 0; i < payloads.Count; i++) yield return (payloads[i], connection.ArrivedAtTicks(ReadPosition + ends[i]));
        }
    }
}
