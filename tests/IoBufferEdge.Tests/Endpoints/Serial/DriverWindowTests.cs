using System.Globalization;
using CsCheck;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>The RS485 driver on a modelled UART: on before the first bit, off after the last, and not much later.</summary>
public sealed class DriverWindowTests(ITestOutputHelper output)
{
    private static readonly int[] Bauds = [1200, 2400, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600];

    private static readonly Gen<Run> Runs =
        from baud in Gen.Int[0, 9].Select(i => Bauds[i])
        from length in Gen.OneOf(Gen.Int[1, 40], Gen.Int[1, 300], Gen.Int[4000, 9000])
        from error in Gen.Double[-0.02, 0.02]
        from preDelayUs in Gen.Int[0, 2].Select(i => new[] { 0, 50, 2000 }[i])
        from guardBits in Gen.Int[0, 1]
        from seed in Gen.Int
        select new Run(baud, length, error, preDelayUs, guardBits, seed);

    /// <summary>A thread that runs before all others is held up for tens of microseconds.</summary>
    [Fact]
    public void It_covers_every_bit_and_is_off_within_half_a_gap() => Runs.Sample(
        run =>
        {
            var (uart, result) = Drive(run, preemptedNs: 40_000);
            CheckCovered(uart, run);
            Assert.Equal(DriveOutcome.Sent, result.Outcome);
            var late = uart.Switches.First(s => !s.On).At - uart.Characters[^1].End;
            Assert.True(late <= run.AllowedLateNs, $"{run}: released {late / 1000} us after the last bit; {run.AllowedLateNs / 1000} us are allowed.");
        }, iter: 2000);

    /// <summary>A thread that is no better than others: late, and never early. What is reported is never less than what it was.</summary>
    [Fact]
    public void However_it_is_preempted_no_bit_is_cut() => Runs.Sample(
        run =>
        {
            var (uart, result) = Drive(run, preemptedNs: 8_000_000);
            CheckCovered(uart, run);
            if (result.Outcome != DriveOutcome.Sent) return;
            var late = uart.Switches.First(s => !s.On).At - uart.Characters[^1].End;
            Assert.True(result.LateNs >= late, $"{run}: reported {result.LateNs} ns, late by {late} ns");
        }, iter: 2000);

    [Fact]
    public void A_frame_that_is_given_up_ends_behind_a_whole_character() => Gen.Select(Runs, Gen.Double[0, 1.2]).Sample(
        (run, share) =>
        {
            var uart = NewUart(run, 40_000);
            uart.CancelAt = (long)(run.WireNs * share);
            DriverWindow.Send(uart, new byte[run.Length], run.Timing);
            CheckCovered(uart, run);
        }, iter: 1000);

    [Fact]
    public void A_transmitter_that_never_runs_empty_frees_the_bus_all_the_same()
    {
        var run = new Run(9600, 20, 0, 0, 0, 1);
        var uart = NewUart(run, 0);
        uart.IsStuck = true;
        Assert.Equal(DriveOutcome.Stuck, DriverWindow.Send(uart, new byte[20], run.Timing).Outcome);
        Assert.False(uart.Switches[^1].On);
    }

    [Fact]
    public void A_device_that_goes_in_the_middle_leaves_the_driver_off()
    {
        var wire = new BrokenWire();
        Assert.Throws<IOException>(() => DriverWindow.Send(wire, new byte[20], new DriverTiming(1000, 0, 0)));
        Assert.False(wire.IsOn);
    }

    [Fact]
    public void Nothing_is_allocated_in_the_window()
    {
        var run = new Run(115_200, 100, 0, 100, 1, 1);
        var wire = new FlatWire();
        var frame = new byte[100];
        DriverWindow.Send(wire, frame, run.Timing);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++) DriverWindow.Send(wire, frame, run.Timing);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void How_late_it_is_at_each_baud_rate()
    {
        foreach (var baud in Bauds)
        {
            var late = new List<double>();
            for (var seed = 0; seed < 500; seed++)
            {
                var run = new Run(baud, 8 + seed % 250, 0, 0, 0, seed);
                var (uart, _) = Drive(run, 40_000);
                late.Add((uart.Switches.First(s => !s.On).At - uart.Characters[^1].End) / 1000.0);
            }

            late.Sort();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{baud} baud: released after {late[250]:0.0} us (median), {late[495]:0.0} us (p99), {late[^1]:0.0} us at most; "
                + $"{new Run(baud, 1, 0, 0, 0, 0).AllowedLateNs / 1000} us are allowed"));
            Assert.True(late[0] >= 0);
        }
    }

    [Fact]
    public void The_histogram_tells_quantiles_within_a_tenth()
    {
        var histogram = new LatenessHistogram(allowedNs: 900_000);
        for (var i = 1; i <= 1000; i++) histogram.Add(i * 1000);
        var figures = histogram.Snapshot().ToDictionary(f => f.Key, f => f.Value, StringComparer.Ordinal);
        Assert.InRange(figures["rs485_release_p50_us"], 500, 550);
        Assert.InRange(figures["rs485_release_p99_us"], 990, 1000);
        Assert.Equal((1000, 1000, 100), (figures["rs485_frames"], figures["rs485_release_max_us"], figures["rs485_released_late"]));
    }

    private static SimulatedUart NewUart(Run run, long preemptedNs) =>
        new(new Random(run.Seed), (long)(run.CharacterNs * (1 + run.Error)), callNs: 1000, preemptedNs);

    private static (SimulatedUart Uart, DriveResult Result) Drive(Run run, long preemptedNs)
    {
        var uart = NewUart(run, preemptedNs);
        return (uart, DriverWindow.Send(uart, new byte[run.Length], run.Timing));
    }

    /// <summary>Every character lies inside one stretch of time in which the driver was on, the first one by the pre-delay.</summary>
    private static void CheckCovered(SimulatedUart uart, Run run)
    {
        var on = uart.Switches.Where(s => s.On).ToList();
        Assert.Single(on);
        var off = uart.Switches.First(s => !s.On).At;
        Assert.False(uart.Switches[^1].On);
        foreach (var (start, end) in uart.Characters)
            Assert.True(on[0].At <= start && end <= off, $"{run}: a character from {start} to {end} ns, the driver on from {on[0].At} to {off} ns.");
        if (uart.Characters.Count > 0)
            Assert.True(uart.Characters[0].Start - on[0].At >= run.PreDelayUs * 1000L, $"{run}: the first bit came before its delay.");
    }

    private sealed record Run(int Baud, int Length, double Error, int PreDelayUs, int GuardBits, int Seed)
    {
        private readonly SerialSettings _settings =
            SerialSettings.From(new SourceConfig { Type = EndpointType.Serial, BaudRate = Baud, Parity = "Even" });

        public long CharacterNs => (long)_settings.WireTime(1).TotalNanoseconds;

        public long WireNs => CharacterNs * Length;

        /// <summary>Half of t3.5; a guard that was asked for comes on top.</summary>
        public long AllowedLateNs => (long)(_settings.IdleGap(0) / 2).TotalNanoseconds + GuardBits * (1_000_000_000L / Baud);

        public DriverTiming Timing => new(CharacterNs, PreDelayUs * 1000L, GuardBits * (1_000_000_000L / Baud));
    }

    private sealed class BrokenWire : IDrivenWire
    {
        public bool IsOn { get; private set; }

        public long Now => 0;

        public bool IsTransmitterEmpty => throw new IOException("gone");

        public bool IsCancelled => false;

        public void SleepUntil(long time)
        {
        }

        public int Write(ReadOnlySpan<byte> bytes) => throw new IOException("gone");

        public void DiscardOutput()
        {
        }

        public void SwitchDriver(bool on) => IsOn = on;
    }

    /// <summary>Time passes by asking for it.</summary>
    private sealed class FlatWire : IDrivenWire
    {
        private long _now;

        public long Now => _now += 1000;

        public bool IsTransmitterEmpty => Now % 3 == 0;

        public bool IsCancelled => false;

        public void SleepUntil(long time) => _now = Math.Max(_now, time);

        public int Write(ReadOnlySpan<byte> bytes) => bytes.Length;

        public void DiscardOutput()
        {
        }

        public void SwitchDriver(bool on)
        {
        }
    }
}
