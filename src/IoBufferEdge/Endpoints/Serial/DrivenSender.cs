using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Sends frames through an RS485 driver that is switched from here: a thread of its own, before all ordinary ones where that is permitted,
/// runs <see cref="DriverWindow"/> for one frame after the other and sleeps in between.
/// </summary>
internal sealed class DrivenSender : IDrivenSender, IDisposable
{
    private const int Priority = 50;

    private readonly Func<Func<bool>, IDrivenWire> _newWire;
    private readonly SerialSettings _settings;
    private readonly LatenessHistogram _lateness;
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _work = new(0);
    private readonly Thread _thread;
    private ReadOnlyMemory<byte> _frame;
    private TaskCompletionSource<DriveOutcome>? _done;
    private volatile string? _failure;
    private volatile bool _cancelled;
    private volatile bool _closing;

    /// <param name="newWire">Makes the wire from the question whether the frame under way is to be broken off.</param>
    public DrivenSender(SerialSettings settings, Func<Func<bool>, IDrivenWire> newWire)
    {
        (_settings, _newWire) = (settings, newWire);
        _lateness = new LatenessHistogram((long)(settings.IdleGap(0) / 2).TotalNanoseconds);
        _thread = new Thread(SendToTheEnd) { IsBackground = true, Name = "rs485 " + Path.GetFileName(settings.Port) };
        _thread.Start();
    }

    public bool IsRealTime { get; private set; }

    public IEnumerable<KeyValuePair<string, long>> Lateness => _lateness.Snapshot();

    public async ValueTask SendAsync(ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var done = new TaskCompletionSource<DriveOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            // The port may be closed at any moment: a frame that comes too late finds no thread any more.
            if (_closing) throw new IOException($"{_settings.Port} has been closed.");
            (_frame, _cancelled, _failure, _done) = (frame, false, null, done);
            _work.Release();
        }

        await using var broken = cancel.UnsafeRegister(static sender => ((DrivenSender)sender!)._cancelled = true, this);
        switch (await done.Task)
        {
            case DriveOutcome.Cancelled:
                cancel.ThrowIfCancellationRequested();
                throw new IOException(_failure ?? $"{_settings.Port} has been closed.");
            case DriveOutcome.Stuck:
                throw new IOException($"{_settings.Port} did not send a frame within twice its time on the wire.");
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_closing) return;
            _closing = true;
            _work.Release();
        }

        _thread.Join();
        _work.Dispose();
    }

    private void SendToTheEnd()
    {
        IsRealTime = LinuxThreads.TryBecomeRealTime(Priority);
        var wire = _newWire(() => _cancelled || _closing);
        var timing = new DriverTiming(
            (long)_settings.WireTime(1).TotalNanoseconds, _settings.Rs485.PreDelayUs * 1000L,
            (long)(_settings.Rs485.GuardBits * 1e9 / _settings.BaudRate));
        while (true)
        {
            _work.Wait();
            if (_done is { } done)
            {
                _done = null;
                done.SetResult(Send(wire, timing));
            }

            if (_closing) return;
        }
    }

    private DriveOutcome Send(IDrivenWire wire, DriverTiming timing)
    {
        try
        {
            var result = DriverWindow.Send(wire, _frame.Span, timing);
            if (result.Outcome == DriveOutcome.Sent) _lateness.Add(result.LateNs);
            return result.Outcome;
        }
        catch (IOException e)
        {
            // The device has gone, or the chip whose line switches its driver.
            _failure = e.Message;
            return DriveOutcome.Cancelled;
        }
    }
}
