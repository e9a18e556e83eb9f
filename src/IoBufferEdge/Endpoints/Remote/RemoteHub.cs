using System.Collections.Concurrent;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>The channels of this device that other instances can send to, while they run: whoever listens finds them here.</summary>
public sealed class RemoteHub
{
    private readonly ConcurrentDictionary<string, RemoteIntake> _intakes = new(StringComparer.Ordinal);

    public RemoteIntake? Find(string channelId) => _intakes.GetValueOrDefault(channelId);

    internal void Open(string channelId, RemoteIntake intake) => _intakes[channelId] = intake;

    internal void Close(string channelId, RemoteIntake intake) => _intakes.TryRemove(new(channelId, intake));
}
