using IoBufferEdge.Benchmarks.Disk;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Benchmarks.Loops;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>
/// kill -9, then a power cut that takes what was not synced; and calls on the disk that fail. <c>IoBufferEdge.Benchmarks cut-loop 500</c>
/// is the long form.
/// </summary>
public class PowerCutTests(ITestOutputHelper output) : SystemTest(output)
{
    [Fact]
    public void What_the_first_life_acknowledged_is_there_although_nothing_unsynced_is()
    {
        var (disk, ledger, receiver, gateway, sender) = UnderLoad();
        CutAndSettle(disk, ledger, receiver, gateway, sender);
    }

    [Theory]
    [InlineData(SenderKind.Bytes, "cut_through", 8)]
    [InlineData(SenderKind.Bytes, "durable_first", 6)]
    public void Kills_then_a_cut_again_and_again(SenderKind source, string delivery, int cuts)
    {
        Assert.SkipUnless(TestDisk.IsPossible, TestDisk.NoCompiler);
        var loop = new KillLoop(
            new KillLoopOptions { Cycles = cuts, Source = source, Delivery = delivery, Seed = 1, PowerCuts = true }, TextWriter.Null);
        Output.WriteLine(loop.Run());
        Assert.True(loop.Failures.Count == 0, string.Join('\n', loop.Failures));
    }

    /// <summary>Rule 6: after it no later sync of the same pages means anything.</summary>
    [Fact]
    public void A_sync_that_failed_and_reads_back_is_written_anew()
    {
        var (disk, ledger, receiver, gateway, sender) = UnderLoad();
        disk.Fail(DiskCalls.Sync, TestDisk.EIO, ".log", times: 1);
        Wait.Until(() => disk.Failed == 1, 10, "a sync of the log to fail", () => gateway.LastLines);
        var before = ledger.Acknowledged;
        Wait.Until(() => ledger.Acknowledged > before + 1000, 30, "1,000 acknowledgements more", () => gateway.LastLines);
        CutAndSettle(disk, ledger, receiver, gateway, sender);
    }

    /// <summary>What it had covered reads back in the next life, whose own sync of the log succeeds and means nothing.</summary>
    [Fact]
    public void A_sync_that_failed_before_a_kill_is_written_anew_by_the_next_life()
    {
        var (disk, ledger, receiver, gateway, sender) = UnderLoad();
        disk.Fail(DiskCalls.Sync, TestDisk.EIO, ".log");
        Wait.Until(() => disk.Failed > 0, 10, "a sync of the log to fail", () => gateway.LastLines);
        gateway.Kill();
        disk.EndLife();
        disk.Heal();
        gateway.Start();
        var before = ledger.Acknowledged;
        Thread.Sleep(TimeSpan.FromSeconds(1.5)); // until the high-water mark speaks of this life's messages
        Wait.Until(() => ledger.Acknowledged > before + 1000, 30, "1,000 acknowledgements more", () => gateway.LastLines);
        CutAndSettle(disk, ledger, receiver, gateway, sender);
    }

    /// <summary>Room kept aside is a help: that the file which holds it can be neither made nor deleted stops nothing.</summary>
    [Fact]
    public void A_ballast_that_can_be_neither_made_nor_deleted_ends_nothing()
    {
        var (disk, ledger, receiver, gateway, sender) = UnderLoad();
        gateway.Kill();
        disk.EndLife();
        File.Delete(Path.Combine(disk.DataFolder, "store.ballast"));
        disk.Fail(DiskCalls.Create | DiskCalls.Allocate | DiskCalls.Names, TestDisk.ENOSPC, "store.ballast");
        gateway.Start();
        Wait.Until(() => disk.Failed > 2, 30, "the ballast to fail", () => gateway.LastLines);
        var before = ledger.Acknowledged;
        Wait.Until(() => ledger.Acknowledged > before + 1000, 30, "1,000 acknowledgements more", () => gateway.LastLines);
        disk.Heal();
        receiver.Up();
        Flow(ledger, gateway);
        Settle(ledger, sender, gateway);
    }

    /// <summary>ENOSPC and EIO on every kind of file. <c>IoBufferEdge.Benchmarks fault-loop 200</c> is the long form.</summary>
    [Theory]
    [InlineData("cut_through")]
    [InlineData("durable_first")]
    public void Calls_that_fail_now_and_then(string delivery)
    {
        Assert.SkipUnless(TestDisk.IsPossible, TestDisk.NoCompiler);
        var loop = new FaultLoop(1, delivery, TextWriter.Null);
        Output.WriteLine(loop.Run(5));
        Assert.True(loop.Failures.Count == 0, string.Join('\n', loop.Failures));
    }

    /// <summary>kill -9 and a power cut that takes everything unsynced; then what was acknowledged must come out.</summary>
    private void CutAndSettle(TestDisk disk, Ledger ledger, Receiver receiver, GatewayProcess gateway, NumberedSender sender)
    {
        gateway.Kill();
        disk.EndLife();
        disk.Cut(null);
        receiver.Up();
        gateway.Start();
        Flow(ledger, gateway);
        Settle(ledger, sender, gateway);
    }

    private TestDisk NewDisk()
    {
        Assert.SkipUnless(TestDisk.IsPossible, TestDisk.NoCompiler);
        return Keep(new TestDisk());
    }

    /// <summary>A gateway on a disk that can fail, whose destination is away and that has acknowledged its first thousand messages.</summary>
    private (TestDisk Disk, Ledger Ledger, Receiver Receiver, GatewayProcess Gateway, NumberedSender Sender) UnderLoad()
    {
        var (disk, ledger) = (NewDisk(), new Ledger());
        var receiver = Keep(new Receiver(ledger));
        var port = FreePort.Tcp();
        var gateway = Keep(new GatewayProcess(
            Config.Gateway(Config.Channel(Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}""")),
            dataFolder: disk.DataFolder, environment: disk.Environment));
        gateway.Start();
        var sender = Sender(ledger, SenderKind.Bytes, port);
        Wait.Until(() => ledger.Acknowledged > 1000, 30, "1,000 acknowledgements", () => gateway.LastLines);
        return (disk, ledger, receiver, gateway, sender);
    }
}
