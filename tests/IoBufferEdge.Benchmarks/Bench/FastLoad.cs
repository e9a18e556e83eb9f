using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>What one run of load brought: how many messages, in which time (first byte sent to last message received), and whether in
/// order.</summary>
/// <param name="Repeats">Messages that came again or out of order.</param>
public readonly record struct LoadResult(long Messages, double Seconds, long Repeats)
{
    public double PerSecond => Messages / Seconds;
}

/// <summary>
/// Sends as fast as the other side takes it, and counts what comes out, with a few nanoseconds a message on both ends:
/// messages of one size are laid out once, a batch only gets new numbers; the sink checks number by number that they come in order.
/// </summary>
public sealed class FastLoad : IDisposable
{
    private const int BatchBytes = 256 * 1024;
    private const double PacedBatchSeconds = 0.002;
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly int _bytes;
    private readonly Thread _sink;
    private long _received;
    private long _outOfOrder;
    private long _lastReceivedAt;
    private volatile bool _stopped;

    /// <summary>Receives on <paramref name="sinkPort"/> until disposed.</summary>
    public FastLoad(int sinkPort, int messageBytes)
    {
        _bytes = messageBytes;
        _listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, sinkPort));
        _listener.Listen(4);
        _sink = new Thread(Sink) { IsBackground = true, Name = "sink" };
        _sink.Start();
    }

    /// <summary>Timestamps of arrival by number, where the caller asked for latencies.</summary>
    public long[]? ArrivedAt { get; set; }

    public int MessageBytes => _bytes;

    public long Received => Volatile.Read(ref _received);

    /// <summary>Sends for a while, then waits until all of it has come out.</summary>
    /// <param name="perSecond">Messages a second; without it as fast as the other side takes them.</param>
    public LoadResult Run(int sourcePort, double seconds, double perSecond = double.PositiveInfinity)
    {
        var before = Received;
        var repeatsBefore = Volatile.Read(ref _outOfOrder);
        using var socket = Connect(sourcePort);
        var start = Stopwatch.GetTimestamp();
        var sent = new Filler(_bytes, perSecond).Send(socket, before + 1, long.MaxValue, seconds);
        Wait.Until(() => Received >= before + sent, 60, $"{sent} messages at the sink", () => $"{Received - before} came");
        var elapsed = Stopwatch.GetElapsedTime(start, Volatile.Read(ref _lastReceivedAt)).TotalSeconds;
        return new LoadResult(sent, elapsed, Volatile.Read(ref _outOfOrder) - repeatsBefore);
    }

    /// <summary>Sends so many messages to a gateway whose destination is away; returns when the gateway's host has taken them
    /// all.</summary>
    public static void Fill(int sourcePort, int messageBytes, long firstNumber, long count)
    {
        using var socket = Connect(sourcePort);
        new Filler(messageBytes).Send(socket, firstNumber, firstNumber + count - 1, double.MaxValue);
        socket.Shutdown(SocketShutdown.Send);
        socket.ReceiveTimeout = 120_000;
        socket.Receive(new byte[16]);
    }

    /// <summary>One message every 1/<paramref name="perSecond"/> s; returns each one's time from before its send to behind its receive, in
    /// ms.</summary>
    public double[] MeasureLatency(int sourcePort, int count, double perSecond)
    {
        var first = Received + 1;
        ArrivedAt = new long[first + count];
        var sentAt = new long[count];
        using var socket = Connect(sourcePort);
        var message = new byte[_bytes];
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < count; i++)
        {
            NumberedMessage.Write(message, first + i, 1, _bytes, MessageFraming.Line);
            var due = TimeSpan.FromSeconds(i / perSecond) - Stopwatch.GetElapsedTime(start);
            if (due > TimeSpan.Zero)
                Thread.Sleep(due);
            sentAt[i] = Stopwatch.GetTimestamp();
            socket.Send(message);
        }

        Wait.Until(() => Received >= first + count - 1, 30, $"{count} messages at the sink");
        var arrivedAt = ArrivedAt;
        ArrivedAt = null;
        return [.. sentAt.Select((at, i) => Stopwatch.GetElapsedTime(at, arrivedAt[first + i]).TotalMilliseconds)];
    }

    public void Dispose()
    {
        _stopped = true;
        _listener.Dispose();
        if (!_sink.Join(TimeSpan.FromSeconds(10)))
            throw new TimeoutException("The sink's thread did not end within 10 s.");
    }

    private void Sink()
    {
        var buffer = GC.AllocateUninitializedArray<byte>(1 << 20, pinned: true);
        while (!_stopped)
        {
            try
            {
                using var connection = _listener.Accept();
                ReadToEnd(connection, buffer);
            }
            catch (SocketException)
            {
                // The listener was closed, or the connection reset: the next accept tells.
            }
            catch (ObjectDisposedException)
            {
                return;
            }
        }
    }

    private void ReadToEnd(Socket connection, byte[] buffer)
    {
        var length = 0;
        while (!_stopped)
        {
            if (!connection.Poll(100_000, SelectMode.SelectRead))
                continue;
            var count = connection.Receive(buffer.AsSpan(length));
            if (count == 0)
                return;
            length += count;
            var now = Stopwatch.GetTimestamp();
            var at = 0;
            var received = _received;
            for (; at + _bytes <= length; at += _bytes)
                received = Take(buffer.AsSpan(at, _bytes), received, now);
            buffer.AsSpan(at, length - at).CopyTo(buffer);
            length -= at;
            Volatile.Write(ref _lastReceivedAt, now);
            Volatile.Write(ref _received, received);
        }
    }

    private long Take(ReadOnlySpan<byte> message, long received, long now)
    {
        var number = Number(message);
        if (message[0] != '#' || message[^1] != '\n' || number != received + 1)
        {
            _outOfOrder++;
            return Math.Max(number, received);
        }

        if (ArrivedAt is { } times && number < times.Length)
            times[number] = now;
        return number;
    }

    private static long Number(ReadOnlySpan<byte> message)
    {
        var number = 0L;
        foreach (var digit in message[1..13])
            number = number * 10 + (digit - '0');
        return number;
    }

    private static Socket Connect(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPAddress.Loopback, port);
        return socket;
    }

    /// <summary>A batch of messages of one size; sending it again only changes the numbers.</summary>
    private sealed class Filler
    {
        private readonly byte[] _batch;
        private readonly int _bytes;
        private readonly double _perSecond;

        public Filler(int messageBytes, double perSecond = double.PositiveInfinity)
        {
            _bytes = messageBytes;
            _perSecond = perSecond;
            var messages = Math.Min(BatchBytes / messageBytes, perSecond * PacedBatchSeconds);
            _batch = new byte[Math.Max(1, (int)messages) * messageBytes];
            for (var at = 0; at < _batch.Length; at += messageBytes)
                NumberedMessage.Write(_batch.AsSpan(at), at / messageBytes + 1, 1, messageBytes, MessageFraming.Line);
        }

        public long Send(Socket socket, long first, long last, double seconds)
        {
            var start = Stopwatch.GetTimestamp();
            var next = first;
            while (next <= last && Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
            {
                var length = 0;
                for (; length < _batch.Length && next <= last; length += _bytes, next++)
                    WriteNumber(_batch.AsSpan(length + 1, 12), next);
                var due = TimeSpan.FromSeconds((next - first) / _perSecond) - Stopwatch.GetElapsedTime(start);
                if (due > TimeSpan.Zero)
                    Thread.Sleep(due);
                socket.Send(_batch.AsSpan(0, length));
            }

            return next - first;
        }

        private static void WriteNumber(Span<byte> digits, long number)
        {
            for (var i = 11; i >= 0; i--, number /= 10)
                digits[i] = (byte)('0' + number % 10);
        }
    }
}
