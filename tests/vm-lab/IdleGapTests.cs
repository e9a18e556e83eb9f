using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.VmLab;

/// <summary>Frames that end with silence, on a line with real byte timing.</summary>
public sealed class IdleGapTests(ITestOutputHelper output) : LabTest
{
    private const int Baud = 19_200;
    private const int FrameBytes = 4;
    private const double CharacterMs = 10_000.0 / Baud;
    private const double LimitMs = 3.5 * CharacterMs;

    /// <summary>
    /// What the wire saw decides: the simulator's own record must show every silence to be at least a millisecond above the limit, and then
    /// each frame is one message. The sender sees to it that most are hardly longer.
    /// </summary>
    [Fact]
    public void A_millisecond_above_the_limit_every_frame_is_a_message()
    {
        var peer = Peer();
        var channel = FromLine(Baud, peer.Port, """{"framing":{"type":"idle_gap"}}""");
        channel["destination"]!["framing"] = JsonNode.Parse("""{"type":"delimiter","delimiter_hex":"7c"}""");
        var gateway = StartedGateway(channel);
        var device = Device(Baud);
        var expected = new StringBuilder();
        for (var i = 0; i < FrameCount; i++)
        {
            var frame = (i % 10_000).ToString("D4", CultureInfo.InvariantCulture);
            expected.Append(frame).Append('|');
            device.Write(frame);
            Rest(FrameBytes * CharacterMs + LimitMs + 1.1);
        }

        Wait.Until(() => peer.Bytes.Length >= expected.Length, 20, "the last frame behind TCP", () => gateway.LastLines);
        var frames = UartSim.Frames(1);
        var gapsMs = frames.Zip(frames.Skip(1), (before, behind) => (behind.Start - before.End) / 1e6).Order().ToList();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{frames.Count} frames, silences of {gapsMs[0]:0.00} ms at least, {gapsMs[gapsMs.Count / 2]:0.00} ms (median), {gapsMs[^1]:0.00} ms at most"));
        Assert.Equal(FrameCount, frames.Count);
        Assert.True(gapsMs[0] >= LimitMs + 1, $"A silence of {gapsMs[0]:0.00} ms: the sender was not fit for this.");
        Assert.Equal(expected.ToString(), Encoding.ASCII.GetString(peer.Bytes));
    }

    private static void Rest(double milliseconds)
    {
        var began = Stopwatch.GetTimestamp();
        Thread.Sleep((int)milliseconds - 1);
        while (Stopwatch.GetElapsedTime(began).TotalMilliseconds < milliseconds) Thread.Yield();
    }
}
