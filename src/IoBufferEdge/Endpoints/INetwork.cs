using System.Net;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// The seam beneath the TCP and UDP endpoints. Real: <c>SocketNetwork</c>. Twin: the simulation's network, with partial reads and
/// writes, resets that lose unread bytes, half-open connections and slow peers.
/// </summary>
public interface INetwork
{
    /// <summary>Looks the name up and connects; TCP_NODELAY, keepalive and the tuning are set.</summary>
    /// <exception cref="EndpointException">One sentence with the address and the reason.</exception>
    ValueTask<IConnection> ConnectAsync(string host, int port, TcpTuning tuning, CancellationToken cancel);

    /// <exception cref="EndpointException">The address is in use, not ours, or not permitted.</exception>
    IListener Listen(string host, int port, TcpTuning tuning);

    /// <summary>A datagram socket: bound to receive (<paramref name="remote"/> null), or connected to send to
    /// <paramref name="remote"/>.</summary>
    /// <param name="receiveBufferBytes">SO_RCVBUF where it is more than the kernel's default; 0: the kernel's choice.</param>
    /// <exception cref="EndpointException">One sentence with the address and the reason.</exception>
    ValueTask<IDatagramSocket> OpenDatagramAsync(string? bind, int port, DnsEndPoint? remote, int receiveBufferBytes, CancellationToken cancel);
}

/// <param name="Bind">Local address or interface name, or null.</param>
/// <param name="ReceiveBufferBytes">SO_RCVBUF, set before listen or connect; 0: the kernel's choice.</param>
/// <param name="SendBufferBytes">SO_SNDBUF; 0: the kernel's choice.</param>
public sealed record TcpTuning(string? Bind = null, int ReceiveBufferBytes = 0, int SendBufferBytes = 0);

public interface IListener : IDisposable
{
    int Port { get; }

    ValueTask<IConnection> AcceptAsync(CancellationToken cancel);
}

/// <summary>A connected byte stream. One sender and one receiver at a time.</summary>
public interface IConnection : IDisposable
{
    IPEndPoint Remote { get; }

    /// <summary>Hands bytes to the kernel; may take fewer than offered, at least one.</summary>
    /// <exception cref="IOException">The connection is broken.</exception>
    ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel);

    /// <summary>Receives; 0 means the peer has shut down its sending side (FIN).</summary>
    /// <exception cref="IOException">Reset, timed out, …: the message says which.</exception>
    ValueTask<int> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel);

    /// <summary>Reads what the kernel holds now without waiting; −1: nothing, 0: end of stream.</summary>
    int ReceiveNow(Span<byte> bytes);

    /// <summary>Bytes that <see cref="SendAsync"/> has handed to the kernel since the connection began.</summary>
    long BytesSent { get; }

    /// <summary>What the kernel knows of the sending side. The counters are read before the state (rule 14).</summary>
    SendState Inspect();

    /// <summary>While a closed window is probed the user time-out is off; else 20 s.</summary>
    void SetUserTimeout(bool on);

    /// <summary>Sends FIN.</summary>
    void ShutdownSend();

    /// <summary>Makes <see cref="IDisposable.Dispose"/> send RST instead of closing in order.</summary>
    void AbortOnDispose();
}

/// <param name="Established">The connection has neither been reset nor timed out, nor have both sides finished: any state from ESTABLISHED
/// to LAST_ACK, also after our own FIN.</param>
/// <param name="UnacknowledgedBytes">SIOCOUTQ: handed to the kernel and not acknowledged by the peer's; our FIN counts as one byte. Frozen
/// when the connection has ended.</param>
/// <param name="AcknowledgedBytes">tcpi_bytes_acked: what the peer's kernel has acknowledged since the connection began, at the instant when
/// it advertised <paramref name="PeerWindowBytes"/>.</param>
/// <param name="PeerWindowBytes">tcpi_snd_wnd: the window that the peer advertised last; −1: the kernel (before 5.4) does not tell.</param>
/// <param name="SinceLastSegment">Since the peer's last segment (tcpi_last_ack_recv).</param>
/// <param name="Probing">The window is closed and is being probed.</param>
/// <param name="PeerFinished">The peer's FIN has arrived (CLOSE_WAIT, CLOSING, LAST_ACK), read or not.</param>
public readonly record struct SendState(
    bool Established, long UnacknowledgedBytes, long AcknowledgedBytes, long PeerWindowBytes, TimeSpan SinceLastSegment, bool Probing,
    bool PeerFinished = false);

public interface IDatagramSocket : IDisposable
{
    int Port { get; }

    /// <exception cref="IOException">An ICMP error came back (connected socket), or the socket is broken.</exception>
    ValueTask<int> SendAsync(ReadOnlyMemory<byte> datagram, CancellationToken cancel);

    /// <summary>Receives one datagram; one longer than the buffer is cut and reported with <see cref="Datagram.Truncated"/>.</summary>
    ValueTask<Datagram> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel);

    /// <summary>Reads what the kernel holds now without waiting; null: nothing.</summary>
    Datagram? ReceiveNow(Span<byte> bytes);

    /// <summary>Datagrams that the kernel dropped because the receive buffer was full (SO_RXQ_OVFL), as last reported.</summary>
    long KernelDrops { get; }
}

public readonly record struct Datagram(int Length, IPEndPoint Remote, bool Truncated);
