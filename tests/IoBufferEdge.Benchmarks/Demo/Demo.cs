using System.Diagnostics;
using System.Globalization;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Demo;

/// <summary>
/// Half a minute that shows the promise: a device sends numbered messages and wants each acknowledged, the receiver dies with bytes
/// unread and stays away, the gateway is killed twice with SIGKILL, and at the end a ledger that is kept outside of the gateway says
/// whether anything was lost or came out of order.
/// </summary>
public sealed class Demo : IDisposable
{
    private const string Channel = "demo";
    private const int RatePerS = 2_000;
    private const int DrainSeconds = 60;

    private readonly Ledger _ledger = new();
    private readonly Receiver _receiver;
    private readonly GatewayProcess _gateway;
    private readonly int _sourcePort = FreePort.Tcp();
    private readonly LiveView _view = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly (int AtSecond, string Text, Action Do)[] _acts;
    private NumberedSender? _sender;
    private string _act = "";
    private ChannelLedger? _inside;
    private volatile bool _cancelled;

    private Demo()
    {
        _receiver = new Receiver(_ledger);
        _gateway = new GatewayProcess(Config.Gateway(Config.Channel(
            Channel, _sourcePort, _receiver.Port, source: """{"ack":{"type":"bytes","ack_hex":"06"}}""")));
        _acts =
        [
            (0, $"a device sends {RatePerS:N0} messages a second, the receiver reads them; each is kept for 1 s more", Begin),
            (5, "the receiver has died with bytes unread: messages wait in the buffer", KillReceiver),
            (9, "the gateway was killed (kill -9) and started again, the receiver is still away", KillGateway),
            (14, "the receiver is back: what waited comes first, in order", _receiver.Up),
            (19, "the gateway was killed again, in the middle of delivering", KillGateway),
            (24, "the device has stopped: the rest is being delivered", () => _sender!.Finish(DrainSeconds)),
        ];
    }

    /// <summary>Plays it with a gateway, a sender and a receiver of its own; 0: proved, 1: not proved, 130: ended with Ctrl-C.</summary>
    public static int Play()
    {
        using var demo = new Demo();
        ConsoleCancelEventHandler onCancel = (_, key) => demo._cancelled = key.Cancel = true;
        Console.CancelKeyPress += onCancel;
        try
        {
            return demo.Run();
        }
        catch (OperationCanceledException)
        {
            return 130;
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or IOException)
        {
            Console.WriteLine($"NOT PROVED: {e.Message}");
            return 1;
        }
        finally
        {
            Console.CancelKeyPress -= onCancel;
        }
    }

    public void Dispose()
    {
        _sender?.Dispose();
        _gateway.Dispose();
        _receiver.Dispose();
    }

    private int Run()
    {
        foreach (var (atSecond, text, action) in _acts)
        {
            ShowUntil(() => _clock.Elapsed.TotalSeconds >= atSecond);
            _act = text;
            action();
        }

        var end = _clock.Elapsed.TotalSeconds + DrainSeconds;
        ShowUntil(() => (_ledger.HighestRead == _ledger.Sent && Buffered == 0) || _clock.Elapsed.TotalSeconds > end);
        return Prove();
    }

    private long? Buffered => _inside?.Buffered;

    private void Begin()
    {
        _receiver.Up();
        _gateway.Start();
        _sender = new NumberedSender(_ledger, new SenderOptions { Kind = SenderKind.Bytes, Port = _sourcePort, RatePerS = RatePerS });
        _clock.Restart();
    }

    /// <summary>
    /// It stops reading for a moment, so that there is something unread when it dies. The moment is shorter than <c>hold_ms</c> (1,000
    /// where the source is acknowledged): what lay unread for longer would be lost when the gateway is killed as well.
    /// </summary>
    private void KillReceiver()
    {
        _receiver.Pause();
        Thread.Sleep(250);
        _receiver.Down(ConnectionEnd.Reset);
    }

    private void KillGateway()
    {
        _gateway.Kill();
        _gateway.Start();
    }

    private void ShowUntil(Func<bool> done)
    {
        while (!done())
        {
            if (_cancelled)
                throw new OperationCanceledException();
            _inside = TryReadLedger();
            _view.Show(_clock.Elapsed, _act, _ledger, _inside);
            Thread.Sleep(_view.Pause);
        }
    }

    private ChannelLedger? TryReadLedger() => _gateway.TryStatus() is { } status ? ChannelLedger.Of(status, Channel) : null;

    /// <summary>The verdict of the outside ledger, and whether the gateway's own ledger balances.</summary>
    private int Prove()
    {
        _inside = TryReadLedger();
        _view.Show(_clock.Elapsed, _act, _ledger, _inside);
        var complaints = _ledger.Verdict().ToList();
        if (_ledger.HighestRead < _ledger.Sent)
            complaints.Add($"the receiver has read {_ledger.HighestRead} of {_ledger.Sent} messages");
        if (_inside is not { Balances: true })
            complaints.Add($"the gateway's own ledger does not balance: {_inside?.ToString() ?? "it does not answer"}");

        Console.WriteLine();
        if (complaints.Count > 0)
        {
            Console.WriteLine("NOT PROVED:");
            complaints.ForEach(complaint => Console.WriteLine($"  {complaint}"));
            Console.WriteLine($"The gateway's last lines:\n{_gateway.LastLines}");
            return 1;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            PROVED by a ledger kept outside of the gateway, across one dead receiver and two killed gateways:
              {_ledger.Sent,9:N0} messages sent and acknowledged, {_ledger.HighestRead:N0} read by the receiver
                      0 lost, 0 out of order
              {_ledger.Repeats,9:N0} repeated: at least once is the promise, a repeat is its price when somebody dies
              {_inside}
            """));
        return 0;
    }
}

/// <summary>Where the numbers go: a terminal shows them in place five times a second, a pipe gets a line a second.</summary>
internal sealed class LiveView
{
    private readonly bool _terminal = !Console.IsOutputRedirected;
    private int _linesDrawn;

    public TimeSpan Pause => TimeSpan.FromMilliseconds(_terminal ? 200 : 1000);

    public void Show(TimeSpan at, string act, Ledger ledger, ChannelLedger? inside)
    {
        var buffered = inside?.Buffered.ToString("N0", CultureInfo.InvariantCulture) ?? "-";
        if (_terminal)
            Redraw(at, act, ledger, buffered);
        else
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{at.TotalSeconds,5:F0} s  sent {ledger.Sent:N0}  acked {ledger.Acknowledged:N0}  received {ledger.HighestRead:N0}  "
                + $"buffered {buffered}  repeated {ledger.Repeats:N0}  {act}"));
    }

    private void Redraw(TimeSpan at, string act, Ledger ledger, string buffered)
    {
        string[] lines =
        [
            string.Create(CultureInfo.InvariantCulture, $"{at.TotalSeconds,5:F1} s  {act}"),
            "",
            Row("sent by the device", ledger.Sent),
            Row("acknowledged to it", ledger.Acknowledged),
            Row("read by the receiver", ledger.HighestRead),
            $"        {"waiting in the buffer",-24}{buffered,12}",
            Row("repeated", ledger.Repeats),
        ];
        if (_linesDrawn > 0)
            Console.Write($"\e[{_linesDrawn}A");
        foreach (var line in lines)
            Console.WriteLine($"\e[2K{line}");
        _linesDrawn = lines.Length;
    }

    private static string Row(string name, long value) => string.Create(CultureInfo.InvariantCulture, $"        {name,-24}{value,12:N0}");
}
