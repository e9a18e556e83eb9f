using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Control;

/// <summary>The protocol over a real Unix socket.</summary>
public sealed class ControlServerTests : IAsyncLifetime
{
    private static readonly CancellationToken Never = CancellationToken.None;

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-control-").FullName;
    private readonly CancellationTokenSource _stop = new();
    private readonly TwinGateway _gateway = new();
    private ControlServer? _server;
    private Task _serving = Task.CompletedTask;

    private string SocketPath => Path.Combine(_folder, "control.sock");

    public ValueTask InitializeAsync()
    {
        File.WriteAllText(SocketPath, "stale");
        var commands = new ControlCommands(_gateway, new SecretStore(Path.Combine(_folder, "secrets"), null), () => ValueTask.FromResult("Nothing changed."));
        _server = new ControlServer(SocketPath, commands.HandleAsync, TimeProvider.System, NullLogger.Instance);
        _server.Open();
        _serving = _server.RunAsync(_stop.Token);
        return default;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _serving.WaitAsync(TimeSpan.FromSeconds(10));
        _server!.Dispose();
        _stop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Status_comes_back_whole()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var answer = await client.AskAsync(new ControlRequest { Command = "status" }, Never);

        Assert.True(answer.Ok);
        Assert.Equal(StatusText.Render(_gateway.Status), StatusText.Render(answer.Status!));
        Assert.Equal(Json(_gateway.Status), Json(answer.Status!));
    }

    [Fact]
    public void Json_has_the_ledgers_keys_and_units()
    {
        using var json = JsonDocument.Parse(Json(_gateway.Status));
        var channel = json.RootElement.GetProperty("channels")[0];
        var ledger = channel.GetProperty("ledger");
        string[] keys = ["received", "delivered", "buffered", "parked", "discarded", "repeated"];
        Assert.Equal([100, 80, 15, 3, 2, 7], keys.Select(key => ledger.GetProperty(key).GetInt64()));
        Assert.Equal(75.5, channel.GetProperty("oldest_age_s").GetDouble());
        Assert.Equal("running", channel.GetProperty("state").GetString());
        Assert.Equal(2, channel.GetProperty("source_status").GetProperty("counters").GetProperty("oversize").GetInt64());
    }

    [Theory]
    [InlineData("channel pause", "scale", "pause scale True")]
    [InlineData("channel resume", "scale", "pause scale False")]
    [InlineData("channel retry", "scale", "retry scale")]
    [InlineData("park replay", "scale", "replay scale")]
    public async Task Commands_reach_the_gateway(string command, string channel, string call)
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        Assert.True((await client.AskAsync(new ControlRequest { Command = command, Channel = channel }, Never)).Ok);
        Assert.Equal([call], _gateway.Calls);
        var unknown = await client.AskAsync(new ControlRequest { Command = command, Channel = "scales" }, Never);
        Assert.Contains("no channel \"scales\"", unknown.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_waits_comes_in_pieces_that_are_asked_for()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var request = new ControlRequest { Command = "queue peek", Channel = "scale", From = 7, Offset = 2 };
        var answer = await client.AskAsync(request, Never);
        var entry = Assert.Single(answer.Queued!);
        Assert.Equal((7L, 5, 7L), (entry.Sequence, entry.Bytes, answer.LastSequence));
        Assert.Equal(("ll", "partial"), (Encoding.ASCII.GetString(entry.Payload), entry.Flags.Single()));
        Assert.Empty((await client.AskAsync(request with { From = 8 }, Never)).Queued!);
        Assert.Contains("no channel \"scales\"", (await client.AskAsync(request with { Channel = "scales" }, Never)).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_drop_is_asked_for_in_parts_and_a_purge_says_what_it_took()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var request = new ControlRequest { Command = "park drop", Channel = "scale", Count = 1 };
        var answer = await client.AskAsync(request, Never);
        Assert.Equal(new CommandProgress(1, 2, 0, 8, 9), answer.Progress);
        answer = await client.AskAsync(request with { From = 8, UpTo = 9 }, Never);
        Assert.Equal(new CommandProgress(1, 2, 1, null, 9), answer.Progress);
        Assert.Equal("Parked messages of scale dropped for good: 1; another command has 1 more.", answer.Message);

        var purge = request with { Command = "queue purge" };
        Assert.Contains("discarded: 15 (150 bytes)", (await client.AskAsync(purge, Never)).Message, StringComparison.Ordinal);
        Assert.Contains("is forgotten, with 4 messages", (await client.AskAsync(purge with { Channel = "former" }, Never)).Message, StringComparison.Ordinal);
        Assert.Contains("no queue of that name", (await client.AskAsync(purge with { Channel = "x" }, Never)).Error, StringComparison.Ordinal);
        Assert.Contains("needs the id", (await client.AskAsync(purge with { Channel = null }, Never)).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Identify_needs_no_channel()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var answer = await client.AskAsync(new ControlRequest { Command = "identify" }, Never);
        Assert.Equal("The LEDs alternate for 60 s.", answer.Message);
        Assert.Equal(["identify 60"], _gateway.Calls);
    }

    [Fact]
    public async Task Secrets_are_set_and_listed_and_never_told()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var largest = new byte[SecretStore.MaxBytes];
        Assert.True((await client.AskAsync(new ControlRequest { Command = "secret set", Secret = "relay", Value = "hunter22"u8.ToArray() }, Never)).Ok);
        Assert.True((await client.AskAsync(new ControlRequest { Command = "secret set", Secret = "ca.pem", Value = largest }, Never)).Ok);
        var list = await client.AskLineAsync("{\"command\":\"secret list\"}\n"u8.ToArray(), Never);
        Assert.Contains("\"name\":\"relay\",\"bytes\":8", list, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter22", list, StringComparison.Ordinal);
        var refused = await client.AskAsync(new ControlRequest { Command = "secret set", Secret = "../relay", Value = [1] }, Never);
        Assert.Contains("A secret's name is", refused.Error, StringComparison.Ordinal);
        var empty = await client.AskAsync(new ControlRequest { Command = "secret set", Secret = "relay" }, Never);
        Assert.Contains("is empty", empty.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Parked_messages_are_listed()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var answer = await client.AskAsync(new ControlRequest { Command = "park list", Channel = "scale" }, Never);
        Assert.Equal([new ParkedEntry(7, 2, "6869")], answer.Parked!);
        Assert.Equal("7  2 bytes  6869\n1 parked\n", StatusText.RenderParked(answer.Parked!));
    }

    [Theory]
    [InlineData("nonsense", "no request")]
    [InlineData("null", "no request")]
    [InlineData("{}", "command")]
    [InlineData("{\"command\":\"channel pause\"}", "needs the id of a channel")]
    [InlineData("{\"command\":\"explode\"}", "no command \"explode\"")]
    [InlineData("{\"command\":\"park list\",\"channel\":\"broken\"}", "The store is closed.")]
    public async Task A_bad_line_gets_one_error_and_the_next_is_served(string line, string named)
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var answer = await client.AskLineAsync(Encoding.UTF8.GetBytes(line + "\n"), Never);
        using var json = JsonDocument.Parse(answer!);
        Assert.False(json.RootElement.GetProperty("ok").GetBoolean());
        Assert.Contains(named, json.RootElement.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.True((await client.AskAsync(new ControlRequest { Command = "reload" }, Never)).Ok);
    }

    [Fact]
    public async Task A_line_without_end_is_refused_once()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var endless = new byte[3 * ControlServer.MaxLineBytes];
        Array.Fill(endless, (byte)'x');
        Assert.Contains("at most 524288 bytes", await client.AskLineAsync(endless, Never), StringComparison.Ordinal);
        var next = await client.AskLineAsync("\n{\"command\":\"reload\"}\n"u8.ToArray(), Never);
        Assert.Contains("\"ok\":true", next, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Lines_in_pieces_and_in_one_go_are_answered_in_order()
    {
        using var client = await ControlClient.ConnectAsync(SocketPath, Never);
        var first = await client.AskLineAsync(
            "{\"command\":\"reload\"}\r\n\n{\"command\":\"channel retry\",\"channel\":\"scale\"}\n{\"comm"u8.ToArray(), Never);
        var second = await client.AskLineAsync(default, Never);
        var third = await client.AskLineAsync("and\":\"status\"}\n"u8.ToArray(), Never);
        Assert.Contains("Nothing changed", first, StringComparison.Ordinal);
        Assert.Contains("tries again", second, StringComparison.Ordinal);
        Assert.Contains("\"device_id\":\"gw-0017\"", third, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Several_clients_are_served_and_one_too_many_is_told_so()
    {
        var clients = new List<ControlClient>();
        for (var i = 0; i < ControlServer.MaxClients; i++)
        {
            clients.Add(await ControlClient.ConnectAsync(SocketPath, Never));
            Assert.True((await clients[i].AskAsync(new ControlRequest { Command = "reload" }, Never)).Ok);
        }

        using var late = await ControlClient.ConnectAsync(SocketPath, Never);
        await Task.Delay(100); // it is refused, and its end closed, before it has asked
        Assert.Contains("connected already", (await late.AskAsync(new ControlRequest { Command = "reload" }, Never)).Error, StringComparison.Ordinal);
        Assert.True((await clients[3].AskAsync(new ControlRequest { Command = "reload" }, Never)).Ok);
        clients.ForEach(c => c.Dispose());
    }

    [Fact]
    public void Only_owner_and_group_may_use_it() => Assert.Equal(Convert.ToInt32("660", 8), (int)File.GetUnixFileMode(SocketPath));

    [Fact]
    public async Task Without_a_gateway_the_client_says_so()
    {
        var e = await Assert.ThrowsAsync<IOException>(() => ControlClient.ConnectAsync(Path.Combine(_folder, "none.sock"), Never));
        Assert.Contains("No gateway answers", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_too_long_for_a_socket_is_named()
    {
        using var server = new ControlServer(Path.Combine(_folder, new string('x', 200)), (_, _) => default, TimeProvider.System, NullLogger.Instance);
        Assert.Contains("cannot be opened", Assert.Throws<IOException>(server.Open).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_data_folder_has_one_gateway()
    {
        using (DataFolder.Take(_folder))
            Assert.True(Assert.Throws<DataFolderException>(() => DataFolder.Take(_folder)).InUse);
        DataFolder.Take(_folder).Dispose();
        Assert.False(Assert.Throws<DataFolderException>(() => DataFolder.Take("/proc/none")).InUse);
    }

    private static string Json(GatewayStatus status) => JsonSerializer.Serialize(status, ControlJson.Default.GatewayStatus);
}
