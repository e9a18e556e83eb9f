using IoBufferEdge.Control;
using IoBufferEdge.Gpio;
using IoBufferEdge.Leds;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Boards;

/// <summary>
/// The LEDs of the board that the configuration names. When it names another one, the former's are stopped, and with that dark and their
/// lines free, before anything of the other's is taken. Callers: one at a time.
/// </summary>
/// <param name="ledClass">The kernel's LED class, <c>/sys/class/leds</c>.</param>
/// <param name="openChip">Opens a GPIO chip by its label.</param>
public sealed class FrontPanel(string ledClass, Func<string, IGpioChip> openChip, IGatewayControl gateway, TimeProvider time, ILogger log)
    : IAsyncDisposable
{
    private CancellationTokenSource? _ending;
    private Task _showing = Task.CompletedTask;

    /// <summary>Takes a board up; null: the configuration names none. What of it can't be had is one event and nothing more.</summary>
    public void Start(Board? board)
    {
        _ending = new CancellationTokenSource();
        _showing = new LedIndicator(ledClass, openChip, board?.Leds ?? [], () => gateway.Status, time, log).RunAsync(_ending.Token);
    }

    /// <summary>Leaves the board dark; without one it does nothing.</summary>
    public async Task StopAsync()
    {
        if (_ending is not { } ending) return;
        _ending = null;
        ending.Cancel();
        await _showing;
        ending.Dispose();
    }

    public async ValueTask DisposeAsync() => await StopAsync();
}
