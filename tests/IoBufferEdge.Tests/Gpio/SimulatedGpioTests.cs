using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Simulation;

namespace IoBufferEdge.Tests.Gpio;

/// <summary>The contract on the simulated chip, and what only a chip that remembers can tell.</summary>
public sealed class SimulatedGpioTests : GpioContract
{
    private readonly SimulatedGpio _gpio;
    private long _now;

    public SimulatedGpioTests() => _gpio = new SimulatedGpio("sim-panel", ["DE", "", "BUTTON", ""], () => ++_now);

    protected override IGpioChip Open() => _gpio.Open();

    protected override bool IsHigh(int line) => _gpio.IsHigh(line);

    protected override void Drive(int line, bool high) => _gpio.Drive(line, high);

    [Fact]
    public void A_name_that_several_lines_have_names_none()
    {
        using var chip = new SimulatedGpio("twins", ["NC", "DE", "NC"], () => 0).Open();
        Assert.Equal("Lines 0, 2 of twins are all named NC: take the number.",
            Assert.Throws<IOException>(() => GpioLineDriver.LineOf(chip, "NC")).Message);
    }

    [Fact]
    public void A_line_that_was_left_high_is_low_from_the_moment_it_is_requested_so()
    {
        using var chip = Open();
        chip.Request(0, LineFlags.Output, active: true, "killed");
        _gpio.LetGo(0);
        Assert.True(_gpio.IsHigh(0));
        using var line = chip.Request(0, LineFlags.Output, active: false, "test");
        Assert.Equal([false], _gpio.Shown(0));
    }
}
