using IoBufferEdge.Configuration;

namespace IoBufferEdge.Tests.Configuration;

public sealed class DefaultConfigTests
{
    [Fact]
    public void The_default_is_a_line_channel_over_TCP_and_a_UDP_channel()
    {
        var config = DefaultConfig.Load();
        Assert.Equal(2, config.Channels.Count);
        var (tcp, udp) = (config.Channels[0], config.Channels[1]);
        Assert.Equal((EndpointType.TcpServer, "127.0.0.1", 7000, FramingType.Line),
            (tcp.Source.Type, tcp.Source.Host, tcp.Source.Port, tcp.Source.EffectiveFraming.Type));
        Assert.Equal((EndpointType.TcpClient, "127.0.0.1", 8000), (tcp.Destination.Type, tcp.Destination.Host, tcp.Destination.Port));
        Assert.Equal((EndpointType.Udp, 7001, 65_507), (udp.Source.Type, udp.Source.Port, udp.Source.MaxMessageBytes));
        Assert.Equal((EndpointType.Udp, 8001), (udp.Destination.Type, udp.Destination.Port));
        Assert.Empty(ConfigFile.Parse(DefaultConfig.Text(), null).Problems);
    }
}
