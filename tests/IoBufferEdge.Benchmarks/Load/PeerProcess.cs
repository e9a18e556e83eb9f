using System.Diagnostics;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// A program from Debian as a process of its own, with nothing of the system's configuration. socat is installed; the others, which are
/// services that exclude one another, are only unpacked (<c>artifacts/peers</c>, by scripts/test.sh), so that nothing of them runs but
/// what a test starts.
/// </summary>
public sealed class PeerProcess : IDisposable
{
    private readonly string _program;
    private readonly string[] _arguments;
    private readonly Lock _lock = new();
    private readonly Queue<string> _lines = new();
    private Process? _process;

    public PeerProcess(string program, params string[] arguments)
    {
        _program = Find(program) ?? throw new FileNotFoundException($"{program} is not there.");
        _arguments = arguments;
        Start();
    }

    public static string Unpacked => Path.Combine(GatewayProcess.RepositoryRoot, "artifacts", "peers");

    public string LastLines { get { lock (_lock) return $"{Path.GetFileName(_program)}: {string.Join('\n', _lines)}"; } }

    public bool HasExited => _process!.HasExited;

    /// <summary>Null: neither installed nor unpacked.</summary>
    public static string? Find(string program) =>
        ((string[])[Path.Combine(Unpacked, "usr/sbin", program), Path.Combine(Unpacked, "usr/bin", program), $"/usr/bin/{program}"])
        .FirstOrDefault(File.Exists);

    /// <summary>The folder of the unpacked modules of rsyslog or syslog-ng, wherever their package puts them.</summary>
    public static string Modules(string module) =>
        Path.GetDirectoryName(Directory.EnumerateFiles(Path.Combine(Unpacked, "usr/lib"), module, SearchOption.AllDirectories).First())!;

    public void Start()
    {
        var info = new ProcessStartInfo(_program, _arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Directory.Exists(Path.Combine(Unpacked, "usr/lib/syslog-ng")))
            info.Environment["LD_LIBRARY_PATH"] = Path.Combine(Unpacked, "usr/lib/syslog-ng");
        _process?.Dispose();
        _process = Process.Start(info)!;
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>kill -9; what its kernel still held of it is gone with it.</summary>
    /// <param name="standStillMs">So long it reads and writes nothing before it dies, so that there is something unread.</param>
    public void Kill(int standStillMs)
    {
        if (_process!.HasExited)
            throw new InvalidOperationException($"It had ended by itself. {LastLines}");
        Libc.Kill(_process.Id, Libc.SigStop);
        Thread.Sleep(standStillMs);
        _process.Kill();
        WaitForExit();
    }

    public void Signal(int signal) => Libc.Kill(_process!.Id, signal);

    /// <summary>SIGTERM: it writes out what it still holds.</summary>
    public void Terminate()
    {
        if (!_process!.HasExited)
            Libc.Kill(_process.Id, Libc.SigTerm);
        WaitForExit();
    }

    public void Dispose()
    {
        if (!_process!.HasExited)
            _process.Kill();
        WaitForExit();
        _process.Dispose();
    }

    private void WaitForExit()
    {
        if (!_process!.WaitForExit(TimeSpan.FromSeconds(20)))
            throw new TimeoutException($"Waited 20 s for {_program} to end. {LastLines}");
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        lock (_lock)
        {
            _lines.Enqueue(line);
            if (_lines.Count > 30)
                _lines.Dequeue();
        }
    }
}
