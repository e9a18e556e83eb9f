using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>What the tests of the published binary share: one channel from a sender to a receiver, and the end that every such test
/// has.</summary>
public abstract class SystemTest(ITestOutputHelper output) : IDisposable
{
    private readonly List<IDisposable> _things = [];

    protected const string Id = "c1";

    protected ITestOutputHelper Output { get; } = output;

    public void Dispose()
    {
        for (var i = _things.Count - 1; i >= 0; i--)
            _things[i].Dispose();
        GC.SuppressFinalize(this);
    }

    protected T Keep<T>(T thing) where T : IDisposable
    {
        _things.Add(thing);
        return thing;
    }

    protected GatewayProcess Gateway(params JsonNode[] channels) => Keep(new GatewayProcess(Config.Gateway(channels)));

    protected GatewayProcess StartedGateway(params JsonNode[] channels)
    {
        var gateway = Gateway(channels);
        gateway.Start();
        return gateway;
    }

    protected Receiver UpReceiver(Ledger ledger, ReceiverOptions? options = null)
    {
        var receiver = Keep(new Receiver(ledger, options));
        receiver.Up();
        return receiver;
    }

    protected NumberedSender Sender(
        Ledger ledger, SenderKind kind, int port, double ratePerS = 5_000, long last = long.MaxValue, int bytes = 200) =>
        Keep(new NumberedSender(ledger, new SenderOptions
        {
            Kind = kind, Port = port, RatePerS = ratePerS, LastNumber = last, MessageBytes = bytes,
        }));

    /// <summary>Waits for traffic to come out.</summary>
    protected static void Flow(Ledger ledger, GatewayProcess gateway, int messages = 500)
    {
        var target = ledger.HighestRead + messages;
        Wait.Until(() => ledger.HighestRead >= target, 30, $"{messages} messages more at the receiver",
            () => $"{ledger}\n{gateway.LastLines}");
    }

    /// <summary>Ends the load, waits until all of it is out, and checks both ledgers, the outer and the gateway's.</summary>
    protected void Settle(Ledger ledger, NumberedSender sender, GatewayProcess gateway, string id = Id)
    {
        sender.Finish(30);
        Wait.Until(() => ledger.HighestRead >= ledger.Sent && gateway.LedgerOf(id).Buffered == 0, 30, "everything sent at the receiver",
            () => $"{ledger}; {gateway.LedgerOf(id)}\n{gateway.LastLines}");
        Output.WriteLine($"{ledger}; {gateway.LedgerOf(id)}");
        Assert.Empty(ledger.Verdict());
        Assert.True(gateway.LedgerOf(id).Balances, $"rule 11: {gateway.LedgerOf(id)}");
    }
}
