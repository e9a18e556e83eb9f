namespace IoBufferEdge.Control;

/// <summary>The commands of the control socket, each a call on the gateway.</summary>
/// <param name="reloadAsync">Reads the configuration file again and applies it; completes with one sentence, or throws with one.</param>
public sealed class ControlCommands(IGatewayControl gateway, Func<ValueTask<string>> reloadAsync)
{
    public async ValueTask<ControlResponse> HandleAsync(ControlRequest request) => request.Command switch
    {
        "status" or "channel list" => new ControlResponse { Ok = true, Status = gateway.Status },
        "reload" => ControlResponse.Done(await reloadAsync()),
        "channel pause" => await OnChannelAsync(request, gateway.PauseAsync, "Delivery is paused; receiving goes on"),
        "channel resume" => await OnChannelAsync(request, gateway.ResumeAsync, "Delivery goes on"),
        "channel retry" => await OnChannelAsync(request, gateway.RetryNowAsync, "The next attempt begins now"),
        "park list" or "park replay" when request.Channel is null => Nameless(request),
        "park list" => await gateway.ListParkedAsync(request.Channel!) is { } parked
            ? new ControlResponse { Ok = true, Parked = parked }
            : NoChannel(request.Channel!),
        "park replay" => await gateway.ReplayParkedAsync(request.Channel!) is { } count
            ? ControlResponse.Done($"Parked messages queued again: {count}.")
            : NoChannel(request.Channel!),
        _ => ControlResponse.Failed($"There is no command \"{request.Command}\": status, reload, channel list|pause|resume|retry and "
            + "park list|replay are."),
    };

    private static async ValueTask<ControlResponse> OnChannelAsync(
        ControlRequest request, Func<string, ValueTask<bool>> action, string done)
    {
        if (request.Channel is not { } id) return Nameless(request);
        return await action(id) ? ControlResponse.Done($"{done}: {id}.") : NoChannel(id);
    }

    private static ControlResponse NoChannel(string id) =>
        ControlResponse.Failed($"There is no channel \"{id}\": \"channel list\" names them.");

    private static ControlResponse Nameless(ControlRequest request) =>
        ControlResponse.Failed($"\"{request.Command}\" needs the id of a channel in the key \"channel\".");
}
