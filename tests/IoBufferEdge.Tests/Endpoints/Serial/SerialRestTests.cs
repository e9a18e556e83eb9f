using System.Globalization;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>A line at rest costs nothing; ports refuse what they can't do.</summary>
public sealed class SerialRestTests(ITestOutputHelper output)
{
    private readonly SerialRig _rig = new();

    /// <summary>The threads of the ports are looked at, not the process: other tests run in it meanwhile.</summary>
    [Fact]
    public async Task Sixteen_ports_at_rest_wake_nobody()
    {
        var ptys = Enumerable.Range(0, 16).Select(_ => new Pty()).ToList();
        var runs = new List<RunningSource>();
        foreach (var pty in ptys) runs.Add(await _rig.StartAsync(SerialRig.Source(pty.Path)));
        foreach (var pty in ptys) await pty.WriteAsync("awake");
        foreach (var run in runs) await run.CountAsync(1);
        await Task.Delay(200);
        var threads = ptys.SelectMany(pty => ThreadsOf("serial " + Path.GetFileName(pty.Path))).ToList();
        Assert.Equal(16, threads.Count);
        var before = (Cpu: threads.Sum(CpuNanoseconds), Switches: threads.Sum(Switches));
        await Task.Delay(2000);
        var (cpu, switches) = (threads.Sum(CpuNanoseconds) - before.Cpu, threads.Sum(Switches) - before.Switches);
        output.WriteLine($"16 ports at rest for 2 s: {cpu / 1e6} ms of CPU, {switches} switches");
        Assert.Equal(0, switches);
        Assert.Equal(0, cpu);
        foreach (var run in runs) await run.DisposeAsync();
        ptys.ForEach(pty => pty.Dispose());
    }

    [Theory]
    [InlineData("Even", 8, 1, "parity Even")]
    [InlineData("Mark", 8, 1, "parity Mark")]
    [InlineData("None", 7, 1, "7 data bits")]
    public async Task What_the_hardware_refuses_is_refused_with_the_reason(string parity, int dataBits, int stopBits, string what)
    {
        using var pty = new Pty();
        var refused = await Assert.ThrowsAsync<EndpointException>(() => _rig.StartAsync(
            SerialRig.Source(pty.Path) with { Parity = parity, DataBits = dataBits, StopBits = stopBits }));
        Assert.Equal($"The hardware of {pty.Path} does not offer {what}.", refused.Message);
    }

    [Fact]
    public async Task A_port_is_locked_and_free_again_when_its_last_user_is_gone()
    {
        using var pty = new Pty();
        await using (await _rig.StartAsync(SerialRig.Source(pty.Path)))
        {
            var second = await Assert.ThrowsAsync<EndpointException>(() => new SerialRig().StartAsync(SerialRig.Source(pty.Path)));
            Assert.StartsWith($"{pty.Path} is in use by another program", second.Message, StringComparison.Ordinal);
            var other = await Assert.ThrowsAsync<EndpointException>(
                () => _rig.OpenAsync(SerialRig.Destination(pty.Path) with { BaudRate = 300 }));
            Assert.Equal($"{pty.Path} is in use with other line settings (115200 8N1): make them equal.", other.Message);
        }

        await using var again = await new SerialRig().StartAsync(SerialRig.Source(pty.Path));
    }

    [Fact]
    public async Task What_is_no_serial_port_is_named()
    {
        var file = Path.GetTempFileName();
        var refused = await Assert.ThrowsAsync<EndpointException>(() => _rig.StartAsync(SerialRig.Source(file)));
        Assert.Equal($"{file} is not a serial port.", refused.Message);
        File.Delete(file);
    }

    [Fact]
    public async Task A_driver_without_RS485_is_refused_in_mode_kernel()
    {
        using var pty = new Pty();
        var refused = await Assert.ThrowsAsync<EndpointException>(() => _rig.StartAsync(
            SerialRig.Source(pty.Path) with { Rs485 = new() { Mode = Rs485Mode.Kernel } }));
        Assert.StartsWith($"The driver of {pty.Path} does not switch RS485", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_without_RTS_is_refused_in_mode_rts()
    {
        using var pty = new Pty();
        var refused = await Assert.ThrowsAsync<EndpointException>(() => _rig.StartAsync(
            SerialRig.Source(pty.Path) with { Rs485 = new() { Mode = Rs485Mode.Rts } }));
        Assert.Equal($"{pty.Path} has no RTS line that could switch an RS485 transmitter.", refused.Message);
    }

    private static IEnumerable<string> ThreadsOf(string name) =>
        Directory.GetDirectories("/proc/self/task").Where(task => Read(task, "comm").TrimEnd() == (name.Length > 15 ? name[..15] : name));

    private static long CpuNanoseconds(string task) => long.Parse(Read(task, "schedstat").Split(' ')[0], CultureInfo.InvariantCulture);

    private static long Switches(string task) => Read(task, "status").Split('\n')
        .Where(line => line.Contains("ctxt_switches", StringComparison.Ordinal))
        .Sum(line => long.Parse(line.Split(':')[1], CultureInfo.InvariantCulture));

    private static string Read(string task, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, file));
        }
        catch (IOException)
        {
            return "0";
        }
    }
}
