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

    /// <summary>Full before the first start, under load with more and less room left, at a restart and behind a kill.</summary>
    [Fact]
    public void At_every_stage_the_process_stays_or_says_why_and_room_lets_it_go_on()
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
            var filler = Path.Combine(folder, "filler");
            Fill(filler, 0);
            gateway.Launch();
            Assert.Contains(gateway.WaitForExit(20), (int[])[74, 75]);
            Assert.Contains(folder, gateway.LastLines);
            File.Delete(filler);
            gateway.Start();
            using var sender = new NumberedSender(ledger, new SenderOptions
            {
                Kind = SenderKind.Bytes, Port = port, MessageBytes = 2000, RatePerS = 2000,
            });
            var stage = 0;
            foreach (var left in (int[])[0, 4096, 100_000, 1_000_000, 10_000_000])
            {
                Accepts(ledger, gateway, $"room again after stage {stage}");
                var ballast = Path.Combine(folder, "data", "store.ballast");
                Wait.Until(() => new FileInfo(ballast) is { Exists: true, Length: > 0 }, 20, "the ballast", () => gateway.LastLines);
                Fill(filler, left);
                Wait.UntilQuiet(() => ledger.Acknowledged, 1, 10);
                Assert.False(gateway.HasExited, gateway.LastLines);
                if (stage++ % 2 == 0)
                {
                    gateway.Kill();
                    gateway.Start();
                }

                // What is acknowledged is delivered although nothing can be taken.
                var target = ledger.Acknowledged;
                receiver.Up();
                Wait.Until(() => ledger.HighestRead >= target, 30, $"the backlog with {left} bytes left", () => $"{ledger}\n{gateway.LastLines}");
                receiver.Down(ConnectionEnd.Reset);
                Assert.False(gateway.HasExited, gateway.LastLines);
                File.Delete(filler);
            }

            Accepts(ledger, gateway, "room again at the end");
            receiver.Up();
            Settle(ledger, sender, gateway);
        }
        finally
        {
            Shell("umount", "-l", folder);
            Directory.Delete(folder);
        }
    }

    private static void Accepts(Ledger ledger, GatewayProcess gateway, string when)
    {
        var target = ledger.Acknowledged + 300;
        Wait.Until(() => ledger.Acknowledged >= target, 30, $"acknowledgements: {when}", () => $"{ledger}\n{gateway.LastLines}");
    }

    private static void Fill(string file, long left)
    {
        using var stream = new FileStream(file, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        var bytes = new byte[1 << 16];
        try
        {
            for (var free = new DriveInfo(Path.GetDirectoryName(file)!).AvailableFreeSpace - left; free > 0; free -= bytes.Length)
                stream.Write(bytes, 0, (int)Math.Min(free, bytes.Length));
        }
        catch (IOException)
        {
            // Somebody else took the last page.
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
