using System.Net;
using System.Net.Sockets;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks;

/// <summary>
/// The physical yardstick: one connection in, one out; receive what is there, append it to a file, fdatasync once per group, send.
/// No recovery, no frames, no acknowledgements. One thread, because hops between threads cost more than they overlap:
/// while it syncs, the kernel's socket buffers on both sides keep sender and sink busy.
/// When its destination dies it connects again and goes on: what sat in the two sockets between them is lost, as in every plain forwarder.
/// </summary>
public static class BareRelay
{
    private const int RingBytes = 8 << 20;
    private const int GroupBytes = 4 << 20;
    private const short PollIn = 1;
    private const short PollOut = 4;

    /// <summary>Runs until the sender has closed and everything is sent. <paramref name="sync"/> false: a plain forwarder without a
    /// disk.</summary>
    public static void Run(int listenPort, int toPort, string file, bool sync)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, listenPort));
        listener.Listen(4);
        using var log = File.OpenHandle(file, FileMode.Create, FileAccess.ReadWrite, FileShare.Read, FileOptions.None);
        Console.WriteLine("ready");
        var logEnd = 0L;
        while (true)
        {
            using var input = listener.Accept();
            input.NoDelay = true;
            RunConnection(input, toPort, log, sync, ref logEnd);
        }
    }

    private static void RunConnection(
        Socket input, int toPort, Microsoft.Win32.SafeHandles.SafeFileHandle log, bool sync, ref long logEnd)
    {
        var ring = GC.AllocateUninitializedArray<byte>(RingBytes, pinned: true);
        long received = 0, synced = 0, sent = 0;
        var ended = false;
        input.Blocking = false;
        Socket? output = null;
        while (!ended || sent < received)
        {
            output ??= Connect(toPort);
            var room = received - sent < RingBytes && !ended;
            Libc.Poll(
                room ? (int)input.Handle : -1, PollIn,
                synced > sent ? (int)output.Handle : -1, PollOut, 1000);

            var limit = Math.Min(sent + RingBytes, synced + GroupBytes);
            while (received < limit && !ended)
            {
                var at = (int)(received % RingBytes);
                var count = input.Receive(
                    ring.AsSpan(at, (int)Math.Min(RingBytes - at, limit - received)), SocketFlags.None, out var error);
                if (error == SocketError.WouldBlock)
                    break;
                ended = error != SocketError.Success || count == 0;
                received += count;
            }

            if (received > synced)
            {
                if (sync)
                {
                    Append(log, ring, synced, received, ref logEnd);
                    Libc.SyncData(log);
                }

                synced = received;
            }

            if (!TrySend(output, ring, ref sent, synced))
            {
                output.Dispose();
                output = null;
            }
        }

        output?.Shutdown(SocketShutdown.Send);
        output?.Dispose();
    }

    private static void Append(Microsoft.Win32.SafeHandles.SafeFileHandle log, byte[] ring, long from, long to, ref long logEnd)
    {
        while (from < to)
        {
            var at = (int)(from % RingBytes);
            var count = (int)Math.Min(RingBytes - at, to - from);
            RandomAccess.Write(log, ring.AsSpan(at, count), logEnd);
            logEnd += count;
            from += count;
        }
    }

    private static bool TrySend(Socket output, byte[] ring, ref long sent, long synced)
    {
        while (sent < synced)
        {
            var at = (int)(sent % RingBytes);
            var count = output.Send(ring.AsSpan(at, (int)Math.Min(RingBytes - at, synced - sent)), SocketFlags.None, out var error);
            if (error == SocketError.WouldBlock)
                return true;
            if (error != SocketError.Success)
                return false;
            sent += count;
        }

        return true;
    }

    private static Socket Connect(int port)
    {
        while (true)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                socket.Connect(IPAddress.Loopback, port);
                socket.Blocking = false;
                return socket;
            }
            catch (SocketException)
            {
                socket.Dispose();
                Thread.Sleep(10);
            }
        }
    }
}
