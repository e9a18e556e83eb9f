using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace IoBufferEdge.Daemon;

/// <summary>
/// Bounds the connections of a web server so that idle ones cannot keep others out: when all places are taken, the oldest connection that has
/// never been let in (<see cref="LetIn"/>) gives its place to the newcomer; where all have been, the newcomer is closed.
/// </summary>
internal sealed class ConnectionGate(int maxConnections)
{
    private static readonly object Key = new();

    private readonly Lock _lock = new();
    private readonly LinkedList<Place> _strangers = new();
    private int _taken;

    /// <summary>The connection of this request has shown that it belongs here: it keeps its place.</summary>
    public void LetIn(HttpContext context)
    {
        var items = context.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionItemsFeature>()?.Items;
        if (items?.TryGetValue(Key, out var place) != true) return;
        lock (_lock) Forget((Place)place!);
    }

    /// <summary>Runs a connection, or closes it.</summary>
    public async Task RunAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var place = new Place(connection);
        Place? evicted = null;
        lock (_lock)
        {
            if (_taken >= maxConnections)
            {
                evicted = _strangers.First?.Value;
                if (evicted is null) place.IsLost = true;
                else Evict(evicted);
            }

            if (!place.IsLost)
            {
                _taken++;
                place.Node = _strangers.AddLast(place);
            }
        }

        evicted?.Connection.Abort(new ConnectionAbortedException("Another connection needs its place."));
        if (place.IsLost)
        {
            connection.Abort(new ConnectionAbortedException("All places are taken."));
            return;
        }

        connection.Items[Key] = place;
        try
        {
            await next(connection);
        }
        finally
        {
            Leave(place);
        }
    }

    private void Evict(Place place)
    {
        Forget(place);
        place.IsLost = true;
        _taken--;
    }

    private void Leave(Place place)
    {
        lock (_lock)
        {
            Forget(place);
            if (!place.IsLost) _taken--;
        }
    }

    private void Forget(Place place)
    {
        if (place.Node is { } node) _strangers.Remove(node);
        place.Node = null;
    }

    private sealed class Place(ConnectionContext connection)
    {
        public ConnectionContext Connection { get; } = connection;

        /// <summary>Among those who have not been let in.</summary>
        public LinkedListNode<Place>? Node { get; set; }

        public bool IsLost { get; set; }
    }
}
