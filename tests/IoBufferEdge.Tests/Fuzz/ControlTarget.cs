using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Control;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// The control socket, over a real one: every line gets exactly one line back, JSON with <c>ok</c> or an error's sentence, however the
/// bytes are cut; and at the end of what the client says the server closes, and serves the next.
/// </summary>
internal sealed class ControlTarget : FuzzTarget
{
    private static readonly TimeSpan AnswerTimeMax = TimeSpan.FromSeconds(10);

    private readonly string _folder = CreateFolder();
    private readonly CancellationTokenSource _stop = new();
    private readonly ControlServer _server;
    private readonly Task _serving;

    public ControlTarget()
    {
        var commands = new ControlCommands(
            new TwinGateway(), new SecretStore(Path.Combine(_folder, "secrets"), null), () => ValueTask.FromResult("Nothing changed."));
        _server = new ControlServer(SocketPath, commands.HandleAsync, TimeProvider.System, NullLogger.Instance);
        _server.Open();
        _serving = Task.Run(() => _server.RunAsync(_stop.Token));
    }

    public override string Name => "control";

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. ((string[])["{", "}", "\"", "\n", "\r\n", "\\u0000", "\\ud800", "null", "[", "{\"command\":", "\"status\"", "\"channel\":", "\"scale\"",
            "\"channel pause\"", "\"park list\"", "\"park replay\"", "\"broken\"", "1e999", "{\"command\":\"reload\"}\n", "//", ","])
            .Select(Encoding.Latin1.GetBytes), [0xFF], [0xC3], [0xEF, 0xBB, 0xBF]];

    private string SocketPath => Path.Combine(_folder, "c.sock");

    public override void Judge(byte[] input, Behaviours seen)
    {
        var whole = Ask(input, input.Length);
        var lines = Encoding.Latin1.GetString(input).Split('\n').Select(line => line.EndsWith('\r') ? line[..^1] : line)
            .Count(line => line.Length > 0);
        // A line's carriage return counts as long as its line feed has not come: "\r" at the very end is a line.
        if (input is [.., (byte)'\n', (byte)'\r'] or [(byte)'\r']) lines++;
        Assert.Equal(lines, whole.Length);
        foreach (var answer in whole) JudgeAnswer(answer, seen);
        if (input.Length < 1000) Assert.Equal(whole, Ask(input, 3));
    }

    public override void Dispose()
    {
        _stop.Cancel();
        _serving.Wait(AnswerTimeMax);
        _server.Dispose();
        _stop.Dispose();
        Directory.Delete(_folder, recursive: true);
        base.Dispose();
    }

    private static void JudgeAnswer(string line, Behaviours seen)
    {
        var answer = JsonSerializer.Deserialize(line, ControlJson.Default.ControlResponse)!;
        Assert.NotEqual(answer.Ok, answer.Error is { Length: > 0 });
        seen.Saw(answer.Ok, answer.Error?[..Math.Min(answer.Error.Length, 60)], answer.Message);
    }

    /// <summary>Says all of it in pieces of so many bytes, and reads to the server's end.</summary>
    private string[] Ask(byte[] input, int pieceBytes)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(SocketPath));
        var answers = new MemoryStream();
        var buffer = new byte[16 * 1024];
        var deadline = Environment.TickCount64 + (long)AnswerTimeMax.TotalMilliseconds;
        socket.Blocking = false;
        for (var sent = 0; ;)
        {
            if (Environment.TickCount64 > deadline) Assert.Fail($"No end after {AnswerTimeMax.TotalSeconds} s: {answers.Length} bytes of answers.");
            if (sent < input.Length) sent += Try(() => socket.Send(input.AsSpan(sent, Math.Min(pieceBytes, input.Length - sent)))) ?? 0;
            if (sent == input.Length)
            {
                socket.Shutdown(SocketShutdown.Send);
                sent++;
            }

            if (sent > input.Length) socket.Poll(TimeSpan.FromSeconds(1), SelectMode.SelectRead);
            var received = Try(() => socket.Receive(buffer));
            if (received == 0) break;
            answers.Write(buffer.AsSpan(0, received ?? 0));
        }

        return Encoding.UTF8.GetString(answers.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>Null: it would block.</summary>
    private static int? Try(Func<int> call)
    {
        try
        {
            return call();
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
        {
            return null;
        }
    }
}
