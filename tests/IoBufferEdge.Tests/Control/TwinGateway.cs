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

    public Task<IReadOnlyList<ParkedMessage>?> ListParkedAsync(string channelId, CancellationToken cancel) => channelId == "broken"
        ? throw new StoreException("The store is closed.")
        : Task.FromResult<IReadOnlyList<ParkedMessage>?>([new ParkedMessage(7, MessageFlags.None, 2, "hi"u8.ToArray())]);

    /// <summary>A message of 5 bytes that is shown in pieces of 2.</summary>
    public Task<QueuePage?> ReadQueueAsync(string channelId, long from, int offset, int count, CancellationToken cancel) => Task.FromResult(channelId != "scale"
        ? null
        : new QueuePage(
            from > 7 ? [] : [new QueuedMessage(7, Snapshots.Noon, MessageFlags.Partial, 5, "hello"u8.ToArray()[offset..Math.Min(5, offset + 2)])], 7));

    public Task<SelectionOutcome?> ReplayParkedAsync(string channelId, MessageSelection selection, CancellationToken cancel) =>
        Task.FromResult(Call("replay", channelId) ? new SelectionOutcome(1, 2, 0, null, 7) : null);

    public Task<SelectionOutcome?> ReplayRetainedAsync(string channelId, MessageSelection selection, CancellationToken cancel) =>
        Task.FromResult(Call("replay retained", channelId) ? new SelectionOutcome(3, 30, 0, selection.From < 10 ? 10 : null, 12) : null);

    /// <summary>Two messages, one a request; a third is another command's.</summary>
    public Task<SelectionOutcome?> DropParkedAsync(string queueId, MessageSelection selection, CancellationToken cancel) =>
        Task.FromResult(Call("drop", queueId)
            ? new SelectionOutcome(1, 2, selection.From == 0 ? 0 : 1, selection.From == 0 ? 8 : null, selection.UpTo ?? 9)
            : null);

    /// <summary>The queue <c>former</c> has no channel.</summary>
    public Task<PurgeOutcome?> PurgeQueueAsync(string queueId, CancellationToken cancel) => Task.FromResult(
        queueId == "former" ? new PurgeOutcome(new(4, 40), true, 2) : Call("purge", queueId) ? new PurgeOutcome(new(15, 150), false, 0) : null);

    private bool Call(string what, string channelId, bool? value = null)
    {
        if (channelId != "scale") return false;
        Calls.Add($"{what} {channelId}{(value is null ? "" : $" {value}")}");
        return true;
    }
}
