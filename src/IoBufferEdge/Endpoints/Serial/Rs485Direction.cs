using IoBufferEdge.Configuration;
using IoBufferEdge.Interop.Linux;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Who switches a port's RS485 transmitter. <c>auto</c> never changes anything: where the kernel's mode is on already (device tree) it
/// stays, else the port is taken as RS232 or as an adapter that switches by itself. USB adapters are never asked: some break.
/// </summary>
internal static class Rs485Direction
{
    /// <summary>Puts the configured mode into effect, as the first thing after the open.</summary>
    /// <exception cref="EndpointException">The driver does not switch RS485.</exception>
    public static Rs485Mode Take(SafeFileHandle handle, SerialSettings settings)
    {
        switch (settings.Rs485.Mode)
        {
            case Rs485Mode.Kernel:
                GiveToKernel(handle, settings);
                return Rs485Mode.Kernel;
            case Rs485Mode.Rts:
                if (SerialCalls.SetModemLines(handle, ModemLines.Rts, on: false) < 0)
                    throw new EndpointException($"{settings.Port} has no RTS line that could switch an RS485 transmitter.");
                return Rs485Mode.Rts;
            case Rs485Mode.Gpio:
                return Rs485Mode.Gpio;
            case Rs485Mode.Auto when !IsUsb(settings.Port) && SerialCalls.GetRs485(handle, out var present) == 0:
                return present.Flags.HasFlag(Rs485Flags.Enabled) ? Rs485Mode.Kernel : Rs485Mode.None;
            default:
                return Rs485Mode.None;
        }
    }

    private static void GiveToKernel(SafeFileHandle handle, SerialSettings settings)
    {
        var wanted = new SerialRs485
        {
            Flags = Rs485Flags.Enabled | Rs485Flags.RtsOnSend,
            DelayBeforeSendMs = (uint)(settings.Rs485.PreDelayUs / 1000),
        };
        var granted = wanted;
        var result = SerialCalls.SetRs485(handle, ref granted);
        if (result == 0) result = SerialCalls.GetRs485(handle, out granted);
        const string Remedy = "use rs485 mode rts where RTS drives the transmitter, or none where the adapter switches by itself";
        if (result < 0)
            throw new EndpointException($"The driver of {settings.Port} does not switch RS485 ({SerialCalls.Describe(result)}): {Remedy}.");
        if (!granted.Flags.HasFlag(Rs485Flags.Enabled))
            throw new EndpointException($"The driver of {settings.Port} took the RS485 mode and did not switch it on: {Remedy}.");
        if (granted.DelayBeforeSendMs != wanted.DelayBeforeSendMs)
        {
            throw new EndpointException(
                $"The driver of {settings.Port} waits {granted.DelayBeforeSendMs} ms before the first bit instead of {wanted.DelayBeforeSendMs}: "
                + "change rs485.pre_delay_us.");
        }
    }

    /// <summary>A device that has gone meanwhile is not asked either.</summary>
    private static bool IsUsb(string port)
    {
        try
        {
            var device = File.ResolveLinkTarget(port, returnFinalTarget: true)?.FullName ?? port;
            return Path.GetFileName(device) is { } name
                && (name.StartsWith("ttyUSB", StringComparison.Ordinal) || name.StartsWith("ttyACM", StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return true;
        }
    }
}
