using IoBufferEdge.Control;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Tests.Control;

public class StatusTextTests
{
    [Fact]
    public void One_screen_in_aligned_columns()
    {
        var idle = Snapshots.Channel("udp-in") with
        {
            State = ChannelState.Waiting, Source = "udp *:514", Destination = "udp h:514", Ledger = new LedgerStatus(),
            OldestAge = null, NextRetryIn = null, SourceStatus = EndpointStatus.Closed,
        };

        Assert.Equal("""
            IoBufferEdge 0.1.0 gw-0017: running for 3 h 12 min, config 3f2a91c4, LEDs offline
            store 1.2 MB of 4.3 GB, 12.3 GB free on the medium, 5.0 MB written; memory 3.1 MB of 12.0 MB

            CHANNEL  STATE    SOURCE               DESTINATION        RECEIVED  DELIVERED  BUFFERED  PARKED  DISCARDED      OLDEST  RETRY IN
            scale    running  tcp_server *:7000 *  tcp_client h:8000       100         80        15       3          2  1 min 15 s     2.5 s
            udp-in   waiting  udp *:514            udp h:514                 0          0         0       0          0           -         -

            """.ReplaceLineEndings("\n"), StatusText.Render(Snapshots.Gateway(Snapshots.Channel(), idle)));
    }

    [Fact]
    public void A_remote_source_names_its_senders()
    {
        var channel = Snapshots.Channel() with
        {
            Source = "remote_icombuffer as centre/in",
            SourceStatus = new EndpointStatus(EndpointState.Connected, "plant-7/press-3, plant-8/line", 2, []),
        };
        Assert.Contains("remote_icombuffer as centre/in * from plant-7/press-3, plant-8/line ", StatusText.RenderChannels([channel]), StringComparison.Ordinal);
        var quiet = channel with { SourceStatus = channel.SourceStatus with { State = EndpointState.Waiting, Detail = null, Connections = 0 } };
        Assert.DoesNotContain("from", StatusText.RenderChannels([quiet]), StringComparison.Ordinal);
    }

    [Fact]
    public void An_image_tells_its_slot_and_what_became_of_its_update()
    {
        var status = Snapshots.Gateway(Snapshots.Channel());
        var update = new UpdateStatus(UpdateState.Installing, "Copying image to root.1.", Snapshots.Noon, status.BootId, "0.2.0", 40);
        var image = new ImageStatus("0.1.0", "a", false, update);
        var installing = StatusText.Render(status with { Image = image });
        Assert.Contains("\nimage 0.1.0 in slot a\nupdate: 40 %, Copying image to root.1.\n", installing, StringComparison.Ordinal);
        Assert.DoesNotContain("!! update", installing, StringComparison.Ordinal);

        var back = update with { Status = UpdateState.RolledBack, Percent = null, Message = "slot b did not prove itself" };
        Assert.Contains("\n!! update: 0.2.0 was taken back: slot b did not prove itself\n", StatusText.Render(status with
        {
            Image = image with { Update = back },
        }), StringComparison.Ordinal);
        var former = image with { Proving = true, Update = back with { BootId = "former" }, ProvisioningError = "bad" };
        var proving = StatusText.Render(status with { Image = former });
        Assert.Contains("in slot a, which has yet to prove itself\n", proving, StringComparison.Ordinal);
        Assert.Contains("\n!! provisioning: bad\n", proving, StringComparison.Ordinal);
        Assert.DoesNotContain("taken back", proving, StringComparison.Ordinal);
    }

    [Fact]
    public void An_imbalance_comes_first_and_is_loud()
    {
        var channel = Snapshots.Channel() with
        {
            Ledger = Snapshots.Channel().Ledger with { Buffered = 14, Lost = 1 },
            LastError = "h:8000 refused the connection.",
            LastErrorAt = Snapshots.Noon - TimeSpan.FromSeconds(3),
            Alerts = [new("silent", "no message for 60 s")],
            LostRanges = [new SequenceRange(7, 9), new SequenceRange(12, 12)],
        };
        var status = Snapshots.Gateway(channel) with
        {
            IdleQueues = [new IdleQueue("old", 5, 50, 1)],
            Store = Snapshots.Gateway().Store with { Error = "No space left on device", OutOfSpace = true },
        };

        var notes = StatusText.Render(status).Split('\n').Where(line => line.StartsWith("!! ", StringComparison.Ordinal));

        Assert.Equal(
            [
                "!! scale: THE LEDGER DOES NOT BALANCE by 1: received 100, but delivered 80 + buffered 14 + parked 3 "
                    + "+ discarded 2; 1 lost to damage",
                "!! store: out of space: No space left on device",
                "!! scale: lost or already delivered: 7..9, 12",
                "!! scale: silent: no message for 60 s",
                "!! scale: h:8000 refused the connection. (3.0 s ago)",
                "!! queue old belongs to no channel: 5 buffered, 1 parked",
            ], notes);
    }

    [Fact]
    public void A_serial_port_that_is_not_there_is_named_once()
    {
        var missing = new EndpointStatus(EndpointState.Waiting, "/dev/ttyUSB0 is not there: waiting for it.", 0, []);
        var channel = Snapshots.Channel() with
        {
            Source = "serial /dev/ttyUSB0", SourceStatus = missing, LastError = missing.Detail, LastErrorAt = Snapshots.Noon,
        };

        var notes = StatusText.Render(Snapshots.Gateway(channel)).Split('\n').Where(line => line.StartsWith("!! ", StringComparison.Ordinal));

        Assert.Equal(["!! scale: source: /dev/ttyUSB0 is not there: waiting for it."], notes);
    }

    [Theory]
    [InlineData(-1, "0.0 s")]
    [InlineData(59, "59 s")]
    [InlineData(3599, "59 min 59 s")]
    [InlineData(90_000, "1 d 1 h")]
    public void Spans_show_two_units(double seconds, string text) => Assert.Equal(text, StatusText.Span(TimeSpan.FromSeconds(seconds)));
}
