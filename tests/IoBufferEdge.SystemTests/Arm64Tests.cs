using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The arm64 binary, emulated where this is not arm64.</summary>
internal static class Arm64
{
    private const string Emulator = "/usr/bin/qemu-aarch64-static";
    private const string Libraries = "/usr/aarch64-linux-gnu";

    /// <summary>Skips the test where the binary or its emulator is not there.</summary>
    public static GatewayProcess NewGateway(JsonObject config)
    {
        var binary = Path.Combine(GatewayProcess.RepositoryRoot, "artifacts", "linux-arm64", "iobuffer");
        var emulated = RuntimeInformation.ProcessArchitecture != Architecture.Arm64;
        if (emulated && (!File.Exists(Emulator) || !Directory.Exists(Libraries)))
            Assert.Skip($"{Emulator} and {Libraries} are not installed (packages qemu-user-static and libc6-dev-arm64-cross).");
        if (!File.Exists(binary))
            Assert.Skip($"{binary} does not exist: run scripts/publish.sh linux-arm64.");
        return new GatewayProcess(config, emulated ? [Emulator, "-L", Libraries, "-E", $"LD_LIBRARY_PATH={Shim.Value}"] : null, binary);
    }

    /// <summary>The folder with what the emulator lacks (termios2.c), built when the first test asks for it.</summary>
    private static readonly Lazy<string> Shim = new(() =>
    {
        var folder = Directory.CreateDirectory(Path.Combine(GatewayProcess.RepositoryRoot, "artifacts", "arm64-emulation")).FullName;
        var source = Path.Combine(AppContext.BaseDirectory, "termios2.c");
        using var compiler = Process.Start(
            "aarch64-linux-gnu-gcc", ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", Path.Combine(folder, "libc.so"), source]);
        compiler.WaitForExit();
        Assert.Equal(0, compiler.ExitCode);
        return folder;
    });
}

/// <summary>The arm64 binary, emulated: it starts, checks a configuration, and a message goes through.</summary>
public class Arm64Tests(ITestOutputHelper output) : SystemTest(output)
{
    [Fact]
    public void Starts_checks_and_delivers()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var config = Config.Gateway(Config.Channel(Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}"""));
        var gateway = Keep(Arm64.NewGateway(config));
        var (exitCode, text, error) = gateway.Command("check", gateway.ConfigFile);
        Assert.True(exitCode == 0, text + error);

        var watch = Stopwatch.StartNew();
        gateway.Start(60);
        Output.WriteLine($"answers after {watch.Elapsed.TotalSeconds:0.0} s");
        var sender = Sender(ledger, SenderKind.Bytes, port, last: 200);
        Wait.Until(() => ledger.HighestRead >= 200, 60, "200 messages", () => $"{ledger}\n{gateway.LastLines}");
        Settle(ledger, sender, gateway);
        gateway.Kill();
        gateway.Start(60);
        Assert.Equal(0, gateway.Terminate(20));
    }
}
