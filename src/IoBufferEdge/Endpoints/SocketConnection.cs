using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// A TCP connection. What a send counts in <see cref="BytesSent"/> is exactly what the kernel has taken: sends first offer without
/// waiting, and only when the buffer is full wait in .NET's socket, which completes when all it was given is in, so it is given little.
/// </summary>
internal sealed class SocketConnection : IConnection
{
    public const int UserTimeoutMs = 20_000;
    private const int WaitingSendBytes = 16 * 1024;

    private readonly Socket _socket;
    private long _bytesSent;
    private bool _userTimeoutOn = true;

    public SocketConnection(Socket socket, IPEndPoint remote)
    {
        _socket = socket;
        Remote = remote.Address.IsIPv4MappedToIPv6 ? new IPEndPoint(remote.Address.MapToIPv4(), remote.Port) : remote;
    }

    public IPEndPoint Remote { get; }

    public long BytesSent => Interlocked.Read(ref _bytesSent);

    public ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var taken = SocketCalls.Send(_socket.SafeHandle, bytes.Span);
        if (taken == SocketCalls.TryAgain) return SendWaitingAsync(bytes[..Math.Min(bytes.Length, WaitingSendBytes)], cancel);
        if (taken < 0) return ValueTask.FromException<int>(Broken(-taken));
        Interlocked.Add(ref _bytesSent, taken);
        return new ValueTask<int>(taken);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel)
    {
        try
        {
            return await _socket.ReceiveAsync(bytes, SocketFlags.None, cancel);
        }
        catch (SocketException e)
        {
            throw Broken(e.NativeErrorCode);
        }
    }

    public int ReceiveNow(Span<byte> bytes)
    {
        var received = SocketCalls.Receive(_socket.SafeHandle, bytes);
        if (received == SocketCalls.TryAgain) return -1;
        return received >= 0 ? received : throw Broken(-received);
    }

    public SendState Inspect()
    {
        var queued = SocketCalls.OutputQueueBytes(_socket.SafeHandle);
        if (queued < 0 || SocketCalls.ReadTcpInfo(_socket.SafeHandle) is not { } info) return default;
        var windowClosed = info.PeerWindowBytes < 0
            ? info.Probes > 0
            : info.PeerWindowBytes == 0 || info.UnacknowledgedSegments == 0 && info.PeerWindowBytes < info.SendMss;
        var sinceSegment = TimeSpan.FromMilliseconds(Math.Min(info.SinceAckReceivedMs, info.SinceDataReceivedMs));
        return new SendState(
            info.IsAlive, queued, info.AcknowledgedBytes, info.PeerWindowBytes, sinceSegment, Probing: queued > 0 && windowClosed,
            info.PeerHasFinished);
    }

    public void SetUserTimeout(bool on)
    {
        if (on == _userTimeoutOn) return;
        _userTimeoutOn = on;
        _ = SocketCalls.SetUserTimeout(_socket.SafeHandle, on ? UserTimeoutMs : 0);
    }

    public void ShutdownSend()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // Broken already: who receives learns why.
        }
    }

    public void AbortOnDispose()
    {
        try
        {
            _socket.LingerState = new LingerOption(true, 0);
        }
        catch (SocketException)
        {
            // Broken already.
        }
    }

    public void Dispose() => _socket.Dispose();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> SendWaitingAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        try
        {
            var taken = await _socket.SendAsync(bytes, SocketFlags.None, cancel);
            Interlocked.Add(ref _bytesSent, taken);
            return taken;
        }
        catch (SocketException e)
        {
            throw Broken(e.NativeErrorCode);
        }
    }

    private IOException Broken(int errno) => new($"{Remote}: {SocketErrors.Describe(errno)}.");
}
