using IoBufferEdge.Buffers;
using IoBufferEdge.Control;

namespace IoBufferEdge;

/// <summary>
/// What an operator does with queues. They are named by the id of their channel; a queue that no channel uses any more has its name still,
/// and is opened, as a disabled channel's is, when somebody wants to look into it.
/// </summary>
public sealed partial class Gateway
{
    /// <summary>Gives parked messages of a channel a new number at its queue's tail, in order; null: no such channel.</summary>
    public async Task<SelectionOutcome?> ReplayParkedAsync(string channelId, MessageSelection selection, CancellationToken cancel) =>
        Find(channelId) is { } channel ? await ParkedMessages.ReplayAsync(_services.Store, channel.Buffer, selection, cancel) : null;

    /// <summary>Sends retained messages of a channel once more, under new numbers at its queue's tail, in order; null: no such channel.</summary>
    public async Task<SelectionOutcome?> ReplayRetainedAsync(string channelId, MessageSelection selection, CancellationToken cancel) =>
        Find(channelId) is { } channel ? await RetainedMessages.ReplayAsync(_services.Store, channel.Buffer, selection, cancel) : null;

    /// <summary>Drops parked messages for good; null: no such queue.</summary>
    public async Task<SelectionOutcome?> DropParkedAsync(string queueId, MessageSelection selection, CancellationToken cancel)
    {
        ThrowIfDiscardsAreHeld();
        return await QueueAsync(queueId, cancel) is { } queue ? await ParkedMessages.DropAsync(_services.Store, queue, selection, cancel) : null;
    }

    /// <summary>A queue's first parked messages; null: no such queue.</summary>
    public async Task<IReadOnlyList<ParkedMessage>?> ListParkedAsync(string queueId, CancellationToken cancel) =>
        await QueueAsync(queueId, cancel) is { } queue ? await ParkedMessages.ListAsync(_services.Store, queue.Number) : null;

    /// <summary>A page of what waits in a queue; null: no such queue.</summary>
    public async Task<QueuePage?> ReadQueueAsync(string queueId, long from, int offset, int count, CancellationToken cancel) =>
        await QueueAsync(queueId, cancel) is { } queue ? await QueueReader.ReadAsync(_services.Store, queue, from, offset, count) : null;

    /// <summary>
    /// Discards what waits now in a channel's queue and is not in flight; a queue without a channel is forgotten with everything in it.
    /// Completes when that is durable; null: no such queue.
    /// </summary>
    public async Task<PurgeOutcome?> PurgeQueueAsync(string queueId, CancellationToken cancel)
    {
        Task forgotten;
        IdleQueue? idle;
        await _oneAtATime.WaitAsync(cancel);
        try
        {
            // Not while a configuration is applied: a channel may be about to take the queue.
            if (_state != GatewayState.Running) throw new OperationCanceledException("The gateway is not running: nothing was purged.");
            ThrowIfDiscardsAreHeld();
            lock (_sync) idle = IdleQueues().FirstOrDefault(q => q.Id == queueId);
            forgotten = idle is null ? Task.CompletedTask : Forget(queueId);
        }
        finally
        {
            _oneAtATime.Release();
        }

        if (idle is not null)
        {
            await forgotten;
            return new PurgeOutcome(new QueueTotals(idle.Buffered, idle.BufferedBytes), IsForgotten: true, idle.Parked);
        }

        ChannelBuffer? queue;
        lock (_sync) queue = _queues.GetValueOrDefault(queueId);
        return queue is null ? null : new PurgeOutcome(await queue.PurgeAsync(cancel), IsForgotten: false, 0);
    }

    private void ThrowIfDiscardsAreHeld()
    {
        if (_holdDiscards)
            throw new InvalidOperationException("The configuration waits for its confirmation: until then nothing is discarded. Try again later.");
    }

    /// <summary>From here on the name is free: a channel that takes it gets a new queue.</summary>
    private Task Forget(string queueId)
    {
        lock (_sync)
        {
            if (_idle.Remove(queueId, out var opening)) return _committer!.ForgetAsync(opening.Number);
            _queues.Remove(queueId, out var queue);
            queue!.Dispose();
            return _committer!.ForgetAsync(queue.Number);
        }
    }

    private async ValueTask<ChannelBuffer?> QueueAsync(string queueId, CancellationToken cancel)
    {
        lock (_sync)
        {
            if (_queues.TryGetValue(queueId, out var queue)) return queue;
            if (!_idle.ContainsKey(queueId)) return null;
        }

        await _oneAtATime.WaitAsync(cancel);
        try
        {
            lock (_sync)
            {
                if (_state != GatewayState.Running || !_idle.Remove(queueId, out var opening)) return _queues.GetValueOrDefault(queueId);
                return OpenQueue(opening, isNew: false, new QueueSettings());
            }
        }
        finally
        {
            _oneAtATime.Release();
        }
    }
}
