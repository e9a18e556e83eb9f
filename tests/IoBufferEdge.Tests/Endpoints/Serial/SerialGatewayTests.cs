using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>The executable between two serial devices, both of which are pulled out and plugged in again.</summary>
public sealed class SerialGatewayTests(ITestOutputHelper output) : IDisposable
{
    private static readonly string Binary = Path.Combine(
        AppContext.BaseDirectory.Replace("/tests/IoBufferEdge.Tests/", "/src/IoBufferEdge.Daemon/", StringComparison.Ordinal), "iobuffer");

    private const int Baud = 2400;

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-serial-gateway-").FullName;
    private readonly PluggedDevice _from = new();
    private readonly PluggedDevice _to = new();

    public void Dispose()
    {
        _from.Dispose();
        _to.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>
    /// What the source's device sends while it is plugged in arrives, in order, though the destination's device goes away in the middle of
    /// messages; what it had got of a message when it went comes again. At 2400 baud a message is on the wire for 58 ms: long enough for the
    /// test to have read everything that counts as sent when it pulls the plug.
    /// </summary>
    [Fact]
    public async Task What_was_accepted_arrives_however_the_devices_come_and_go()
    {
        const int Rounds = 6, PerRound = 10;
        using var gateway = await StartAsync();
        try
        {
            var received = new StringBuilder();
            var bytes = new byte[4096];
            for (var round = 0; round < Rounds; round++)
            {
                for (var i = 0; i < PerRound; i++) await _from.Pty.WriteAsync($"message {round * PerRound + i:D5}\n");
                if (round % 2 == 0)
                {
                    await Wait.UntilAsync(() => Collect() > 0, 60);
                    while (Collect() > 0)
                    {
                    }

                    _to.Unplug();
                    received.Append('\n');
                    await Task.Delay(50);
                    _to.Plug();
                }
                else
                {
                    // The device goes when everything that it has sent was read.
                    var last = $"message {round * PerRound + PerRound - 1:D5}\n";
                    await Wait.UntilAsync(() => Collect() >= 0 && received.ToString().Contains(last, StringComparison.Ordinal), 60);
                    _from.Unplug();
                    await Task.Delay(50);
                    _from.Plug();
                    await Wait.UntilAsync(() => _from.Pty.BaudRate == Baud);
                    await Task.Delay(50);
                }
            }

            await Wait.UntilAsync(() => Collect() >= 0 && received.ToString().Contains("00059\n", StringComparison.Ordinal), 60);
            var whole = received.ToString().Split('\n').Where(line => line.Length == 13).ToList();
            Assert.Equal(Enumerable.Range(0, Rounds * PerRound).Select(i => $"message {i:D5}"), whole.Distinct());

            int Collect()
            {
                var read = _to.Pty.ReadNow(bytes);
                if (read > 0) received.Append(Encoding.ASCII.GetString(bytes, 0, read));
                return Math.Max(read, 0);
            }
        }
        finally
        {
            gateway.Kill();
            output.WriteLine(await _log);
        }
    }

    private Task<string> _log = Task.FromResult("");

    private async Task<Process> StartAsync()
    {
        var config = Path.Combine(_folder, "config.json");
        JsonObject Side(PluggedDevice device) => new()
        {
            ["type"] = "serial", ["port"] = device.Path, ["baud_rate"] = Baud, ["framing"] = new JsonObject { ["type"] = "line" },
        };
        var source = Side(_from);
        source["framing"]!["strip"] = true;
        var destination = Side(_to);
        destination["retry"] = new JsonObject { ["initial_ms"] = 10, ["max_ms"] = 100 };
        await File.WriteAllTextAsync(config, new JsonObject
        {
            ["schema_version"] = 1,
            ["channels"] = new JsonArray(new JsonObject { ["id"] = "a", ["source"] = source, ["destination"] = destination }),
        }.ToJsonString());
        var data = Path.Combine(_folder, "data");
        var process = Tools.Start(Binary, "run", "--config", config, "--data", data);
        _log = process.StandardOutput.ReadToEndAsync();
        _ = process.StandardError.ReadToEndAsync();
        await Wait.UntilAsync(() => process.HasExited || File.Exists(Path.Combine(data, "control.sock")), 60);
        Assert.False(process.HasExited, "The gateway did not start.");
        return process;
    }
}
