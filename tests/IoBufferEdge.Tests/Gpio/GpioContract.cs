using System.Device.Gpio;
using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Tests.Gpio;

/// <summary>What every GPIO chip holds to, the kernel's and the simulated one. Line 0 is named DE, line 1 nameless, line 2 BUTTON.</summary>
public abstract class GpioContract
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    /// <summary>The chip opened once more.</summary>
    protected abstract IGpioChip Open();

    /// <summary>The level that somebody behind the line sees.</summary>
    protected abstract bool IsHigh(int line);

    /// <summary>Puts a level on an input, from outside.</summary>
    protected abstract void Drive(int line, bool high);

    [Fact]
    public void Lines_are_found_by_name_and_by_number()
    {
        using var chip = Open();
        Assert.Equal((0, 2, 1), (GpioLineDriver.LineOf(chip, "DE"), GpioLineDriver.LineOf(chip, "BUTTON"), GpioLineDriver.LineOf(chip, "1")));
        var last = chip.LineCount - 1;
        Assert.Equal($"No line of {chip.Label} is named RE.", Assert.Throws<IOException>(() => GpioLineDriver.LineOf(chip, "RE")).Message);
        Assert.Equal($"{chip.Label} has no line 99: its lines are 0 to {last}.", Assert.Throws<IOException>(() => chip.Look(99)).Message);
        Assert.Equal($"{chip.Label} has no line 99: its lines are 0 to {last}.",
            Assert.Throws<IOException>(() => chip.Request(99, LineFlags.Output, active: false, "test")).Message);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void An_output_begins_with_its_value_and_shows_what_it_is_set_to(bool active, bool activeLow)
    {
        using var chip = Open();
        using var line = chip.Request(0, LineFlags.Output | (activeLow ? LineFlags.ActiveLow : LineFlags.None), active, "test");
        Assert.Equal((active, active != activeLow), (line.IsActive, IsHigh(0)));
        line.Set(!active);
        Assert.Equal((!active, active == activeLow), (line.IsActive, IsHigh(0)));
        line.Set(active);
        Assert.Equal((active, active != activeLow), (line.IsActive, IsHigh(0)));
    }

    [Fact]
    public void A_line_in_use_is_refused_with_its_holders_name_until_it_is_let_go()
    {
        using var chip = Open();
        using var other = Open();
        var line = chip.Request(0, LineFlags.Output, active: false, "iobufferedge:bus0:de");
        Assert.Equal(("DE", "iobufferedge:bus0:de", true, true),
            (other.Look(0).Name, other.Look(0).Consumer, other.Look(0).IsUsed, other.Look(0).IsOutput));
        var busy = Assert.Throws<IOException>(() => other.Request(0, LineFlags.Output, active: true, "second"));
        Assert.Equal($"Line 0 of {chip.Label} is in use by iobufferedge:bus0:de.", busy.Message);
        Assert.False(IsHigh(0));
        line.Dispose();
        Assert.False(other.Look(0).IsUsed);
        using var next = other.Request(0, LineFlags.Output, active: true, "second");
        Assert.True(IsHigh(0));
    }

    [Fact]
    public void A_name_longer_than_the_kernel_keeps_is_cut()
    {
        using var chip = Open();
        using var line = chip.Request(1, LineFlags.Input, active: false, "a-consumer-whose-name-is-longer-than-31-bytes");
        Assert.StartsWith("a-consumer-whose-name-is-longer", chip.Look(1).Consumer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_controller_reads_and_writes_logical_values(bool activeLow)
    {
        using var controller = new GpioController(new GpioLineDriver(Open(), "test", activeLow));
        controller.OpenPin(0, PinMode.Output, PinValue.High);
        Assert.Equal(!activeLow, IsHigh(0));
        controller.Write(0, PinValue.Low);
        Assert.Equal((activeLow, PinValue.Low), (IsHigh(0), controller.Read(0)));
        controller.Toggle(0);
        Assert.Equal(!activeLow, IsHigh(0));
        controller.OpenPin(1, PinMode.Input);
        Drive(1, high: true);
        Assert.Equal(activeLow ? PinValue.Low : PinValue.High, controller.Read(1));
        controller.ClosePin(0);
        using var chip = Open();
        Assert.False(chip.Look(0).IsUsed);
        Assert.True(chip.Look(1).IsUsed);
    }

    [Fact]
    public void A_controller_that_ends_lets_its_lines_go()
    {
        var controller = new GpioController(new GpioLineDriver(Open(), "test"));
        controller.OpenPin(0, PinMode.Output, PinValue.Low);
        controller.OpenPin(2, PinMode.InputPullUp);
        controller.RegisterCallbackForPinValueChangedEvent(2, PinEventTypes.Falling, (_, _) => { });
        controller.Dispose();
        using var chip = Open();
        Assert.False(chip.Look(0).IsUsed || chip.Look(2).IsUsed);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Edges_come_in_order_with_their_times(bool activeLow)
    {
        var edges = new List<GpioEdgeEventArgs>();
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var controller = new GpioController(new GpioLineDriver(Open(), "test", activeLow));
        controller.OpenPin(2, PinMode.Input);
        Drive(2, high: false);
        PinChangeEventHandler note = (_, e) =>
        {
            lock (edges)
            {
                edges.Add((GpioEdgeEventArgs)e);
                if (edges.Count == 10) all.SetResult();
            }
        };
        controller.RegisterCallbackForPinValueChangedEvent(2, PinEventTypes.Rising | PinEventTypes.Falling, note);
        for (var i = 0; i < 10; i++)
        {
            Drive(2, high: i % 2 == 0);
            await WaitUntilAsync(() => CountOf(edges) == i + 1);
        }

        await all.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        var expected = Enumerable.Range(0, 10).Select(i => i % 2 == 0 != activeLow ? PinEventTypes.Rising : PinEventTypes.Falling);
        Assert.Equal(expected, edges.Select(e => e.ChangeType));
        Assert.Equal(edges.OrderBy(e => e.TimestampNs), edges);
        Assert.Equal(Enumerable.Range((int)edges[0].Sequence, 10), edges.Select(e => (int)e.Sequence));
        controller.UnregisterCallbackForPinValueChangedEvent(2, note);
        Drive(2, high: true);
        Assert.Equal(10, CountOf(edges));
        Assert.Equal(activeLow ? PinValue.Low : PinValue.High, controller.Read(2));
    }

    [Fact]
    public async Task Only_the_edges_that_were_asked_for_come()
    {
        using var controller = new GpioController(new GpioLineDriver(Open(), "test"));
        controller.OpenPin(2, PinMode.Input);
        Drive(2, high: true);
        var waiting = Task.Run(() => controller.WaitForEvent(2, PinEventTypes.Falling, Limit), TestContext.Current.CancellationToken);
        while (!waiting.IsCompleted)
        {
            Drive(2, high: false);
            Drive(2, high: true);
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        Assert.Equal(PinEventTypes.Falling, (await waiting).EventTypes);
        Assert.True(controller.WaitForEvent(2, PinEventTypes.Rising, TimeSpan.Zero).TimedOut);
    }

    [Fact]
    public void A_wait_ends_when_it_is_told_to_and_when_its_time_is_over()
    {
        using var chip = Open();
        using var line = chip.Request(2, LineFlags.Input | LineFlags.RisingEdge, active: false, "test");
        line.EndWait();
        Assert.Null(line.WaitForEdge(Timeout.InfiniteTimeSpan));
        Assert.Null(line.WaitForEdge(TimeSpan.FromMilliseconds(1)));
    }

    [Fact]
    public void An_output_is_not_watched()
    {
        using var controller = new GpioController(new GpioLineDriver(Open(), "test"));
        controller.OpenPin(0, PinMode.Output, PinValue.High);
        Assert.Throws<InvalidOperationException>(() => controller.RegisterCallbackForPinValueChangedEvent(0, PinEventTypes.Rising, (_, _) => { }));
        Assert.True(IsHigh(0));
    }

    private static int CountOf(List<GpioEdgeEventArgs> edges)
    {
        lock (edges) return edges.Count;
    }

    private static async Task WaitUntilAsync(Func<bool> condition)
    {
        for (var i = 0; i < 5000 && !condition(); i++) await Task.Delay(1, TestContext.Current.CancellationToken);
    }
}
