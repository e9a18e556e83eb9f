using IoBufferEdge.Boards;
using IoBufferEdge.Configuration;
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
    private readonly SimulatedGpio _gpio = new("panel", ["", "", ""], () => 0);

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

    private static Board With(params BoardLed[] leds) => new() { Id = "b", Name = "B", Sources = [], Leds = leds };

    private static BoardLed Err(int line) => new(LedRole.Err, "red", "test", Verified.Bench, Gpio: Line(line));

    private static GpioLineConfig Line(int line) => new() { Chip = "panel", Line = line };

    private FrontPanel Panel() => new("/none", _ => _gpio.Open(), new TwinGateway(), _time, _log);
}
