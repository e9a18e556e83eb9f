namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// A turn on a line: its holder sends, and reads what comes back, until he disposes it. Sending completes when the last bit has left
/// the shift register; where the driver can't tell, when its queue is empty and the computed wire time has passed.
/// </summary>
internal sealed class SerialTurn(SerialLine line, object holder) : IDisposable
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LookEveryAtMost = TimeSpan.FromMilliseconds(20);

    /// <summary>Without flow control a line sends: one that does not, so much beyond its wire time, is broken.</summary>
    private static readonly TimeSpan StuckLimit = TimeSpan.FromSeconds(10);

    private bool _over;

    /// <summary>When the last bit of what was sent last had left, as far as known: timestamp.</summary>
    public long SentAt { get; private set; }

    /// <exception cref="IOException">The port has gone, or does not send.</exception>
    /// <exception cref="OperationCanceledException">Broken off; what had not left is taken back.</exception>
    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        var port = line.Port;
        var began = line.Time.GetTimestamp();
        var wireTime = line.Settings.WireTime(bytes.Length);
        try
        {
            if (port.Driven is { } driven)
            {
                await driven.SendAsync(bytes, cancel);
            }
            else
            {
                await WriteAsync(port, bytes, began, wireTime, cancel);
                await LastBitOutAsync(port, began, wireTime, cancel);
            }

            SentAt = line.Time.GetTimestamp();
            line.Sent(bytes.Span);
        }
        catch (ObjectDisposedException e)
        {
            throw new IOException($"{line.Settings.Port} has been closed.", e);
        }
        catch (OperationCanceledException) when (line.IsOpen)
        {
            port.DiscardOutput();
            throw;
        }
    }

    /// <summary>Takes what has arrived since the turn began.</summary>
    public SerialArrival TryRead(Span<byte> bytes) => line.TryRead(holder, bytes);

    public void Dispose()
    {
        if (_over) return;
        _over = true;
        line.EndTurn();
    }

    private async ValueTask WriteAsync(
        ISerialPort port, ReadOnlyMemory<byte> bytes, long began, TimeSpan wireTime, CancellationToken cancel)
    {
        var wait = LookEvery;
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var written = port.Write(bytes.Span);
            bytes = bytes[written..];
            if (bytes.IsEmpty) return;
            wait = written > 0 ? LookEvery : Longer(wait);
            await PauseAsync(port, began, wireTime, wait, cancel);
        }
    }

    private async ValueTask LastBitOutAsync(ISerialPort port, long began, TimeSpan wireTime, CancellationToken cancel)
    {
        // A timer counts whole milliseconds and may be early by one.
        while (wireTime - line.Time.GetElapsedTime(began) is var left && left > TimeSpan.Zero)
            await Task.Delay(left + LookEvery, line.Time, cancel);
        var wait = LookEvery;
        while (!IsLastBitOut(port.Output))
        {
            await PauseAsync(port, began, wireTime, wait, cancel);
            wait = Longer(wait);
        }
    }

    private static bool IsLastBitOut(SerialOutput output) => output.LastBitOut ?? output.QueuedBytes == 0;

    private async ValueTask PauseAsync(ISerialPort port, long began, TimeSpan wireTime, TimeSpan wait, CancellationToken cancel)
    {
        if (port.End is { } end) throw new IOException(end);
        var isStuck = line.Time.GetElapsedTime(began) > wireTime * 2 + StuckLimit;
        if (isStuck && line.Settings.FlowControl == "None") throw new IOException($"{line.Settings.Port} does not send.");
        await Task.Delay(wait, line.Time, cancel);
    }

    private static TimeSpan Longer(TimeSpan wait) => wait * 2 < LookEveryAtMost ? wait * 2 : LookEveryAtMost;
}
