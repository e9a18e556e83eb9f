using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// A mosquitto of its own on a free port, with a folder for what it keeps retained, written out every second: <see cref="Kill"/> and
/// <see cref="Start"/> are a broker's crash and return.
/// </summary>
public sealed class Broker : IDisposable
{
    private readonly string _kept;
    private readonly PeerProcess _process;

    /// <param name="folder">Where its configuration and its files go; it belongs to the caller.</param>
    /// <param name="settings">Lines of mosquitto.conf for who may connect and how; none: anybody, in plain text.</param>
    public Broker(string folder, params string[] settings)
    {
        _kept = Directory.CreateDirectory(Path.Combine(folder, "broker")).FullName;
        var config = Path.Combine(folder, "mosquitto.conf");
        string[] lines =
        [
            $"listener {Port} 127.0.0.1", "user root", "persistence true", $"persistence_location {_kept}/", "autosave_on_changes true",
            "autosave_interval 1", .. settings.Length == 0 ? ["allow_anonymous true"] : settings,
        ];
        File.WriteAllLines(config, lines);
        _process = new PeerProcess("mosquitto", "-c", config);
        WaitUntilItListens();
    }

    public int Port { get; } = FreePort.Tcp();

    public string LastLines => _process.LastLines;

    public void Kill(int standStillMs = 0) => _process.Kill(standStillMs);

    /// <param name="forgets">What it kept is gone, as with a broker that keeps nothing on disk.</param>
    public void Start(bool forgets = false)
    {
        if (forgets) Directory.Delete(_kept, recursive: true);
        Directory.CreateDirectory(_kept);
        _process.Start();
        WaitUntilItListens();
    }

    public void Signal(int signal) => _process.Signal(signal);

    public void Dispose() => _process.Dispose();

    private void WaitUntilItListens() => Wait.Until(Listens, 20, $"mosquitto on port {Port}", () => LastLines);

    private bool Listens()
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect("127.0.0.1", Port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

/// <summary>Somebody else at a broker, by mosquitto's own clients.</summary>
/// <param name="options">Options of mosquitto_pub and mosquitto_sub: account, certificates.</param>
public sealed class BrokerClient(int port, params string[] options)
{
    public static string Missing => $"mosquitto and its clients are not there: scripts/test.sh unpacks them into {PeerProcess.Unpacked}.";

    public static bool IsThere => PeerProcess.Find("mosquitto") is not null && PeerProcess.Find("mosquitto_sub") is not null;

    /// <summary>Writes an account into mosquitto's password file.</summary>
    public static void SetPassword(string file, string account, string password)
    {
        using var writing = Process.Start(PeerProcess.Find("mosquitto_passwd")!, ["-b", file, account, password]);
        if (!writing.WaitForExit(20_000) || writing.ExitCode != 0) throw new InvalidOperationException($"mosquitto_passwd did not write {file}.");
    }

    /// <summary>What the client says at a refusal; empty: the broker has taken the message.</summary>
    public string TryPublish(string topic, string payload, bool retained = false)
    {
        string[] arguments = ["-V", "5", "-q", "1", "-t", topic, "-s"];
        using var client = Start("mosquitto_pub", retained ? [.. arguments, "-r"] : arguments);
        client.StandardInput.Write(payload);
        client.StandardInput.Close();
        var said = client.StandardError.ReadToEnd() + client.StandardOutput.ReadToEnd();
        if (!client.WaitForExit(20_000)) throw new TimeoutException($"mosquitto_pub did not end within 20 s: {said}");
        return client.ExitCode == 0 && said.Length == 0 ? "" : $"mosquitto_pub {client.ExitCode}: {said}";
    }

    public void Publish(string topic, string payload, bool retained = false)
    {
        if (TryPublish(topic, payload, retained) is { Length: > 0 } refusal) throw new InvalidOperationException($"{topic}: {refusal}");
    }

    /// <summary>What lies retained; null: nothing, or the broker is away.</summary>
    public string? Retained(string topic) => Retained([topic], 1).GetValueOrDefault(topic);

    /// <summary>What lies retained under topics without a line's end in them; returns at so many, or after 2 s with what there is.</summary>
    public Dictionary<string, string> Retained(IReadOnlyList<string> filters, int count)
    {
        using var client = Listen(filters, "--retained-only", "-C", $"{count}", "-W", "2");
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        while (client.StandardOutput.ReadLine() is { } line)
            if (line.IndexOf(' ', StringComparison.Ordinal) is > 0 and var at) found[line[..at]] = line[(at + 1)..];
        return found;
    }

    /// <summary>A client that writes a line "topic payload" for each message; the caller ends it.</summary>
    public Process Listen(IReadOnlyList<string> filters, params string[] more) =>
        Start("mosquitto_sub", ["-q", "1", "-v", .. filters.SelectMany(f => (string[])["-t", f]), .. more]);

    private Process Start(string program, IEnumerable<string> arguments) => Process.Start(
        new ProcessStartInfo(PeerProcess.Find(program)!, ["-h", "127.0.0.1", "-p", $"{port}", .. options, .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, StandardOutputEncoding = Encoding.UTF8,
        })!;
}
