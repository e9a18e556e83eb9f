using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Simulation;

/// <summary>
/// A GPIO chip and what hangs on it: lines with levels, which users hold one at a time, and which the test drives from outside. Remembers
/// every level that an output showed. Opened as often as it is wanted, like a chip of the kernel; a line that is let go keeps its level,
/// as most real chips do.
/// </summary>
/// <param name="names">Of the lines, in order; empty: without a name.</param>
/// <param name="now">Nanoseconds, for edges.</param>
public sealed class SimulatedGpio(string label, IReadOnlyList<string> names, Func<long> now)
{
    private readonly Lock _lock = new();
    private readonly Wire[] _wires = [.. names.Select(_ => new Wire())];
    private bool _isGone;

    public IGpioChip Open() => new Chip(this);

    /// <summary>The physical level; an input that nobody drives has that of its bias.</summary>
    public bool IsHigh(int line)
    {
        lock (_lock) return _wires[line].IsHigh;
    }

    /// <summary>Levels that somebody behind this line has seen since it became an output.</summary>
    public IReadOnlyList<bool> Shown(int line)
    {
        lock (_lock) return [.. _wires[line].Shown];
    }

    /// <summary>Puts a level on an input, from outside.</summary>
    public void Drive(int line, bool high)
    {
        lock (_lock)
        {
            _wires[line].Driven = high;
            Update(_wires[line]);
        }
    }

    /// <summary>The inverse of a kill: whoever held this line does so no more.</summary>
    public void LetGo(int line)
    {
        lock (_lock) _wires[line].Holder = null;
    }

    /// <summary>The chip goes away, as an expander or a USB device does: whoever waits for an edge or uses a line is told.</summary>
    public void Unplug()
    {
        lock (_lock)
        {
            _isGone = true;
            foreach (var wire in _wires) wire.Holder?.Unplugged();
        }
    }

    private void CheckPresent()
    {
        if (_isGone) throw new IOException($"{label} has gone.");
    }

    private void Update(Wire wire)
    {
        var before = wire.IsHigh;
        if (wire.Flags.HasFlag(LineFlags.Output)) wire.IsHigh = wire.Output;
        else wire.IsHigh = wire.Driven ?? (wire.Flags.HasFlag(LineFlags.PullUp) || (!wire.Flags.HasFlag(LineFlags.PullDown) && before));
        if (wire.Flags.HasFlag(LineFlags.Output) && (wire.Shown.Count == 0 || wire.Shown[^1] != wire.IsHigh)) wire.Shown.Add(wire.IsHigh);
        if (wire.IsHigh != before) wire.Holder?.Saw(wire.IsHigh, now());
    }

    /// <summary>What there is of a line, held or not.</summary>
    private sealed class Wire
    {
        public LineFlags Flags { get; set; } = LineFlags.Input;

        public bool Output { get; set; }

        public bool? Driven { get; set; }

        public bool IsHigh { get; set; }

        public Line? Holder { get; set; }

        public string Consumer { get; set; } = "";

        public List<bool> Shown { get; } = [];
    }

    private sealed class Chip(SimulatedGpio gpio) : IGpioChip
    {
        public string Label { get; } = gpio.Label;

        public int LineCount => gpio._wires.Length;

        public GpioLineInfo Look(int line)
        {
            CheckExists(line);
            lock (gpio._lock)
            {
                var wire = gpio._wires[line];
                var used = wire.Holder is null ? LineFlags.None : LineFlags.Used;
                return new GpioLineInfo(line, gpio.Names[line], wire.Holder is null ? "" : wire.Consumer, wire.Flags | used);
            }
        }

        public IGpioLine Request(int line, LineFlags flags, bool active, string consumer)
        {
            CheckExists(line);
            lock (gpio._lock)
            {
                var wire = gpio._wires[line];
                if (wire.Holder is not null) throw GpioLineDriver.Busy(this, Look(line));
                wire.Shown.Clear();
                wire.Consumer = consumer;
                var holder = new Line(gpio, wire);
                wire.Holder = holder;
                holder.Configure(flags, active);
                return holder;
            }
        }

        public void Dispose()
        {
        }

        private void CheckExists(int line)
        {
            if (line < 0 || line >= LineCount) throw GpioLineDriver.NoSuchLine(this, line);
        }
    }

    private sealed class Line(SimulatedGpio gpio, Wire wire) : IGpioLine
    {
        private readonly Queue<GpioEdge> _edges = [];
        private readonly SemaphoreSlim _something = new(0);
        private uint _sequence;
        private bool _wake;

        public bool IsActive
        {
            get
            {
                lock (gpio._lock)
                {
                    gpio.CheckPresent();
                    return wire.IsHigh != ActiveLow;
                }
            }
        }

        private bool ActiveLow => wire.Flags.HasFlag(LineFlags.ActiveLow);

        public void Set(bool active)
        {
            lock (gpio._lock)
            {
                gpio.CheckPresent();
                if (!wire.Flags.HasFlag(LineFlags.Output)) throw new IOException("The line is an input.");
                wire.Output = active != ActiveLow;
                gpio.Update(wire);
            }
        }

        public void Configure(LineFlags flags, bool active)
        {
            lock (gpio._lock)
            {
                wire.Flags = flags;
                wire.Output = active != ActiveLow;
                gpio.Update(wire);
            }
        }

        public GpioEdge? WaitForEdge(TimeSpan timeout)
        {
            if (!_something.Wait(timeout)) return null;
            lock (gpio._lock)
            {
                gpio.CheckPresent();
                if (_wake)
                {
                    _wake = false;
                    return null;
                }

                return _edges.Dequeue();
            }
        }

        public void EndWait()
        {
            lock (gpio._lock)
            {
                if (_wake) return;
                _wake = true;
            }

            _something.Release();
        }

        /// <summary>Who waits for an edge finds that there is no chip any more.</summary>
        public void Unplugged() => _something.Release();

        public void Saw(bool high, long at)
        {
            var isRising = high != ActiveLow;
            if (!wire.Flags.HasFlag(isRising ? LineFlags.RisingEdge : LineFlags.FallingEdge)) return;
            _edges.Enqueue(new GpioEdge { TimestampNs = at, Sequence = ++_sequence, IsRising = isRising });
            _something.Release();
        }

        public void Dispose()
        {
            lock (gpio._lock)
                if (wire.Holder == this) wire.Holder = null;
        }
    }

    private string Label => label;

    private IReadOnlyList<string> Names => names;
}
