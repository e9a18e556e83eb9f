using IoBufferEdge.Buffers;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>Frames that outgrow their receive buffers share the budget with everything else.</summary>
public sealed class MemoryBudgetGrowthTests
{
    private const int Block = MemoryBudget.SlabBytes;

    private readonly MemoryBudget _budget = new(8 * Block);

    [Fact]
    public async Task Growth_within_the_budget_is_admitted_at_once_and_charged()
    {
        var first = await _budget.GrowAsync(4 * Block, default);
        var second = await _budget.GrowAsync(4 * Block, default);
        Assert.Equal(8 * Block, _budget.UsedBytes);
        _budget.ReturnGrown(first);
        _budget.ReturnGrown(second);
        Assert.Equal(0, _budget.UsedBytes);
    }

    [Fact]
    public async Task In_a_full_budget_one_grows_and_the_others_wait_in_turn()
    {
        var full = _budget.Take(8 * Block);
        var first = await _budget.GrowAsync(2 * Block, default);
        var second = _budget.GrowAsync(4 * Block, default).AsTask();
        var third = _budget.GrowAsync(Block, default).AsTask();
        Assert.False(second.IsCompleted || third.IsCompleted);

        _budget.ReturnGrown(first);
        var grown = await second;
        Assert.False(third.IsCompleted);
        Assert.Equal(12 * Block, _budget.UsedBytes);

        _budget.Return(full);
        _budget.ReturnGrown(await third);
        _budget.ReturnGrown(grown);
        Assert.Equal(0, _budget.UsedBytes);
    }

    [Fact]
    public async Task Who_hurries_waits_for_nobody()
    {
        var full = _budget.Take(8 * Block);
        var first = await _budget.GrowAsync(Block, default);
        using var hurry = new CancellationTokenSource();
        var second = _budget.GrowAsync(2 * Block, hurry.Token).AsTask();
        Assert.False(second.IsCompleted);
        await hurry.CancelAsync();
        _budget.ReturnGrown(await second);
        _budget.ReturnGrown(await _budget.GrowAsync(Block, hurry.Token));
        _budget.ReturnGrown(first);
        _budget.Return(full);
        Assert.Equal(0, _budget.UsedBytes);
        _budget.ReturnGrown(await _budget.GrowAsync(9 * Block, default));
    }
}
