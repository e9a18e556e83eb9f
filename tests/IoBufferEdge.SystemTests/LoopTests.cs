using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Benchmarks.Loops;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The long proofs, short: <c>IoBufferEdge.Benchmarks kill-loop 500</c>, <c>reset-loop 100</c>, <c>close-loop 100</c>,
/// <c>chain-loop 200</c> and <c>broker-loop 100</c> are the real ones.</summary>
public class LoopTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(SenderKind.Bytes, "cut_through", 8)]
    [InlineData(SenderKind.Bytes, "durable_first", 6)]
    [InlineData(SenderKind.Plain, "cut_through", 6)]
    public void Kill_9_under_load(SenderKind source, string delivery, int cycles)
    {
        var log = new StringWriter();
        var loop = new KillLoop(new KillLoopOptions { Cycles = cycles, Source = source, Delivery = delivery, Seed = 1 }, log);
        output.WriteLine(loop.Run());
        Assert.True(loop.Failures.Count == 0, string.Join('\n', loop.Failures));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1 << 20)]
    public void Killed_destination_with_unread_bytes(int receiveBufferBytes)
    {
        var loop = new EndLoop(1, TextWriter.Null, receiveBufferBytes);
        output.WriteLine(loop.Kills(6));
        Assert.True(loop.Failures.Count == 0, string.Join('\n', loop.Failures));
    }

    [Fact]
    public void Orderly_ends_of_a_destination_that_reads_everything()
    {
        var loop = new EndLoop(1, TextWriter.Null);
        output.WriteLine(loop.OrderlyEnds(10));
        Assert.True(loop.Failures.Count == 0, string.Join('\n', loop.Failures));
    }

    [Fact]
    public void Requests_of_every_kind_of_wrong()
    {
        var log = new StringWriter();
        var loop = new MangleLoop(3, log);
        output.WriteLine(loop.Run(20_000));
        Assert.True(loop.Failures.Count == 0, $"{string.Join('\n', loop.Failures)}\n{log}");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Three_gateways_in_a_row_under_kill_9(bool losesDisks)
    {
        var log = new StringWriter();
        using var loop = new ChainLoop(5, log, losesDisks);
        output.WriteLine(loop.Run(15));
        Assert.True(loop.Failures.Count == 0, $"{string.Join('\n', loop.Failures)}\n{log}");
    }

    [Fact]
    public void Kill_9_of_the_broker_under_load()
    {
        Assert.SkipUnless(BrokerClient.IsThere, BrokerClient.Missing);
        var log = new StringWriter();
        var loop = new BrokerLoop(7, log);
        output.WriteLine(loop.Run(5));
        Assert.True(loop.Failures.Count == 0, $"{string.Join('\n', loop.Failures)}\n{log}");
    }
}
