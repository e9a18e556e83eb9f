using System.Device.Gpio;
using System.Globalization;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Gpio;

/// <summary>
/// Drives a chip's lines for a <see cref="GpioController"/>. A pin's number is the line's on its chip. A line is requested when its mode is
/// set, an output with its first value at once, so that nothing behind it sees a glitch, and let go when the pin is closed. All lines of one
/// driver have the same consumer and polarity: take one driver for each user. Callbacks come on a thread for each watched line, as
/// <see cref="GpioEdgeEventArgs"/> with the kernel's time of the edge. Disposes its chip.
/// </summary>
public sealed class GpioLineDriver(IGpioChip chip, string consumer, bool activeLow = false) : GpioDriver
{
    private readonly Dictionary<int, Pin> _pins = [];
    private readonly Lock _lock = new();

    protected override int PinCount => chip.LineCount;

    /// <summary>The number of the line with this name; a number stands for itself.</summary>
    /// <exception cref="IOException">There is no such line, or there are several: the kernel does not keep names unique.</exception>
    public static int LineOf(IGpioChip chip, string nameOrNumber)
    {
        if (int.TryParse(nameOrNumber, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return number < chip.LineCount ? number : throw NoSuchLine(chip, number);
        int[] named = [.. Enumerable.Range(0, chip.LineCount).Where(line => chip.Look(line).Name == nameOrNumber)];
        return named.Length switch
        {
            1 => named[0],
            0 => throw new IOException($"No line of {chip.Label} is named {nameOrNumber}."),
            _ => throw new IOException($"Lines {string.Join(", ", named)} of {chip.Label} are all named {nameOrNumber}: take the number."),
        };
    }

    public static IOException NoSuchLine(IGpioChip chip, int line) =>
        new($"{chip.Label} has no line {line}: its lines are 0 to {chip.LineCount - 1}.");

    public static IOException Busy(IGpioChip chip, GpioLineInfo held) =>
        new($"Line {held.Line} of {chip.Label} is in use by {held.Holder}.");

    public override GpioChipInfo GetChipInfo() => new(0, chip.Label, chip.Label, chip.LineCount);

    protected override void OpenPin(int pinNumber)
    {
        lock (_lock) _pins.Add(pinNumber, new Pin(pinNumber, this));
    }

    protected override void ClosePin(int pinNumber)
    {
        Pin? pin;
        lock (_lock)
            if (!_pins.Remove(pinNumber, out pin)) return;
        pin.Dispose();
    }

    protected override void SetPinMode(int pinNumber, PinMode mode) => SetPinMode(pinNumber, mode, PinValue.Low);

    protected override void SetPinMode(int pinNumber, PinMode mode, PinValue initialValue)
    {
        var pin = Of(pinNumber);
        lock (pin) pin.Take(mode, initialValue == PinValue.High);
    }

    protected override PinMode GetPinMode(int pinNumber) => Of(pinNumber).Mode;

    protected override bool IsPinModeSupported(int pinNumber, PinMode mode) =>
        mode is PinMode.Input or PinMode.Output or PinMode.InputPullUp or PinMode.InputPullDown;

    protected override PinValue Read(int pinNumber) => Of(pinNumber).Line.IsActive ? PinValue.High : PinValue.Low;

    protected override void Write(int pinNumber, PinValue value) => Of(pinNumber).Line.Set(value == PinValue.High);

    protected override void Toggle(int pinNumber) => Write(pinNumber, !Read(pinNumber));

    protected override void AddCallbackForPinValueChangedEvent(int pinNumber, PinEventTypes eventTypes, PinChangeEventHandler callback) =>
        Of(pinNumber).Watch(eventTypes, callback);

    protected override void RemoveCallbackForPinValueChangedEvent(int pinNumber, PinChangeEventHandler callback) =>
        Of(pinNumber).Unwatch(callback);

    protected override WaitForEventResult WaitForEvent(int pinNumber, PinEventTypes eventTypes, CancellationToken cancellationToken)
    {
        var edge = Of(pinNumber).WaitForEdge(eventTypes, cancellationToken);
        return new WaitForEventResult
        {
            EventTypes = edge is { } seen ? seen.IsRising ? PinEventTypes.Rising : PinEventTypes.Falling : PinEventTypes.None,
            TimedOut = edge is null,
        };
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            List<Pin> pins;
            lock (_lock)
            {
                pins = [.. _pins.Values];
                _pins.Clear();
            }

            foreach (var pin in pins) pin.Dispose();
            chip.Dispose();
        }

        base.Dispose(disposing);
    }

    private Pin Of(int number)
    {
        lock (_lock)
            return _pins.TryGetValue(number, out var pin) ? pin : throw new InvalidOperationException($"Line {number} of {chip.Label} is not open.");
    }

    /// <summary>An open pin: the line that it holds once its mode is set, and who wants to know of its edges.</summary>
    private sealed class Pin(int number, GpioLineDriver driver) : IDisposable
    {
        private IGpioLine? _line;
        private LineFlags _edges;
        private PinChangeEventHandler? _onRising;
        private PinChangeEventHandler? _onFalling;
        private Thread? _watcher;
        private volatile bool _ended;

        public PinMode Mode { get; private set; }

        public IGpioLine Line => _line ?? throw new InvalidOperationException($"Line {number} has no mode yet.");

        public void Take(PinMode mode, bool active)
        {
            var flags = FlagsOf(mode) | (mode == PinMode.Output ? LineFlags.None : _edges);
            if (_line is { } line) line.Configure(flags, active);
            else _line = driver.Chip.Request(number, flags, active, driver.Consumer);
            Mode = mode;
        }

        public void Watch(PinEventTypes types, PinChangeEventHandler callback)
        {
            lock (this)
            {
                if (types.HasFlag(PinEventTypes.Rising)) _onRising += callback;
                if (types.HasFlag(PinEventTypes.Falling)) _onFalling += callback;
                AskFor(EdgesWatched);
                if (_watcher is not null) return;
                _ended = false;
                _watcher = new Thread(CallToTheEnd) { IsBackground = true, Name = $"gpio {number}" };
                _watcher.Start();
            }
        }

        public void Unwatch(PinChangeEventHandler callback)
        {
            lock (this)
            {
                _onRising -= callback;
                _onFalling -= callback;
                if (EdgesWatched != LineFlags.None)
                {
                    AskFor(EdgesWatched);
                    return;
                }
            }

            EndWatcher();
            lock (this) AskFor(EdgesWatched);
        }

        public GpioEdge? WaitForEdge(PinEventTypes types, CancellationToken cancel)
        {
            if (_watcher is not null) throw new InvalidOperationException($"Line {number} has callbacks for its edges: it can't be waited for.");
            lock (this)
            {
                AskFor((types.HasFlag(PinEventTypes.Rising) ? LineFlags.RisingEdge : LineFlags.None)
                    | (types.HasFlag(PinEventTypes.Falling) ? LineFlags.FallingEdge : LineFlags.None));
            }

            using var cancelled = cancel.UnsafeRegister(static line => ((IGpioLine)line!).EndWait(), Line);
            while (!cancel.IsCancellationRequested)
                if (Line.WaitForEdge(Timeout.InfiniteTimeSpan) is { } edge) return edge;
            return null;
        }

        public void Dispose()
        {
            EndWatcher();
            _line?.Dispose();
        }

        private LineFlags EdgesWatched =>
            (_onRising is null ? LineFlags.None : LineFlags.RisingEdge) | (_onFalling is null ? LineFlags.None : LineFlags.FallingEdge);

        /// <summary>Edges of an output are its writer's: only inputs are watched.</summary>
        private void AskFor(LineFlags edges)
        {
            if (Mode == PinMode.Output) throw new InvalidOperationException($"Line {number} is an output: only inputs have edges to wait for.");
            if (_edges == edges) return;
            Line.Configure(FlagsOf(Mode) | edges, active: false);
            _edges = edges;
        }

        private LineFlags FlagsOf(PinMode mode) => (driver.ActiveLow ? LineFlags.ActiveLow : LineFlags.None) | mode switch
        {
            PinMode.Output => LineFlags.Output,
            PinMode.InputPullUp => LineFlags.Input | LineFlags.PullUp,
            PinMode.InputPullDown => LineFlags.Input | LineFlags.PullDown,
            _ => LineFlags.Input,
        };

        private void CallToTheEnd()
        {
            try
            {
                while (!_ended)
                {
                    if (Line.WaitForEdge(Timeout.InfiniteTimeSpan) is not { } edge) continue;
                    var type = edge.IsRising ? PinEventTypes.Rising : PinEventTypes.Falling;
                    (edge.IsRising ? _onRising : _onFalling)?.Invoke(driver, new GpioEdgeEventArgs(type, number, edge.TimestampNs, edge.Sequence));
                }
            }
            catch (IOException)
            {
                // The chip has gone: no more edges; who reads or writes the line is told.
            }
        }

        private void EndWatcher()
        {
            var watcher = Interlocked.Exchange(ref _watcher, null);
            if (watcher is null) return;
            _ended = true;
            Line.EndWait();
            if (watcher != Thread.CurrentThread) watcher.Join();
        }
    }

    private IGpioChip Chip => chip;

    private string Consumer => consumer;

    private bool ActiveLow => activeLow;
}

/// <param name="timestampNs">When the kernel saw the edge: nanoseconds of CLOCK_MONOTONIC.</param>
/// <param name="sequence">Number of the edge on its line: a hole tells of edges that came too fast.</param>
public sealed class GpioEdgeEventArgs(PinEventTypes type, int pin, long timestampNs, uint sequence) : PinValueChangedEventArgs(type, pin)
{
    public long TimestampNs => timestampNs;

    public uint Sequence => sequence;
}
