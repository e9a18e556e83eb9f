using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Serialization;

namespace IoBufferEdge.Daemon;

/// <summary>What a run of the loss test came to.</summary>
/// <param name="Lost">Acknowledged by the gateway and never read by the receiver.</param>
/// <param name="Disordered">Read for the first time behind a higher number.</param>
/// <param name="Repeats">Read more than once: what at-least-once allows.</param>
/// <param name="Seconds">How long it took.</param>
internal sealed record LossVerdict(
    long Sent, long Acknowledged, long Received, long Lost, long Disordered, long Damaged, long Repeats, int Kills, int Resets, double Seconds)
{
    public bool IsKept => Lost == 0 && Disordered == 0 && Damaged == 0 && Acknowledged == Sent;
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(LossVerdict))]
internal sealed partial class LossJson : JsonSerializerContext;

/// <summary>
/// <c>iobuffer selftest loss</c>: the promise, tried on this very device and its disk. A second gateway of this binary runs in a folder of its own; a
/// device that wants every message acknowledged sends numbered lines; the gateway is killed with SIGKILL and the receiver's connections are
/// reset with bytes unread, at random. The ledger is kept here, outside of the gateway. A gateway that runs meanwhile is not touched.
/// Limit: a power cut is not among it, only the death of the process.
/// </summary>
internal sealed class LossSelfTest(LossSelfTest.Options options, Random random, TextWriter errors) : IDisposable
{
    /// <param name="Folder">Where its folder is made: on the disk that is to be tried.</param>
    internal sealed record Options(string Folder, int Messages, int Kills, int Resets);

    private const int WindowMessages = 256;
    private const long FreeBytesNeeded = 256L << 20;
    private static readonly TimeSpan StandsStill = TimeSpan.FromSeconds(60);

    /// <summary>What comes before a reset and is not read.</summary>
    private static readonly TimeSpan UnreadFor = TimeSpan.FromMilliseconds(20);

    private readonly string _folder = Path.Combine(options.Folder, $"selftest-{Environment.ProcessId}");
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _over = new();
    private readonly int[] _reads = new int[options.Messages + 1];
    private readonly int _port = FreePort();
    private readonly ProgressLine _progress = new("loss test", errors);
    private Process? _gateway;
    private volatile bool _resetWanted;
    private int _resets;
    private volatile string _lastWords = "";
    private volatile int _acknowledged;
    private volatile int _highest;
    private long _disordered;
    private long _damaged;

    /// <exception cref="IOException">It cannot be run here, or stands still: one sentence.</exception>
    public async Task<LossVerdict> RunAsync(CancellationToken cancel)
    {
        var watch = Stopwatch.StartNew();
        _listener.Start();
        Prepare();
        StartGateway();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, _over.Token);
        var receiving = ReceiveAsync(either.Token);
        var sending = SendAsync(either.Token);
        var kills = await DisturbAsync(cancel);
        await UntilAsync(() => _highest == options.Messages && _acknowledged == options.Messages, cancel);
        await _over.CancelAsync();
        await Task.WhenAll(receiving, sending);
        var acknowledged = _reads.AsSpan(1, _acknowledged);
        var received = _reads.Count(n => n > 0);
        return new LossVerdict(
            options.Messages, _acknowledged, received, acknowledged.Count(0), _disordered, _damaged, _reads.Sum(n => Math.Max(0, n - 1)), kills, _resets,
            Math.Round(watch.Elapsed.TotalSeconds, 1));
    }

    public void Dispose()
    {
        _gateway?.Kill();
        _gateway?.WaitForExit();
        _gateway?.Dispose();
        _listener.Dispose();
        _over.Dispose();
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    private void Prepare()
    {
        try
        {
            Directory.CreateDirectory(_folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            if (new DriveInfo(_folder).AvailableFreeSpace is var free && free < FreeBytesNeeded)
                throw new IOException($"The loss test needs {FreeBytesNeeded >> 20} MB free in {options.Folder}: there are {free >> 20}.");
        }
        catch (Exception e) when (e is UnauthorizedAccessException or FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException($"The loss test cannot make a folder in {options.Folder}: run it as a user who may, or name another folder with --data.", e);
        }

        var receiver = ((IPEndPoint)_listener.LocalEndpoint).Port;
        File.WriteAllText(Path.Combine(_folder, "gateway.json"), $$"""
            { "schema_version": 1, "buffer": { "device_max_bytes": 67108864 }, "channels": [ { "id": "selftest",
              "source": { "type": "tcp_server", "host": "127.0.0.1", "port": {{_port}}, "framing": { "type": "line" },
                          "ack": { "type": "bytes", "ack_hex": "06" } },
              "buffer": { "max_bytes": 33554432 },
              "destination": { "type": "tcp_client", "host": "127.0.0.1", "port": {{receiver}}, "retry": { "initial_ms": 100, "max_ms": 1000 } } } ] }
            """);
    }

    // ---- what happens to the gateway

    /// <summary>Spreads the kills and resets over the run, by what has been received: a fast device and a slow one get as many.</summary>
    private async Task<int> DisturbAsync(CancellationToken cancel)
    {
        var events = Enumerable.Range(0, options.Kills + options.Resets).Select(i => (At: random.Next(options.Messages), IsKill: i < options.Kills));
        var kills = 0;
        foreach (var (at, isKill) in events.OrderBy(e => e.At))
        {
            await UntilAsync(() => _highest >= at, cancel);
            if (isKill)
            {
                _gateway!.Kill();
                await _gateway.WaitForExitAsync(cancel);
                StartGateway();
                kills++;
            }
            else
            {
                _resetWanted = true;
            }
        }

        return kills;
    }

    private void StartGateway()
    {
        _gateway?.Dispose();
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            ArgumentList = { "run", "--config", Path.Combine(_folder, "gateway.json"), "--data", Path.Combine(_folder, "data") },
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var systemd in (string[])["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"]) start.Environment.Remove(systemd);
        _gateway = Process.Start(start) ?? throw new IOException($"{start.FileName} cannot be started.");
        _gateway.OutputDataReceived += (_, line) => _lastWords = line.Data ?? _lastWords;
        _gateway.ErrorDataReceived += (_, line) => _lastWords = line.Data ?? _lastWords;
        _gateway.BeginOutputReadLine();
        _gateway.BeginErrorReadLine();
    }

    /// <summary>Shows how far it is, and gives up where nothing moves any more.</summary>
    private async Task UntilAsync(Func<bool> condition, CancellationToken cancel)
    {
        var (before, since) = (-1L, Stopwatch.StartNew());
        while (!condition())
        {
            if ((long)_highest + _acknowledged is var now && now != before) (before, since) = (now, Stopwatch.StartNew());
            if (_gateway!.HasExited) throw new IOException($"The test's gateway ended by itself: {_lastWords}");
            if (since.Elapsed > StandsStill)
                throw new IOException(
                    $"The loss test stands still: {_acknowledged} of {options.Messages} acknowledged, {_highest} received; "
                    + $"the gateway said last: {_lastWords}");
            _progress.Report((double)_highest / options.Messages);
            await Task.Delay(20, cancel);
        }

        _progress.Report((double)_highest / options.Messages);
    }

    // ---- the device and the receiver

    /// <summary>A device: sends in order, keeps what is not acknowledged, and sends it again on its next connection.</summary>
    private async Task SendAsync(CancellationToken cancel)
    {
        var answers = new byte[WindowMessages];
        while (!cancel.IsCancellationRequested && _acknowledged < options.Messages)
        {
            try
            {
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(IPAddress.Loopback, _port, cancel);
                for (var sent = _acknowledged; _acknowledged < options.Messages;)
                {
                    while (sent < options.Messages && sent - _acknowledged < WindowMessages) await socket.SendAsync(Message(++sent), cancel);
                    var count = await socket.ReceiveAsync(answers, cancel);
                    if (count == 0) break;
                    _acknowledged += count;
                }
            }
            catch (SocketException)
            {
                await Task.Delay(20, CancellationToken.None);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task ReceiveAsync(CancellationToken cancel)
    {
        try
        {
            while (true)
            {
                using var connection = await _listener.AcceptSocketAsync(cancel);
                await ReadLinesAsync(connection, cancel);
            }
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }
    }

    private async Task ReadLinesAsync(Socket connection, CancellationToken cancel)
    {
        try
        {
            var buffer = new byte[16 * 1024];
            for (var held = 0; await connection.ReceiveAsync(buffer.AsMemory(held), cancel) is > 0 and var count;)
            {
                // A line that is cut by the end of its connection is none: its message comes again.
                var bytes = buffer.AsMemory(0, held + count);
                for (int end; (end = bytes.Span.IndexOf((byte)'\n')) >= 0; bytes = bytes[(end + 1)..]) Read(bytes.Span[..end]);
                bytes.CopyTo(buffer);
                held = bytes.Length;
                if (!_resetWanted) continue;
                await Task.Delay(UnreadFor, cancel);
                connection.LingerState = new LingerOption(true, 0);
                _resetWanted = false;
                _resets++;
                return;
            }
        }
        catch (SocketException)
        {
            // The gateway was killed.
        }
    }

    private void Read(ReadOnlySpan<byte> line)
    {
        if (!Utf8Parser.TryParse(line, out int number, out _) || number < 1 || number > options.Messages || !line.SequenceEqual(Message(number).AsSpan()[..^1]))
        {
            _damaged++;
            return;
        }

        if (_reads[number]++ > 0) return;
        if (number < _highest) _disordered++;
        _highest = Math.Max(_highest, number);
    }

    private static byte[] Message(int number) =>
        Encoding.Latin1.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{number:D10} {new string((char)('a' + number % 26), 20 + number % 200)}\n"));

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
