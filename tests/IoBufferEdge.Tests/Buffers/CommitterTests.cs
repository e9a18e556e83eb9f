using IoBufferEdge.Buffers;
using IoBufferEdge.Simulation;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>The committer and its queues on real threads: they hold locks of their own and call each other.</summary>
public sealed class CommitterTests
{
    [Fact]
    public async Task Queues_end_while_the_committer_asks_them()
    {
        var time = TimeProvider.System;
        var scheduler = new Scheduler(1);
        var store = new SimulatedStore(new SimulatedDisk(scheduler), scheduler.World);
        var committer = new Committer(store, new RunningClock(time, 0), 1, 50, 1L << 40, time, NullLogger.Instance);
        var budget = new MemoryBudget(1 << 20);
        using var stop = new CancellationTokenSource();
        var asking = new Thread(() =>
        {
            while (!stop.IsCancellationRequested) committer.EarliestDue(out _);
        }) { IsBackground = true };
        asking.Start();

        var ending = Task.Run(
            () =>
            {
                for (var i = 0; i < 20_000; i++)
                {
                    var opening = new QueueOpening { Id = "q", Number = 1 };
                    new ChannelBuffer(
                        opening, true, 1, new QueueSettings(), store, committer, budget.OpenAccount(), new RunningClock(time, 0), time).Dispose();
                }
            },
            TestContext.Current.CancellationToken);
        await ending.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        await stop.CancelAsync();
        asking.Join();
    }
}
