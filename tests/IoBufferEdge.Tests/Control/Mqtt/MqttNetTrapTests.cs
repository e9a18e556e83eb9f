using IoBufferEdge.Configuration;
using IoBufferEdge.Control.Mqtt;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>
/// What the MQTT client does at its edges, as it was found, and what stands around it for that. The broker is a socket; time is moved by hand
/// where nothing less than seconds shows it.
/// </summary>
[Collection(nameof(Alone))]
public sealed class MqttNetTrapTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly RawBroker _broker = new();
    private readonly FakeTimeProvider _time = new();
    private readonly List<MqttReceived> _received = [];

    public void Dispose() => _broker.Dispose();

    [Fact]
    public async Task A_publish_that_is_not_confirmed_ends_the_connection_after_10_s()
    {
        await using var connection = await ConnectAsync(RawBroker.Accepted);
        var publishing = connection.Connection.PublishAsync(new MqttMessage("t", new byte[10], Retained: false));
        await MoveUntilAsync(connection.Connection.Ended, limitS: 11);
        var error = await Assert.ThrowsAsync<MqttLinkException>(() => publishing);
        Assert.Contains("no answer to a message within 10 s", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_silent_broker_is_noticed_within_30_s_whatever_is_sent_meanwhile()
    {
        await using var connection = await ConnectAsync(RawBroker.Accepted);
        await MoveUntilAsync(connection.Connection.Ended, limitS: 30,
            () => connection.Connection.PublishAsync(new MqttMessage("t", new byte[10], Retained: false, QoS: 0)));
        Assert.Contains("no answer to a ping", await connection.Connection.Ended, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_brokers_own_keep_alive_counts_where_it_is_shorter()
    {
        // CONNACK with Server Keep Alive (0x13) of 4 s: a ping is due after 2 s.
        await using var connection = await ConnectAsync([0x20, 0x06, 0x00, 0x00, 0x03, 0x13, 0x00, 0x04]);
        var packet = connection.Client.ReadPacketAsync();
        await MoveUntilAsync(packet, limitS: 3);
        Assert.Equal([0xC0], await packet);
    }

    [Fact]
    public async Task A_header_that_claims_256_MB_ends_the_connection_before_anybody_makes_room()
    {
        await using var connection = await ConnectAsync(RawBroker.Accepted);
        var before = GC.GetTotalAllocatedBytes();
        await connection.Client.WriteAsync(0x30, 0xFF, 0xFF, 0xFF, 0x7F);
        var reason = await connection.Connection.Ended.WaitAsync(Patience);
        Assert.Contains("268435455 bytes", reason, StringComparison.Ordinal);
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 64L << 20);
    }

    [Fact]
    public async Task The_same_in_the_place_of_its_first_answer()
    {
        var connecting = Broker().ConnectAsync(Target(), _received.Add, default);
        using var client = await _broker.AcceptAsync([0x20, 0xFF, 0xFF, 0xFF, 0x7F]);
        var error = await Assert.ThrowsAsync<MqttLinkException>(() => connecting);
        Assert.Contains("268435455 bytes", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_larger_than_the_broker_takes_is_not_sent()
    {
        // CONNACK with Maximum Packet Size (0x27) of 1,000 bytes.
        await using var connection = await ConnectAsync([0x20, 0x08, 0x00, 0x00, 0x05, 0x27, 0x00, 0x00, 0x03, 0xE8]);
        var refusal = await connection.Connection.PublishAsync(new MqttMessage("t", new byte[5000], Retained: false));
        Assert.Contains("1000", refusal, StringComparison.Ordinal);
        Assert.False(connection.Connection.Ended.IsCompleted);
    }

    [Fact]
    public async Task A_refused_subscription_is_said_and_the_connection_goes_on()
    {
        await using var connection = await ConnectAsync(RawBroker.Accepted);
        var subscribing = connection.Connection.SubscribeAsync(["ours/#", "theirs/#"]);
        var packet = (await connection.Client.ReadPacketAsync().WaitAsync(Patience))!;
        await connection.Client.WriteAsync(0x90, 0x05, packet[1], packet[2], 0x00, 0x01, 0x87);
        Assert.Equal("the broker refuses to subscribe to theirs/#", await subscribing.WaitAsync(Patience));
        Assert.False(connection.Connection.Ended.IsCompleted);
    }

    [Fact]
    public async Task Messages_are_acknowledged_when_they_are_dealt_with_and_not_after_the_end()
    {
        await using var connection = await ConnectAsync(RawBroker.Accepted);
        await connection.Client.PublishAsync(1, "first");
        await connection.Client.PublishAsync(2, "second");
        await UntilAsync(() => _received.Count == 2);
        connection.Connection.Acknowledge(_received[1]);
        Assert.Equal([0x40, 0x00, 0x02], (await connection.Client.ReadPacketAsync().WaitAsync(Patience))![..3]);

        await using var next = await ConnectAsync(RawBroker.Accepted);
        next.Connection.Acknowledge(_received[0]);
        await connection.Connection.DisposeAsync();
        connection.Connection.Acknowledge(_received[0]);
        Assert.Null(await connection.Client.ReadPacketAsync().WaitAsync(Patience));
        await next.Connection.LeaveAsync(Patience);
        Assert.Equal(0xE0, (await next.Client.ReadPacketAsync().WaitAsync(Patience))![0]);
    }

    [Fact]
    public async Task A_handler_that_breaks_ends_the_connection_instead_of_letting_it_fall_silent()
    {
        await using var connection = await ConnectAsync(RawBroker.Accepted, _ => throw new InvalidOperationException("broken"));
        await connection.Client.PublishAsync(1, "first");
        Assert.Contains("our own handling", await connection.Connection.Ended.WaitAsync(Patience), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_older_broker_is_spoken_to_in_its_own_version(bool closesAtOnce)
    {
        var connecting = Broker().ConnectAsync(Target(), _received.Add, default);
        using var refused = await _broker.AcceptAsync([0x20, 0x02, 0x00, 0x01]);
        Assert.Equal(5, refused.Connect[7]);
        if (closesAtOnce) refused.Dispose();
        using var accepted = await _broker.AcceptAsync([0x20, 0x02, 0x00, 0x00]);
        Assert.Equal(4, accepted.Connect[7]);
        await using var connection = await connecting.WaitAsync(Patience);
        Assert.False(connection.Ended.IsCompleted);
    }

    [Fact]
    public async Task A_refused_account_is_named_and_never_its_password()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "hunter2-hunter2\nsecond line\n");
        var connecting = Broker().ConnectAsync(Target() with
        {
            Config = Target().Config with { Username = "gw", PasswordFile = file },
        }, _received.Add, default);
        using var client = await _broker.AcceptAsync([0x20, 0x03, 0x00, 0x87, 0x00]);
        Assert.EndsWith("hunter2-hunter2", System.Text.Encoding.ASCII.GetString(client.Connect), StringComparison.Ordinal);
        var error = await Assert.ThrowsAsync<MqttLinkException>(() => connecting);
        File.Delete(file);
        Assert.Contains("the account gw or its password", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_there_and_no_password_file_are_one_sentence_each()
    {
        var target = Target();
        _broker.Dispose();
        Assert.Equal(
            $"Cannot connect to 127.0.0.1:{target.Config.Port}: connection refused.",
            (await Assert.ThrowsAsync<MqttLinkException>(() => Broker().ConnectAsync(target, _received.Add, default))).Message);
        var missing = target with { Config = target.Config with { PasswordFile = "/nowhere/pw" } };
        Assert.Equal(
            "mqtt: password_file /nowhere/pw cannot be read: there is no such file.",
            (await Assert.ThrowsAsync<MqttLinkException>(() => Broker().ConnectAsync(missing, _received.Add, default))).Message);
    }

    private MqttTarget Target() => new("gw-0017", new MqttConfig { Host = "127.0.0.1", Port = _broker.Port });

    private MqttNetBroker Broker() => new(new SecretStore("/nowhere", null), _time, NullLogger.Instance);

    private async Task<Pair> ConnectAsync(byte[] answer, Action<MqttReceived>? received = null)
    {
        var connecting = Broker().ConnectAsync(Target(), received ?? (m => _received.Add(m)), default);
        var client = await _broker.AcceptAsync(answer);
        return new Pair(await connecting.WaitAsync(Patience), client);
    }

    /// <summary>Moves time by half seconds until the task is done.</summary>
    private async Task MoveUntilAsync(Task task, double limitS, Func<Task>? meanwhile = null)
    {
        for (var half = 0; half < 2 * limitS && !task.IsCompleted; half++)
        {
            if (meanwhile is not null) await meanwhile().ContinueWith(_ => { }, TaskScheduler.Default);
            _time.Advance(TimeSpan.FromSeconds(0.5));
            await Task.Delay(20);
        }

        Assert.True(task.IsCompleted, $"Not within {limitS} s.");
    }

    private static async Task UntilAsync(Func<bool> done)
    {
        for (var i = 0; i < 1000 && !done(); i++) await Task.Delay(20);
        Assert.True(done());
    }

    private sealed record Pair(IMqttConnection Connection, RawBroker.Client Client) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Connection.DisposeAsync();
            Client.Dispose();
        }
    }
}
