using System.Diagnostics;
using System.Runtime.InteropServices;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The arm64 binary, emulated: it starts, checks a configuration, and a message goes through.</summary>
public class Arm64Tests(ITestOutputHelper output) : SystemTest(output)
{
    private const string Emulator = "/usr/bin/qemu-aarch64-static";
    private const string Libraries = "/usr/aarch64-linux-gnu";

    [Fact]
    public void Starts_checks_and_delivers()
    {
        var binary = Path.Combine(GatewayProcess.RepositoryRoot, "artifacts", "linux-arm64", "iobuffer");
        string[]? runner = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? null : [Emulator, "-L", Libraries];
        if (runner is not null && (!File.Exists(Emulator) || !Directory.Exists(Libraries)))
            Assert.Skip($"{Emulator} and {Libraries} are not installed (packages qemu-user-static and libc6-dev-arm64-cross).");
        if (!File.Exists(binary))
            Assert.Skip($"{binary} does not exist: run scripts/publish.sh linux-arm64.");

        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var config = Config.Gateway(Config.Channel(Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}"""));
        var gateway = Keep(new GatewayProcess(config, runner, binary));
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
