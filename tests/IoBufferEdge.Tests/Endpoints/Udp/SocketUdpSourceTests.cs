using IoBufferEdge.Endpoints;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Udp;

/// <summary>The contract of UDP sources over real sockets.</summary>
public sealed class SocketUdpSourceTests : UdpSourceContract
{
    private readonly SocketNetwork _network = new(TimeProvider.System, NullLogger.Instance);

    protected override INetwork SourceNetwork => _network;

    protected override INetwork PeerNetwork => _network;

    protected override string SourceHost => "127.0.0.1";

    protected override TimeProvider Time => TimeProvider.System;

    protected override Task RunAsync(Func<Task> body) => body().WaitAsync(TimeSpan.FromSeconds(60));
}
