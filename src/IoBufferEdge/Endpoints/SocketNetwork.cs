using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using IoBufferEdge.Interop.Linux;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// The real network. Every TCP socket has TCP_NODELAY, keepalive (10 s idle, 5 s apart, 3 probes) and TCP_USER_TIMEOUT 20 s; buffers are
/// set before listen and connect, or the window scale would not know of them. Names are looked up at every connect and their
/// addresses tried in order, 10 s each.
/// </summary>
public sealed class SocketNetwork(TimeProvider time, ILogger log) : INetwork
{
    private const int ListenBacklog = 64;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    public async ValueTask<IConnection> ConnectAsync(string host, int port, TcpTuning tuning, CancellationToken cancel)
    {
        var (socket, remote) = await DialAsync(host, port, tuning, time, cancel);
        return new SocketConnection(socket, remote);
    }

    /// <summary>A connected socket, tuned like every other.</summary>
    /// <exception cref="EndpointException">Refused, unreachable, timed out, no such name.</exception>
    internal static async ValueTask<(Socket Socket, IPEndPoint Remote)> DialAsync(
        string host, int port, TcpTuning tuning, TimeProvider time, CancellationToken cancel)
    {
        var reason = "the name has no address";
        foreach (var address in await LookUpAsync(host, port, cancel))
        {
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            using var timeout = new CancellationTokenSource(ConnectTimeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, timeout.Token);
            try
            {
                Tune(socket, tuning);
                BindLocal(socket, tuning.Bind, 0);
                var remote = new IPEndPoint(address, port);
                await socket.ConnectAsync(remote, either.Token);
                return (socket, remote);
            }
            catch (SocketException e)
            {
                socket.Dispose();
                reason = SocketErrors.Describe(e);
            }
            catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
            {
                socket.Dispose();
                reason = $"no answer within {ConnectTimeout.TotalSeconds} s";
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        throw new EndpointException($"Cannot connect to {host}:{port}: {reason}.");
    }

    public IListener Listen(string host, int port, TcpTuning tuning)
    {
        var address = LookUpLocal(host, port);
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (address.Equals(IPAddress.IPv6Any)) socket.DualMode = true;
            _ = SocketCalls.SetReuseAddress(socket.SafeHandle);
            Tune(socket, tuning);
            if (tuning.Bind is { Length: > 0 } bind && !IPAddress.TryParse(bind, out _)) BindToInterface(socket, bind);
            socket.Bind(new IPEndPoint(address, port));
            socket.Listen(ListenBacklog);
            return new SocketListener(socket);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new EndpointException($"Cannot listen on {host}:{port}: {SocketErrors.Describe(e)}.", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public async ValueTask<IDatagramSocket> OpenDatagramAsync(
        string? bind, int port, DnsEndPoint? remote, int receiveBufferBytes, CancellationToken cancel)
    {
        var name = remote is null ? $"{bind ?? "*"}:{port}" : $"{remote.Host}:{remote.Port}";
        var to = remote is null ? null : (await LookUpAsync(remote.Host, remote.Port, cancel))[0];
        var local = to is not null ? null : IsInterface(bind) ? IPAddress.Any : LookUpLocal(bind, port);
        var socket = new Socket((to ?? local!).AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            SetDatagramBuffer(socket, receiveBufferBytes, name);
            if (local is null)
            {
                BindLocal(socket, bind, port);
                await socket.ConnectAsync(new IPEndPoint(to!, remote!.Port), cancel);
            }
            else
            {
                if (local.Equals(IPAddress.IPv6Any)) socket.DualMode = true;
                if (IsInterface(bind)) BindToInterface(socket, bind!);
                socket.Bind(new IPEndPoint(local, port));
            }

            return new SocketDatagrams(socket, name);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new EndpointException($"Cannot open UDP {name}: {SocketErrors.Describe(e)}.", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static void Tune(Socket socket, TcpTuning tuning)
    {
        socket.NoDelay = true;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 10);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
        _ = SocketCalls.SetUserTimeout(socket.SafeHandle, SocketConnection.UserTimeoutMs);
        if (tuning.ReceiveBufferBytes > 0) socket.ReceiveBufferSize = tuning.ReceiveBufferBytes;
        if (tuning.SendBufferBytes > 0) socket.SendBufferSize = tuning.SendBufferBytes;
    }

    /// <summary>The kernel's default stays where it is larger: here the buffer only absorbs bursts.</summary>
    private void SetDatagramBuffer(Socket socket, int bytes, string name)
    {
        // The kernel doubles what it is told, for its own bookkeeping, and reports the doubled figure.
        if (bytes * 2L <= socket.ReceiveBufferSize) return;
        if (SocketCalls.ForceReceiveBuffer(socket.SafeHandle, bytes) < 0) socket.ReceiveBufferSize = bytes;
        if (socket.ReceiveBufferSize < bytes * 2L) Log.ReceiveBufferCapped(log, name, socket.ReceiveBufferSize / 2, bytes);
    }

    /// <summary>The sending side's local end: an address, an interface, or whatever the kernel routes by.</summary>
    private static void BindLocal(Socket socket, string? bind, int port)
    {
        var local = socket.AddressFamily == AddressFamily.InterNetworkV6 ? IPAddress.IPv6Any : IPAddress.Any;
        if (IPAddress.TryParse(bind, out var address)) local = address;
        else if (!string.IsNullOrEmpty(bind)) BindToInterface(socket, bind);
        if (port != 0 || address is not null) socket.Bind(new IPEndPoint(local, port));
    }

    private static bool IsInterface(string? bind) => !string.IsNullOrEmpty(bind) && bind != "*" && !IPAddress.TryParse(bind, out _) &&
        Directory.Exists($"/sys/class/net/{bind}");

    private static void BindToInterface(Socket socket, string name)
    {
        var result = SocketCalls.BindToDevice(socket.SafeHandle, Encoding.UTF8.GetBytes(name));
        if (result < 0) throw new EndpointException($"Cannot bind to the interface {name}: {SocketErrors.Describe(-result)}.");
    }

    private static IPAddress LookUpLocal(string? host, int port)
    {
        if (string.IsNullOrEmpty(host) || host == "*") return Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any;
        if (IPAddress.TryParse(host, out var address)) return address;
        try
        {
            return Dns.GetHostAddresses(host)[0];
        }
        catch (SocketException e)
        {
            throw new EndpointException($"Cannot listen on {host}:{port}: {SocketErrors.Describe(e)}.", e);
        }
    }

    private static async ValueTask<IPAddress[]> LookUpAsync(string host, int port, CancellationToken cancel)
    {
        if (IPAddress.TryParse(host, out var address)) return [address];
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, cancel);
            if (addresses.Length > 0) return addresses;
        }
        catch (SocketException e)
        {
            throw new EndpointException($"Cannot connect to {host}:{port}: {SocketErrors.Describe(e)}.", e);
        }

        throw new EndpointException($"Cannot connect to {host}:{port}: the name has no address.");
    }
}

internal sealed class SocketListener(Socket socket) : IListener
{
    public int Port { get; } = ((IPEndPoint)socket.LocalEndPoint!).Port;

    public async ValueTask<IConnection> AcceptAsync(CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                var accepted = await socket.AcceptAsync(cancel);
                return new SocketConnection(accepted, (IPEndPoint)accepted.RemoteEndPoint!);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionAborted or SocketError.ConnectionReset
                                                or SocketError.NotConnected)
            {
                // The client was gone before we came to it.
            }
            catch (SocketException e)
            {
                throw new IOException($"No connection can be accepted on port {Port}: {SocketErrors.Describe(e)}.", e);
            }
        }
    }

    public void Dispose() => socket.Dispose();
}

/// <summary>A datagram socket: reads through recvmsg, which alone tells of truncation and of the kernel's drops.</summary>
internal sealed class SocketDatagrams : IDatagramSocket
{
    private readonly Socket _socket;
    private readonly string _name;
    private readonly byte[] _sender = new byte[28];
    private readonly byte[] _lastSender = new byte[28];
    private IPEndPoint _lastRemote = new(IPAddress.None, 0);
    private uint _lastDrops;
    private long _drops;

    public SocketDatagrams(Socket socket, string name)
    {
        _socket = socket;
        _name = name;
        _ = SocketCalls.ReportReceiveDrops(socket.SafeHandle);
    }

    public int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;

    public long KernelDrops => Interlocked.Read(ref _drops);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> SendAsync(ReadOnlyMemory<byte> datagram, CancellationToken cancel)
    {
        try
        {
            return await _socket.SendAsync(datagram, SocketFlags.None, cancel);
        }
        catch (SocketException e)
        {
            throw new IOException($"UDP {_name}: {SocketErrors.Describe(e)}.", e);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Datagram> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel)
    {
        while (true)
        {
            if (ReceiveNow(bytes.Span) is { } datagram) return datagram;
            try
            {
                // Reading nothing completes when something has come, and takes nothing.
                await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.Peek, cancel);
            }
            catch (SocketException e)
            {
                throw new IOException($"UDP {_name}: {SocketErrors.Describe(e)}.", e);
            }
        }
    }

    public Datagram? ReceiveNow(Span<byte> bytes)
    {
        var received = SocketCalls.ReceiveDatagram(_socket.SafeHandle, bytes, _sender);
        if (received.Result == SocketCalls.TryAgain) return null;
        if (received.Result < 0) throw new IOException($"UDP {_name}: {SocketErrors.Describe(-received.Result)}.");
        if (received.Drops is { } drops)
        {
            Interlocked.Add(ref _drops, unchecked(drops - _lastDrops));
            _lastDrops = drops;
        }

        return new Datagram(received.Result, Sender(received.SenderBytes), received.Truncated);
    }

    public void Dispose() => _socket.Dispose();

    /// <summary>One object per sender in a row, not per datagram.</summary>
    private IPEndPoint Sender(int length)
    {
        var sender = _sender.AsSpan(0, Math.Min(length, _sender.Length));
        if (sender.Length < 8 || sender.SequenceEqual(_lastSender.AsSpan(0, sender.Length))) return _lastRemote;
        sender.CopyTo(_lastSender);
        var port = sender[2] << 8 | sender[3];
        var address = sender.Length < 28 ? new IPAddress(sender.Slice(4, 4)) : new IPAddress(sender.Slice(8, 16));
        return _lastRemote = new IPEndPoint(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address, port);
    }
}

/// <summary>What went wrong with a socket, in the operator's words.</summary>
internal static class SocketErrors
{
    public static string Describe(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.HostNotFound or SocketError.NoData => "the name is unknown",
        SocketError.TryAgain => "the name server does not answer",
        _ => Describe(e.NativeErrorCode),
    };

    /// <param name="errno">As in asm-generic/errno.h.</param>
    public static string Describe(int errno) => errno switch
    {
        1 or 13 => "the system does not permit it",
        19 => "there is no such interface",
        22 => "the system refuses the address",
        23 or 24 => "too many open files",
        32 or 104 => "the peer has reset the connection",
        90 => "the datagram is too large",
        97 => "the system does not support this kind of address",
        98 => "the address is already in use by another program",
        99 => "the address is not one of this device's",
        100 => "the network is down",
        101 => "the network is unreachable",
        103 => "the connection was aborted",
        105 or 12 => "the system is short of memory",
        107 => "not connected",
        110 => "the peer does not answer",
        111 => "connection refused",
        112 or 113 => "the host is unreachable",
        _ => System.Runtime.InteropServices.Marshal.GetPInvokeErrorMessage(errno),
    };
}
