using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge;

/// <summary>Which queue a channel gets, and how it is set: a queue belongs to a channel's id and outlives its configurations.</summary>
public sealed partial class Gateway
{
    /// <summary>The channel's queue: the one it had, the one the store holds under its id, or a new one.</summary>
    private ChannelBuffer QueueFor(ChannelConfig config)
    {
        var settings = SettingsFor(config);
        if (_queues.TryGetValue(config.Id, out var queue))
        {
            queue.Configure(settings);
            return queue;
        }

        var isNew = !_idle.Remove(config.Id, out var opening);
        opening ??= new QueueOpening { Id = config.Id, Number = ++_lastQueueNumber };
        return OpenQueue(opening, isNew, settings);
    }

    private ChannelBuffer OpenQueue(QueueOpening opening, bool isNew, QueueSettings settings)
    {
        var queue = new ChannelBuffer(
            opening, isNew, _life, settings, _services.Store, _committer!, _memory.OpenAccount(), _clock!, _services.Time);
        queue.OnLoss(range => Log.MessagesLost(_services.Log, opening.Id, range.First, range.Last));
        return _queues[opening.Id] = queue;
    }

    private void HoldDiscards(bool hold)
    {
        lock (_sync)
        {
            if (hold == _holdDiscards) return;
            _holdDiscards = hold;
            foreach (var channel in _config.Channels) QueueFor(channel);
        }
    }

    private long RetainedUntilNow(string channelId) => _queues.GetValueOrDefault(channelId)?.Settings.Buffer.RetainBytes ?? 0;

    private QueueSettings SettingsFor(ChannelConfig config) => new()
    {
        Buffer = _holdDiscards
            ? config.Buffer with { WhenFull = WhenFull.Block, TtlS = 0, RetainBytes = Math.Max(config.Buffer.RetainBytes, RetainedUntilNow(config.Id)) }
            : config.Buffer,
        Delivery = ChannelRules.EffectiveDelivery(config),
        SourceAcknowledges = config.Source.Ack is not null || config.Source.Type == EndpointType.RemoteIcombuffer,
        WindowBytes = config.Destination.WindowBytes,
        ResendBytes = ChannelRules.KeepsForRepeat(config.Destination) ? config.Destination.ResendBytes : null,
    };
}
