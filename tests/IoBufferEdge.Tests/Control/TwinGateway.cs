using IoBufferEdge.Buffers;
using IoBufferEdge.Control;

namespace IoBufferEdge.Tests.Control;

/// <summary>A gateway of one channel, <c>scale</c>, that notes what it is told; the parked messages of <c>broken</c> cannot be
/// read.</summary>
internal sealed class TwinGateway : IGatewayControl
{
    public List<string> Calls { get; } = [];

    public GatewayStatus Status { get; } = Snapshots.Gateway(Snapshots.Channel() with
    {
        LastError = "refused", LastErrorAt = Snapshots.Noon, Alerts = [new("silent", "no message")], LostRanges = [new(3, 4)],
    });

    public bool SetPaused(string channelId, bool paused) => Call("pause", channelId, paused);

    public bool RetryNow(string channelId) => Call("retry", channelId);

    public void Identify(TimeSpan span) => Calls.Add($"identify {span.TotalSeconds}");

    public Task<IReadOnlyList<ParkedMessage>?> ListParkedAsync(string channelId) => channelId == "broken"
        ? throw new StoreException("The store is closed.")
        : Task.FromResult<IReadOnlyList<ParkedMessage>?>([new ParkedMessage(7, "hi"u8.ToArray())]);

    public Task<int?> ReplayParkedAsync(string channelId, CancellationToken cancel) =>
        Task.FromResult<int?>(Call("replay", channelId) ? 1 : null);

    private bool Call(string what, string channelId, bool? value = null)
    {
        if (channelId != "scale") return false;
        Calls.Add($"{what} {channelId}{(value is null ? "" : $" {value}")}");
        return true;
    }
}
