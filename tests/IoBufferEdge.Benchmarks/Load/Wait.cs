using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>Every wait has a bound and says what it waited for.</summary>
public static class Wait
{
    public static void Until(Func<bool> condition, double seconds, string what, Func<string>? state = null)
    {
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            if (watch.Elapsed.TotalSeconds > seconds)
                throw new TimeoutException($"Waited {seconds} s for: {what}.{(state is null ? "" : $" State: {state()}")}");
            Thread.Sleep(5);
        }
    }

    /// <summary>Waits until <paramref name="value"/> has not changed for <paramref name="quietSeconds"/>, or gives up waiting for
    /// that.</summary>
    public static void UntilQuiet(Func<long> value, double quietSeconds, double seconds)
    {
        var watch = Stopwatch.StartNew();
        var last = value();
        var since = watch.Elapsed;
        while (watch.Elapsed.TotalSeconds < seconds && (watch.Elapsed - since).TotalSeconds < quietSeconds)
        {
            Thread.Sleep(5);
            var now = value();
            if (now == last)
                continue;
            last = now;
            since = watch.Elapsed;
        }
    }
}

/// <summary>Ports that nobody uses at the moment, below the range from which the kernel takes those of outgoing connections.</summary>
public static class FreePort
{
    private static readonly HashSet<int> s_given = [];

    public static int Tcp() => Find(SocketType.Stream, ProtocolType.Tcp);

    public static int Udp() => Find(SocketType.Dgram, ProtocolType.Udp);

    private static int Find(SocketType type, ProtocolType protocol)
    {
        for (var i = 0; i < 1000; i++)
        {
            var port = Random.Shared.Next(12_000, 32_000);
            using var probe = new Socket(AddressFamily.InterNetwork, type, protocol);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
            }
            catch (SocketException)
            {
                continue;
            }

            lock (s_given)
            {
                if (s_given.Add(port))
                    return port;
            }
        }

        throw new InvalidOperationException("No free port between 12000 and 32000 was found in 1000 attempts.");
    }
}
