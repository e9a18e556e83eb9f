using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Two pseudo terminals whose other ends are joined: programs at both ends have a serial port.</summary>
internal sealed class NullModem : IDisposable
{
    private readonly CancellationTokenSource _end = new();
    private readonly Task _relaying;

    public NullModem() => _relaying = Task.WhenAll(RelayAsync(Gateway, Device), RelayAsync(Device, Gateway));

    public Pty Gateway { get; } = new();

    public Pty Device { get; } = new();

    public void Dispose()
    {
        _end.Cancel();
        _relaying.Wait(TimeSpan.FromSeconds(20));
        Gateway.Dispose();
        Device.Dispose();
        _end.Dispose();
    }

    private async Task RelayAsync(Pty from, Pty to)
    {
        await Task.Yield();
        var bytes = new byte[4096];
        while (!_end.IsCancellationRequested)
        {
            var read = from.ReadNow(bytes);
            if (read <= 0) await Task.Delay(1);
            for (var sent = 0; sent < read && !_end.IsCancellationRequested;)
            {
                var written = SerialCalls.Write(to.Master, bytes.AsSpan(sent, read - sent));
                if (written > 0) sent += written;
                else await Task.Delay(1);
            }
        }
    }
}
