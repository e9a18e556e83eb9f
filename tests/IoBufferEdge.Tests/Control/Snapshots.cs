using IoBufferEdge.Buffers;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Control;

/// <summary>Statuses that the tests of what is seen from outside have in common.</summary>
internal static class Snapshots
{
    public static readonly DateTimeOffset Noon = new(2026, 11, 22, 12, 0, 0, TimeSpan.Zero);

    public static ChannelStatus Channel(string id = "scale") => new()
    {
        Id = id,
        State = ChannelState.Running,
        Source = "tcp_server *:7000",
        Destination = "tcp_client h:8000",
        SourceStatus = new EndpointStatus(EndpointState.Connected, "192.0.2.7:4711", 1, [new("oversize", 2)]),
        DestinationStatus = new EndpointStatus(EndpointState.Waiting, null, 0, [new("refused", 3), new("naks", 4)]),
        Ledger = new LedgerStatus
        {
            Received = 100, Delivered = 80, Buffered = 15, Parked = 3, Discarded = 2, Repeated = 7,
            ReceivedBytes = 1000, DeliveredBytes = 800,
        },
        Delivery = "cut_through",
        BufferedBytes = 150,
        MaxBytes = 1 << 30,
        OldestAge = TimeSpan.FromSeconds(75.5),
        NextRetryIn = TimeSpan.FromSeconds(2.5),
        SecuredSequence = 100,
        LastSequence = 100,
    };

    public static GatewayStatus Gateway(params ChannelStatus[] channels) => new()
    {
        DeviceId = "gw-0017",
        Version = "0.1.0",
        BootId = "6f2c0a4e-1b7d-4f6c-9a53-2d8e7c10b4aa",
        State = GatewayState.Running,
        TakenAt = Noon,
        Uptime = new TimeSpan(3, 12, 5),
        ConfigHash = "3f2a91c4ffff",
        Store = new StoreStatus(null, false, null, 1, 2, 3.5, 4L << 30, new StoreUsage(1_200_000, 12_300_000_000, 5_000_000, 42, 1)),
        MemoryUsedBytes = 3_100_000,
        MemoryTotalBytes = 12_000_000,
        Channels = channels,
    };
}
