using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;
using IoBufferEdge.Simulation;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>What a TCP source keeps, over any network: the same tests run over real sockets and over the simulated network.</summary>
public abstract class TcpSourceContract
{
    private static readonly FramingConfig Lines = new() { Type = FramingType.Line };

    /// <summary>The network as the source sees it, and as its peers do.</summary>
    protected abstract INetwork SourceNetwork { get; }

    protected abstract INetwork PeerNetwork { get; }

    /// <summary>What the peer connects to, and what the source calls the peer.</summary>
    protected abstract string SourceHost { get; }

    protected abstract string PeerHost { get; }

    protected abstract TimeProvider Time { get; }

    /// <summary>Runs a test's body to its end; fails it when that does not come.</summary>
    protected abstract Task RunAsync(Func<Task> body);

    [Fact]
    public Task Frames_come_out_in_order_however_the_stream_was_cut() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server());
        var random = new Random(3);
        var sent = Enumerable.Range(0, 2000).Select(i => $"message {i} {new string('x', random.Next(200))}\n").ToList();
        using var peer = await run.ConnectAsync();
        var stream = Bytes(string.Concat(sent));
        for (var at = 0; at < stream.Length;)
        {
            var piece = Math.Min(random.Next(1, 3000), stream.Length - at);
            await SendAllAsync(peer, stream.AsMemory(at, piece));
            at += piece;
        }

        await run.Sink.UntilAsync(sink => sink.Messages.Count == sent.Count);
        Assert.Equal(sent, run.Sink.Messages.Select(m => m.Text));
        Assert.True(run.Sink.Publishes < 2 * stream.Length / 1000, "published per read, not per message");
    });

    [Fact]
    public Task A_frame_larger_than_the_ordinary_buffer_comes_out_whole() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server() with { MaxMessageBytes = 1 << 20 });
        using var peer = await run.ConnectAsync();
        var large = new string('y', 900_000) + "\n";
        await SendAllAsync(peer, Bytes("a\n" + large + "b\n" + large));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 4);
        Assert.Equal(["a\n", large, "b\n", large], run.Sink.Messages.Select(m => m.Text));
    });

    [Fact]
    public Task Without_room_the_source_stops_reading_and_loses_nothing() => RunAsync(async () =>
    {
        const int Count = 20_000;
        await using var run = await StartAsync(Server());
        run.Sink.SetRoom(100_000);
        using var peer = await run.ConnectAsync();
        var sent = Enumerable.Range(0, Count).Select(i => $"{i:D9}{new string('z', 990)}\n").ToList();
        var sending = SendAllAsync(peer, Bytes(string.Concat(sent)));
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        Assert.Equal(100, run.Sink.Messages.Count);
        Assert.False(sending.IsCompleted, "20 MB do not fit between a peer and a source that does not read");

        run.Sink.SetRoom(long.MaxValue);
        await sending;
        await run.Sink.UntilAsync(sink => sink.Messages.Count == Count);
        Assert.Equal(sent, run.Sink.Messages.Select(m => m.Text));
    });

    [Fact]
    public Task A_client_that_waits_for_room_holds_up_no_stop() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server());
        run.Sink.SetRoom(4);
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("one\ntwo\n"));
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        run.Stop();
        run.Sink.GiveUp();
        await run.Running;
        Assert.Equal(["one\n"], run.Sink.Messages.Select(m => m.Text));
        await Assert.ThrowsAsync<IOException>(async () => await ReadToEndAsync(peer));
    });

    [Fact]
    public Task Stop_appends_what_the_kernel_held() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server());
        run.Sink.SetRoom(10);
        using var peer = await run.ConnectAsync();
        var sent = Enumerable.Range(0, 4000).Select(i => $"{i:D9}\n").ToList();
        await SendAllAsync(peer, Bytes(sent[0] + sent[1]));
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        await SendAllAsync(peer, Bytes(string.Concat(sent.Skip(2)) + "unfinished"));
        while (peer.Inspect().UnacknowledgedBytes > 0) await Task.Delay(TimeSpan.FromMilliseconds(1), Time);

        run.Stop();
        run.Sink.SetRoom(long.MaxValue);
        await run.Running;
        Assert.Equal([.. sent, "unfinished"], run.Sink.Messages.Select(m => m.Text));
        Assert.Equal(MessageFlags.Partial, run.Sink.Messages[^1].Flags);
        Assert.Equal(0, await peer.ReceiveAsync(new byte[1], default));
    });

    [Fact]
    public Task Bytes_without_a_delimiter_become_a_partial_message() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server());
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("whole\nhalf"));
        peer.ShutdownSend();
        await ReadToEndAsync(peer);
        Assert.Equal(
            [("whole\n", MessageFlags.None), ("half", MessageFlags.Partial)], run.Sink.Messages.Select(m => (m.Text, m.Flags)));
        Assert.Equal(1, run.Counter("partial"));
    });

    [Fact]
    public Task One_client_too_many_is_closed_at_once_and_counted() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server() with { MaxClients = 2 });
        using var first = await run.ConnectAsync();
        using var second = await run.ConnectAsync();
        await SendAllAsync(first, Bytes("1\n"));
        await SendAllAsync(second, Bytes("2\n"));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 2);
        using var third = await run.ConnectAsync();
        Assert.Empty(await ReadToEndAsync(third));
        Assert.Equal((1, 2), (run.Counter("refused_clients"), run.Source.Status.Connections));

        first.ShutdownSend();
        await ReadToEndAsync(first);
        using var fourth = await run.ConnectAsync();
        await SendAllAsync(fourth, Bytes("4\n"));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 3);
    });

    [Fact]
    public Task Who_is_not_in_allow_is_closed_at_once_and_counted() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Server() with { Allow = ["198.51.100.0/24", "2001:db8::1"] });
        using var peer = await run.ConnectAsync();
        Assert.Empty(await ReadToEndAsync(peer));
        Assert.Equal(1, run.Counter("refused_addresses"));
    });

    [Fact]
    public Task Acks_go_out_in_order_and_only_when_secured() => RunAsync(async () =>
    {
        var config = Server() with { Ack = new AckConfig { Type = AckType.Bytes, AckHex = "06" } };
        await using var run = await StartAsync(config, new MemorySink(Time) { SecuresAtOnce = false });
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("1\n2\n3\n"));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 3 && sink.WaitingForSecured == 1);
        Assert.Equal(-1, peer.ReceiveNow(new byte[1]));

        run.Sink.Secure(2);
        Assert.Equal("\u0006\u0006", await ReadAsync(peer, 2));
        await run.Sink.UntilAsync(sink => sink.WaitingForSecured == 1);
        Assert.Equal(-1, peer.ReceiveNow(new byte[1]));
        run.Sink.Secure(3);
        Assert.Equal("\u0006", await ReadAsync(peer, 1));
    });

    [Fact]
    public Task An_oversize_message_is_refused_in_its_turn_and_a_discarded_one_acknowledged_in_its() => RunAsync(async () =>
    {
        var config = Server() with
        {
            Ack = new AckConfig { Type = AckType.Bytes, AckHex = "41", NakHex = "4e" },
            MaxMessageBytes = 100,
            OnOversize = OnOversize.Reject,
        };
        var sink = new MemorySink(Time) { SecuresAtOnce = false, Discards = bytes => bytes[0] == 'd' };
        await using var run = await StartAsync(config, sink);
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("1\n" + new string('o', 500) + "\nd\n2\n"));
        await sink.UntilAsync(s => s.Messages.Count == 2 && s.WaitingForSecured == 1);
        Assert.Equal(-1, peer.ReceiveNow(new byte[1]));
        sink.Secure(1);
        Assert.Equal("ANA", await ReadAsync(peer, 3));
        sink.Secure(2);
        Assert.Equal("A", await ReadAsync(peer, 1));
        Assert.Equal((1, 1, 3), (run.Counter("oversize"), run.Counter("naks"), run.Counter("acks")));
    });

    [Fact]
    public Task More_acks_than_fit_hold_up_reading_and_none_is_lost() => RunAsync(async () =>
    {
        const int Count = 5000;
        var config = Server() with { Ack = new AckConfig { Type = AckType.Bytes, AckHex = "06" } };
        await using var run = await StartAsync(config, new MemorySink(Time) { SecuresAtOnce = false });
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes(string.Concat(Enumerable.Range(0, Count).Select(i => $"{i}\n"))));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 1025);
        Assert.Equal(-1, peer.ReceiveNow(new byte[1]));
        run.Sink.Secure(Count);
        Assert.Equal(new string('\u0006', Count), await ReadAsync(peer, Count));
        Assert.Equal(Count, run.Sink.Messages.Count);
    });

    [Fact]
    public Task A_client_that_does_not_read_its_acks_holds_up_only_itself_and_no_stop() => RunAsync(async () =>
    {
        var ack = new string('a', 500);
        var config = Server() with { Ack = new AckConfig { Type = AckType.Bytes, AckHex = Convert.ToHexString(Bytes(ack)) } };
        await using var run = await StartAsync(config);
        using var deaf = await run.ConnectAsync();
        var flood = SendAllAsync(deaf, Bytes(string.Concat(Enumerable.Repeat("x\n", 10_000_000))));
        using var other = await run.ConnectAsync();
        for (var i = 0; i < 5; i++)
        {
            await SendAllAsync(other, Bytes("y\n"));
            Assert.Equal(ack, await ReadAsync(other, ack.Length));
        }

        Assert.False(flood.IsCompleted, "its acknowledgements fill its own buffers, so it is not read either");
        run.Stop();
        await run.Running;
        await Assert.ThrowsAnyAsync<IOException>(() => flood);
    });

    [Fact]
    public Task A_frame_that_was_cut_is_acknowledged_once() => RunAsync(async () =>
    {
        var config = Server() with { Ack = new AckConfig { Type = AckType.Bytes, AckHex = "06" }, MaxMessageBytes = 10 };
        await using var run = await StartAsync(config);
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("a line of more than thirty bytes\nshort\n"));
        peer.ShutdownSend();
        Assert.Equal("\u0006\u0006", await ReadToEndAsync(peer));
        Assert.Equal(5, run.Sink.Messages.Count);
    });

    [Fact]
    public Task Stop_lets_the_pending_acks_out_once_secured() => RunAsync(async () =>
    {
        var config = Server() with { Ack = new AckConfig { Type = AckType.Bytes, AckHex = "06" } };
        await using var run = await StartAsync(config, new MemorySink(Time) { SecuresAtOnce = false });
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("1\n2\n"));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 2 && sink.WaitingForSecured == 1);
        run.Stop();
        Assert.False(run.Running.IsCompleted);
        run.Sink.Secure(2);
        Assert.Equal("\u0006\u0006", await ReadToEndAsync(peer));
        await run.Running;
    });

    [Fact]
    public Task What_will_not_be_secured_is_not_acknowledged() => RunAsync(async () =>
    {
        var config = Server() with { Ack = new AckConfig { Type = AckType.Bytes, AckHex = "06" } };
        await using var run = await StartAsync(config, new MemorySink(Time) { SecuresAtOnce = false });
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("1\n"));
        await run.Sink.UntilAsync(sink => sink.WaitingForSecured == 1);
        run.Stop();
        run.Sink.GiveUp();
        await run.Running;
        await Assert.ThrowsAsync<IOException>(async () => await ReadToEndAsync(peer));
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public Task An_oversize_message_without_a_nak_ends_the_connection(bool acknowledged) => RunAsync(async () =>
    {
        var config = Server() with
        {
            MaxMessageBytes = 100,
            OnOversize = OnOversize.Reject,
            Ack = acknowledged ? new AckConfig { Type = AckType.Bytes, AckHex = "06" } : null,
        };
        await using var run = await StartAsync(config);
        using var peer = await run.ConnectAsync();
        await SendAllAsync(peer, Bytes("1\n" + new string('o', 500) + "\n"));
        await Assert.ThrowsAsync<IOException>(async () => await ReadToEndAsync(peer));
        Assert.Equal(["1\n"], run.Sink.Messages.Select(m => m.Text));
        Assert.Equal(1, run.Counter("oversize"));
    });

    [Fact]
    public Task An_hl7_message_is_answered_from_its_own_header() => RunAsync(async () =>
    {
        var config = Server() with { Framing = new FramingConfig { Type = FramingType.Mllp }, Ack = new AckConfig { Type = AckType.Mllp } };
        await using var run = await StartAsync(config);
        using var peer = await run.ConnectAsync();
        await SendAllAsync(
            peer, Bytes("\vMSH|^~\\&|LAB|HALL 2|EHR|CLINIC|20260101||ORU^R01^ORU_R01|id-17|P|2.5.1||||||UNICODE UTF-8\rPID|1\r\u001c\r"));
        var ack = await ReadAsync(peer, count: 0, end: "\u001c\r");
        var segments = ack.Split('\r');
        var header = segments[0].Split('|');
        Assert.Equal(["\vMSH", "^~\\&", "EHR", "CLINIC", "LAB", "HALL 2"], header[..6]);
        Assert.Equal(["", "ACK^R01", "id-17", "P", "2.5.1"], header[7..12]);
        Assert.Equal("UNICODE UTF-8", header[17]);
        Assert.Equal("MSA|AA|id-17", segments[1]);
        Assert.Equal("\u001c", segments[2]);
    });

    [Fact]
    public Task A_client_connects_again_when_its_peer_has_closed() => RunAsync(async () =>
    {
        using var listener = PeerNetwork.Listen(PeerHost, 0, new TcpTuning());
        var config = Server() with { Type = EndpointType.TcpClient, Host = PeerHost, Port = listener.Port };
        await using var run = await StartAsync(config);
        for (var round = 1; round <= 3; round++)
        {
            using var peer = await listener.AcceptAsync(default);
            await SendAllAsync(peer, Bytes($"{round}\n"));
            var expected = round;
            await run.Sink.UntilAsync(sink => sink.Messages.Count == expected);
            peer.ShutdownSend();
            Assert.Empty(await ReadToEndAsync(peer));
        }

        Assert.Equal(["1\n", "2\n", "3\n"], run.Sink.Messages.Select(m => m.Text));
    });

    protected async Task<SourceRun> StartAsync(SourceConfig config, MemorySink? sink = null)
    {
        var channel = new ChannelConfig
        {
            Id = "c",
            Source = config,
            Destination = new DestinationConfig { Type = EndpointType.TcpClient },
        };
        var context = new EndpointContext(SourceNetwork, new MemoryBudget(12 << 20), Time, new Random(1), NullLogger.Instance);
        var run = new SourceRun(new TcpSource(channel, context), sink ?? new MemorySink(Time), PeerNetwork, SourceHost);
        await run.OpenAsync();
        return run;
    }

    protected virtual SourceConfig Server() => new() { Type = EndpointType.TcpServer, Host = SourceHost, Framing = Lines };

    protected static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    protected static async Task SendAllAsync(IConnection connection, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await connection.SendAsync(bytes, default)..];
    }

    protected static async Task<string> ReadAsync(IConnection connection, int count, string? end = null)
    {
        var text = "";
        var buffer = new byte[4096];
        while (end is null ? text.Length < count : !text.EndsWith(end, StringComparison.Ordinal))
        {
            var read = await connection.ReceiveAsync(buffer, default);
            Assert.NotEqual(0, read);
            text += Encoding.Latin1.GetString(buffer, 0, read);
        }

        return text;
    }

    protected static async Task<string> ReadToEndAsync(IConnection connection)
    {
        var text = "";
        var buffer = new byte[4096];
        while (await connection.ReceiveAsync(buffer, default) is var read and > 0) text += Encoding.Latin1.GetString(buffer, 0, read);
        return text;
    }

    /// <summary>A source at work.</summary>
    protected sealed class SourceRun(TcpSource source, MemorySink sink, INetwork peers, string sourceHost) : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();

        public TcpSource Source => source;

        public MemorySink Sink => sink;

        public Task Running { get; private set; } = Task.CompletedTask;

        public async Task OpenAsync()
        {
            await source.OpenAsync();
            Running = source.RunAsync(sink, _stop.Token);
        }

        public void Stop() => _stop.Cancel();

        public ValueTask<IConnection> ConnectAsync() => peers.ConnectAsync(sourceHost, source.Port, new TcpTuning(), default);

        public long Counter(string name) => source.Status.Counters.Single(c => c.Key == name).Value;

        public async ValueTask DisposeAsync()
        {
            Stop();
            sink.Secure(long.MaxValue);
            sink.SetRoom(long.MaxValue);
            await Running;
            await source.DisposeAsync();
            _stop.Dispose();
        }
    }
}
