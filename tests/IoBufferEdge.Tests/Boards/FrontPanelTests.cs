using IoBufferEdge.Boards;
using IoBufferEdge.Configuration;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Control;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Boards;

/// <summary>A board's front on a simulated chip: who holds its lines, and when.</summary>
public sealed class FrontPanelTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly LogLines _log = new();
    private readonly TwinGateway _gateway = new();
    private readonly SimulatedGpio _gpio;
    private int _resets;

    public FrontPanelTests() => _gpio = new SimulatedGpio("panel", ["", "", ""], () => _time.GetElapsedTime(0).Ticks * TimeSpan.NanosecondsPerTick);

    [Fact]
    public async Task Another_board_finds_the_formers_leds_dark_and_their_lines_free()
    {
        using var chip = _gpio.Open();
        await using var panel = Panel();
        panel.Start(With(new BoardLed(LedRole.Stat, "green", "test", Verified.Bench, Gpio: Line(0)), Err(1)));
        Assert.Equal((true, true), (_gpio.IsHigh(0), _gpio.IsHigh(1)));

        await panel.StopAsync();
        Assert.Equal((false, false), (_gpio.IsHigh(0), _gpio.IsHigh(1)));
        Assert.False(chip.Look(0).IsUsed || chip.Look(1).IsUsed);

        panel.Start(With(Err(0)));
        Assert.Equal(("iobufferedge:led:err", false), (chip.Look(0).Consumer, chip.Look(1).IsUsed));
        await panel.StopAsync();
        panel.Start(null);
        Assert.Equal((false, false), (_gpio.IsHigh(0), chip.Look(0).IsUsed));
        Assert.Empty(_log.Lines);
    }

    [Fact]
    public async Task A_contact_that_bounces_is_one_press_and_a_short_one_shows_which_device_it_is()
    {
        await using var panel = Panel();
        panel.Start(Button(2));
        Bounce(pressed: true);
        Pass(milliseconds: 200);
        Bounce(pressed: false);
        await UntilLoggedAsync("The button was pressed for 0.2");
        await panel.StopAsync();
        Assert.Single(_log.Lines);
        Assert.Equal(["identify 60"], _gateway.Calls);
        using var chip = _gpio.Open();
        Assert.False(chip.Look(2).IsUsed);
    }

    [Fact]
    public async Task A_long_press_is_an_event_and_one_under_way_at_the_start_is_none()
    {
        _gpio.Drive(2, high: false);
        await using var panel = Panel();
        panel.Start(Button(2));
        Pass(milliseconds: 500);
        Bounce(pressed: false);
        Pass(milliseconds: 500);
        Bounce(pressed: true);
        Pass(milliseconds: 3100);
        Bounce(pressed: false);
        await UntilLoggedAsync("The button was pressed for 3.1");
        await panel.StopAsync();
        Assert.Single(_log.Lines);
        Assert.Empty(_gateway.Calls);
    }

    [Fact]
    public async Task A_press_of_ten_seconds_is_a_factory_reset()
    {
        await using var panel = Panel();
        panel.Start(Button(2));
        foreach (var milliseconds in (int[])[9_800, 10_000])
        {
            Bounce(pressed: true);
            Pass(milliseconds);
            Bounce(pressed: false);
            await UntilLoggedAsync(milliseconds < 10_000 ? "The button was pressed for 9.8" : "The button was pressed for 10.0");
        }

        await panel.StopAsync();
        Assert.Equal(1, _resets);
        Assert.Empty(_gateway.Calls);
    }

    [Fact]
    public async Task A_chip_that_goes_away_is_one_event()
    {
        await using var panel = Panel();
        panel.Start(Button(2));
        _gpio.Unplug();
        await UntilLoggedAsync("The button panel:2:low can't be watched and has no effect until the next start: panel has gone.");
        await panel.StopAsync();
        Assert.Single(_log.Lines);
    }

    [Fact]
    public async Task A_button_whose_line_is_in_use_is_one_event()
    {
        using var chip = _gpio.Open();
        using var held = chip.Request(2, LineFlags.Input, active: false, "thermostat");
        await using var panel = Panel();
        panel.Start(Button(2));
        await panel.StopAsync();
        Assert.EndsWith(": Line 2 of panel is in use by thermostat.", Assert.Single(_log.Lines), StringComparison.Ordinal);
    }

    private static Board Button(int line) =>
        With() with { Button = new BoardButton(Line(line) with { ActiveLow = true }, "test", Verified.Bench) };

    /// <summary>Eleven edges in 20 ms.</summary>
    private void Bounce(bool pressed)
    {
        for (var i = 0; i <= 10; i++)
        {
            _gpio.Drive(2, high: pressed != (i % 2 == 0));
            Pass(milliseconds: 2);
        }
    }

    private void Pass(int milliseconds) => _time.Advance(TimeSpan.FromMilliseconds(milliseconds));

    private async Task UntilLoggedAsync(string line)
    {
        while (!_log.Lines.Any(l => l.StartsWith(line, StringComparison.Ordinal)))
        {
            Pass(milliseconds: 10);
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }
    }

    private static Board With(params BoardLed[] leds) => new() { Id = "b", Name = "B", Sources = [], Leds = leds };

    private static BoardLed Err(int line) => new(LedRole.Err, "red", "test", Verified.Bench, Gpio: Line(line));

    private static GpioLineConfig Line(int line) => new() { Chip = "panel", Line = $"{line}" };

    private FrontPanel Panel() => new("/none", _ => _gpio.Open(), _gateway, () => _resets++, _time, _log);
}
