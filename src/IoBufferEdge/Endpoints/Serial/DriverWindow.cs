namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// What sending through an RS485 driver needs: the UART, the line that switches the driver, and a clock. Real:
/// <see cref="LinuxDrivenWire"/>. Twin: the simulation's UART, with a wire, a FIFO and preemption on virtual time.
/// Times are nanoseconds of a monotonic clock.
/// </summary>
public interface IDrivenWire
{
    long Now { get; }

    /// <summary>Returns at that time, or later.</summary>
    void SleepUntil(long time);

    /// <summary>Hands bytes to the driver; may take fewer than offered, none when its queue is full.</summary>
    int Write(ReadOnlySpan<byte> bytes);

    /// <summary>Queue, FIFO and shift register are empty.</summary>
    bool IsTransmitterEmpty { get; }

    /// <summary>Takes back what has not reached the FIFO.</summary>
    void DiscardOutput();

    void SwitchDriver(bool on);

    /// <summary>The frame under way is to be broken off.</summary>
    bool IsCancelled { get; }
}

/// <param name="CharacterNs">Wire time of one character.</param>
/// <param name="PreDelayNs">Between switching the driver on and the first bit.</param>
/// <param name="GuardNs">Between the last bit and switching it off.</param>
public readonly record struct DriverTiming(long CharacterNs, long PreDelayNs, long GuardNs);

public enum DriveOutcome
{
    Sent,
    Cancelled,

    /// <summary>The transmitter did not run empty in twice the wire time and 50 ms: a fault; the driver is off all the same.</summary>
    Stuck,
}

/// <param name="LateNs">How long after the last bit the driver was switched off, at most: counted from the last time that the
/// transmitter was seen busy, or where it was not, from the earliest end that a UART can make. Guard time included.</param>
public readonly record struct DriveResult(DriveOutcome Outcome, long LateNs);

/// <summary>
/// The window in which an RS485 driver is on, so that it covers every bit and little more. Neither the kernel's drain (it looks once in
/// 4 to 10 ms) nor its queue length (it leaves out the FIFO) is good enough: the end is computed from the wire time. Near it the transmitter
/// is asked whether its shift register is empty, every <see cref="StepNs"/> while a UART that is a little faster may be done, and
/// without a pause from <see cref="SpinNs"/> before the computed end on. No allocation and no lock in here: the thread runs before all
/// others. Whatever happens, the driver is switched off.
/// </summary>
public static class DriverWindow
{
    /// <summary>Above a timer's lateness.</summary>
    private const long SpinNs = 300_000;

    private const long StepNs = 200_000;

    /// <summary>A divider makes a UART faster by 2.5 % at most, or characters fall apart: a thirty-second is more.</summary>
    private const int FasterShare = 32;

    private const long SliceNs = 10_000_000;
    private const long StuckNs = 50_000_000;

    public static DriveResult Send(IDrivenWire wire, ReadOnlySpan<byte> frame, DriverTiming timing)
    {
        var wireNs = frame.Length * timing.CharacterNs;
        try
        {
            wire.SwitchDriver(on: true);
            if (timing.PreDelayNs > 0) wire.SleepUntil(wire.Now + timing.PreDelayNs);
            var end = wire.Now + wireNs;
            var earliest = end - wireNs / FasterShare;
            var limit = end + wireNs + StuckNs;
            if (!WriteAll(wire, frame, timing.CharacterNs, limit) || !SleepUntil(wire, earliest - SpinNs)) return BreakOff(wire, limit);
            return AskUntilEmpty(wire, earliest, end, limit, timing.GuardNs);
        }
        finally
        {
            wire.SwitchDriver(on: false);
        }
    }

    /// <summary>False: cancelled, or the queue did not move.</summary>
    private static bool WriteAll(IDrivenWire wire, ReadOnlySpan<byte> bytes, long characterNs, long limit)
    {
        while (true)
        {
            bytes = bytes[wire.Write(bytes)..];
            if (bytes.IsEmpty) return true;
            if (wire.IsCancelled || wire.Now > limit) return false;
            wire.SleepUntil(wire.Now + Math.Min(64 * characterNs, SliceNs));
        }
    }

    /// <summary>False: cancelled.</summary>
    private static bool SleepUntil(IDrivenWire wire, long time)
    {
        for (var now = wire.Now; now < time; now = wire.Now)
        {
            if (wire.IsCancelled) return false;
            wire.SleepUntil(Math.Min(time, now + SliceNs));
        }

        return true;
    }

    private static DriveResult AskUntilEmpty(IDrivenWire wire, long earliest, long end, long limit, long guardNs)
    {
        var askedAt = wire.Now;
        var busyAt = earliest;
        while (!wire.IsTransmitterEmpty)
        {
            // Busy at least up to when it was asked: what comes between the answer and the next look counts as late.
            busyAt = askedAt;
            if (askedAt < end - SpinNs) wire.SleepUntil(Math.Min(askedAt + StepNs, end - SpinNs));
            askedAt = wire.Now;
            if (askedAt > limit) return new DriveResult(DriveOutcome.Stuck, askedAt - end);
        }

        if (guardNs > 0) wire.SleepUntil(wire.Now + guardNs);
        wire.SwitchDriver(on: false);
        return new DriveResult(DriveOutcome.Sent, wire.Now - busyAt);
    }

    /// <summary>What is in the FIFO goes out whole, then the bus is free.</summary>
    private static DriveResult BreakOff(IDrivenWire wire, long limit)
    {
        wire.DiscardOutput();
        while (!wire.IsTransmitterEmpty)
            if (wire.Now > limit) return new DriveResult(DriveOutcome.Stuck, 0);
        return new DriveResult(DriveOutcome.Cancelled, 0);
    }
}
