using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Bench;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// The published binary for a long time under load, with every kind of channel and destinations that come and go (<see cref="Flapper"/>).
/// The outside ledgers must hold, nothing may be lost, and what the process takes must stay flat: after a warm-up of a third of the time
/// (at most ten minutes) the robust <see cref="Trend"/> of its own memory, its handles and its threads may not rise above the bounds
/// below. Of the proportional set size only the part that is no file's is judged: the rest falls and rises with other gateways' on the
/// machine.
/// </summary>
public sealed class Soak(TimeSpan time, int seed, TextWriter log)
{
    /// <summary>Six connections come and go on either side, and the engine opens and closes files: one lost at each end of a connection
    /// would be hundreds.</summary>
    private const double HandlesRiseMax = 6;

    private const double ThreadsRiseMax = 4;

    private static readonly TimeSpan WarmUpMax = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan ProgressEvery = TimeSpan.FromSeconds(30);

    private readonly List<string> _failures = [];
    private readonly List<Line> _lines = [];
    private readonly Trend _pssMb = new();
    private readonly Trend _memoryMb = new();
    private readonly Trend _handles = new();
    private readonly Trend _threads = new();
    private readonly Stopwatch _clock = new();

    public IReadOnlyList<string> Failures => _failures;

    private TimeSpan WarmUp => time / 3 < WarmUpMax ? time / 3 : WarmUpMax;

    /// <summary>
    /// The heaps breathe by 20 MB and more with the backlog, so that a run of minutes sees only what is more than that; the longer it is,
    /// the sharper it sees: 13 MB in 20 minutes, 6 MB in an hour.
    /// </summary>
    private double MemoryRiseMaxMb => Math.Min(20, 4 + 120 / (time - WarmUp).TotalMinutes);

    /// <summary>Runs for the whole time, drains, and judges; returns lines of figures.</summary>
    public string Run()
    {
        string[] acknowledged = ["""{"ack":{"type":"bytes","ack_hex":"06"}}""", """{"framing":{"type":"mllp"},"ack":{"type":"mllp"}}"""];
        try
        {
            Add("plain", SenderKind.Plain, 1024, 1000);
            Add("acked", SenderKind.Bytes, 200, 1000, acknowledged[0]);
            Add("durable", SenderKind.Bytes, 1024, 300, acknowledged[0], buffer: """{"delivery":"durable_first"}""");
            Add("mllp", SenderKind.Mllp, 500, 200, acknowledged[1], """{"confirm":{"type":"mllp"}}""");
            Add("answered", SenderKind.Bytes, 200, 200, acknowledged[0], """{"confirm":{"type":"bytes","ack_hex":"06"}}""");
            Add("large", SenderKind.Bytes, 300_000, 4, acknowledged[0]);
            using var gateway = new GatewayProcess(Config.Gateway([.. _lines.Select(line => line.Json)]));
            gateway.Start();
            for (var i = 0; i < _lines.Count; i++)
                _lines[i].Begin(seed + i);
            Watch(gateway);
            foreach (var line in _lines)
                Settle(gateway, line);
            if (_failures.Count == 0 && gateway.Terminate(30) is not 0 and var exitCode)
                _failures.Add($"SIGTERM ended in exit code {exitCode}:\n{gateway.LastLines}");
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or InvalidDataException or IOException)
        {
            _failures.Add(e.Message);
        }
        finally
        {
            _lines.ForEach(line => line.Dispose());
        }

        JudgeRise("its own memory (MB)", _memoryMb, MemoryRiseMaxMb);
        JudgeRise("handles", _handles, HandlesRiseMax);
        JudgeRise("threads", _threads, ThreadsRiseMax);
        return string.Join('\n', _lines.Select(line => line.ToString()).Append($"{Figures()}, seed {seed}"));
    }

    private void Add(
        string id, SenderKind kind, int messageBytes, double ratePerS, string source = "{}", string destination = "{}", string buffer = "{}")
    {
        var answer = !destination.Contains("confirm", StringComparison.Ordinal) ? ReceiverAnswer.None
            : kind == SenderKind.Mllp ? ReceiverAnswer.Mllp : ReceiverAnswer.Bytes;
        _lines.Add(new Line(id, kind, messageBytes, ratePerS, answer, port => Config.Channel(
            id, port.Source, port.Destination, source, destination, buffer)));
    }

    /// <summary>Samples and says how it stands until the time is over or something has failed.</summary>
    private void Watch(GatewayProcess gateway)
    {
        var sampleEvery = TimeSpan.FromSeconds(Math.Clamp(time.TotalSeconds / 200, 0.5, 10));
        var (nextSample, nextProgress) = (TimeSpan.Zero, ProgressEvery);
        _clock.Start();
        while (_clock.Elapsed < time && _failures.Count == 0)
        {
            Thread.Sleep(100);
            if (gateway.HasExited)
                _failures.Add($"the gateway has ended by itself:\n{gateway.LastLines}");
            else if (_clock.Elapsed >= nextSample)
                Sample(gateway.Id);
            if (_clock.Elapsed >= nextSample)
                nextSample += sampleEvery;
            if (_clock.Elapsed < nextProgress)
                continue;
            nextProgress += ProgressEvery;
            log.WriteLine($"  {Figures()}");
            _failures.AddRange(_lines.SelectMany(line => line.Complaints(line.Ledger.Violations)));
        }
    }

    private void Sample(int processId)
    {
        _pssMb.Add(_clock.Elapsed, ProcessFigures.PssMb(processId));
        _memoryMb.Add(_clock.Elapsed, ProcessFigures.OwnMemoryMb(processId));
        _handles.Add(_clock.Elapsed, ProcessFigures.Handles(processId));
        _threads.Add(_clock.Elapsed, ProcessFigures.Threads(processId));
    }

    private void Settle(GatewayProcess gateway, Line line)
    {
        if (_failures.Count > 0)
            return;
        line.Finish();
        Wait.Until(() => line.Ledger.HighestRead >= line.Ledger.Sent && gateway.LedgerOf(line.Id).Buffered == 0, 120,
            $"everything of {line.Id} at its receiver", () => $"{line}; {gateway.LedgerOf(line.Id)}\n{gateway.LastLines}");
        _failures.AddRange(line.Complaints(line.Ledger.Verdict()));
        var inside = gateway.LedgerOf(line.Id);
        if (!inside.Balances || inside.Received < line.Ledger.Sent)
            _failures.Add($"{line.Id}: rule 11: {inside}, but {line.Ledger.Sent} were sent");
    }

    private void JudgeRise(string what, Trend trend, double most)
    {
        var rise = trend.RiseAfter(WarmUp);
        if (rise > most)
            _failures.Add(string.Create(CultureInfo.InvariantCulture, $"{what} rose by {rise:0.0} after the warm-up, the bound is {most:0.0}"));
    }

    private string Figures()
    {
        if (_memoryMb.Count == 0)
            return "no sample was taken";
        string Of(Trend trend, string format) => string.Create(CultureInfo.InvariantCulture,
            $"{trend.Last.ToString(format, CultureInfo.InvariantCulture)} ({trend.Lowest:0}–{trend.Highest:0}, rise {trend.RiseAfter(WarmUp):+0.0;-0.0;0})");
        return string.Create(CultureInfo.InvariantCulture,
            $"{_clock.Elapsed.TotalMinutes,5:0.0} min: {_lines.Sum(line => line.Ledger.FramesRead):N0} read, {_lines.Sum(line => line.Flaps)} flaps, "
            + $"PSS {_pssMb.Last:0.0} ({_pssMb.Lowest:0}–{_pssMb.Highest:0}) MB, own memory {Of(_memoryMb, "0.0")} MB, "
            + $"handles {Of(_handles, "0")}, threads {Of(_threads, "0")}");
    }

    /// <summary>One channel with its sender, its flapping receiver and its ledger.</summary>
    private sealed class Line(
        string id, SenderKind kind, int messageBytes, double ratePerS, ReceiverAnswer answer,
        Func<(int Source, int Destination), JsonObject> config) : IDisposable
    {
        /// <summary>Of a fixed size: one that the kernel grows can hide more than is kept for a repeat (see the README).</summary>
        private const int ReceiveBufferBytes = 1 << 20;

        private readonly int _sourcePort = FreePort.Tcp();
        private Receiver? _receiver;
        private NumberedSender? _sender;
        private Flapper? _flapper;

        public string Id => id;

        public Ledger Ledger { get; } = new();

        public int Flaps => _flapper?.Flaps ?? 0;

        public JsonObject Json
        {
            get
            {
                var framing = kind == SenderKind.Mllp ? MessageFraming.Mllp : MessageFraming.Line;
                _receiver ??= new Receiver(
                    Ledger, new ReceiverOptions { Framing = framing, Answer = answer, ReceiveBufferBytes = ReceiveBufferBytes });
                return config((_sourcePort, _receiver.Port));
            }
        }

        public void Begin(int seed)
        {
            _flapper = new Flapper(_receiver!, seed);
            _sender = new NumberedSender(Ledger, new SenderOptions
            {
                Kind = kind, Port = _sourcePort, MessageBytes = messageBytes, RatePerS = ratePerS, WindowMessages = Math.Max(2, (int)ratePerS / 2),
            });
        }

        /// <summary>What the ledger complains of, and what went wrong with the flapping.</summary>
        public IEnumerable<string> Complaints(IEnumerable<string> ofLedger) =>
            (_flapper?.Failure is { } failure ? ofLedger.Append(failure.Message) : ofLedger).Select(what => $"{id}: {what}");

        public void Finish()
        {
            _flapper!.Stop();
            _sender!.Finish(120);
        }

        public void Dispose()
        {
            _flapper?.Dispose();
            _sender?.Dispose();
            _receiver?.Dispose();
        }

        public override string ToString() => $"{id}: {Ledger}, {Flaps} flaps";
    }
}
