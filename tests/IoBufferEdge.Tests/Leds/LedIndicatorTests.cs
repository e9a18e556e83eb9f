using IoBufferEdge.Boards;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Leds;
using IoBufferEdge.Simulation;
using IoBufferEdge.Tests.Control;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Leds;

/// <summary>The real writer on a tree that looks like the kernel's.</summary>
public sealed class LedIndicatorTests : IDisposable
{
    private static readonly BoardLed[] Both =
    [
        new(LedRole.Stat, "green", "test", Verified.Bench, "a1_green"), new(LedRole.Err, "red", "test", Verified.Bench, "a1_red"),
    ];

    /// <summary>STAT on a line that is active at low level, ERR on one that is active at high level.</summary>
    private static readonly BoardLed[] OnLines =
    [
        new(LedRole.Stat, "green", "test", Verified.Bench, Gpio: new() { Chip = "panel", Line = "0", ActiveLow = true }),
        new(LedRole.Err, "red", "test", Verified.Bench, Gpio: new() { Chip = "panel", Line = "1" }),
    ];

    private readonly string _root = Directory.CreateTempSubdirectory("leds").FullName;
    private readonly FakeTimeProvider _time = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly LogLines _log = new();
    private readonly SimulatedGpio _gpio = new("panel", ["", ""], () => 0);
    private GatewayStatus _status = Snapshots.Gateway(Snapshots.Channel() with { Ledger = new LedgerStatus() });

    public void Dispose()
    {
        _stop.Dispose();
        Directory.Delete(_root, recursive: true);
    }

    [Fact]
    public async Task The_kernel_blinks_and_is_told_only_of_changes()
    {
        AddLed("a1_green", "[none] timer pattern");
        AddLed("a1_red", "[none] timer pattern");
        var running = Start();
        Assert.Equal("255 100 255 0 0 900 0 0", Read("a1_green", "pattern"));
        Assert.Equal("-1", Read("a1_green", "repeat"));
        Assert.Equal("0", Read("a1_red", "brightness"));

        File.WriteAllText(Path.Combine(_root, "a1_green", "pattern"), "untouched");
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("untouched", Read("a1_green", "pattern"));

        _status = _status with { Identifying = true };
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("255 250 255 0 0 250 0 0", Read("a1_green", "pattern"));
        Assert.Equal("0 250 0 0 255 250 255 0", Read("a1_red", "pattern"));

        await _stop.CancelAsync();
        await running;
        Assert.Equal(("none", "0", "none", "0"),
            (Read("a1_green", "trigger"), Read("a1_green", "brightness"), Read("a1_red", "trigger"), Read("a1_red", "brightness")));
    }

    [Fact]
    public async Task Without_the_pattern_trigger_the_blink_is_stepped()
    {
        AddLed("a1_green", "[none] timer");
        AddLed("a1_red", "[none] timer");
        var running = Start();
        var seen = new List<bool>();
        for (var ms = 0; ms < 2000; ms += 50)
        {
            seen.Add(Read("a1_green", "brightness") == "255");
            _time.Advance(TimeSpan.FromMilliseconds(50));
        }

        Assert.Equal(Enumerable.Range(0, 40).Select(i => i % 20 < 2), seen);
        await _stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task A_missing_led_is_one_event_and_the_other_works()
    {
        AddLed("a1_green", "[none] pattern");
        var running = Start();
        for (var i = 0; i < 5; i++)
        {
            _status = _status with { Identifying = !_status.Identifying };
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Contains("a1_red", Assert.Single(_log.Lines), StringComparison.Ordinal);
        Assert.Equal("255 250 255 0 0 250 0 0", Read("a1_green", "pattern"));
        await _stop.CancelAsync();
        await running;
    }

    /// <summary>The kernel makes the trigger's files for root; udev gives them to the service's user a moment later.</summary>
    [Fact]
    public async Task What_is_forbidden_for_a_moment_is_done_after_it_and_the_trigger_is_left_alone()
    {
        AddLed("a1_green", "[none] pattern");
        AddLed("a1_red", "[none] pattern");
        Forbid("a1_green");
        var running = Start();
        Assert.Equal("pattern", Read("a1_green", "trigger"));
        File.WriteAllText(Path.Combine(_root, "a1_green", "trigger"), "none [pattern]"); // as the kernel answers
        _time.Advance(TimeSpan.FromSeconds(1));
        Permit("a1_green");
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("255 100 255 0 0 900 0 0", Read("a1_green", "pattern"));
        _status = _status with { Identifying = true };
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("255 250 255 0 0 250 0 0", Read("a1_green", "pattern"));
        Assert.Equal("none [pattern]", Read("a1_green", "trigger"));
        Assert.Empty(_log.Lines);
        await _stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task What_stays_forbidden_is_one_event()
    {
        AddLed("a1_green", "[none] pattern");
        AddLed("a1_red", "[none] pattern");
        Forbid("a1_green");
        var running = Start();
        _time.Advance(TimeSpan.FromSeconds(LedIndicator.Looks - 2));
        Assert.Empty(_log.Lines);
        for (var i = 0; i < 10; i++) _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Contains("a1_green", Assert.Single(_log.Lines), StringComparison.Ordinal);
        await _stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task On_gpio_lines_the_blink_is_stepped_and_the_lines_are_let_go_dark()
    {
        using var chip = _gpio.Open();
        var running = Start(OnLines);
        Assert.Equal(("iobufferedge:led:stat", "iobufferedge:led:err"), (chip.Look(0).Consumer, chip.Look(1).Consumer));
        var seen = new List<(bool Stat, bool Err)>();
        for (var ms = 0; ms < 2000; ms += 50)
        {
            seen.Add((!_gpio.IsHigh(0), _gpio.IsHigh(1)));
            _time.Advance(TimeSpan.FromMilliseconds(50));
        }

        Assert.Equal(Enumerable.Range(0, 40).Select(i => (i % 20 < 2, false)), seen);
        _status = _status with { Identifying = true };
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((true, false), (!_gpio.IsHigh(0), _gpio.IsHigh(1)));
        _time.Advance(TimeSpan.FromMilliseconds(250));
        Assert.Equal((false, true), (!_gpio.IsHigh(0), _gpio.IsHigh(1)));

        await _stop.CancelAsync();
        await running;
        Assert.Equal((false, false), (!_gpio.IsHigh(0), _gpio.IsHigh(1)));
        Assert.False(chip.Look(0).IsUsed || chip.Look(1).IsUsed);
        Assert.Empty(_log.Lines);
    }

    [Fact]
    public async Task A_line_in_use_or_missing_is_one_event_and_the_other_works()
    {
        using var chip = _gpio.Open();
        using var held = chip.Request(0, LineFlags.Output, active: true, "thermostat");
        var running = Start([.. OnLines, new(LedRole.Err, "red", "test", Verified.Bench, Gpio: new() { Chip = "panel", Line = "7" })]);
        for (var i = 0; i < 5; i++)
        {
            _status = _status with { Identifying = !_status.Identifying };
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        _time.Advance(TimeSpan.FromMilliseconds(250));
        Assert.Equal(
            [
                "The LED panel:0:low can't be switched and stays as it is: Line 0 of panel is in use by thermostat.",
                "The LED panel:7 can't be switched and stays as it is: panel has no line 7: its lines are 0 to 1.",
            ],
            _log.Lines);
        Assert.Equal((true, true), (_gpio.IsHigh(0), _gpio.IsHigh(1)));
        await _stop.CancelAsync();
        await running;
        Assert.Equal((true, false), (_gpio.IsHigh(0), _gpio.IsHigh(1)));
    }

    [Fact]
    public void Without_leds_nothing_runs() =>
        Assert.True(Indicator([], () => throw new InvalidOperationException()).RunAsync(default).IsCompletedSuccessfully);

    private Task Start(BoardLed[]? leds = null) => Indicator(leds ?? Both, () => _status).RunAsync(_stop.Token);

    private LedIndicator Indicator(BoardLed[] leds, Func<GatewayStatus> status) => new(_root, _ => _gpio.Open(), leds, status, _time, _log);

    private void AddLed(string name, string triggers)
    {
        var folder = Directory.CreateDirectory(Path.Combine(_root, name)).FullName;
        foreach (var (file, text) in new[] { ("trigger", triggers), ("brightness", "7"), ("max_brightness", "255\n"), ("pattern", ""), ("repeat", "0") })
            File.WriteAllText(Path.Combine(folder, file), text);
    }

    /// <summary>To write to a folder is refused as to write to another's file, for root too.</summary>
    private void Forbid(string led)
    {
        File.Delete(Path.Combine(_root, led, "pattern"));
        Directory.CreateDirectory(Path.Combine(_root, led, "pattern"));
    }

    private void Permit(string led)
    {
        Directory.Delete(Path.Combine(_root, led, "pattern"));
        File.WriteAllText(Path.Combine(_root, led, "pattern"), "");
    }

    private string Read(string led, string file) => File.ReadAllText(Path.Combine(_root, led, file));
}
