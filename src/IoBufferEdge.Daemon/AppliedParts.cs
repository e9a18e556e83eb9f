using IoBufferEdge.Boards;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Mqtt;

namespace IoBufferEdge.Daemon;

/// <summary>All that a configuration changes, in one step. Only the gateway can refuse it, so that it comes first.</summary>
internal sealed class AppliedParts(Gateway gateway, FrontPanel panel, MetricsServer metrics, RemoteServer remote, MqttLink link)
{
    /// <summary>A line may be an LED's on the one board and a transmitter's on the other: the panel lets go before, and takes up behind.</summary>
    /// <exception cref="ApplyException">The former configuration goes on.</exception>
    public async Task ApplyAsync(GatewayConfig config, string? hash, bool holdDiscards, bool force)
    {
        var otherBoard = config.Device.Board != gateway.Config.Device.Board;
        if (otherBoard) await panel.StopAsync();
        try
        {
            await gateway.ApplyAsync(config, holdDiscards, force);
        }
        finally
        {
            // The former board's where the configuration was refused.
            if (otherBoard) panel.Start(BoardOf(gateway.Config));
        }

        gateway.ConfigHash = hash;
        await metrics.ListenAsync(config.Http?.MetricsListen);
        await remote.ListenAsync(config);
        link.Use(MqttTarget.Of(config, gateway.Status.DeviceId));
    }

    public static Board? BoardOf(GatewayConfig config) => config.Device.Board is { } id ? BoardFiles.Find(id) : null;
}
