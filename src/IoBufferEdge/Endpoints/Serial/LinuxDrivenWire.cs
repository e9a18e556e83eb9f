using IoBufferEdge.Interop.Linux;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>A UART, and the line that switches its RS485 driver.</summary>
internal sealed class LinuxDrivenWire(
    SafeFileHandle port, string path, Action<bool> switchDriver, Func<bool> isCancelled, TimeProvider time) : IDrivenWire
{
    /// <summary>Timestamps of this clock are nanoseconds of CLOCK_MONOTONIC, which sleeps are measured by, too.</summary>
    public long Now => time.GetTimestamp();

    public bool IsTransmitterEmpty => SerialCalls.IsTransmitterEmpty(port) is var result && result >= 0
        ? result == 1
        : throw new IOException($"{path} has gone: {SerialCalls.Describe(result)}.");

    public bool IsCancelled => isCancelled();

    public void SleepUntil(long time) => LinuxThreads.SleepUntil(time);

    public int Write(ReadOnlySpan<byte> bytes)
    {
        var result = SerialCalls.Write(port, bytes);
        if (result >= 0) return result;
        return result == SerialCalls.TryAgain ? 0 : throw new IOException($"{path} cannot send: {SerialCalls.Describe(result)}.");
    }

    public void DiscardOutput() => SerialCalls.DiscardOutput(port);

    public void SwitchDriver(bool on) => switchDriver(on);
}
