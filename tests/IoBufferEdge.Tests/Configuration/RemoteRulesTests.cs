using IoBufferEdge.Endpoints.Remote;
using static IoBufferEdge.Tests.Configuration.Document;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>Channels between instances: what their keys ask, and of the device.</summary>
public sealed class RemoteRulesTests
{
    private const string Destination = """{"type":"remote_icombuffer","url":"https://x:8080","channel_id":"c"}""";
    private const string Device = ", \"device\":{\"id\":\"gw-1\"}";
    private const string Loopback = Device + ", \"http\":{\"listen\":\"127.0.0.1:8080\"}";

    private static readonly string Hash = PasswordHash.Create("correct horse", new byte[16], 100_000).ToString();

    private static string Source(string keys = "") =>
        With("""{"type":"remote_icombuffer","auth":{"username":"u","password_hash":"HASH"}}""".Replace("HASH", Hash, StringComparison.Ordinal), keys);

    [Fact]
    public void Both_sides_get_the_name_under_which_others_know_the_queue()
    {
        var channel = Assert.Single(Parse(Of(Channel(Source(), Destination, id: "line-1"), Loopback)).Config!.Channels);
        Assert.Equal(("gw-1/line-1", "gw-1/line-1"), (channel.Source.Instance, channel.Destination.Instance));
        Assert.Equal("remote_icombuffer as gw-1/line-1", channel.Source.Summary);
        Assert.Equal("remote_icombuffer https://x:8080 c", channel.Destination.Summary);
        Assert.Equal("", Assert.Single(Parse(Of(Channel(), Device)).Config!.Channels).Source.Instance);
    }

    [Fact]
    public void The_device_needs_a_name()
    {
        Assert.Equal(["error: device.id: is needed by channels[1].destination: other instances know its queue as device/channel"],
            Problems(Of(Channel() + "," + Channel(TcpSource.Replace("7000", "7001", StringComparison.Ordinal), Destination, id: "b"))));
        Assert.Equal(["error: device.id: is needed by channels[0].source: other instances know its queue as device/channel"],
            Problems(Of(Channel(Source(), Destination), ", \"http\":{\"listen\":\"127.0.0.1:8080\"}")));
    }

    [Fact]
    public void A_source_needs_an_address_to_be_reached_at()
    {
        Assert.Equal(["error: channels[0].source: is reached at http.listen, which is missing"], Problems(Of(Channel(Source()), Device)));
        Assert.Empty(Problems(Of(Channel(Source()), Loopback)));
        Assert.Equal(["warning: channels[0].source.auth: goes over the network in the clear: give http a tls, or listen on loopback"],
            Problems(Of(Channel(Source()), Device + ", \"http\":{\"listen\":\"0.0.0.0:8080\"}")));
        Assert.Equal(["warning: http.listen: has no effect: no channel has a source of type remote_icombuffer"], Problems(Of(Channel(), Loopback)));
    }

    [Fact]
    public void A_server_with_TLS_needs_its_files() => Assert.Equal(
    [
        "error: http.tls.ca: is missing: verify_peer needs the authorities that clients' certificates come from, a PEM file",
        "error: http.tls.cert: names \"/nowhere/c\", which does not exist",
        "error: http.tls.key: names \"/nowhere/k\", which does not exist",
    ], Problems(Of(
        Channel(Source()),
        Device + ", \"http\":{\"listen\":\"0.0.0.0:8080\",\"tls\":{\"enabled\":true,\"cert\":\"c\",\"key\":\"k\",\"verify_peer\":true}}")));

    [Theory]
    [InlineData("password")]
    [InlineData("password_file")]
    [InlineData("password_secret")]
    public void A_source_keeps_the_hash_alone(string key)
    {
        var problems = Problems(Of(Channel(Source($"\"auth\":{{\"username\":\"u\",\"{key}\":\"hunter2\"}}")), Loopback));
        Assert.Equal(
        [
            $"error: channels[0].source.auth.{key}: does not belong to a source, which keeps the password's hash alone: "
                + "run iobuffer passwd and give what it prints as password_hash",
            "error: channels[0].source.auth.password_hash: is missing: must be the hash that iobuffer passwd prints",
        ], problems);
    }

    [Fact]
    public void A_source_whose_hash_is_none_is_refused_and_one_without_auth_is_named()
    {
        Assert.Equal(["error: channels[0].source.auth.password_hash: is not what iobuffer passwd prints: run it and copy its last line as it is"],
            Problems(Of(Channel(Source($"\"auth\":{{\"username\":\"u\",\"password_hash\":\"{Hash[..^1]}\"}}")), Loopback)));
        Assert.Equal(["error: channels[0].source.auth.username: has a colon, which separates name and password in HTTP: choose a name without one"],
            Problems(Of(Channel(Source($"\"auth\":{{\"username\":\"u:v\",\"password_hash\":\"{Hash}\"}}")), Loopback)));
        Assert.Equal(["warning: channels[0].source.auth: is missing: anyone who reaches http.listen can send"],
            Problems(Of(Channel("""{"type":"remote_icombuffer"}"""), Loopback)));
    }

    [Theory]
    [InlineData("\"when_full\":\"drop_newest\"",
        "warning: channels[0].buffer.when_full: lets messages be discarded when the buffer is full; block never loses one",
        "error: channels[0].buffer.when_full: must not be drop_newest for the remote source of channels[0]: "
        + "a sender that is told to wait loses nothing; use block")]
    [InlineData("\"when_full\":\"block\"")]
    public void A_source_lets_the_sender_wait(string buffer, params string[] problems) =>
        Assert.Equal(problems, Problems(Of(Channel(Source(), more: $",\"buffer\":{{{buffer}}}"), Loopback)));

    [Theory]
    [InlineData("\"framing\":{\"type\":\"line\"}", "framing: does not belong to type remote_icombuffer; it belongs to tcp_server, tcp_client, udp, serial")]
    [InlineData("\"on_oversize\":\"split\"", "on_oversize: does not belong to type remote_icombuffer; it belongs to tcp_server, tcp_client, udp, serial")]
    [InlineData("\"max_message_bytes\":6291457", "max_message_bytes: must be at most half of buffer.memory_bytes, 6291456, but is 6291457")]
    public void What_a_source_can_not_have(string keys, string problem) =>
        Assert.Equal([$"error: channels[0].source.{problem}"], Problems(Of(Channel(Source(keys)), Loopback)));

    [Theory]
    [InlineData("\"url\":\"ftp://x\"",
        "error: channels[0].destination.url: must be a URL with http or https, a host and a port, https://host:8080")]
    [InlineData("\"url\":\"https://u:p@x\"", "error: channels[0].destination.url: carries a name or password: put them into auth")]
    [InlineData("\"url\":\"http://x:1\",\"auth\":{\"username\":\"u\",\"password\":\"p\"}",
        "warning: channels[0].destination.auth: goes over the network in the clear: use https in url")]
    [InlineData("\"url\":\"http://127.0.0.1:1\",\"auth\":{\"username\":\"u\",\"password\":\"p\"}")]
    [InlineData("\"auth\":{\"username\":\"u\"}",
        "error: channels[0].destination.auth: has no password: give one of password, password_file, password_secret")]
    [InlineData("\"auth\":{\"username\":\"u\",\"password\":\"p\",\"password_secret\":\"s\"}",
        "error: channels[0].destination.auth: has more than one password: keep one of password, password_file, password_secret")]
    [InlineData("\"auth\":{\"username\":\"u\",\"password\":\"p\",\"password_hash\":\"h\"}",
        "error: channels[0].destination.auth.password_hash: does not belong to a destination, which has to say the password itself: give password_file")]
    [InlineData("\"tls\":{\"enabled\":true,\"ca\":\"c\"}", "error: channels[0].destination.tls.ca: names \"/nowhere/c\", which does not exist")]
    [InlineData("\"url\":\"http://x:1\",\"tls\":{\"enabled\":true}",
        "error: channels[0].destination.tls.enabled: is true, but url says http: use https there")]
    public void A_destination_is_judged(string keys, params string[] problems) =>
        Assert.Equal(problems, Problems(Of(Channel(destination: With(Destination, keys)), Device)));
}
