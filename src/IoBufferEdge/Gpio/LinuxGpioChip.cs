using IoBufferEdge.Interop.Linux;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Gpio;

/// <summary>A chip of this machine: one of the kernel's GPIO character devices.</summary>
public sealed class LinuxGpioChip : IGpioChip
{
    private readonly SafeFileHandle _handle;
    private readonly string _device;

    private LinuxGpioChip(SafeFileHandle handle, string device, string label, int lineCount) =>
        (_handle, _device, Label, LineCount) = (handle, device, label, lineCount);

    public string Label { get; }

    public int LineCount { get; }

    /// <summary>The chip with this label.</summary>
    /// <exception cref="IOException">There is none, or there are several, or this user may not open it.</exception>
    public static LinuxGpioChip Open(string label)
    {
        var chips = OpenAll(out var refused);
        var fitting = chips.FindAll(chip => chip.Label == label);
        foreach (var chip in chips)
            if (fitting.Count != 1 || chip != fitting[0]) chip.Dispose();
        return fitting.Count switch
        {
            1 => fitting[0],
            > 1 => throw new IOException($"{fitting.Count} GPIO chips are labelled {label}: which one is meant can't be told."),
            _ when refused is not null => throw new IOException(refused),
            _ when chips.Count == 0 => throw new IOException($"There is no GPIO chip labelled {label}: this machine has none at all."),
            _ => throw new IOException($"There is no GPIO chip labelled {label}; there are {string.Join(", ", chips.Select(c => c.Label))}."),
        };
    }

    /// <summary>All chips that this user may open.</summary>
    /// <param name="refused">Which one he may not, and what would help; else null.</param>
    public static List<LinuxGpioChip> OpenAll(out string? refused)
    {
        refused = null;
        var chips = new List<LinuxGpioChip>();
        foreach (var device in Directory.GetFiles("/dev", "gpiochip*").Order(StringComparer.Ordinal))
        {
            var handle = SerialCalls.Open(device, out var error);
            if (error == 0 && GpioCalls.GetChip(handle, out _, out var label, out var lines) is var result && result >= 0)
            {
                chips.Add(new LinuxGpioChip(handle, device, label, lines));
                continue;
            }

            handle.Dispose();
            if (error is SerialCalls.AccessDenied or SerialCalls.NotPermitted)
                refused = $"{device} may not be opened by this user: add it to the group of the device (gpio on Debian).";
        }

        return chips;
    }

    public GpioLineInfo Look(int line)
    {
        CheckExists(line);
        var result = GpioCalls.GetLine(_handle, line, out var name, out var consumer, out var flags);
        if (result < 0) throw new IOException($"Line {line} of {Label} cannot be looked at: {SerialCalls.Describe(result)}.");
        return new GpioLineInfo(line, name, consumer, flags);
    }

    public IGpioLine Request(int line, LineFlags flags, bool active, string consumer)
    {
        CheckExists(line);
        var result = GpioCalls.Request(_handle, line, flags, active, consumer, out var request);
        if (result >= 0) return new LinuxGpioLine(request!, $"Line {line} of {Label}");
        throw result == SerialCalls.Busy
            ? GpioLineDriver.Busy(this, Look(line))
            : new IOException($"Line {line} of {Label} cannot be requested ({flags}): {SerialCalls.Describe(result)}.");
    }

    public void Dispose() => _handle.Dispose();

    /// <summary>The device and the label, for people.</summary>
    public override string ToString() => $"{Label} ({_device}, {LineCount} lines)";

    private void CheckExists(int line)
    {
        if (line < 0 || line >= LineCount) throw GpioLineDriver.NoSuchLine(this, line);
    }

    private sealed class LinuxGpioLine(SafeFileHandle request, string name) : IGpioLine
    {
        private readonly SafeFileHandle _wake = SerialCalls.NewWake();

        public bool IsActive => Check(GpioCalls.Get(request), "cannot be read") == 1;

        public void Set(bool active) => Check(GpioCalls.Set(request, active), "cannot be switched");

        public void Configure(LineFlags flags, bool active)
        {
            var result = GpioCalls.Configure(request, flags, active);
            if (result < 0) throw new IOException($"{name} cannot be made {flags}: {SerialCalls.Describe(result)}.");
        }

        public GpioEdge? WaitForEdge(TimeSpan timeout)
        {
            var ready = Check(SerialCalls.Wait(request, _wake, forInput: true, (int)timeout.TotalMilliseconds), "cannot be waited for");
            if (SerialCalls.ClearWake(_wake) || ready == 0) return null;
            Check(GpioCalls.ReadEdge(request, out var edge), "gives no edges any more");
            return edge;
        }

        public void EndWait() => SerialCalls.Wake(_wake);

        public void Dispose()
        {
            request.Dispose();
            _wake.Dispose();
        }

        private int Check(int result, string what) =>
            result >= 0 ? result : throw new IOException($"{name} {what}: {SerialCalls.Describe(result)}.");
    }
}
