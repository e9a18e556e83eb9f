using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// Damage to a stopped store: one flipped bit anywhere, a file that is gone, cut off or partly zero. The store has three channels, several
/// segments in tables and a log, two lives, and one channel's cursor inside a block. After each damage the binary must start, report
/// exactly what is missing in <c>status</c>, and deliver everything else in order, once. A flipped bit may cost one block; a file that is
/// gone, at most what was in it.
/// </summary>
public sealed class DamageLoop : IDisposable
{
    private const int MessageBytes = 4000, Messages = 1_800, FirstLife = 1_000, DeliveredOf2 = 400;
    private const int BlockBytesMax = 256 * 1024;
    private const string Destination = """{"confirm":{"type":"transport","hold_ms":0}}""";
    private static readonly string[] s_ids = ["c1", "c2", "c3"];
    private readonly Random _random;
    private readonly TextWriter _log;
    private readonly string _work = WorkFolder.CreateInMemory();
    private readonly int[] _sourcePorts = [.. s_ids.Select(_ => FreePort.Tcp())];
    private readonly int[] _sinkPorts = [.. s_ids.Select(_ => FreePort.Tcp())];
    private readonly GatewayProcess _gateway;
    private readonly List<string> _failures = [];
    private readonly long[] _secondLifeFrom = new long[s_ids.Length];
    private readonly long[] _delivered = new long[s_ids.Length];
    private int _cases;
    private int _salvaged;
    private int _withLoss;
    private long _lost;

    public DamageLoop(int seed, TextWriter log)
    {
        (_random, _log) = (new Random(seed), log);
        _gateway = new GatewayProcess(
            Config.Gateway([.. s_ids.Select((id, i) => Config.Channel(
                id, _sourcePorts[i], _sinkPorts[i], """{"ack":{"type":"bytes","ack_hex":"06"}}""", Destination,
                """{"commit_bytes":16384,"delivery":"durable_first"}"""))]),
            dataFolder: Data);
    }

    public IReadOnlyList<string> Failures => _failures;

    private string Data => Path.Combine(_work, "data");

    private string Baseline => Path.Combine(_work, "baseline");

    public void Dispose()
    {
        _gateway.Dispose();
        Directory.Delete(_work, recursive: true);
    }

    /// <summary>Flips one bit at each of <paramref name="positions"/> random positions; returns one line of figures.</summary>
    public string Flips(int positions) => Run("flipped bits", () =>
    {
        for (var i = 1; i <= positions && _failures.Count == 0; i++)
        {
            // Every fourth is drawn per file, so that the small files get their share.
            var (file, at) = i % 4 == 0 ? InAnyFile() : InAnyByte();
            Try(() => FlipBit(file, at), $"bit flipped in {file}, byte {at}", BlockBytesMax);
        }
    });

    /// <summary>Takes every file that matters away, cuts it off and, where it cuts, zeroes a page of it; of the tables a sample.
    /// Returns one line of figures.</summary>
    public string Files(int tables, int cutsEach = 4) => Run("damaged files", () =>
    {
        var files = RelativeFiles().Where(f => !f.EndsWith(".sst", StringComparison.Ordinal) && !f.Contains("LO", StringComparison.Ordinal)
            && !f.EndsWith("lock", StringComparison.Ordinal)).ToList();
        files.AddRange(RelativeFiles().Where(f => f.EndsWith(".sst", StringComparison.Ordinal)).OrderBy(_ => _random.Next()).Take(tables));
        foreach (var file in files)
        {
            var length = new FileInfo(Path.Combine(Baseline, file)).Length;
            Try(() => File.Delete(Path.Combine(Data, file)), $"{file} is gone", length);
            long[] cuts = [length / 2, 0, _random.NextInt64(length + 1), Math.Max(0, length - _random.Next(1, 50))];
            foreach (var kept in cuts.Take(cutsEach))
                Try(() => Resize(file, kept), $"{file} is cut to {kept} of {length} bytes", length);
            var at = _random.NextInt64(length + 1) / 4096 * 4096;
            if (cutsEach > 0) Try(() => Zero(file, at), $"{file} has zeros from {at} on", length);
        }

        var all = RelativeFiles().Sum(f => new FileInfo(Path.Combine(Baseline, f)).Length);
        Try(() => Array.ForEach(Directory.GetFiles(Path.Combine(Data, "store"), "*-*"), File.Delete), "no MANIFEST, no OPTIONS", 0);
        Try(() => Directory.Delete(Path.Combine(Data, "store"), recursive: true), "the store is gone", all);
    });

    private string Run(string what, Action cases)
    {
        var watch = Stopwatch.StartNew();
        try
        {
            if (!Directory.Exists(Baseline)) MakeBaseline();
            (_cases, _salvaged, _withLoss, _lost) = (0, 0, 0, 0);
            cases();
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException)
        {
            Fail($"{what}: {e.Message}\n{_gateway.LastLines}");
        }

        return string.Create(CultureInfo.InvariantCulture, $"{what} in {watch.Elapsed.TotalSeconds:0} s: {Figures()}");
    }

    private string Figures() =>
        $"{_cases} cases, {_salvaged} salvaged, {_withLoss} with a loss, {_lost} messages lost in all, each of them reported";

    private void MakeBaseline()
    {
        var ledgers = s_ids.Select(_ => new Ledger()).ToArray();
        _gateway.Start();
        Fill(ledgers, FirstLife);
        using (var receiver = new Receiver(ledgers[1], new ReceiverOptions { Port = _sinkPorts[1], BytesPerS = 2_000_000 }))
        {
            receiver.Up();
            Wait.Until(() => ledgers[1].HighestRead > DeliveredOf2, 30, "deliveries of the second channel", () => _gateway.LastLines);
            receiver.Down(ConnectionEnd.Orderly);
        }

        Wait.UntilQuiet(() => _gateway.LedgerOf("c2").Delivered, 0.5, 10);
        _gateway.Kill();
        _gateway.Start();
        for (var i = 0; i < s_ids.Length; i++) _secondLifeFrom[i] = Channel(_gateway.Status(), i)["last_sequence"]!.GetValue<long>() + 1;
        Fill(ledgers, Messages);
        if (_gateway.Terminate() != 0) throw new InvalidOperationException("SIGTERM did not end the making of the store in good order.");
        for (var i = 0; i < s_ids.Length; i++) _delivered[i] = ledgers[i].HighestRead;
        Copy(Data, Baseline);
    }

    private void Fill(Ledger[] ledgers, long upTo)
    {
        var senders = ledgers.Select((ledger, i) => new NumberedSender(ledger, new SenderOptions
        {
            Kind = SenderKind.Bytes, Port = _sourcePorts[i], MessageBytes = MessageBytes, LastNumber = upTo,
        })).ToList();
        Wait.Until(() => ledgers.All(l => l.Acknowledged == upTo), 60, $"{upTo} acknowledgements", () => _gateway.LastLines);
        senders.ForEach(sender => sender.Finish(10));
    }

    private void Try(Action damage, string what, long lostBytesMax)
    {
        if (_failures.Count > 0) return;
        if (++_cases % 25 == 0) _log.WriteLine($"  {Figures()}");
        Copy(Baseline, Data);
        damage();
        var ledgers = s_ids.Select(_ => new Ledger { Strict = false }).ToArray();
        var receivers = ledgers.Select((ledger, i) => new Receiver(ledger, new ReceiverOptions { Port = _sinkPorts[i] })).ToList();
        receivers.ForEach(receiver => receiver.Up());
        try
        {
            _gateway.Start(60);
            var status = WaitUntilDrained();
            if (_gateway.Terminate(30) != 0) Fail($"{what}: SIGTERM did not end in exit code 0:\n{_gateway.LastLines}");
            receivers.ForEach(receiver => receiver.Down(ConnectionEnd.Orderly));
            Judge(what, status, ledgers, lostBytesMax);
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException)
        {
            Fail($"{what}: {e.Message}\n{_gateway.LastLines}");
        }
        finally
        {
            receivers.ForEach(receiver => receiver.Dispose());
        }
    }

    private JsonNode WaitUntilDrained()
    {
        JsonNode? status = null;
        Wait.Until(
            () =>
            {
                Thread.Sleep(20);
                status = _gateway.TryStatus() ?? status;
                return status is not null && s_ids.All(id => ChannelLedger.Of(status, id).Buffered == 0);
            },
            60, "everything that was left to be delivered",
            () => status is null ? "no answer" : string.Join('\n', s_ids.Select(id => ChannelLedger.Of(status, id))));
        return status!;
    }

    private void Judge(string what, JsonNode status, Ledger[] ledgers, long lostBytesMax)
    {
        var lostHere = 0L;
        for (var i = 0; i < s_ids.Length; i++)
        {
            var missing = Missing(ledgers[i]).Where(n => n > _delivered[i]).ToHashSet();
            var reported = Reported(status, i).ToHashSet();
            lostHere += missing.Count;
            var unreported = missing.Except(reported).Order().ToList();
            if (unreported.Count > 0) Fail($"{what}: {s_ids[i]} lost {unreported.Count} messages from {unreported[0]} on and does not say so");
            var tooMany = reported.Except(missing).Where(n => n > _delivered[i]).Order().ToList();
            if (tooMany.Count > 0) Fail($"{what}: {s_ids[i]} reports {tooMany.Count} messages from {tooMany[0]} on that it delivered");
            foreach (var violation in ledgers[i].Violations) Fail($"{what}: {s_ids[i]}: {violation}");
            if (ledgers[i].Repeats > 0) Fail($"{what}: {s_ids[i]} repeated {ledgers[i].Repeats} messages");
            var (ledger, lost) = (ChannelLedger.Of(status, s_ids[i]), Channel(status, i)["ledger"]!["lost"]!.GetValue<long>());
            // What damage destroyed is in no column: the ledger fails to balance by exactly that.
            if (ledger.Received - ledger.Delivered - ledger.Buffered - ledger.Parked - ledger.Discarded != lost || lost < missing.Count)
                Fail($"{what}: {s_ids[i]}: rule 11: {ledger}, lost {lost}, but {missing.Count} are missing");
        }

        if (lostHere * MessageBytes > lostBytesMax) Fail($"{what}: cost {lostHere} messages, more than the {lostBytesMax} bytes that were hit");
        if (status["store"]!["salvage"] is not null) _salvaged++;
        if (lostHere > 0) _withLoss++;
        _lost += lostHere;
    }

    /// <summary>The numbers that no connection brought.</summary>
    private static IEnumerable<long> Missing(Ledger ledger) =>
        ledger.Gaps.Append((First: ledger.HighestRead + 1, Last: Messages)).SelectMany(gap => Numbers(gap.First, gap.Last));

    /// <summary>The numbers of our messages that status names as lost.</summary>
    private IEnumerable<long> Reported(JsonNode status, int channel)
    {
        foreach (var range in Channel(status, channel)["lost_ranges"] as JsonArray ?? [])
        {
            foreach (var sequence in Numbers(range!["first"]!.GetValue<long>(), range["last"]!.GetValue<long>()))
            {
                if (sequence <= FirstLife) yield return sequence;
                else if (sequence >= _secondLifeFrom[channel] && sequence - _secondLifeFrom[channel] < Messages - FirstLife)
                    yield return FirstLife + 1 + sequence - _secondLifeFrom[channel];
            }
        }
    }

    private static IEnumerable<long> Numbers(long first, long last)
    {
        for (var number = first; number <= last; number++) yield return number;
    }

    private static JsonNode Channel(JsonNode status, int channel) => ChannelLedger.Channel(status, s_ids[channel]);

    private IEnumerable<string> RelativeFiles() => Directory.GetFiles(Baseline, "*", SearchOption.AllDirectories)
        .Select(f => Path.GetRelativePath(Baseline, f)).Where(f => f != "store.ballast").Order(StringComparer.Ordinal);

    private (string File, long At) InAnyFile()
    {
        var files = RelativeFiles().Where(f => new FileInfo(Path.Combine(Baseline, f)).Length > 0).ToList();
        var file = files[_random.Next(files.Count)];
        return (file, _random.NextInt64(new FileInfo(Path.Combine(Baseline, file)).Length));
    }

    private (string File, long At) InAnyByte()
    {
        var lengths = RelativeFiles().Select(f => (File: f, new FileInfo(Path.Combine(Baseline, f)).Length)).ToList();
        var at = _random.NextInt64(lengths.Sum(f => f.Length));
        foreach (var (file, length) in lengths)
        {
            if (at < length) return (file, at);
            at -= length;
        }

        throw new InvalidOperationException("The store is empty.");
    }

    private void FlipBit(string file, long at)
    {
        using var stream = new FileStream(Path.Combine(Data, file), FileMode.Open);
        stream.Position = at;
        var value = stream.ReadByte() ^ (1 << _random.Next(8));
        stream.Position = at;
        stream.WriteByte((byte)value);
    }

    private void Resize(string file, long length)
    {
        using var stream = new FileStream(Path.Combine(Data, file), FileMode.Open);
        stream.SetLength(length);
    }

    private void Zero(string file, long at)
    {
        using var stream = new FileStream(Path.Combine(Data, file), FileMode.Open);
        stream.Position = at;
        stream.Write(new byte[Math.Min(4096, Math.Max(0, stream.Length - at))]);
    }

    private static void Copy(string from, string to)
    {
        if (Directory.Exists(to)) Directory.Delete(to, recursive: true);
        foreach (var folder in Directory.GetDirectories(from, "*", SearchOption.AllDirectories).Prepend(from))
            Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, folder)));
        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
            File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
    }

    private void Fail(string what)
    {
        _log.WriteLine($"  FAILED: {what}");
        _failures.Add(what);
    }
}
