using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>
/// Datagrams at an even rate, and how many come out. UDP holds no sender back: what a socket's buffer has no room for is lost, on either side
/// of the gateway, so a rate that nothing bounds would measure the losses.
/// </summary>
public sealed class UdpLoad : IDisposable
{
    private const int BurstsPerSecond = 1000;
    private readonly Socket _sink = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 100 };
    private readonly Thread _thread;
    private readonly int _bytes;
    private long _received;
    private volatile bool _stopped;

    /// <summary>Receives on <paramref name="sinkPort"/> until disposed.</summary>
    public UdpLoad(int sinkPort, int messageBytes)
    {
        _bytes = messageBytes;
        _sink.ReceiveBufferSize = 4 << 20;
        _sink.Bind(new IPEndPoint(IPAddress.Loopback, sinkPort));
        _thread = new Thread(Receive) { IsBackground = true, Name = "datagram sink" };
        _thread.Start();
    }

    public long Received => Volatile.Read(ref _received);

    /// <summary>Sends for a while, waits until nothing more comes; returns how many datagrams were sent and how many came.</summary>
    public (long Sent, long Arrived) Run(int sourcePort, double seconds, int perSecond)
    {
        var before = Received;
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Connect(IPAddress.Loopback, sourcePort);
        var message = new byte[_bytes];
        var start = Stopwatch.GetTimestamp();
        var sent = 0L;
        for (var burst = 0; burst < seconds * BurstsPerSecond; burst++)
        {
            var due = TimeSpan.FromSeconds((double)burst / BurstsPerSecond) - Stopwatch.GetElapsedTime(start);
            if (due > TimeSpan.Zero)
                Thread.Sleep(due);
            for (var i = 0; i < perSecond / BurstsPerSecond; i++)
            {
                NumberedMessage.Write(message, ++sent, 1, _bytes, MessageFraming.Line);
                socket.Send(message);
            }
        }

        Wait.UntilQuiet(() => Received, 0.5, 30);
        return (sent, Received - before);
    }

    public void Dispose()
    {
        _stopped = true;
        _thread.Join(TimeSpan.FromSeconds(10));
        _sink.Dispose();
    }

    private void Receive()
    {
        var buffer = new byte[65_536];
        while (!_stopped)
        {
            var count = _sink.Receive(buffer, SocketFlags.None, out var error);
            if (error == SocketError.Success && count == _bytes)
                Interlocked.Increment(ref _received);
        }
    }
}
