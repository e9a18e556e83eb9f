using System.Diagnostics;
using System.Globalization;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// Ends of the destination's connection under full load, again and again, while the gateway lives: by kill -9 of a receiver that has
/// stopped reading with bytes unread and bytes in flight, or in good order by one that reads everything. With <c>confirm: transport</c>
/// nothing may be lost; after an orderly end nothing may be repeated. The bare relay does the same beside it, to show what a plain
/// forwarder loses.
/// <c>receiveBufferBytes</c> is the killed receiver's; 0: its kernel grows it as it reads, so that much may lie unread behind a wide window.
/// </summary>
public sealed class EndLoop(int seed, TextWriter log, int receiveBufferBytes = 0)
{
    private const string Id = "c1";
    private const int MessageBytes = 1024;

    /// <summary>Enough for the kernel to grow a receive buffer as far as it will.</summary>
    private const int GrownBufferReadBytes = 60_000_000;

    private readonly Random _random = new(seed);
    private readonly List<string> _failures = [];

    public IReadOnlyList<string> Failures => _failures;

    /// <summary>The destination is killed <paramref name="times"/> times with unread bytes; returns one line of figures.</summary>
    public string Kills(int times)
    {
        var relayLost = KillsBehindRelay(Math.Min(times, 10), out var relaySent);
        if (relayLost == 0)
            _failures.Add("the plain forwarder lost nothing: the kills did not leave anything unread, so that they prove nothing");

        var watch = Stopwatch.StartNew();
        var ledger = new Ledger();
        var (sourcePort, sinkPort) = (FreePort.Tcp(), FreePort.Tcp());
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel(Id, sourcePort, sinkPort)));
        gateway.Start();
        using var sender = FullSpeedSender(ledger, sourcePort);
        for (var i = 1; i <= times && _failures.Count == 0; i++)
        {
            KillOnce(ledger, sinkPort);
            if (i % 10 == 0)
                log.WriteLine($"  {i,4} kills: {ledger}");
        }

        FinishOn(gateway, ledger, sender, sinkPort);
        return string.Create(CultureInfo.InvariantCulture,
            $"{times} kills of the destination in {watch.Elapsed.TotalSeconds:0} s: {ledger}; " +
            $"the plain forwarder lost {relayLost} of {relaySent}");
    }

    /// <summary>The destination ends its connection in good order <paramref name="times"/> times, having read everything.</summary>
    public string OrderlyEnds(int times)
    {
        var watch = Stopwatch.StartNew();
        var ledger = new Ledger();
        using var receiver = new Receiver(ledger);
        receiver.Up();
        var sourcePort = FreePort.Tcp();
        using var gateway = new GatewayProcess(Config.Gateway(Config.Channel(Id, sourcePort, receiver.Port)));
        gateway.Start();
        using var sender = new NumberedSender(ledger, new SenderOptions
        {
            Kind = SenderKind.Plain, Port = sourcePort, MessageBytes = MessageBytes, RatePerS = 20_000,
        });
        for (var i = 1; i <= times && _failures.Count == 0; i++)
        {
            var (connections, highest) = (ledger.Connections, ledger.HighestRead);
            Wait.Until(() => ledger.Connections > connections - 1 && ledger.HighestRead > highest + 200, 30, "traffic on the connection",
                () => $"{ledger}\n{gateway.LastLines}");
            receiver.Break(ConnectionEnd.Orderly);
            Wait.Until(() => ledger.Connections > connections, 30, "the next connection", () => $"{ledger}\n{gateway.LastLines}");
        }

        sender.Finish(30);
        Wait.Until(() => ledger.HighestRead == ledger.Sent, 30, "the last message", ledger.ToString);
        Judge(gateway, ledger);
        if (ledger.Repeats > 0)
            _failures.Add($"{ledger.Repeats} messages were repeated after orderly ends");
        return string.Create(CultureInfo.InvariantCulture, $"{times} orderly ends in {watch.Elapsed.TotalSeconds:0} s: {ledger}");
    }

    private static NumberedSender FullSpeedSender(Ledger ledger, int port) =>
        new(ledger, new SenderOptions { Kind = SenderKind.Plain, Port = port, MessageBytes = MessageBytes });

    private long KillsBehindRelay(int times, out long sent)
    {
        var ledger = new Ledger { Strict = false };
        var sinkPort = FreePort.Tcp();
        using var relay = new RelayProcess(sinkPort);
        using var sender = FullSpeedSender(ledger, relay.Port);
        for (var i = 0; i < times; i++)
            KillOnce(ledger, sinkPort);
        using var last = new Receiver(ledger, new ReceiverOptions { Port = sinkPort });
        last.Up();
        sender.Finish(30);
        Wait.UntilQuiet(() => ledger.FramesRead, 1, 30);
        sent = ledger.Sent;
        return ledger.Lost;
    }

    /// <summary>A child reads a random amount, stops, lets its kernel fill up for a moment and is killed.</summary>
    private void KillOnce(Ledger ledger, int port)
    {
        var readBytesMax = _random.Next(5) == 0 ? GrownBufferReadBytes : 3_000_000;
        using var child = new DoomedReceiver(ledger, port, readBytes: _random.Next(1, readBytesMax), receiveBufferBytes);
        child.WaitUntilStopped(60);
        // Unread bytes pile up: in the child's kernel, then in the sending one. How many is what the random moment decides.
        Wait.UntilQuiet(() => 0, _random.Next(1, 150) / 1000.0, 1);
        child.Kill();
    }

    private void FinishOn(GatewayProcess gateway, Ledger ledger, NumberedSender sender, int sinkPort)
    {
        if (_failures.Count > 0)
            return;
        using var last = new Receiver(ledger, new ReceiverOptions { Port = sinkPort });
        last.Up();
        sender.Finish(60);
        Wait.Until(() => ledger.HighestRead == ledger.Sent, 60, "the last message", () => $"{ledger}\n{gateway.LastLines}");
        Judge(gateway, ledger);
    }

    private void Judge(GatewayProcess gateway, Ledger ledger)
    {
        _failures.AddRange(ledger.Verdict());
        Wait.Until(() => gateway.LedgerOf(Id).Buffered == 0, 10, "an empty buffer", () => gateway.LedgerOf(Id).ToString());
        var counters = gateway.LedgerOf(Id);
        if (!counters.Balances || counters.Received != ledger.Sent)
            _failures.Add($"rule 11: {counters}, but {ledger.Sent} were sent");
    }
}
