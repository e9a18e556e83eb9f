using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control;

/// <summary>The commands of the control socket, each a call on the gateway.</summary>
/// <param name="reloadAsync">Reads the configuration file again and applies it; completes with one sentence, or throws with one.</param>
/// <param name="config">The config commands; null: there are none.</param>
/// <param name="taps">Where the lines can be looked at; null: nowhere.</param>
/// <param name="bundleAsync">Makes a support bundle; null: nobody does.</param>
public sealed class ControlCommands(
    IGatewayControl gateway, SecretStore secrets, Func<ValueTask<string>> reloadAsync, ConfigCommands? config = null, LineTaps? taps = null,
    Func<Task<byte[]>>? bundleAsync = null)
{
    /// <summary>Long enough to walk along a row of cabinets.</summary>
    public static readonly TimeSpan IdentifyFor = TimeSpan.FromMinutes(1);

    /// <summary>How long a tap waits for something to show.</summary>
    private static readonly TimeSpan TapWaits = TimeSpan.FromSeconds(1);

    public async ValueTask<ControlResponse> HandleAsync(ControlRequest request, CancellationToken cancel)
    {
        if (request.Channel is { } id)
        {
            return await OnChannelAsync(request, id, cancel)
                ?? (request.Command is "channel pause" or "channel resume" or "channel retry" or "park replay" or "queue replay" or "tap"
                    ? NoChannel(id) : NoQueue(id));
        }

        if (config is not null && await config.HandleAsync(request) is { } answer) return answer;
        return request.Command switch
        {
            "status" => new ControlResponse { Ok = true, Status = gateway.Status },
            "reload" => ControlResponse.Done(await reloadAsync()),
            "identify" => Identify(),
            "secret list" => new ControlResponse { Ok = true, Secrets = secrets.List() },
            "support bundle" when bundleAsync is not null => new ControlResponse { Ok = true, Bundle = await bundleAsync() },
            "secret set" => SetSecret(request.Secret ?? "", request.Value),
            "channel pause" or "channel resume" or "channel retry" or "park list" or "park replay" or "park drop"
                or "queue peek" or "queue replay" or "queue purge" or "tap" =>
                ControlResponse.Failed($"\"{request.Command}\" needs the id of a channel in the key \"channel\"."),
            _ => Unknown(request.Command),
        };
    }

    private ControlResponse Identify()
    {
        gateway.Identify(IdentifyFor);
        return ControlResponse.Done($"The LEDs alternate for {IdentifyFor.TotalSeconds} s.");
    }

    private ControlResponse SetSecret(string name, byte[]? value)
    {
        secrets.Set(name, value);
        return ControlResponse.Done($"The secret {name} is set.");
    }

    /// <summary>Null: there is no such channel.</summary>
    private async ValueTask<ControlResponse?> OnChannelAsync(ControlRequest request, string id, CancellationToken cancel)
    {
        switch (request.Command)
        {
            case "channel pause":
                return gateway.SetPaused(id, true) ? ControlResponse.Done($"Delivery of {id} is paused; receiving goes on.") : null;
            case "channel resume" when request.Choice is { } choice:
                return gateway.Resume(id, choice) is not { } outcome ? null
                    : outcome.IsTaken ? ControlResponse.Done(outcome.Sentence) : ControlResponse.Failed(outcome.Sentence);
            case "channel resume":
                return gateway.SetPaused(id, false) ? ControlResponse.Done($"Delivery of {id} goes on.") : null;
            case "channel retry":
                return gateway.RetryNow(id) ? ControlResponse.Done($"{id} tries again now.") : null;
            case "queue peek":
                return await gateway.ReadQueueAsync(id, request.From, request.Offset, request.Count, cancel) is { } page
                    ? new ControlResponse { Ok = true, Queued = [.. page.Messages.Select(Entry)], LastSequence = page.LastSequence }
                    : null;
            case "queue replay":
                return await gateway.ReplayRetainedAsync(id, Selection(request), cancel) is { } copied
                    ? Done($"Delivered messages of {id} queued once more: {copied.Messages}", copied)
                    : null;
            case "tap" when taps is not null:
                return await TapAsync(taps, id, request.From, cancel);
            case "park list":
                return await gateway.ListParkedAsync(id, cancel) is { } parked
                    ? new ControlResponse { Ok = true, Parked = [.. parked.Select(Entry)] }
                    : null;
            case "park replay":
                return await gateway.ReplayParkedAsync(id, Selection(request), cancel) is { } replayed
                    ? Done($"Parked messages of {id} queued again: {replayed.Messages}", replayed)
                    : null;
            case "park drop":
                return await gateway.DropParkedAsync(id, Selection(request), cancel) is { } dropped
                    ? Done($"Parked messages of {id} dropped for good: {dropped.Messages}", dropped)
                    : null;
            case "queue purge":
                return await gateway.PurgeQueueAsync(id, cancel) is { } purged ? Done(id, purged) : null;
            default:
                return Unknown(request.Command);
        }
    }

    private async ValueTask<ControlResponse?> TapAsync(LineTaps taps, string id, long from, CancellationToken cancel)
    {
        if (gateway.Status.Channels.FirstOrDefault(c => c.Id == id) is null) return null;
        var (entries, next) = await taps.Of(id).LookAsync(from, TapWaits, cancel);
        return new ControlResponse { Ok = true, Tapped = [.. entries.Select(Entry)], Next = next };
    }

    private static TappedEntry Entry(TapEntry piece) =>
        new(piece.Number, piece.At, EndpointValidator.Word(piece.End), piece.Sent ? "sent" : "received", piece.Peer, piece.Length, piece.Bytes);

    private static MessageSelection Selection(ControlRequest request) => new(request.From, request.UpTo, request.Count);

    private static ControlResponse Done(string message, SelectionOutcome outcome)
    {
        var busy = outcome.Busy == 0 ? "" : $"; another command has {outcome.Busy} more";
        return ControlResponse.Done($"{message}{busy}.") with
        {
            Progress = new CommandProgress(outcome.Messages, outcome.Bytes, outcome.Busy, outcome.Next, outcome.UpTo),
        };
    }

    private static ControlResponse Done(string id, PurgeOutcome outcome)
    {
        var (messages, bytes) = outcome.Discarded;
        var message = outcome.IsForgotten
            ? $"Queue {id} belonged to no channel and is forgotten, with {messages} messages that waited and {outcome.Parked} parked."
            : $"Messages of {id} that waited and are discarded: {messages} ({bytes} bytes). What is in flight is not touched.";
        return ControlResponse.Done(message) with { Progress = new CommandProgress(messages, bytes, 0, null, null) };
    }

    private static ParkedEntry Entry(ParkedMessage message) => new(message.Sequence, message.Bytes, Convert.ToHexStringLower(message.Preview));

    private static QueuedEntry Entry(QueuedMessage message) =>
        new(message.Sequence, message.ReceivedAt, [.. Words(message.Flags)], message.Bytes, message.Piece, OriginEntry.Of(message.Origin));

    private static IEnumerable<string> Words(MessageFlags flags) =>
        Enum.GetValues<MessageFlags>().Where(f => f != MessageFlags.None && flags.HasFlag(f)).Select(EndpointValidator.Word);

    private static ControlResponse NoChannel(string id) =>
        ControlResponse.Failed($"There is no channel \"{id}\" that is enabled: \"status\" names them.");

    private static ControlResponse NoQueue(string id) =>
        ControlResponse.Failed($"There is no channel \"{id}\", and no queue of that name without one: \"status\" names them.");

    private static ControlResponse Unknown(string command) => ControlResponse.Failed(
        $"There is no command \"{command}\": status, reload, identify, config show|apply|confirm|rollback, provision, support bundle, secret set|list, "
        + "channel pause|resume|retry, tap, queue peek|replay|purge and park list|replay|drop are.");
}
