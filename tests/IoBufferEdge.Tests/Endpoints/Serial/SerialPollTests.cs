using System.Diagnostics;
using System.Globalization;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Serial;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Requests on a schedule, and devices that answer well, badly, late or not at all.</summary>
public sealed class SerialPollTests(ITestOutputHelper output)
{
    private static readonly PollConfig TwoRegisters =
        new() { RequestHex = "010300000002", Crc = PollCrc.Modbus, IntervalMs = 30, ResponseTimeoutMs = 500 };

    private readonly SerialRig _rig = new();

    [Fact]
    public async Task A_valid_answer_is_a_message_byte_exact()
    {
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(SerialRig.Source(pty.Path) with { Poll = [TwoRegisters] });
        Assert.Equal("010300000002C40B", Convert.ToHexString(await pty.ReadAsync(8)));
        var answer = ModbusRtu.WithCrc([1, 3, 4, 0, 17, 0, 42]);
        await pty.WriteAsync(answer);
        await run.CountAsync(1);
        Assert.Equal(answer, run.Sink.Messages[0].Payload);
        Assert.Equal("010300000002C40B", Convert.ToHexString(await pty.ReadAsync(8)));
    }

    [Fact]
    public async Task What_is_no_answer_is_counted_and_no_message()
    {
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(SerialRig.Source(pty.Path) with { Poll = [TwoRegisters with { ResponseTimeoutMs = 150 }] });
        await AnswerAsync([1, 3, 4, 0, 17, 0, 42, 0, 0]);
        await AnswerAsync(ModbusRtu.WithCrc([2, 3, 4, 0, 17, 0, 42]));
        await AnswerAsync([]);
        await AnswerAsync([0, .. ModbusRtu.WithCrc([1, 3, 4, 0, 1, 0, 2])]);
        await run.CountAsync(1);
        Assert.Equal(ModbusRtu.WithCrc([1, 3, 4, 0, 1, 0, 2]), run.Sink.Messages.Single().Payload);
        Assert.Equal((1, 1, 1), (run.Counter("poll_bad_replies"), run.Counter("poll_unrelated"), run.Counter("poll_timeouts")));

        async Task AnswerAsync(byte[] answer)
        {
            await pty.ReadAsync(8);
            await pty.WriteAsync(answer);
        }
    }

    [Fact]
    public async Task An_answer_after_its_time_is_not_taken_for_the_next()
    {
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(
            SerialRig.Source(pty.Path) with { Poll = [TwoRegisters with { ResponseTimeoutMs = 30, IntervalMs = 200 }] });
        await pty.ReadAsync(8);
        await Wait.UntilAsync(() => run.Counter("poll_timeouts") == 1);
        await pty.WriteAsync(ModbusRtu.WithCrc([1, 3, 4, 0, 1, 0, 1]));
        await pty.ReadAsync(8);
        await pty.WriteAsync(ModbusRtu.WithCrc([1, 3, 4, 0, 2, 0, 2]));
        await run.CountAsync(1);
        Assert.Equal(ModbusRtu.WithCrc([1, 3, 4, 0, 2, 0, 2]), run.Sink.Messages[0].Payload);
        Assert.Equal(9, run.Counter("poll_late_bytes"));
    }

    [Fact]
    public async Task Answers_with_a_framing_of_their_own_end_with_it()
    {
        using var pty = new Pty();
        var poll = new PollConfig { RequestHex = "530d", IntervalMs = 30, ResponseTimeoutMs = 5000 };
        await using var run = await _rig.StartAsync(
            SerialRig.Source(pty.Path) with { Poll = [poll], Framing = new() { Type = FramingType.Line } });
        Assert.Equal("S\r"u8.ToArray(), await pty.ReadAsync(2));
        await pty.WriteAsync("12.5 ");
        await Task.Delay(60);
        await pty.WriteAsync("kg\n");
        await run.CountAsync(1);
        Assert.Equal(["12.5 kg\n"], run.Texts);
    }

    [Fact]
    public async Task A_device_that_goes_and_comes_back_is_asked_again()
    {
        using var device = new PluggedDevice();
        await using var run = await _rig.StartAsync(SerialRig.Source(device.Path) with { Poll = [TwoRegisters] });
        await device.Pty.ReadAsync(8);
        device.Unplug();
        await Wait.UntilAsync(() => run.Source.Status.Connections == 0);
        device.Plug();
        await device.Pty.ReadAsync(8);
        await device.Pty.WriteAsync(ModbusRtu.WithCrc([1, 3, 4, 0, 1, 0, 2]));
        await run.CountAsync(1);
    }

    [Fact]
    public async Task While_the_buffer_is_full_nothing_is_asked()
    {
        using var pty = new Pty();
        await using var run = await _rig.StartAsync(SerialRig.Source(pty.Path) with { Poll = [TwoRegisters] });
        run.Sink.SetRoom(0);
        await pty.ReadAsync(8);
        await pty.WriteAsync(ModbusRtu.WithCrc([1, 3, 4, 0, 1, 0, 2]));
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        await Task.Delay(100);
        Assert.True(pty.ReadNow(new byte[8]) < 0);
        run.Sink.SetRoom(long.MaxValue);
        await pty.ReadAsync(8);
        await run.CountAsync(1);
    }

    /// <summary>
    /// A slave on libmodbus through socat: each answer's first register counts the requests that it has answered, and two requests of
    /// different lengths take turns, so a lost, doubled or spliced answer shows.
    /// </summary>
    [Fact]
    public async Task A_slave_on_libmodbus_is_asked_a_thousand_times_without_a_lost_or_spliced_answer()
    {
        const int Cycles = 1000;
        Assert.SkipUnless(Tools.IsInstalled("socat") && Tools.IsInstalled("gcc") && File.Exists("/usr/include/modbus/modbus.h"),
            "socat, gcc or libmodbus-dev is not installed; scripts/test.sh installs them.");
        var folder = Directory.CreateTempSubdirectory("iobuffer-modbus-").FullName;
        var (ours, theirs, source, slave) = (
            Path.Combine(folder, "gateway"), Path.Combine(folder, "slave"), Path.Combine(folder, "slave.c"), Path.Combine(folder, "modbus-slave"));
        try
        {
            await File.WriteAllTextAsync(source, SlaveProgram);
            await Tools.RunAsync("gcc", "-Wall", "-Werror", "-o", slave, source, "-lmodbus");
            using var socat = Tools.Start("socat", $"PTY,link={ours},raw,echo=0", $"PTY,link={theirs},raw,echo=0");
            await Wait.UntilAsync(() => File.Exists(ours) && File.Exists(theirs));
            using var device = Tools.Start(slave, theirs);
            try
            {
                var other = TwoRegisters with { RequestHex = "010300000007", IntervalMs = 1, ResponseTimeoutMs = 2000 };
                await using var run = await _rig.StartAsync(
                    SerialRig.Source(ours) with { Poll = [other with { RequestHex = "010300000002" }, other] });
                var began = Stopwatch.GetTimestamp();
                await Wait.UntilAsync(() => run.Sink.Messages.Count >= Cycles || Stopwatch.GetElapsedTime(began).TotalSeconds > 60, 70);
                output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{run.Sink.Messages.Count} answers in {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s at 115200 baud; ")
                    + string.Join(", ", run.Source.Status.Counters.Select(c => $"{c.Key} {c.Value}")));
                var answers = run.Sink.Messages.Take(Cycles).Select(m => m.Payload).ToList();
                Assert.Equal(Enumerable.Range(1, Cycles), answers.Select(a => (a[3] << 8) | a[4]));
                Assert.Equal(Enumerable.Range(0, Cycles).Select(i => i % 2 == 0 ? 9 : 19), answers.Select(a => a.Length));
                Assert.All(answers, a => Assert.True(ModbusRtu.HasValidCrc(a)));
                Assert.Equal((0, 0, 0), (run.Counter("poll_timeouts"), run.Counter("poll_bad_replies"), run.Counter("poll_unrelated")));
            }
            finally
            {
                device.Kill();
                socat.Kill();
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private const string SlaveProgram = """
        #include <modbus/modbus.h>
        int main(int count, char **arguments) {
          modbus_t *bus = modbus_new_rtu(arguments[count - 1], 115200, 'N', 8, 1);
          modbus_mapping_t *registers = modbus_mapping_new(0, 0, 16, 0);
          uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
          modbus_set_slave(bus, 1);
          if (modbus_connect(bus) < 0) return 1;
          for (;;) {
            int length = modbus_receive(bus, request);
            if (length <= 0) continue;
            registers->tab_registers[0]++;
            modbus_reply(bus, request, length, registers);
          }
        }
        """;
}
