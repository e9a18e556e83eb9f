using IoBufferEdge.Configuration;
using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Boards;

/// <summary>
/// A push-button on a GPIO line, watched by a thread of its own that sleeps until the kernel sees an edge. A line that is in use or missing,
/// or whose chip goes away, is one event and nothing more.
/// </summary>
internal sealed class PanelButton : IDisposable
{
    private readonly GpioLineConfig _config;
    private readonly Action<TimeSpan> _pressed;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly IGpioLine? _line;
    private readonly Thread? _watcher;
    private volatile bool _ended;

    /// <param name="openChip">Opens a chip by its label.</param>
    /// <param name="pressed">Told how long each press lasted, when it has ended; on the button's thread.</param>
    public PanelButton(Func<string, IGpioChip> openChip, GpioLineConfig config, Action<TimeSpan> pressed, TimeProvider time, ILogger log)
    {
        (_config, _pressed, _time, _log) = (config, pressed, time, log);
        try
        {
            // Chips that have no bias pass over it: then the board brings its own resistor.
            var bias = config.ActiveLow ? LineFlags.PullUp : LineFlags.PullDown;
            _line = ConfiguredLine.Request(
                openChip, config, LineFlags.Input | LineFlags.RisingEdge | LineFlags.FallingEdge | bias, active: false, "iobufferedge:button");
            var contact = new PressDetector(_line.IsActive);
            _watcher = new Thread(() => Watch(_line, contact)) { IsBackground = true, Name = "button" };
            _watcher.Start();
        }
        catch (IOException e)
        {
            Log.ButtonFailed(log, config.ToString(), e.Message);
        }
    }

    /// <summary>Lets the line go.</summary>
    public void Dispose()
    {
        _ended = true;
        _line?.EndWait();
        _watcher?.Join();
        _line?.Dispose();
    }

    private void Watch(IGpioLine line, PressDetector contact)
    {
        try
        {
            while (true)
            {
                var edge = line.WaitForEdge(contact.IsSettled ? Timeout.InfiniteTimeSpan : PressDetector.Stands);
                if (_ended) return;
                var press = edge is { } seen
                    ? contact.See(seen.IsRising, TimeSpan.FromTicks(seen.TimestampNs / TimeSpan.NanosecondsPerTick))
                    : contact.See(line.IsActive, _time.GetElapsedTime(0));
                if (press is { } length) _pressed(length);
            }
        }
        catch (IOException e)
        {
            Log.ButtonFailed(_log, _config.ToString(), e.Message);
        }
    }
}
