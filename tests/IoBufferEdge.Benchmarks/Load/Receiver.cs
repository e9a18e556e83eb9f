using System.Net;
using System.Net.Sockets;
using System.Text;

namespace IoBufferEdge.Benchmarks.Load;

public enum ReceiverAnswer
{
    None,

    /// <summary>0x06 per message.</summary>
    Bytes,

    /// <summary>An HL7 ACK (AA) per message.</summary>
    Mllp,
}

/// <summary>How the receiver ends its connection.</summary>
public enum ConnectionEnd
{
    /// <summary>FIN, then it reads to the gateway's own end: a peer that has read everything.</summary>
    Orderly,

    /// <summary>Closes with whatever lies unread; the kernel sends RST.</summary>
    Reset,
}

public sealed record ReceiverOptions
{
    public int Port { get; init; } = FreePort.Tcp();

    public MessageFraming Framing { get; init; } = MessageFraming.Line;

    public ReceiverAnswer Answer { get; init; }

    /// <summary>0: the kernel's choice.</summary>
    public int ReceiveBufferBytes { get; init; }

    /// <summary>Reads at most this many bytes a second; 0: as fast as it goes.</summary>
    public int BytesPerS { get; init; }
}

/// <summary>
/// A TCP peer behind the gateway: listens while it is up, reads one connection to its end before it accepts the next, and tells the ledger
/// every frame that its process has read. A frame counts as read when it is whole.
/// </summary>
public sealed class Receiver : IDisposable
{
    private readonly Ledger _ledger;
    private readonly ReceiverOptions _options;
    private readonly Lock _lock = new();
    private readonly ManualResetEventSlim _reading = new(true);
    private readonly HashSet<long> _refused = [];
    private readonly byte[] _buffer = new byte[256 * 1024];
    private readonly List<byte> _answers = [];
    private Thread? _thread;
    private Socket? _listener;
    private Socket? _connection;
    private volatile bool _up;
    private volatile bool _resetWanted;
    private long _bytesRead;

    public Receiver(Ledger ledger, ReceiverOptions? options = null)
    {
        (_ledger, _options) = (ledger, options ?? new ReceiverOptions());
        BytesPerS = _options.BytesPerS;
    }

    public int Port => _options.Port;

    public long BytesRead => Volatile.Read(ref _bytesRead);

    public bool Connected { get { lock (_lock) return _connection is not null; } }

    /// <summary>Every nth message is answered with 0x15 the first time it comes; 0: never.</summary>
    public int NakEvery { get; set; }

    /// <summary>Reads at most this many bytes a second; 0: as fast as it goes.</summary>
    public int BytesPerS { get; set; }

    public void Up()
    {
        lock (_lock)
        {
            if (_up)
                return;
            _up = true;
            _resetWanted = false;
            _listener = Listen();
            _thread = new Thread(AcceptLoop) { IsBackground = true, Name = "receiver" };
            _thread.Start(_listener);
        }
    }

    /// <summary>Stops reading; the connection stays, its window closes.</summary>
    public void Pause() => _reading.Reset();

    public void Resume() => _reading.Set();

    /// <summary>Stops listening and ends the connection, if there is one.</summary>
    public void Down(ConnectionEnd end)
    {
        lock (_lock)
        {
            if (!_up)
                return;
            _up = false;
            _listener!.Dispose();
            AskForEnd(end);
        }

        _reading.Set();
        if (!_thread!.Join(TimeSpan.FromSeconds(15)))
            throw new TimeoutException("Waited 15 s for the gateway to end the connection that the receiver had shut down.");
    }

    /// <summary>Ends the present connection and goes on listening; returns when it has ended on both sides.</summary>
    public void Break(ConnectionEnd end)
    {
        var before = _ledger.Connections;
        lock (_lock)
            AskForEnd(end);
        _reading.Set();
        Wait.Until(() => !Connected || _ledger.Connections > before, 15, "the end of the receiver's connection");
    }

    public void Dispose() => Down(ConnectionEnd.Reset);

    /// <summary>A reset is made by the reading thread itself: closing a socket under a thread that waits for it would send FIN
    /// first.</summary>
    private void AskForEnd(ConnectionEnd end)
    {
        if (_connection is null)
            return;
        try
        {
            if (end == ConnectionEnd.Orderly)
                _connection.Shutdown(SocketShutdown.Send);
            else
                _resetWanted = true;
        }
        catch (SocketException)
        {
            // It ended by itself in this moment.
        }
    }

    private Socket Listen()
    {
        for (var i = 0; ; i++)
        {
            var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                if (_options.ReceiveBufferBytes > 0)
                    listener.ReceiveBufferSize = _options.ReceiveBufferBytes;
                listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
                listener.Bind(new IPEndPoint(IPAddress.Loopback, _options.Port));
                listener.Listen(8);
                return listener;
            }
            catch (SocketException) when (i < 100)
            {
                listener.Dispose();
                Thread.Sleep(20);
            }
        }
    }

    private void AcceptLoop(object? state)
    {
        var listener = (Socket)state!;
        while (_up)
        {
            Socket connection;
            try
            {
                connection = listener.Accept();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }

            using (connection)
            {
                lock (_lock)
                {
                    if (!_up)
                        return;
                    _connection = connection;
                    _resetWanted = false;
                }

                _ledger.Connected();
                ReadToEnd(connection);
                _ledger.Disconnected();
                lock (_lock)
                    _connection = null;
            }
        }
    }

    private void ReadToEnd(Socket connection)
    {
        var splitter = new FrameSplitter(_options.Framing);
        try
        {
            while (true)
            {
                _reading.Wait();
                // While it is paused or reset, what the kernel holds must stay unread: look before each read, wait without taking anything.
                var readable = connection.Poll(5_000, SelectMode.SelectRead);
                if (_resetWanted)
                {
                    connection.LingerState = new LingerOption(true, 0);
                    return;
                }

                if (!readable || !_reading.IsSet)
                    continue;
                var bytesPerS = BytesPerS;
                var room = bytesPerS > 0 ? Math.Min(_buffer.Length, Math.Max(1, bytesPerS / 50)) : _buffer.Length;
                var count = connection.Receive(_buffer.AsSpan(0, room));
                if (count == 0)
                    return;
                _bytesRead += count;
                splitter.Feed(_buffer.AsSpan(0, count), OnFrame);
                if (_answers.Count > 0)
                    connection.Send(_answers.ToArray());
                _answers.Clear();
                if (bytesPerS > 0)
                    Thread.Sleep((int)(1000L * count / bytesPerS));
            }
        }
        catch (SocketException)
        {
            // The gateway reset the connection, or died.
        }
        finally
        {
            _answers.Clear();
        }
    }

    private void OnFrame(ReadOnlySpan<byte> bytes)
    {
        var frame = NumberedMessage.Parse(bytes, _options.Framing);
        if (NakEvery > 0 && frame.Number % NakEvery == 0 && frame.Number > _ledger.HighestRead && _refused.Add(frame.Number))
        {
            _answers.Add(0x15);
            return;
        }

        _ledger.Read(frame);
        if (_options.Answer == ReceiverAnswer.Bytes)
            _answers.Add(0x06);
        else if (_options.Answer == ReceiverAnswer.Mllp)
            _answers.AddRange(Encoding.ASCII.GetBytes(
                $"\vMSH|^~\\&|LAB|LAB|LOAD|LAB|20260101||ACK|1|P|2.5\rMSA|AA|{frame.Number}-{frame.Attempt}\r\x1c\r"));
    }
}

/// <summary>A UDP peer: every datagram is one message.</summary>
public sealed class UdpReceiver : IDisposable
{
    private readonly Ledger _ledger;
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly Thread _thread;
    private volatile bool _stopped;

    public UdpReceiver(Ledger ledger)
    {
        _ledger = ledger;
        Port = FreePort.Udp();
        _socket.ReceiveBufferSize = 4 << 20;
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, Port));
        _thread = new Thread(Run) { IsBackground = true, Name = "udp receiver" };
        _thread.Start();
    }

    public int Port { get; }

    public void Dispose()
    {
        _stopped = true;
        if (!_thread.Join(TimeSpan.FromSeconds(5)))
            throw new TimeoutException("The UDP receiver's thread did not end within 5 s.");
        _socket.Dispose();
    }

    private void Run()
    {
        var buffer = new byte[65536];
        _ledger.Connected();
        while (!_stopped)
        {
            if (!_socket.Poll(50_000, SelectMode.SelectRead))
                continue;
            try
            {
                var count = _socket.Receive(buffer);
                _ledger.Read(NumberedMessage.Parse(buffer.AsSpan(0, count), MessageFraming.Line));
            }
            catch (SocketException)
            {
                // An ICMP error of an earlier datagram; nothing was received.
            }
        }
    }
}
