using System.Diagnostics;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>Another verb of these tools as a child process; its standard output is read by the caller.</summary>
public static class OwnProcess
{
    private const string Name = "IoBufferEdge.Benchmarks";

    public static Process Start(params string[] arguments)
    {
        var beside = Path.Combine(AppContext.BaseDirectory, Name);
        var program = File.Exists(beside) ? beside : Environment.ProcessPath!;
        return Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardInput = true })!;
    }
}

/// <summary>The bare relay as a process of its own.</summary>
public sealed class RelayProcess : IDisposable
{
    private readonly Process _process;
    private readonly string _folder = WorkFolder.Create();

    public RelayProcess(int toPort, bool sync = true)
    {
        Port = FreePort.Tcp();
        string[] arguments = ["relay", $"{Port}", $"{toPort}", Path.Combine(_folder, "log")];
        _process = OwnProcess.Start(sync ? arguments : [.. arguments, "--no-sync"]);
        if (_process.StandardOutput.ReadLine() != "ready")
            throw new InvalidOperationException("The bare relay did not start.");
    }

    public int Port { get; }

    public int Id => _process.Id;

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.WaitForExit(TimeSpan.FromSeconds(10));
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
