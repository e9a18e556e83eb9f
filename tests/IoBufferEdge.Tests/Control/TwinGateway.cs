using IoBufferEdge.Buffers;
using IoBufferEdge.Control;
using IoBufferEdge.Endpoints;

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

    public ResumeOutcome? Resume(string channelId, ResumeChoice choice) => !Call("resume", channelId) ? null
        : new ResumeOutcome(choice == ResumeChoice.Resend, choice == ResumeChoice.Resend ? "Sent again." : "Nothing waits.");

    public bool RetryNow(string channelId) => Call("retry", channelId);

    public void Identify(TimeSpan span) => Calls.Add($"identify {span.TotalSeconds}");

    public Task<IReadOnlyList<ParkedMessage>?> ListParkedAsync(string channelId) => channelId == "broken"
        ? throw new StoreException("The store is closed.")
        : Task.FromResult<IReadOnlyList<ParkedMessage>?>([new ParkedMessage(7, MessageFlags.None, 2, "hi"u8.ToArray())]);

    /// <summary>A message of 5 bytes that is shown in pieces of 2.</summary>
    public Task<QueuePage?> ReadQueueAsync(string channelId, long from, int offset, int count) => Task.FromResult(channelId != "scale"
        ? null
        : new QueuePage(
            from > 7 ? [] : [new QueuedMessage(7, Snapshots.Noon, MessageFlags.Partial, 5, "hello"u8.ToArray()[offset..Math.Min(5, offset + 2)])], 7));

    public Task<int?> ReplayParkedAsync(string channelId, CancellationToken cancel) =>
        Task.FromResult<int?>(Call("replay", channelId) ? 1 : null);

    private bool Call(string what, string channelId, bool? value = null)
    {
        if (channelId != "scale") return false;
        Calls.Add($"{what} {channelId}{(value is null ? "" : $" {value}")}");
        return true;
    }
}
