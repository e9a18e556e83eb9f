using System.Globalization;
using System.Text;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation.Chain;

/// <summary>What the world outside knows of a chain's messages: numbered, each made once.</summary>
public sealed class ChainLedger(Scheduler scheduler)
{
    private readonly Dictionary<int, MessageIdentity> _arrived = [];
    private readonly HashSet<int> _secured = [];
    private int _lastArrived;

    public int Made { get; private set; }

    public int SecuredCount => _secured.Count;

    public int Arrived => _arrived.Count;

    /// <summary>A gateway lost its memory of these: they may come once more.</summary>
    public HashSet<int> MayRepeat { get; } = [];

    /// <summary>A disk took these with it.</summary>
    public HashSet<int> MayBeLost { get; } = [];

    public int Make() => ++Made;

    public void Secured(int id) => _secured.Add(id);

    public bool IsSecured(int id) => _secured.Contains(id);

    public bool HasArrived(int id) => _arrived.ContainsKey(id);

    /// <summary>The last gateway hands a message over; it may do so twice with the same identity, never with two.</summary>
    public void Arrive(int id, MessageIdentity identity)
    {
        if (_arrived.TryGetValue(id, out var before))
        {
            if (before != identity && !MayRepeat.Contains(id)) scheduler.Violate($"Message {id} came as {before} and again as {identity}.");
            return;
        }

        if (id < _lastArrived && !MayRepeat.Contains(id)) scheduler.Violate($"Message {id} came for the first time after {_lastArrived}.");
        _arrived.Add(id, identity);
        _lastArrived = Math.Max(_lastArrived, id);
    }

    /// <summary>Secured, not arrived, and on no disk that was taken away.</summary>
    public List<int> Missing() => [.. _secured.Where(id => !_arrived.ContainsKey(id) && !MayBeLost.Contains(id)).Order()];

    public static byte[] Payload(int id, int bytes) => Encoding.ASCII.GetBytes($"{id}:".PadRight(bytes, '.'));

    public static int IdOf(ReadOnlySpan<byte> payload)
    {
        var end = payload.IndexOf((byte)':');
        return end > 0 && int.TryParse(payload[..end], NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : -1;
    }
}

/// <summary>Feeds the first gateway: a device that makes messages and notes which of them were secured.</summary>
internal sealed class FeedSource(
    ChainLedger ledger, Random random, SimulatedProcess process, Func<bool> isOn, int bytesMax, List<(long Sequence, int Id)> taken) : ISource
{
    public EndpointStatus Status => EndpointStatus.Closed;

    public ValueTask OpenAsync() => default;

    public async Task RunAsync(IMessageSink sink, CancellationToken stop)
    {
        var waiting = new Queue<(long Sequence, int Id)>();
        while (!stop.IsCancellationRequested)
        {
            for (var burst = isOn() ? random.Next(5) : 0; burst > 0; burst--)
            {
                var id = ledger.Make();
                if (!sink.TryAppend(ChainLedger.Payload(id, random.Next(12, bytesMax)), MessageFlags.None, out var sequence)) break;
                waiting.Enqueue((sequence, id));
                taken.Add((sequence, id));
            }

            sink.Publish();
            await process.Delay(TimeSpan.FromMilliseconds(1 + random.Next(40)));
            while (waiting.TryPeek(out var next) && next.Sequence <= sink.SecuredSequence) ledger.Secured(waiting.Dequeue().Id);
        }
    }

    public ValueTask DisposeAsync() => default;
}

/// <summary>Takes what the last gateway delivers. Its link breaks now and then, so that messages are handed over again.</summary>
internal sealed class CollectDestination(ChainLedger ledger, Random random, SimulatedProcess process, Func<double> breakRate) : IDestination
{
    public EndpointStatus Status => EndpointStatus.Closed;

    public ValueTask OpenAsync() => default;

    public ValueTask<IDestinationLink> ConnectAsync(CancellationToken cancel) => new(new Link(this));

    public async ValueTask WaitForPeerSignAsync(CancellationToken cancel) => await Task.Delay(Timeout.InfiniteTimeSpan, process.Time, cancel);

    public ValueTask DisposeAsync() => default;

    private sealed class Link(CollectDestination owner) : IDestinationLink
    {
        private readonly TaskCompletionSource _end = new();
        private IDeliverySink? _sink;

        public int MaxInFlightMessages => int.MaxValue;

        public async ValueTask SendAsync(DeliveryRun run, CancellationToken cancel)
        {
            for (var i = 0; i < run.Count; i++)
            {
                var sequence = run.FirstSequence + i;
                if (!owner.Process.Alive) return;
                owner.Ledger.Arrive(ChainLedger.IdOf(run.Message(i).Span), new MessageIdentity(_sink!.Queue.LifeOf(sequence, out _), sequence));
            }

            await owner.Process.Delay(TimeSpan.FromMilliseconds(owner.Random.Next(5)));
            if (owner.Random.NextDouble() < owner.BreakRate()) _end.TrySetResult();
            else _sink!.Confirmed(run.LastSequence);
        }

        public async Task<LinkEnd> WatchAsync(IDeliverySink sink, CancellationToken cancel)
        {
            _sink = sink;
            try
            {
                await _end.EndOrAsync(cancel);
            }
            catch (OperationCanceledException)
            {
            }

            return new LinkEnd(Orderly: true, "The simulated link ended.");
        }

        public ValueTask DisposeAsync()
        {
            _end.TrySetResult();
            return default;
        }
    }

    private ChainLedger Ledger => ledger;

    private Random Random => random;

    private SimulatedProcess Process => process;

    private double BreakRate() => breakRate();
}
