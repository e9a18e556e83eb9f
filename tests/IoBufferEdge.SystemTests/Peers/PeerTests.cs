using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests.Peers;

/// <summary>
/// Programs from Debian as plain TCP peers on either side, each killed with SIGKILL (half of the time after it stood still for a moment)
/// and started again under load, while the gateway lives. What is judged is what the README promises, by what can be known from outside:
///
/// <b>As the destination</b> (confirm: transport) a peer's own output file is read. What its process had not read when it died must be in
/// it; what it had read and not written may be missing, since no sender without an answer from the application can know of that. So
/// between two kills nothing is missing, and at a kill at most as much as the program holds between reading and writing: socat one block
/// of 8 KiB; rsyslog, without a queue, its receive buffer of 128 KiB; syslog-ng, with flow control, its buffer of 64 KiB and a window of
/// 100 messages; ser2net two buffers of less than 4 KiB together.
///
/// <b>As the sender</b> a peer takes with it what it had taken in and not sent: one gap at each kill, which no gateway can help. What it had
/// sent must come out, in order and whole: nothing is missing between two kills; the frame that the kill cut off comes out as one partial
/// message and is counted as such; and the gateway hands on as many messages as it says it has received. Two of the peers say themselves
/// what they sent: socat dumps each block that it transfers (the last may not have gone out), and rsyslog writes to a file what its action
/// before has sent to the end. All of that must come out.
/// </summary>
public sealed class PeerTests(ITestOutputHelper output) : SystemTest(output)
{
    private const int MessageBytes = 200;
    private const int Kills = 3;
    private const int RatePerS = 2_000;
    private const int SocatBlockBytes = 8192;

    private readonly Random _random = new(7);
    private readonly Ledger _ledger = new() { Strict = false, MayBeDamaged = true };

    [Theory]
    [InlineData("socat", 8 << 10)]
    [InlineData("rsyslog", 128 << 10)]
    [InlineData("syslog-ng", (64 << 10) + 100 * MessageBytes)]
    [InlineData("ser2net", 4 << 10)]
    public void As_the_destination(string name, int heldBytesMax)
    {
        SkipWithout(name);
        var setup = NewSetup();
        var (sourcePort, peerPort) = (FreePort.Tcp(), FreePort.Tcp());
        using var line = name == "ser2net" ? OpenLine(setup, setup.SerialDevice()) : null;
        var gateway = StartedGateway(Config.Channel(Id, sourcePort, peerPort));
        var peer = Keep(setup.Receiving(name, peerPort));
        var sent = new Ledger();
        var sender = Sender(sent, SenderKind.Plain, sourcePort, RatePerS, bytes: MessageBytes);

        var lifeEnds = new List<long>();
        for (var i = 0; i < Kills; i++)
        {
            WaitForMore(() => Length(setup.Output), gateway, peer);
            peer.Kill(standStillMs: _random.Next(2) * _random.Next(300));
            Wait.UntilQuiet(() => Length(setup.Output), 0.1, 5);
            lifeEnds.Add(Length(setup.Output));
            peer.Start();
        }

        WaitForMore(() => Length(setup.Output), gateway, peer);
        sender.Finish(30);
        Wait.Until(() => gateway.LedgerOf(Id) is { Buffered: 0 } inside && inside.Received == sent.Sent, 60, "all of it delivered",
            () => $"{sent}; {gateway.LedgerOf(Id)}\n{gateway.LastLines}\n{peer.LastLines}");
        Wait.UntilQuiet(() => Length(setup.Output), 0.3, 10);
        peer.Terminate();

        ReadLives(setup.Output, lifeEnds);
        var inside = gateway.LedgerOf(Id);
        var lostMax = heldBytesMax / MessageBytes + 1;
        Output.WriteLine($"{_ledger}, sent {sent.Sent}, gaps {string.Join(' ', _ledger.Gaps)}, at most {lostMax} at each kill; {inside}");
        Assert.Empty(_ledger.Violations);
        Assert.True(inside.Balances, $"rule 11: {inside}");
        Assert.Equal(sent.Sent, _ledger.HighestRead);
        Assert.InRange(_ledger.Gaps.Length, 0, Kills);
        Assert.All(_ledger.Gaps, gap => Assert.InRange(gap.Last - gap.First + 1, 1, lostMax));
        Assert.InRange(_ledger.Damaged, 0, Kills);
    }

    [Theory]
    [InlineData("socat")]
    [InlineData("rsyslog")]
    [InlineData("syslog-ng")]
    [InlineData("ser2net")]
    public void As_the_sender(string name)
    {
        SkipWithout(name);
        var setup = NewSetup();
        var (sourcePort, peerPort) = (FreePort.Tcp(), FreePort.Tcp());
        var isServer = name == "ser2net";
        using var line = isServer ? OpenLine(setup, setup.SerialDevice(peerPort)) : null;
        var receiver = UpReceiver(_ledger);
        var gateway = StartedGateway(Config.Channel(
            Id, sourcePort, receiver.Port,
            isServer ? """{"type":"tcp_client","framing":{"type":"line","strip":true}}""" : """{"framing":{"type":"line","strip":true}}""",
            """{"framing":{"type":"line"}}"""));
        var peer = Keep(setup.Sending(name, peerPort, sourcePort));
        var sender = Sender(_ledger, SenderKind.Plain, peerPort, RatePerS, bytes: MessageBytes);

        for (var i = 0; i < Kills; i++)
        {
            WaitForMore(() => _ledger.FramesRead * MessageBytes, gateway, peer);
            peer.Kill(standStillMs: _random.Next(2) * _random.Next(300));
            Wait.UntilQuiet(() => _ledger.FramesRead, 0.1, 5);
            KeepRecord(setup, i);
            peer.Start();
        }

        WaitForMore(() => _ledger.FramesRead * MessageBytes, gateway, peer);
        sender.Dispose();
        Wait.UntilQuiet(() => _ledger.FramesRead, 1, 30);
        if (name != "socat")
            peer.Terminate(); // socat ended with its input's connection
        KeepRecord(setup, Kills);
        Wait.Until(() => gateway.LedgerOf(Id).Buffered == 0, 30, "all of it delivered", () => $"{_ledger}; {gateway.LedgerOf(Id)}");
        Wait.UntilQuiet(() => _ledger.FramesRead, 0.3, 10);

        var status = gateway.Status();
        var inside = ChannelLedger.Of(status, Id);
        var partial = ChannelLedger.Channel(status, Id)["source_status"]!["counters"]!["partial"]!.GetValue<long>();
        Output.WriteLine($"{_ledger}, {_ledger.Damaged} damaged, {partial} partial, gaps {string.Join(' ', _ledger.Gaps)}; {inside}");
        Assert.Empty(_ledger.Violations);
        Assert.True(inside.Balances, $"rule 11: {inside}");
        Assert.Equal(0, _ledger.Repeats);
        Assert.Equal(inside.Received, _ledger.FramesRead + _ledger.Damaged);
        Assert.InRange(_ledger.Gaps.Length, 0, Kills);
        // What a serial line lost while ser2net was dead begins in the middle of a message, as a message of its own.
        Assert.InRange(_ledger.Damaged, partial, partial + (isServer ? Kills : 0));
        Assert.InRange(partial, 0, Kills + 1);
        Assert.All(RecordedNumbers(setup, name), number => Assert.DoesNotContain(_ledger.Gaps, gap => gap.First <= number && number <= gap.Last));
    }

    private static void SkipWithout(string name)
    {
        var program = name == "rsyslog" ? "rsyslogd" : name;
        if (PeerProcess.Find(program) is null || PeerProcess.Find("socat") is null)
            Assert.Skip($"{program} and socat are not there: scripts/test.sh installs socat and unpacks the others into {PeerProcess.Unpacked}.");
    }

    private PeerSetup NewSetup()
    {
        var folder = WorkFolder.Create();
        Keep(new RemovedFolder(folder));
        return new PeerSetup(folder);
    }

    /// <summary>Holds ser2net's end of the line open too, so that what waits in it outlives ser2net, as in the driver of a real port.</summary>
    private FileStream OpenLine(PeerSetup setup, PeerProcess device)
    {
        Keep(device);
        Wait.Until(() => File.Exists(setup.Line), 10, "the serial line", () => device.LastLines);
        return new FileStream(setup.Line, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
    }

    /// <summary>Waits for a random amount more, so that a kill comes anywhere.</summary>
    private void WaitForMore(Func<long> bytes, GatewayProcess gateway, PeerProcess peer)
    {
        var target = bytes() + _random.Next(100_000, 300_000);
        Wait.Until(() => bytes() >= target, 40, "traffic through the peer",
            () => $"{bytes()} of {target} bytes; {gateway.LedgerOf(Id)}\n{gateway.LastLines}\n{peer.LastLines}");
    }

    /// <summary>Each life of the peer is one connection for the ledger. A life's last line may be torn: its rest is in no file.</summary>
    private void ReadLives(string file, List<long> lifeEnds)
    {
        var bytes = File.ReadAllBytes(file);
        var from = 0;
        foreach (var to in lifeEnds.Append(bytes.Length))
        {
            _ledger.Connected();
            new FrameSplitter(MessageFraming.Line).Feed(
                bytes.AsSpan(from..(int)to), frame => _ledger.Read(NumberedMessage.Parse(frame, MessageFraming.Line)));
            _ledger.Disconnected();
            from = (int)to;
        }
    }

    /// <summary>A peer that starts anew may write its record anew.</summary>
    private static void KeepRecord(PeerSetup setup, int life)
    {
        if (File.Exists(setup.Record))
            File.Move(setup.Record, $"{setup.Record}.{life}");
    }

    private static List<long> RecordedNumbers(PeerSetup setup, string name)
    {
        var numbers = new List<long>();
        foreach (var file in Enumerable.Range(0, Kills + 1).Select(life => $"{setup.Record}.{life}").Where(File.Exists))
        {
            var bytes = File.ReadAllBytes(file);
            var sure = name == "socat" ? Math.Max(0, bytes.Length - SocatBlockBytes) : bytes.Length;
            new FrameSplitter(MessageFraming.Line).Feed(bytes.AsSpan(0, sure), frame =>
            {
                if (NumberedMessage.Parse(frame, MessageFraming.Line) is { Intact: true } message)
                    numbers.Add(message.Number);
            });
        }

        if (name is "socat" or "rsyslog")
            Assert.NotEmpty(numbers);
        return numbers;
    }

    private static long Length(string file) => File.Exists(file) ? new FileInfo(file).Length : 0;

    private sealed class RemovedFolder(string path) : IDisposable
    {
        public void Dispose() => Directory.Delete(path, recursive: true);
    }
}
