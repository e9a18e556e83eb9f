using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Tests.Endpoints.Tcp;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Bytes over a pseudo terminal into messages, and messages out to it.</summary>
public sealed class SerialPtyTests
{
    private readonly SerialRig _rig = new();

    [Theory]
    [InlineData(1200)]
    [InlineData(9600)]
    [InlineData(19_200)]
    [InlineData(31_250)]
    [InlineData(57_600)]
    [InlineData(115_200)]
    [InlineData(123_456)]
    [InlineData(921_600)]
    public async Task Lines_come_in_byte_exact_at_any_baud_rate(int baud)
    {
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(
            SerialRig.Source(pty.Path) with { BaudRate = baud, Framing = new() { Type = FramingType.Line } });
        await pty.WriteAsync("one\nt\u00ff\u00ffwo\u0000\u0011\u0013\u0003\r\nthree\n");
        await run.CountAsync(3);
        Assert.Equal(["one\n", "t\u00ff\u00ffwo\u0000\u0011\u0013\u0003\r\n", "three\n"], run.Texts);
        Assert.Contains($"{baud} 8N1", run.Source.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Messages_go_out_byte_exact_and_count_when_their_wire_time_has_passed()
    {
        using var pty = new Pty();
        await using var destination = await _rig.OpenAsync(
            SerialRig.Destination(pty.Path) with { BaudRate = 9600, Framing = new() { Type = FramingType.Line } });
        await using var link = await RunningLink.StartAsync(destination);
        var began = TimeProvider.System.GetTimestamp();
        await link.Link.SendAsync(Messages.Run(1, [.. Enumerable.Range(0, 10).Select(i => Encoding.Latin1.GetBytes($"m\u00ff\u0000{i}"))]), default);
        await link.Sink.ConfirmedAsync(10).WaitAsync(TimeSpan.FromSeconds(20));
        var elapsed = TimeProvider.System.GetElapsedTime(began);
        var expected = string.Concat(Enumerable.Range(0, 10).Select(i => $"m\u00ff\u0000{i}\n"));
        Assert.Equal(expected, Encoding.Latin1.GetString(await pty.ReadAsync(expected.Length)));
        Assert.True(elapsed >= TimeSpan.FromSeconds(50 * 10 / 9600.0), $"50 characters at 9600 baud in {elapsed.TotalMilliseconds} ms");
        Assert.Contains("last bit computed", destination.Status.Detail, StringComparison.Ordinal);
    }
}
