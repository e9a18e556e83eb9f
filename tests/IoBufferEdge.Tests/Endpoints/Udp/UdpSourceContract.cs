using System.Net;
using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Udp;
using IoBufferEdge.Simulation;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Endpoints.Udp;

/// <summary>What a UDP source keeps, over any network that loses nothing by itself.</summary>
public abstract class UdpSourceContract
{
    /// <summary>The network as the source sees it, and as its peers do.</summary>
    protected abstract INetwork SourceNetwork { get; }

    protected abstract INetwork PeerNetwork { get; }

    /// <summary>Where the source binds and the peer sends to.</summary>
    protected abstract string SourceHost { get; }

    protected abstract TimeProvider Time { get; }

    /// <summary>Runs a test's body to its end; fails it when that does not come.</summary>
    protected abstract Task RunAsync(Func<Task> body);

    [Fact]
    public Task A_datagram_is_a_message() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Config());
        await run.SendAsync("one", "two\nand more", new string('x', 9000));
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 3);
        Assert.Equal(["one", "two\nand more", new string('x', 9000)], run.Sink.Messages.Select(m => m.Text));
        Assert.Equal(EndpointState.Connected, run.Source.Status.State);
    });

    [Fact]
    public Task Datagrams_that_came_together_are_published_together() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Config(), new MemorySink(Time));
        run.Sink.SetRoom(1);
        await run.SendAsync("xy");
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        await run.SendAsync([.. Enumerable.Range(0, 20).Select(i => $"{i}")]);
        var before = run.Sink.Publishes;
        run.Sink.SetRoom(long.MaxValue);
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 21);
        Assert.InRange(run.Sink.Publishes - before, 0, 5);
    });

    [Fact]
    public Task Stop_appends_what_the_kernel_held() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Config());
        run.Sink.SetRoom(1);
        await run.SendAsync("0");
        await run.SendAsync("1");
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        await run.SendAsync([.. Enumerable.Range(2, 98).Select(i => $"{i}")]);
        run.Stop();
        run.Sink.SetRoom(long.MaxValue);
        await run.Running;
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"{i}"), run.Sink.Messages.Select(m => m.Text));
    });

    [Fact]
    public Task A_channel_that_gives_up_ends_the_source() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Config());
        run.Sink.SetRoom(0);
        await run.SendAsync("0");
        await run.Sink.UntilAsync(sink => sink.WaitingForRoom == 1);
        run.Sink.GiveUp();
        await run.Running;
        Assert.Empty(run.Sink.Messages);
    });

    [Fact]
    public Task A_datagram_over_the_limit_is_split_or_refused() => RunAsync(async () =>
    {
        await using (var run = await StartAsync(Config() with { MaxMessageBytes = 4 }))
        {
            await run.SendAsync("abcdefghij", "k");
            await run.Sink.UntilAsync(sink => sink.Messages.Count == 4);
            Assert.Equal(["abcd", "efgh", "ij", "k"], run.Sink.Messages.Select(m => m.Text));
            Assert.Equal([MessageFlags.Split, MessageFlags.Split, MessageFlags.Split, MessageFlags.None], run.Sink.Messages.Select(m => m.Flags));
        }

        await using (var run = await StartAsync(Config() with { MaxMessageBytes = 4, OnOversize = OnOversize.Reject }))
        {
            await run.SendAsync("abcdefghij", "k");
            await run.Sink.UntilAsync(sink => sink.Messages.Count == 1);
            Assert.Equal(("k", 1), (run.Sink.Messages[0].Text, run.Counter("oversize")));
        }
    });

    [Fact]
    public Task With_a_framing_a_datagram_is_several_messages() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Config() with { Framing = new FramingConfig { Type = FramingType.Line } });
        await run.SendAsync("1\n2\n3", "4\n");
        await run.Sink.UntilAsync(sink => sink.Messages.Count == 4);
        Assert.Equal(["1\n", "2\n", "3", "4\n"], run.Sink.Messages.Select(m => m.Text));
        Assert.Equal(1, run.Counter("partial"));
    });

    [Fact]
    public Task Who_is_not_in_allow_is_not_heard_and_counted() => RunAsync(async () =>
    {
        await using var run = await StartAsync(Config() with { Allow = ["198.51.100.1"] });
        await run.SendAsync("0");
        run.Stop();
        await run.Running;
        Assert.Empty(run.Sink.Messages);
        Assert.Equal(1, run.Counter("refused_addresses"));
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
        var source = new UdpSource(channel, context);
        await source.OpenAsync();
        var sender = await PeerNetwork.OpenDatagramAsync(null, 0, new DnsEndPoint(SourceHost, source.Port), 0, default);
        return new SourceRun(source, sink ?? new MemorySink(Time), sender);
    }

    private SourceConfig Config() => new() { Type = EndpointType.Udp, Host = SourceHost };

    /// <summary>A source at work, and who sends to it.</summary>
    protected sealed class SourceRun : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly IDatagramSocket _sender;

        public SourceRun(UdpSource source, MemorySink sink, IDatagramSocket sender)
        {
            (Source, Sink, _sender) = (source, sink, sender);
            Running = source.RunAsync(sink, _stop.Token);
        }

        public UdpSource Source { get; }

        public MemorySink Sink { get; }

        public Task Running { get; }

        public async Task SendAsync(params string[] datagrams)
        {
            foreach (var datagram in datagrams) await _sender.SendAsync(Encoding.Latin1.GetBytes(datagram), default);
        }

        public void Stop() => _stop.Cancel();

        public long Counter(string name) => Source.Status.Counters.Single(c => c.Key == name).Value;

        public async ValueTask DisposeAsync()
        {
            Stop();
            Sink.SetRoom(long.MaxValue);
            await Running;
            await Source.DisposeAsync();
            _sender.Dispose();
            _stop.Dispose();
        }
    }
}
