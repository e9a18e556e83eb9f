using System.Net;
using System.Net.Sockets;
using System.Text;

namespace IoBufferEdge.Tests.Daemon;

/// <summary>What an operator asks of queues.</summary>
public sealed partial class DaemonTests
{
    /// <summary>Also by a gateway that has been killed since it delivered them.</summary>
    [Fact]
    public async Task What_was_delivered_and_is_retained_is_sent_once_more()
    {
        using var upstream = new TcpListener(IPAddress.Loopback, 0);
        upstream.Start();
        var (sourcePort, port) = (FreePort(), ((IPEndPoint)upstream.LocalEndpoint).Port);
        var file = Write("gateway.json", $$"""
            {
              "schema_version": 1,
              "channels": [ {
                "id": "lines", "buffer": { "retain_bytes": 1000000 },
                "source": { "type": "tcp_server", "host": "127.0.0.1", "port": {{sourcePort}}, "framing": { "type": "line" } },
                "destination": { "type": "tcp_client", "host": "127.0.0.1", "port": {{port}} }
              } ]
            }
            """);
        async Task<string> ReadAsync(Stream stream, int bytes)
        {
            var read = new byte[bytes];
            await stream.ReadExactlyAsync(read).AsTask().WaitAsync(Patience);
            return Encoding.ASCII.GetString(read);
        }

        var gateway = await StartAsync(file);
        await SendTwoAsync(sourcePort);
        using var peer = await upstream.AcceptTcpClientAsync().WaitAsync(Patience);
        Assert.Equal("one\ntwo\n", await ReadAsync(peer.GetStream(), 8));
        await UntilAsync(async () => await LedgerAsync("delivered") == 2);
        await Task.Delay(500); // until the cursor is synced: a crash before that would bring them by itself
        gateway.Kill();
        await gateway.WaitForExitAsync();
        await StartAsync(file);
        using var next = await upstream.AcceptTcpClientAsync().WaitAsync(Patience);
        var (code, output, _) = await RunAsync("queue", "replay", "lines", "--from", "2", "--data", Data);
        Assert.Equal((0, true), (code, output.Contains("queued once more: 1.", StringComparison.Ordinal)));
        Assert.Equal("two\n", await ReadAsync(next.GetStream(), 4));
        Assert.Contains("queued once more: 3.", (await RunAsync("queue", "replay", "lines", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Equal("one\ntwo\ntwo\n", await ReadAsync(next.GetStream(), 12));
        Assert.Equal(1, (await RunAsync("queue", "replay", "nobody", "--data", Data)).Code);
    }

    [Fact]
    public async Task What_waits_is_purged_and_a_queue_that_lost_its_channel_is_forgotten()
    {
        var sourcePort = FreePort();
        var file = WriteConfig(sourcePort, FreePort(), "first");
        var gateway = await StartAsync(file);
        await SendTwoAsync(sourcePort);

        var (unasked, _, errors) = await RunAsync("queue", "purge", "lines", "--data", Data);
        Assert.Equal(64, unasked);
        Assert.Contains("Discard the 2 messages", errors, StringComparison.Ordinal);
        Assert.Equal(2, await LedgerAsync("buffered"));
        var (code, output, _) = await RunAsync("queue", "purge", "lines", "--yes", "--data", Data);
        Assert.Equal(0, code);
        Assert.Contains("discarded: 2 (8 bytes)", output, StringComparison.Ordinal);
        Assert.Equal((0, 2), (await LedgerAsync("buffered"), await LedgerAsync("discarded")));
        Assert.Equal(1, (await RunAsync("queue", "purge", "none", "--yes", "--data", Data)).Code);
        Assert.Equal(64, (await RunAsync("park", "drop", "lines", "--data", Data)).Code);
        Assert.Contains("for good: 0", (await RunAsync("park", "drop", "lines", "--all", "--yes", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Equal(1, (await RunAsync("park", "drop", "lines", "--sequence", "7", "--yes", "--data", Data)).Code);

        await SendTwoAsync(sourcePort);
        gateway.Kill();
        await gateway.WaitForExitAsync();
        File.WriteAllText(file, File.ReadAllText(file).Replace("\"id\": \"lines\"", "\"id\": \"others\"", StringComparison.Ordinal));
        gateway = await StartAsync(file);
        Assert.Contains("two", (await RunAsync("queue", "peek", "lines", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Contains("queue lines belongs to no channel: 2 buffered", (await RunAsync("status", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Contains("is forgotten", (await RunAsync("queue", "purge", "lines", "--yes", "--data", Data)).Output, StringComparison.Ordinal);
        Assert.Equal(1, (await RunAsync("queue", "peek", "lines", "--data", Data)).Code);
        gateway.Kill();
        await gateway.WaitForExitAsync();
        await StartAsync(file);
        Assert.DoesNotContain("queue lines", (await RunAsync("status", "--data", Data)).Output, StringComparison.Ordinal);
    }
}
