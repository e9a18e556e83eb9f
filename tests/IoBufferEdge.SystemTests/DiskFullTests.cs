using System.Diagnostics;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The disk is full: sources stop, delivery goes on, and all of it recovers by itself when there is room again.</summary>
public sealed class DiskFullTests : SystemTest
{
    private readonly Ledger _ledger = new();
    private readonly int _port = FreePort.Tcp();
    private readonly SmallDisk _disk;
    private readonly Receiver _receiver;
    private readonly GatewayProcess _gateway;

    /// <summary>A gateway on a small disk, not started yet; its destination is away.</summary>
    public DiskFullTests(ITestOutputHelper output) : base(output)
    {
        _disk = Keep(new SmallDisk());
        _receiver = Keep(new Receiver(_ledger));
        var channel = Config.Channel(Id, _port, _receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}""");
        _gateway = Keep(new GatewayProcess(Config.Gateway(channel), dataFolder: Path.Combine(_disk.Folder, "data")));
    }

    [Fact]
    public void Sources_stop_and_recover()
    {
        _gateway.Start();
        using var sender = FullSpeedSender();
        // With the destination away the backlog fills the disk; then the acknowledgements stop, and the process stays.
        Wait.Until(() => _ledger.Acknowledged > 0, 20, "the first acknowledgement", State);
        Wait.UntilQuiet(() => _ledger.Acknowledged, 3, 60);
        var whenFull = _ledger.Acknowledged;
        Assert.False(_gateway.HasExited, _gateway.LastLines);
        Output.WriteLine($"full after {whenFull} messages: {_disk.FreeBytes / 1000} kB free");

        _receiver.Up();
        Wait.Until(() => _ledger.HighestRead >= whenFull, 60, "the whole backlog at the receiver", State);
        Accepts("room again", messages: 1000);
        _gateway.Kill();
        _gateway.Start();
        Settle(_ledger, sender, _gateway);
    }

    /// <summary>A destination that comes and goes lets the medium run full and get room again and again, each time at another place in
    /// the store's logs and tables. The same where no room can be set aside: a folder has the ballast's name.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Full_again_and_again(bool withBallast)
    {
        if (!withBallast) Directory.CreateDirectory(Path.Combine(_disk.Folder, "data", "store.ballast"));
        _gateway.Start();
        using var sender = FullSpeedSender();
        for (var round = 0; round < 10; round++)
        {
            Wait.UntilQuiet(() => _ledger.Acknowledged, 0.5, 60);
            var backlog = _ledger.Acknowledged - _ledger.HighestRead;
            var target = _ledger.HighestRead + 1 + backlog * (1 + round % 5) / 5;
            _receiver.Up();
            Wait.Until(() => _ledger.HighestRead >= target, 30, $"the backlog at the receiver in round {round}", State);
            _receiver.Down(ConnectionEnd.Reset);
        }

        _receiver.Up();
        Settle(_ledger, sender, _gateway);
    }

    /// <summary>Full before the first start, under load with more and less room left, at a restart and behind a kill.</summary>
    [Fact]
    public void At_every_stage_the_process_stays_or_says_why_and_room_lets_it_go_on()
    {
        _disk.Fill(0);
        _gateway.Launch();
        Assert.Contains(_gateway.WaitForExit(20), (int[])[74, 75]);
        Assert.Contains(_disk.Folder, _gateway.LastLines);
        _disk.Clear();
        _gateway.Start();
        using var sender = new NumberedSender(_ledger, new SenderOptions
        {
            Kind = SenderKind.Bytes, Port = _port, MessageBytes = 2000, RatePerS = 2000,
        });
        var stage = 0;
        foreach (var left in (int[])[0, 4096, 100_000, 1_000_000, 10_000_000])
        {
            Accepts($"room again after stage {stage}");
            var ballast = Path.Combine(_disk.Folder, "data", "store.ballast");
            Wait.Until(() => new FileInfo(ballast) is { Exists: true, Length: > 0 }, 20, "the ballast", State);
            _disk.Fill(left);
            Wait.UntilQuiet(() => _ledger.Acknowledged, 1, 10);
            Assert.False(_gateway.HasExited, _gateway.LastLines);
            if (stage++ % 2 == 0)
            {
                _gateway.Kill();
                _gateway.Start();
            }

            // What is acknowledged is delivered although nothing can be taken.
            var target = _ledger.Acknowledged;
            _receiver.Up();
            Wait.Until(() => _ledger.HighestRead >= target, 30, $"the backlog with {left} bytes left", State);
            _receiver.Down(ConnectionEnd.Reset);
            Assert.False(_gateway.HasExited, _gateway.LastLines);
            _disk.Clear();
        }

        Accepts("room again at the end");
        _receiver.Up();
        Settle(_ledger, sender, _gateway);
    }

    private NumberedSender FullSpeedSender() =>
        new(_ledger, new SenderOptions { Kind = SenderKind.Bytes, Port = _port, MessageBytes = 8192 });

    private void Accepts(string when, int messages = 300)
    {
        var target = _ledger.Acknowledged + messages;
        Wait.Until(() => _ledger.Acknowledged >= target, 60, $"acknowledgements: {when}", State);
    }

    private string State() => $"{_ledger}\n{_disk.FreeBytes} bytes free\n{_gateway.LastLines}";

    /// <summary>A file system of 96 MB with nothing on it. The test is skipped where none can be mounted.</summary>
    private sealed class SmallDisk : IDisposable
    {
        public SmallDisk()
        {
            Folder = WorkFolder.Create();
            if (Libc.IsRoot && Run("mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", Folder) == 0) return;
            Directory.Delete(Folder);
            Assert.Skip("A small file system can be mounted by root only (and not in every container).");
        }

        public string Folder { get; }

        public long FreeBytes => new DriveInfo(Folder).AvailableFreeSpace;

        private string Filler => Path.Combine(Folder, "filler");

        /// <summary>Somebody else takes the room.</summary>
        public void Fill(long left)
        {
            using var stream = new FileStream(Filler, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
            var bytes = new byte[1 << 16];
            try
            {
                for (var free = FreeBytes - left; free > 0; free -= bytes.Length)
                    stream.Write(bytes, 0, (int)Math.Min(free, bytes.Length));
            }
            catch (IOException)
            {
                // The gateway took the last page.
            }
        }

        public void Clear() => File.Delete(Filler);

        public void Dispose()
        {
            Run("umount", "-l", Folder);
            Directory.Delete(Folder);
        }

        private static int Run(string program, params string[] arguments)
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode;
        }
    }
}
