using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Numerics;
using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Bench;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// Requests of every kind of wrong at a gateway that listens for other instances: batches with bits flipped, cut, glued and with a right
/// checksum over wrong content, wrong passwords, channels, types and lengths, and now and then a connection that stays behind. Each must be
/// answered with a status that says what it is; memory must not grow, and a channel beside it goes on.
/// </summary>
public sealed class MangleLoop(int seed, TextWriter log)
{
    private const string Id = "c1";
    private const string Beside = "c2";
    private const string Password = "mangle loop's password";
    private const int IdleConnections = 1000;
    private const int Clients = 8;

    /// <summary>Memory that is no file's may move this much between the first tenth of the requests and the last: garbage is collected late.</summary>
    private const double GrowthMbMax = 12;

    private static readonly int[] s_expected = [200, 400, 401, 404, 405, 408, 409, 411, 413, 415, 429, 503, 508];

    private readonly List<string> _failures = [];
    private readonly SortedDictionary<int, long> _statuses = [];
    private readonly Lock _lock = new();
    private readonly List<Socket> _idle = [];
    private byte[][] _batches = [];
    private string _account = "";
    private int _port;

    public IReadOnlyList<string> Failures => _failures;

    public string Run(int requests)
    {
        var vectors = Path.Combine(GatewayProcess.RepositoryRoot, "src", "IoBufferEdge", "Endpoints", "Remote", "vectors.json");
        _batches = [.. JsonNode.Parse(File.ReadAllText(vectors))!["batches"]!.AsArray().Select(b => Convert.FromHexString(b!["hex"]!.GetValue<string>()))];
        var ledger = new Ledger();
        using var receiver = new Receiver(ledger);
        receiver.Up();
        var besidePort = FreePort.Tcp();
        _port = FreePort.Tcp();
        using var gateway = new GatewayProcess(Config.Gateway());
        var hash = gateway.CommandWithInput(Password + "\n", "passwd").Output.Trim().Split('\n')[^1];
        _account = Convert.ToBase64String(Encoding.UTF8.GetBytes($"{ChainConfig.Username}:{Password}"));
        var beside = Config.Channel(Beside, besidePort, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06","nak_hex":"15"}}""");
        var config = ChainConfig.Gateway("centre", _port, Id, ChainConfig.Source(hash), Config.Channel(Id, 0, FreePort.Tcp())["destination"]!);
        config["channels"]!.AsArray().Add((JsonNode)beside);
        gateway.WriteConfig(config);
        gateway.Start();
        using var sender = new NumberedSender(
            ledger, new SenderOptions { Kind = SenderKind.Bytes, Port = besidePort, MessageBytes = 200, RatePerS = 500 });
        var watch = Stopwatch.StartNew();
        try
        {
            for (var i = 0; i < IdleConnections; i++) _idle.Add(Connect());
            var early = 0.0;
            for (var tenth = 1; tenth <= 10 && _failures.Count == 0; tenth++)
            {
                Parallel.For(0, Clients, client => Ask(requests / 10 / Clients, new Random(HashCode.Combine(seed, tenth, client))));
                if (tenth == 1) early = ProcessFigures.OwnMemoryMb(gateway.Id);
                log.WriteLine($"  {tenth * (requests / 10)} requests: {Counts()}; {ledger}");
            }

            var late = ProcessFigures.OwnMemoryMb(gateway.Id);
            if (late > early + GrowthMbMax) Fail($"memory grew from {early:0.0} to {late:0.0} MB");
            Finish(gateway, sender, ledger);
            return string.Create(CultureInfo.InvariantCulture,
                $"{requests} requests in {watch.Elapsed.TotalSeconds:0} s: {Counts()}; own memory {early:0.0} MB early, {late:0.0} MB late; beside: {ledger}");
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException or SocketException or InvalidDataException)
        {
            Fail($"{e.Message}\n{gateway.LastLines}");
            return Counts();
        }
        finally
        {
            foreach (var socket in _idle) socket.Dispose();
        }
    }

    private void Finish(GatewayProcess gateway, NumberedSender sender, Ledger ledger)
    {
        sender.Finish(30);
        Wait.Until(() => ledger.HighestRead >= ledger.Sent, 30, "the channel beside to drain", ledger.ToString);
        foreach (var line in ledger.Verdict()) Fail(line);
        foreach (var id in (string[])[Id, Beside])
            if (!gateway.LedgerOf(id).Balances) Fail($"rule 11, {id}: {gateway.LedgerOf(id)}");
        foreach (var status in (int[])[200, 400, 401, 404, 409, 411, 413, 415])
            if (!_statuses.ContainsKey(status)) Fail($"no request was answered with {status}");
    }

    private void Ask(int count, Random random)
    {
        var answer = new byte[64 * 1024];
        using var connection = new Connection(Connect);
        for (; count > 0; count--)
        {
            var status = connection.Ask(NewRequest(random), answer);
            lock (_lock)
            {
                _statuses[status] = _statuses.GetValueOrDefault(status) + 1;
                if (status != 0 && !s_expected.Contains(status))
                    Fail($"a request was answered with status {status}: {Encoding.Latin1.GetString(answer.AsSpan(0, 600))}");
            }
        }
    }

    private string Counts() => string.Join(", ", _statuses.Select(s => $"{(s.Key == 0 ? "no answer" : s.Key)} {s.Value}"));

    private byte[] NewRequest(Random random) => random.Next(1000) switch
    {
        0 => Request(Body(random), account: "cmVsYXk6d3Jvbmc="),
        1 => Request(Body(random), channel: "c9"),
        2 => Request(Body(random), type: "application/vnd.iobuffer.batch;version=9"),
        3 => Request(Body(random), length: "999999999999"),
        4 => Request(Body(random), length: ""),
        5 => Request([], channel: $"{Id}/marks?sender=%ff%00", method: "GET"),
        6 => Request(Body(random), extra: "Content-Encoding: gzip\r\n"),
        7 => Request(Body(random), type: "text/plain"),
        _ => Request(Body(random)),
    };

    private byte[] Request(
        byte[] body, string? account = null, string channel = Id, string type = "application/vnd.iobuffer.batch;version=1", string? length = null,
        string extra = "", string method = "POST")
    {
        var lengthHeader = length == "" ? "" : $"Content-Length: {length ?? body.Length.ToString(CultureInfo.InvariantCulture)}\r\n";
        var path = method == "GET" ? channel : $"{channel}/messages";
        var head = $"{method} /v1/channels/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {account ?? _account}\r\n"
            + $"Content-Type: {type}\r\n{lengthHeader}{extra}\r\n";
        return length is null ? [.. Encoding.ASCII.GetBytes(head), .. body] : Encoding.ASCII.GetBytes(head);
    }

    private byte[] Body(Random random)
    {
        byte[] batch = [.. _batches[random.Next(_batches.Length)]];
        for (var changes = random.Next(5000) == 0 ? 0 : 1 + random.Next(3); changes > 0; changes--) batch = Changed(batch, random);
        // One that is a batch again and does not follow what is held waits two seconds for what might be on its way: few of these.
        if (batch.Length > 4 && random.Next(10_000) == 0)
            BinaryPrimitives.WriteUInt32LittleEndian(batch.AsSpan(batch.Length - 4), Crc(batch.AsSpan(0, batch.Length - 4)));
        return batch;
    }

    private byte[] Changed(byte[] batch, Random random)
    {
        if (batch.Length == 0) return batch;
        var at = random.Next(batch.Length);
        switch (random.Next(7))
        {
            case 0:
                return batch[..at];
            case 1:
                return [.. batch, .. batch[at..]];
            case 2:
                var other = _batches[random.Next(_batches.Length)];
                return [.. batch[..at], .. other[random.Next(other.Length)..]];
            case 3 when batch.Length > 8:
                BinaryPrimitives.WriteInt64LittleEndian(batch.AsSpan(random.Next(batch.Length - 8)), random.Next(3) - 1);
                return batch;
            case 4 when batch.Length > 4:
                BinaryPrimitives.WriteUInt32LittleEndian(batch.AsSpan(random.Next(batch.Length - 4)), uint.MaxValue >> random.Next(32));
                return batch;
            default:
                batch[at] ^= (byte)(1 << random.Next(8));
                return batch;
        }
    }

    private static uint Crc(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var value in bytes) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    private Socket Connect()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 40_000 };
        socket.Connect(IPAddress.Loopback, _port);
        return socket;
    }

    private void Fail(string what)
    {
        log.WriteLine($"  FAILED: {what}");
        _failures.Add(what);
    }

    /// <summary>One request after the other; connected anew when the gateway has closed.</summary>
    private sealed class Connection(Func<Socket> connect) : IDisposable
    {
        private Socket? _socket;

        /// <summary>The answer's status; 0: the gateway closed without one.</summary>
        public int Ask(byte[] request, byte[] answer)
        {
            for (var attempt = 0; ; attempt++)
            {
                var isNew = _socket is null;
                _socket ??= connect();
                try
                {
                    _socket.Send(request);
                    var status = ReadAnswer(answer);
                    if (status is 411 or 413) Close(); // the gateway waits a while for the body that was announced
                    if (status > 0 || isNew || attempt > 0) return status;
                }
                catch (SocketException e) when (attempt == 0 && e.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
                {
                    Close();
                }
            }
        }

        public void Dispose() => Close();

        private void Close()
        {
            _socket?.Dispose();
            _socket = null;
        }

        private int ReadAnswer(byte[] answer)
        {
            var filled = 0;
            while (true)
            {
                var count = _socket!.Receive(answer, filled, answer.Length - filled, SocketFlags.None);
                filled += count;
                var text = Encoding.Latin1.GetString(answer, 0, filled);
                var head = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
                if (count == 0 || filled == answer.Length)
                {
                    Close();
                    return head > 0 ? int.Parse(text.AsSpan(9, 3), CultureInfo.InvariantCulture) : 0;
                }

                if (head < 0 || filled < head + 4 + LengthOf(text[..head])) continue;
                if (text[..head].Contains("Connection: close", StringComparison.OrdinalIgnoreCase)) Close();
                return int.Parse(text.AsSpan(9, 3), CultureInfo.InvariantCulture);
            }
        }

        private static int LengthOf(string head)
        {
            var at = head.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase);
            if (at < 0) return head.Contains("chunked", StringComparison.OrdinalIgnoreCase) ? int.MaxValue / 2 : 0;
            var rest = head.AsSpan(at + 16);
            return int.Parse(rest[..(rest.IndexOf('\r') is >= 0 and var end ? end : rest.Length)], CultureInfo.InvariantCulture);
        }
    }
}
