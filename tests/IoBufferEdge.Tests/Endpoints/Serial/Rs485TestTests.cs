using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Gpio;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>What rs485-test says of a port, and what it answers to one that it can't use.</summary>
public sealed class Rs485TestTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly StringWriter _output = new();

    [Fact]
    public async Task Without_an_echo_it_says_so()
    {
        using var pty = new Pty();
        var running = RunAsync(pty.Path, 3);
        Assert.Equal(24, (await pty.ReadAsync(48)).Count(b => b == 0x55));
        Assert.True(await running.WaitAsync(Limit));
        Assert.Contains("3 frames of 16 bytes sent, 1.39 ms on the wire each", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("transmitter: not switched from here", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("echo: none", _output.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, "echo: 3 of 3 frames, all as they were sent")]
    [InlineData(true, "echo: 1 of 3 frames came back otherwise than sent; the first was frame 2, from byte 8 of 16 on; 16 bytes came")]
    public async Task An_echo_is_compared(bool damaged, string verdict)
    {
        using var pty = new Pty();
        // A pty hands the echo over when this thread does: as slow as the wire is, it must not come too late.
        var running = RunAsync(pty.Path, 3, baud: 1200);
        for (var frame = 1; frame <= 3; frame++)
        {
            var bytes = await pty.ReadAsync(16);
            if (damaged && frame == 2) bytes[7] ^= 4;
            await pty.WriteAsync(bytes);
        }

        Assert.Equal(!damaged, await running.WaitAsync(Limit));
        Assert.Contains(verdict, _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_that_is_not_there_or_cannot_switch_is_an_error_in_plain_words()
    {
        var gone = await Assert.ThrowsAsync<IOException>(() => RunAsync("/dev/iobuffer-none", 1));
        Assert.Equal("/dev/iobuffer-none is not there.", gone.Message);
        using var pty = new Pty();
        var kernel = await Assert.ThrowsAsync<EndpointException>(() => RunAsync(pty.Path, 1, mode: Rs485Mode.Kernel));
        Assert.StartsWith($"The driver of {pty.Path} does not switch RS485", kernel.Message, StringComparison.Ordinal);
        var gpio = await Assert.ThrowsAsync<EndpointException>(() => RunAsync(pty.Path, 1, mode: Rs485Mode.Gpio));
        const string Reason = "cannot be switched: There is no GPIO chip labelled none";
        Assert.StartsWith($"The RS485 transmitter of {pty.Path} {Reason}", gpio.Message, StringComparison.Ordinal);
    }

    private Task<bool> RunAsync(string port, int frames, int baud = 115_200, Rs485Mode mode = Rs485Mode.None)
    {
        var settings = SerialSettings.From(SerialRig.Source(port) with
        {
            BaudRate = baud, Rs485 = new() { Mode = mode, De = new() { Chip = "none", Line = "1" } },
        });
        var lines = new SerialLines(
            new LinuxSerialPorts(new DriverLines(LinuxGpioChip.Open), TimeProvider.System), TimeProvider.System, NullLogger.Instance);
        return new Rs485Test(lines, settings, TimeProvider.System).RunAsync(frames, 16, _output, TestContext.Current.CancellationToken);
    }
}
