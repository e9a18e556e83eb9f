using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>What an operator does to a running gateway: reload, stop, mistakes.</summary>
public class OperationTests(ITestOutputHelper output) : SystemTest(output)
{
    [Fact]
    public void Reload_under_load_touches_only_what_changed()
    {
        Ledger untouchedLedger = new(), changedLedger = new(), addedLedger = new();
        Receiver untouchedSink = UpReceiver(untouchedLedger), changedSink = UpReceiver(changedLedger), addedSink = UpReceiver(addedLedger);
        var (untouchedPort, changedPort, removedPort, addedPort) = (FreePort.Tcp(), FreePort.Tcp(), FreePort.Tcp(), FreePort.Tcp());
        var gateway = StartedGateway(
            Config.Channel("untouched", untouchedPort, untouchedSink.Port),
            Config.Channel("changed", changedPort, changedSink.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}"""),
            Config.Channel("removed", removedPort, FreePort.Tcp()));
        var untouched = Sender(untouchedLedger, SenderKind.Plain, untouchedPort);
        var changed = Sender(changedLedger, SenderKind.Bytes, changedPort);
        Flow(untouchedLedger, gateway);
        Flow(changedLedger, gateway);

        gateway.WriteConfig(Config.Gateway(
            Config.Channel("untouched", untouchedPort, untouchedSink.Port),
            Config.Channel(
                "changed", changedPort, changedSink.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}""",
                buffer: """{"delivery":"durable_first"}"""),
            Config.Channel("added", addedPort, addedSink.Port)));
        gateway.Reload();
        Wait.Until(() => Ids(gateway.Status()).SequenceEqual(["untouched", "changed", "added"]), 20, "the new channels in the status",
            () => $"{string.Join(' ', Ids(gateway.Status()))}\n{gateway.LastLines}");
        var added = Sender(addedLedger, SenderKind.Plain, addedPort);
        Flow(addedLedger, gateway);
        Flow(changedLedger, gateway);
        Flow(untouchedLedger, gateway);

        Settle(untouchedLedger, untouched, gateway, "untouched");
        Settle(changedLedger, changed, gateway, "changed");
        Settle(addedLedger, added, gateway, "added");
        Assert.Equal(1, untouchedLedger.Connections);
        Assert.Equal(1, untouched.Attempts);
        Assert.Equal(0, untouchedLedger.Repeats + addedLedger.Repeats);
    }

    [Fact]
    public void A_bad_configuration_at_reload_keeps_the_old_one()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port));
        var sender = Sender(ledger, SenderKind.Plain, port);
        Flow(ledger, gateway);
        gateway.WriteConfig(new JsonObject { ["schema_version"] = 1, ["channels"] = new JsonArray(), ["no_such_key"] = 1 });
        gateway.Reload();
        Wait.Until(() => gateway.LastLines.Contains("no_such_key", StringComparison.Ordinal), 20, "a log line that names the unknown key",
            () => gateway.LastLines);
        Flow(ledger, gateway);
        Settle(ledger, sender, gateway);
        Assert.Equal(1, sender.Attempts);
        Assert.Equal(1, ledger.Connections);
    }

    [Theory]
    [InlineData("cut_through")]
    [InlineData("durable_first")]
    public void Terminate_under_load_and_start_again(string delivery)
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}""",
            buffer: $$"""{"delivery":"{{delivery}}"}"""));
        var sender = Sender(ledger, SenderKind.Bytes, port, ratePerS: 20_000);
        for (var i = 0; i < 3; i++)
        {
            Flow(ledger, gateway);
            Assert.Equal(0, gateway.Terminate());
            gateway.Start();
        }

        Flow(ledger, gateway);
        Settle(ledger, sender, gateway);
        // A peer that reads everything sees nothing twice; what the sender repeated for want of an acknowledgement is its own affair.
        Assert.Equal(0, ledger.GatewayRepeats);
    }

    [Fact]
    public void Terminate_with_a_closed_window_at_the_destination_keeps_what_it_has_not_read()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port, """{"ack":{"type":"bytes","ack_hex":"06"}}"""));
        var sender = Sender(ledger, SenderKind.Bytes, port, ratePerS: 0, bytes: 1024);
        Flow(ledger, gateway);
        receiver.Pause();
        Wait.UntilQuiet(() => ledger.Acknowledged, 0.5, 5);
        Assert.Equal(0, gateway.Terminate());
        receiver.Down(ConnectionEnd.Reset);
        receiver.Up();
        gateway.Start();
        Flow(ledger, gateway);
        Settle(ledger, sender, gateway);
    }

    [Fact]
    public void Interrupt_ends_it_in_good_order_too()
    {
        var gateway = StartedGateway(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()));
        gateway.Signal(Libc.SigInt);
        Assert.Equal(0, gateway.WaitForExit(5));
    }

    [Fact]
    public void A_second_instance_on_the_same_data_is_refused()
    {
        var ledger = new Ledger();
        var receiver = UpReceiver(ledger);
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port));
        var other = Config.Gateway(Config.Channel(Id, FreePort.Tcp(), FreePort.Tcp()));
        var second = Keep(new GatewayProcess(other, dataFolder: gateway.DataFolder));
        second.Launch();
        Assert.NotEqual(0, second.WaitForExit(20));
        Output.WriteLine(second.LastLines);
        Assert.Contains(gateway.DataFolder, second.LastLines);
        var sender = Sender(ledger, SenderKind.Plain, port, last: 100);
        Wait.Until(() => ledger.HighestRead == 100, 20, "100 messages", ledger.ToString);
        Settle(ledger, sender, gateway);
    }

    [Fact]
    public void A_configuration_that_is_wrong_from_the_start_is_refused_with_every_error()
    {
        var gateway = Gateway();
        gateway.WriteConfig(JsonNode.Parse(
            """{"schema_version":1,"channels":[{"id":"BAD ID","source":{"type":"tcp_server","port":70000}}]}""")!);
        gateway.Launch();
        Assert.Equal(78, gateway.WaitForExit(20));
        var (exitCode, text, error) = gateway.Command("check", gateway.ConfigFile);
        Assert.Equal(78, exitCode);
        Assert.Contains("channels[0].id", text + error);
        Assert.Contains("channels[0].source.port", text + error);
    }

    private static IEnumerable<string> Ids(JsonNode status) =>
        status["channels"]!.AsArray().Select(channel => channel!["id"]!.GetValue<string>());

    /// <summary>The engineer at 3 a.m.: what is in there, and a copy of it before anything is tried.</summary>
    [Fact]
    public void What_waits_can_be_looked_at_and_copied_and_is_delivered_all_the_same()
    {
        const int Messages = 5000;
        var ledger = new Ledger();
        var receiver = Keep(new Receiver(ledger));
        var port = FreePort.Tcp();
        var gateway = StartedGateway(Config.Channel(Id, port, receiver.Port, """{"framing":{"type":"line"}}"""));
        var lines = string.Concat(Enumerable.Range(1, Messages).Select(i => $"{i:D6} {new string('x', 200)}\n"));
        using (var client = new System.Net.Sockets.TcpClient("127.0.0.1", port))
            client.GetStream().Write(System.Text.Encoding.ASCII.GetBytes(lines));
        Wait.Until(() => gateway.LedgerOf(Id).Received == Messages, 20, "the messages in the buffer", () => gateway.LastLines);

        var (peeked, oldest, _) = gateway.Command("queue", "peek", Id, "--count", "2", "--data", gateway.DataFolder);
        Assert.Equal((0, 2), (peeked, oldest.Count(c => c == '\n')));
        Assert.Contains("208 bytes  000001 xxx", oldest, StringComparison.Ordinal);
        var (exported, raw, said) = gateway.Command("queue", "export", Id, "--format", "raw", "--data", gateway.DataFolder);
        Assert.Equal((0, lines, $"{Messages} messages, {lines.Length} bytes\n"), (exported, raw, said));
        var (_, json, _) = gateway.Command("queue", "export", Id, "--data", gateway.DataFolder);
        var objects = json.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => System.Text.Json.Nodes.JsonNode.Parse(line)!).ToList();
        Assert.Equal(lines, string.Concat(objects.Select(o => System.Text.Encoding.ASCII.GetString(Convert.FromBase64String((string)o["payload"]!)))));
        var (refused, _, error) = gateway.Command("queue", "peek", "nobody", "--data", gateway.DataFolder);
        Assert.Equal((1, true), (refused, error.Contains("no channel \"nobody\"", StringComparison.Ordinal)));

        Assert.Contains("'jsonl'", gateway.Command("queue", "export", Id, "--format", "xml").Error, StringComparison.Ordinal);

        receiver.Up();
        Wait.Until(() => gateway.LedgerOf(Id).Delivered == Messages, 20, "everything delivered", () => gateway.LastLines);
        Assert.Contains("Nothing waits", gateway.Command("queue", "peek", Id, "--data", gateway.DataFolder).Output, StringComparison.Ordinal);
    }
}
