using IoBufferEdge.Boards;
using IoBufferEdge.Gpio;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Leds;

/// <summary>
/// Keeps the board's LEDs at what the status asks for: looks once a second, writes only on change. Where the kernel has no pattern
/// trigger, and on GPIO lines, the blink is stepped from here, with a wake-up per step. An LED that is missing, in use or refuses is one
/// event and nothing more; one that this user may not switch is tried at <see cref="Looks"/> looks before, since udev gives it to the user a
/// moment after the kernel has made it.
/// </summary>
/// <param name="root">The kernel's LED class, <c>/sys/class/leds</c>.</param>
/// <param name="openChip">Opens a GPIO chip by its label.</param>
public sealed class LedIndicator(
    string root, Func<string, IGpioChip> openChip, IReadOnlyList<BoardLed> leds, Func<GatewayStatus> status, TimeProvider time, ILogger log)
{
    /// <summary>So many times what this user may not do is tried.</summary>
    internal const int Looks = 5;

    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    private readonly List<Lamp> _lamps = [.. leds.Select(led => new Lamp(led, led.Gpio is { } line
        ? new LineLed(openChip, line, led.Role)
        : new SysfsLed(Path.Combine(root, led.Kernel!))))];

    /// <summary>An LED, what it shows, and, where it is stepped from here, since when.</summary>
    private sealed class Lamp(BoardLed led, Led driver)
    {
        public BoardLed Led => led;

        public Led Driver => driver;

        public LedBlink? Shown { get; set; }

        public long? SteppedSince { get; set; }

        public bool IsOn { get; set; }

        public bool IsBroken { get; set; }

        public int Forbidden { get; set; }
    }

    /// <summary>Until the token; then the LEDs say that the gateway has stopped, and are let go.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        if (_lamps.Count == 0) return;
        while (!stop.IsCancellationRequested)
        {
            Show(LedPattern.Of(status()));
            var until = time.GetTimestamp();
            while (!stop.IsCancellationRequested && time.GetElapsedTime(until) is var passed && passed < LookEvery)
            {
                var next = Step();
                var wait = next < LookEvery - passed ? next : LookEvery - passed;
                await Task.Delay(wait, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        Show(LedPattern.Stopped);
        foreach (var lamp in _lamps) lamp.Driver.Dispose();
    }

    private void Show(LedPattern pattern)
    {
        foreach (var lamp in _lamps)
        {
            var blink = lamp.Led.Role == LedRole.Stat ? pattern.Stat : pattern.Err;
            if (lamp.IsBroken || lamp.Shown == blink) continue;
            Try(lamp, () =>
            {
                lamp.SteppedSince = null;
                if (!lamp.Driver.TryPlay(blink))
                {
                    lamp.SteppedSince = time.GetTimestamp();
                    lamp.Driver.Set(lamp.IsOn = blink.Steps[0].On);
                }

                lamp.Shown = blink;
            });
        }
    }

    /// <summary>Switches what is stepped from here; how long until the next step.</summary>
    private TimeSpan Step()
    {
        var next = LookEvery;
        foreach (var lamp in _lamps)
        {
            if (lamp is not { SteppedSince: { } since, Shown: { } blink, IsBroken: false }) continue;
            var (on, left) = StateAt(blink, time.GetElapsedTime(since));
            if (on != lamp.IsOn) Try(lamp, () => lamp.Driver.Set(lamp.IsOn = on));
            if (left < next) next = left;
        }

        return next;
    }

    private static (bool On, TimeSpan Left) StateAt(LedBlink blink, TimeSpan since)
    {
        var at = (long)since.TotalMilliseconds % blink.Steps.Sum(s => s.Ms);
        foreach (var step in blink.Steps)
        {
            if (at < step.Ms) return (step.On, TimeSpan.FromMilliseconds(step.Ms - at));
            at -= step.Ms;
        }

        return (false, LookEvery);
    }

    private void Try(Lamp lamp, Action action)
    {
        try
        {
            action();
            lamp.Forbidden = 0;
        }
        catch (UnauthorizedAccessException) when (++lamp.Forbidden < Looks)
        {
            lamp.Shown = null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            lamp.IsBroken = true;
            Log.LedFailed(log, lamp.Led.Address, e.Message);
        }
    }
}
