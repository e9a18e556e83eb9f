using IoBufferEdge.Endpoints;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>The contract over the loopback interface of this machine.</summary>
public sealed class SocketDestinationTests : DestinationContract
{
    private readonly SocketNetwork _network = new(TimeProvider.System, NullLogger.Instance);

    protected override INetwork Network => _network;

    protected override INetwork PeerNetwork => _network;

    protected override string PeerHost => "127.0.0.1";

    protected override string GatewayHost => "127.0.0.1";

    protected override TimeProvider Time => TimeProvider.System;

    protected override Task PlayAsync(Func<Task> story) => story().WaitAsync(TimeSpan.FromSeconds(20));
}
