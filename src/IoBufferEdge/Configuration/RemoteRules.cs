using System.Net;

namespace IoBufferEdge.Configuration;

/// <summary>What channels between instances ask of the device: a name, and for sources an address to be reached at.</summary>
internal static class RemoteRules
{
    public static void Check(GatewayConfig config, ConfigProblems problems)
    {
        CheckName(config, problems);
        if (!problems.IsReadable("http")) return;
        var sources = Enumerable.Range(0, config.Channels.Count).Where(i => IsRemote(config.Channels[i].Source)).ToArray();
        if (sources.Length == 0 && config.Http?.Listen is not null && problems.IsReadable("channels"))
            problems.Warn("http.listen", "has no effect: no channel has a source of type remote_icombuffer");
        foreach (var i in sources) CheckSource(config.Channels[i].Source, config.Http, $"channels[{i}].source", problems);
    }

    /// <summary>Fills in the name under which other instances know the channel's queue.</summary>
    public static ChannelConfig Named(ChannelConfig channel, string? deviceId)
    {
        var instance = $"{deviceId}/{channel.Id}";
        return channel with
        {
            Source = IsRemote(channel.Source) ? channel.Source with { Instance = instance } : channel.Source,
            Destination = IsRemote(channel.Destination) ? channel.Destination with { Instance = instance } : channel.Destination,
        };
    }

    private static void CheckName(GatewayConfig config, ConfigProblems problems)
    {
        if (config.Device.Id is not null || !problems.IsReadable("device.id")) return;
        for (var i = 0; i < config.Channels.Count; i++)
        {
            var channel = config.Channels[i];
            if (!IsRemote(channel.Source) && !IsRemote(channel.Destination)) continue;
            var side = IsRemote(channel.Source) ? "source" : "destination";
            problems.Error("device.id", $"is needed by channels[{i}].{side}: other instances know its queue as device/channel");
            return;
        }
    }

    private static void CheckSource(SourceConfig source, HttpConfig? http, string at, ConfigProblems problems)
    {
        if (http?.Listen is not { } listen)
        {
            if (problems.IsReadable("http.listen")) problems.Error(at, "is reached at http.listen, which is missing");
        }
        else if (source.Auth is not null && !http.Tls.Enabled && NetworkAddress.ParseEndPoint(listen) is { } address
            && !IPAddress.IsLoopback(address.Address))
        {
            problems.Warn($"{at}.auth", "goes over the network in the clear: give http a tls, or listen on loopback");
        }
    }

    private static bool IsRemote(EndpointConfig endpoint) => endpoint.Type == EndpointType.RemoteIcombuffer;
}
