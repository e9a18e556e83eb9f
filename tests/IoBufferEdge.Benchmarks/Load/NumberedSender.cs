using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace IoBufferEdge.Benchmarks.Load;

public enum SenderKind
{
    /// <summary>TCP without acknowledgements: what a broken connection swallowed is not repeated.</summary>
    Plain,

    /// <summary>TCP, one 0x06 per message; what was not acknowledged is repeated in order on the next connection.</summary>
    Bytes,

    /// <summary>As <see cref="Bytes"/>, in MLLP frames with HL7 acknowledgements.</summary>
    Mllp,

    /// <summary>One datagram per message.</summary>
    Udp,
}

public sealed record SenderOptions
{
    public required SenderKind Kind { get; init; }

    public required int Port { get; init; }

    public int MessageBytes { get; init; } = 200;

    /// <summary>0: as fast as it goes.</summary>
    public double RatePerS { get; init; }

    /// <summary>Unacknowledged messages at most.</summary>
    public int WindowMessages { get; init; } = 500;

    /// <summary>The kernel's send buffer: what a broken connection swallows of a sender that asks for no acknowledgement. 0: the kernel's
    /// choice.</summary>
    public int SendBufferBytes { get; init; } = 16 * 1024;

    /// <summary>The last number to send; then the sender rests.</summary>
    public long LastNumber { get; init; } = long.MaxValue;
}

/// <summary>
/// Sends numbered messages on its own thread until it is stopped and connects again, for ever, when the connection breaks. Every number
/// goes to the ledger before it goes to the socket, every acknowledgement after it was read: the ledger never claims too much.
/// </summary>
public sealed class NumberedSender : IDisposable
{
    private const int BatchBytes = 16 * 1024;
    private readonly Ledger _ledger;
    private readonly SenderOptions _options;
    private readonly Thread _thread;
    private readonly byte[] _out;
    private readonly byte[] _in = new byte[64 * 1024];
    private readonly FrameSplitter _acks = new(MessageFraming.Mllp);
    private volatile bool _finishing;
    private volatile bool _stopped;
    private volatile Socket? _socket;
    private long _next;
    private int _attempt;

    public NumberedSender(Ledger ledger, SenderOptions options)
    {
        (_ledger, _options) = (ledger, options);
        _out = new byte[BatchBytes + options.MessageBytes + NumberedMessage.MllpOverheadBytes];
        _next = ledger.Sent + 1;
        _thread = new Thread(Run) { IsBackground = true, Name = "sender" };
        _thread.Start();
    }

    /// <summary>Connections made so far.</summary>
    public int Attempts => Volatile.Read(ref _attempt);

    private MessageFraming Framing => _options.Kind == SenderKind.Mllp ? MessageFraming.Mllp : MessageFraming.Line;

    private bool WantsAcks => _options.Kind is SenderKind.Bytes or SenderKind.Mllp;

    /// <summary>Sends nothing new; returns when everything sent was acknowledged (with acknowledgements) or written, or the time is
    /// over.</summary>
    public void Finish(double seconds)
    {
        _finishing = true;
        if (!_thread.Join(TimeSpan.FromSeconds(seconds)))
            throw new TimeoutException($"Waited {seconds} s for the sender's last acknowledgement: {_ledger}.");
    }

    public void Dispose()
    {
        _finishing = _stopped = true;
        if (!_thread.Join(TimeSpan.FromSeconds(1)))
            _socket?.Dispose(); // it is held up by a gateway that reads nothing
        if (!_thread.Join(TimeSpan.FromSeconds(10)))
            throw new TimeoutException("The sender's thread did not end within 10 s.");
    }

    private void Run()
    {
        while (!Done())
        {
            using var socket = Connect();
            if (socket is null)
                continue;
            _socket = socket;
            Interlocked.Increment(ref _attempt);
            try
            {
                SendOn(socket);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The gateway went away: that is what many tests are about. The next connection goes on.
            }
        }
    }

    private bool Done() => _stopped || (_finishing && (!WantsAcks || _ledger.Acknowledged >= _ledger.Sent));

    private void SendOn(Socket socket)
    {
        if (WantsAcks)
            _next = _ledger.Acknowledged + 1;
        var firstHere = _next;
        var acknowledgedHere = 0L;
        var pace = Stopwatch.StartNew();
        var lastNumber = _options.LastNumber;
        while (!Done())
        {
            var limit = _finishing ? _ledger.Sent : lastNumber;
            if (WantsAcks)
                limit = Math.Min(limit, _ledger.Acknowledged + _options.WindowMessages);
            if (_options.RatePerS > 0)
                limit = Math.Min(limit, firstHere + (long)(pace.Elapsed.TotalSeconds * _options.RatePerS));

            var sentSome = SendUpTo(socket, limit);
            if (WantsAcks)
                ReadAcknowledgements(socket, firstHere, ref acknowledgedHere, sentSome ? 0 : 20_000);
            else if (!sentSome)
                WatchForEnd(socket);
        }

        if (!WantsAcks && _options.Kind != SenderKind.Udp)
            CloseOrderly(socket);
    }

    private bool SendUpTo(Socket socket, long limit)
    {
        var length = 0;
        var first = _next;
        while (_next <= limit && length < BatchBytes)
        {
            length += NumberedMessage.Write(_out.AsSpan(length), _next++, _attempt, _options.MessageBytes, Framing);
            if (_options.Kind == SenderKind.Udp)
                break;
        }

        if (_next == first)
            return false;
        _ledger.Wrote(_next - 1);
        socket.Send(_out.AsSpan(0, length));
        return true;
    }

    private void ReadAcknowledgements(Socket socket, long firstHere, ref long acknowledgedHere, int waitUs)
    {
        if (!socket.Poll(waitUs, SelectMode.SelectRead))
            return;
        var count = socket.Receive(_in);
        if (count == 0)
            throw new SocketException((int)SocketError.ConnectionReset);
        var received = _in.AsSpan(0, count);
        if (_options.Kind == SenderKind.Bytes)
        {
            if (received.ContainsAnyExcept((byte)0x06))
                throw new InvalidDataException($"The gateway answered 0x{Convert.ToHexString(received[..Math.Min(8, count)])}, not 0x06.");
            acknowledgedHere += count;
        }
        else
        {
            var frames = 0;
            var expected = firstHere + acknowledgedHere;
            _acks.Feed(received, frame => CheckHl7Ack(frame, expected + frames++));
            acknowledgedHere += frames;
        }

        _ledger.GotAcknowledgement(firstHere + acknowledgedHere - 1);
    }

    private void CheckHl7Ack(ReadOnlySpan<byte> frame, long number)
    {
        var text = System.Text.Encoding.Latin1.GetString(frame);
        if (!text.Contains($"MSA|AA|{number}-{_attempt}", StringComparison.Ordinal))
            throw new InvalidDataException($"The acknowledgement of {number}-{_attempt} reads: {text.Trim()}");
    }

    private static void WatchForEnd(Socket socket)
    {
        if (socket.SocketType == SocketType.Dgram)
            Thread.Sleep(1);
        else if (socket.Poll(1000, SelectMode.SelectRead) && socket.Available == 0)
            throw new SocketException((int)SocketError.ConnectionReset);
    }

    /// <summary>Waits until the gateway has read to the end and closed its side, so that nothing is left in a kernel.</summary>
    private void CloseOrderly(Socket socket)
    {
        socket.Shutdown(SocketShutdown.Send);
        socket.ReceiveTimeout = 10_000;
        while (!_stopped && socket.Receive(_in) > 0)
        {
        }
    }

    private Socket? Connect()
    {
        var udp = _options.Kind == SenderKind.Udp;
        var (type, protocol) = udp ? (SocketType.Dgram, ProtocolType.Udp) : (SocketType.Stream, ProtocolType.Tcp);
        var socket = new Socket(AddressFamily.InterNetwork, type, protocol);
        try
        {
            if (!udp)
                socket.NoDelay = true;
            if (_options.SendBufferBytes > 0)
                socket.SendBufferSize = _options.SendBufferBytes;
            socket.Connect(IPAddress.Loopback, _options.Port);
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            Thread.Sleep(20);
            return null;
        }
    }
}
