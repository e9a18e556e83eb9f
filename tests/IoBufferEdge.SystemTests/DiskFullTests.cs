using System.Diagnostics;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The disk is full: sources stop, delivery goes on, and all of it recovers by itself when there is room again.</summary>
public class DiskFullTests(ITestOutputHelper output) : SystemTest(output)
{
    [Fact]
    public void Sources_stop_and_recover()
    {
        if (!TryMount(out var folder))
            Assert.Skip("A small file system can be mounted by root only (and not in every container).");
        try
        {
            var ledger = new Ledger();
            var receiver = Keep(new Receiver(ledger));
            var port = FreePort.Tcp();
            var channel = Config.Channel(Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}""");
            using var gateway = new GatewayProcess(Config.Gateway(channel), dataFolder: Path.Combine(folder, "data"));
            gateway.Start();
            using var sender = new NumberedSender(ledger, new SenderOptions { Kind = SenderKind.Bytes, Port = port, MessageBytes = 8192 });
            // With the destination away the backlog fills the disk; then the acknowledgements stop, and the process stays.
            Wait.Until(() => ledger.Acknowledged > 0, 20, "the first acknowledgement", () => gateway.LastLines);
            Wait.UntilQuiet(() => ledger.Acknowledged, 3, 60);
            var whenFull = ledger.Acknowledged;
            Assert.False(gateway.HasExited, gateway.LastLines);
            Output.WriteLine($"full after {whenFull} messages: {new DriveInfo(folder).AvailableFreeSpace / 1000} kB free");

            receiver.Up();
            Wait.Until(() => ledger.HighestRead >= whenFull, 60, "the whole backlog at the receiver",
                () => $"{ledger}\n{gateway.LastLines}");
            Wait.Until(() => ledger.Acknowledged > whenFull + 1000, 60, "acknowledgements after there was room again",
                () => $"{ledger}\n{gateway.LastLines}");
            gateway.Kill();
            gateway.Start();
            Settle(ledger, sender, gateway);
        }
        finally
        {
            Shell("umount", "-l", folder);
            Directory.Delete(folder);
        }
    }

    private static bool TryMount(out string folder)
    {
        folder = WorkFolder.Create();
        if (Libc.IsRoot && Shell("mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", folder) == 0)
            return true;
        Directory.Delete(folder);
        return false;
    }

    private static int Shell(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }
}
