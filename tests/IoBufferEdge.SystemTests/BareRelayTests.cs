using IoBufferEdge.Benchmarks.Bench;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The yardstick does what it is compared for: everything in order, and everything on the disk before it is sent.</summary>
public class BareRelayTests(ITestOutputHelper output)
{
    [Fact]
    public void Forwards_in_order_and_writes_all_of_it()
    {
        var sinkPort = FreePort.Tcp();
        using var load = new FastLoad(sinkPort, 1024);
        using var relay = new RelayProcess(sinkPort);
        var result = load.Run(relay.Port, 0.3);
        output.WriteLine($"{result.PerSecond:#,0} messages/s");
        Assert.Equal(0, result.Repeats);
        Assert.InRange(ProcessFigures.WrittenBytes(relay.Id), result.Messages * 1024, long.MaxValue);
        Assert.All(load.MeasureLatency(relay.Port, 20, 200), ms => Assert.InRange(ms, 0.01, 5000));
    }
}
