using IoBufferEdge.Control;
using IoBufferEdge.Gpio;
using IoBufferEdge.Leds;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Boards;

/// <summary>
/// The LEDs and the button of the board that the configuration names. When it names another one, the former is stopped, and with that dark
/// and its lines free, before anything of the other's is taken. Callers: one at a time.
/// </summary>
/// <param name="ledClass">The kernel's LED class, <c>/sys/class/leds</c>.</param>
/// <param name="openChip">Opens a GPIO chip by its label.</param>
/// <param name="reset">A factory reset, asked for at the device; must not wait.</param>
public sealed class FrontPanel(
    string ledClass, Func<string, IGpioChip> openChip, IGatewayControl gateway, Action reset, TimeProvider time, ILogger log) : IAsyncDisposable
{
    /// <summary>Nobody leans against a button for so long.</summary>
    private static readonly TimeSpan ResetPress = TimeSpan.FromSeconds(10);

    /// <summary>What takes longer is not meant so: an installer's press is short.</summary>
    private static readonly TimeSpan ShortPress = TimeSpan.FromSeconds(3);

    private CancellationTokenSource? _ending;
    private Task _showing = Task.CompletedTask;
    private PanelButton? _button;

    /// <summary>Takes a board up; null: the configuration names none. What of it can't be had is one event and nothing more.</summary>
    public void Start(Board? board)
    {
        _ending = new CancellationTokenSource();
        _showing = new LedIndicator(ledClass, openChip, board?.Leds ?? [], () => gateway.Status, time, log).RunAsync(_ending.Token);
        if (board?.Button is { } button) _button = new PanelButton(openChip, button.Gpio, OnPressed, time, log);
    }

    /// <summary>Leaves the board dark; without one it does nothing.</summary>
    public async Task StopAsync()
    {
        if (_ending is not { } ending) return;
        _ending = null;
        _button?.Dispose();
        _button = null;
        ending.Cancel();
        await _showing;
        ending.Dispose();
    }

    /// <summary>Shows who pressed it which device this is, or resets it. What lies between is neither.</summary>
    private void OnPressed(TimeSpan length)
    {
        Log.ButtonPressed(log, length.TotalSeconds);
        if (length < ShortPress) gateway.Identify(ControlCommands.IdentifyFor);
        if (length >= ResetPress) reset();
    }

    public async ValueTask DisposeAsync() => await StopAsync();
}
