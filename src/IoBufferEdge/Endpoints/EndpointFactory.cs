using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;
using IoBufferEdge.Endpoints.Remote;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Endpoints.Tcp;
using IoBufferEdge.Endpoints.Udp;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Endpoints;

/// <summary>What every endpoint is made with.</summary>
/// <param name="Serial">The device's serial lines, shared by all channels; null: it has none.</param>
public sealed record EndpointContext(
    INetwork Network, MemoryBudget Memory, TimeProvider Time, Random Random, ILogger Log, SerialLines? Serial = null)
{
    /// <summary>Where sources for other instances are found by who listens for them; null: nothing can.</summary>
    public RemoteHub? Hub { get; init; }

    /// <summary>Shows what goes over this end's line; null: nobody can look.</summary>
    public EndTap? Tap { get; init; }

    /// <summary>Makes the way to another instance; null: there is none.</summary>
    public Func<ChannelConfig, IRemoteTransport>? NewRemote { get; init; }
}

/// <summary>The one place where a configured type becomes an endpoint.</summary>
public static class EndpointFactory
{
    /// <exception cref="EndpointException">The type is not available in this version, or a value makes no sense.</exception>
    public static ISource CreateSource(ChannelConfig channel, EndpointContext context) => channel.Source.Type switch
    {
        EndpointType.TcpServer or EndpointType.TcpClient => new TcpSource(channel, context),
        EndpointType.Udp => new UdpSource(channel, context),
        EndpointType.Serial => new SerialSource(channel, context),
        EndpointType.RemoteIcombuffer => new RemoteSource(channel, context),
        _ => throw NotAvailable(channel, "source", channel.Source.Type),
    };

    /// <exception cref="EndpointException">The type is not available in this version, or a value makes no sense.</exception>
    public static IDestination CreateDestination(ChannelConfig channel, EndpointContext context) => channel.Destination.Type switch
    {
        EndpointType.TcpServer or EndpointType.TcpClient => new TcpDestination(channel, context),
        EndpointType.Udp => new UdpDestination(channel, context),
        EndpointType.Serial => new SerialDestination(channel, context),
        EndpointType.RemoteIcombuffer => new RemoteDestination(channel, context),
        _ => throw NotAvailable(channel, "destination", channel.Destination.Type),
    };

    /// <exception cref="EndpointException">The framing lacks a value, or makes no sense on this endpoint.</exception>
    internal static FrameDecoder CreateDecoder(string channelId, SourceConfig source)
    {
        try
        {
            return FrameDecoder.Create(source.EffectiveFraming, source.MaxMessageBytes, source.OnOversize);
        }
        catch (ArgumentException e)
        {
            throw new EndpointException($"Channel {channelId}: {e.Message}", e);
        }
    }

    /// <exception cref="EndpointException">This device has no serial ports.</exception>
    internal static SerialLines SerialLinesOf(ChannelConfig channel, EndpointContext context) =>
        context.Serial ?? throw new EndpointException($"Channel {channel.Id}: there are no serial ports here.");

    private static EndpointException NotAvailable(ChannelConfig channel, string side, EndpointType type)
    {
        var name = type switch
        {
            EndpointType.TcpServer => "tcp_server",
            EndpointType.TcpClient => "tcp_client",
            EndpointType.Serial => "serial",
            EndpointType.Udp => "udp",
            _ => "remote_icombuffer",
        };
        return new EndpointException($"Channel {channel.Id}: a {name} {side} is not available in this version.");
    }
}
