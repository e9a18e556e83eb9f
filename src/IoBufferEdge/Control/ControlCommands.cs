using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Control;

/// <summary>The commands of the control socket, each a call on the gateway.</summary>
/// <param name="reloadAsync">Reads the configuration file again and applies it; completes with one sentence, or throws with one.</param>
public sealed class ControlCommands(IGatewayControl gateway, Func<ValueTask<string>> reloadAsync)
{
    /// <summary>Long enough to walk along a row of cabinets.</summary>
    public static readonly TimeSpan IdentifyFor = TimeSpan.FromMinutes(1);

    public async ValueTask<ControlResponse> HandleAsync(ControlRequest request, CancellationToken cancel)
    {
        if (request.Channel is { } id) return await OnChannelAsync(request, id, cancel) ?? NoChannel(id);
        return request.Command switch
        {
            "status" => new ControlResponse { Ok = true, Status = gateway.Status },
            "reload" => ControlResponse.Done(await reloadAsync()),
            "identify" => Identify(),
            "channel pause" or "channel resume" or "channel retry" or "park list" or "park replay" or "queue peek" =>
                ControlResponse.Failed($"\"{request.Command}\" needs the id of a channel in the key \"channel\"."),
            _ => Unknown(request.Command),
        };
    }

    private ControlResponse Identify()
    {
        gateway.Identify(IdentifyFor);
        return ControlResponse.Done($"The LEDs alternate for {IdentifyFor.TotalSeconds} s.");
    }

    /// <summary>Null: there is no such channel.</summary>
    private async ValueTask<ControlResponse?> OnChannelAsync(ControlRequest request, string id, CancellationToken cancel)
    {
        switch (request.Command)
        {
            case "channel pause":
                return gateway.SetPaused(id, true) ? ControlResponse.Done($"Delivery of {id} is paused; receiving goes on.") : null;
            case "channel resume":
                return gateway.SetPaused(id, false) ? ControlResponse.Done($"Delivery of {id} goes on.") : null;
            case "channel retry":
                return gateway.RetryNow(id) ? ControlResponse.Done($"{id} tries again now.") : null;
            case "queue peek":
                return await gateway.ReadQueueAsync(id, request.From, request.Offset, request.Count) is { } page
                    ? new ControlResponse { Ok = true, Queued = [.. page.Messages.Select(Entry)], LastSequence = page.LastSequence }
                    : null;
            case "park list":
                return await gateway.ListParkedAsync(id) is { } parked
                    ? new ControlResponse { Ok = true, Parked = [.. parked.Select(Entry)] }
                    : null;
            case "park replay":
                return await gateway.ReplayParkedAsync(id, cancel) is { } count
                    ? ControlResponse.Done($"Parked messages of {id} queued again: {count}.")
                    : null;
            default:
                return Unknown(request.Command);
        }
    }

    private static ParkedEntry Entry(ParkedMessage message) => new(message.Sequence, message.Bytes, Convert.ToHexStringLower(message.Preview));

    private static QueuedEntry Entry(QueuedMessage message) =>
        new(message.Sequence, message.ReceivedAt, [.. Words(message.Flags)], message.Bytes, message.Piece, OriginEntry.Of(message.Origin));

    private static IEnumerable<string> Words(MessageFlags flags) =>
        Enum.GetValues<MessageFlags>().Where(f => f != MessageFlags.None && flags.HasFlag(f)).Select(EndpointValidator.Word);

    private static ControlResponse NoChannel(string id) =>
        ControlResponse.Failed($"There is no channel \"{id}\" that is enabled: \"status\" names them.");

    private static ControlResponse Unknown(string command) => ControlResponse.Failed(
        $"There is no command \"{command}\": status, reload, identify, channel pause|resume|retry, queue peek and park list|replay are.");
}
