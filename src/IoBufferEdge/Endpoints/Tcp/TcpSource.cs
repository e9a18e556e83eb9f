using System.Net;
using IoBufferEdge.Channels;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// <c>tcp_server</c> and <c>tcp_client</c> as a source. A server takes up to <c>max_clients</c> at once, each with its own receive loop
/// (<see cref="TcpReceiver"/>): one that stalls holds up nobody. One client more, or one that <c>allow</c> does not name, is closed at
/// once and counted. A client reconnects for ever, its backoff reset by received bytes.
/// </summary>
public sealed class TcpSource : ISource
{
    private static readonly TimeSpan HandshakeLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AcceptRetryDelay = TimeSpan.FromMilliseconds(200);

    private readonly string _channelId;
    private readonly SourceConfig _config;
    private readonly EndpointContext _context;
    private readonly AllowList _allow;
    private readonly SourceAck? _ack;
    private readonly TcpSourceCounters _counters = new();
    private IListener? _listener;
    private TlsContext? _tls;
    private int _clients;
    private (IPAddress Address, string Reason) _lastRefused;
    private volatile EndpointState _state = EndpointState.Closed;
    private volatile string? _detail;

    /// <exception cref="EndpointException">A value of the configuration makes no sense.</exception>
    public TcpSource(ChannelConfig channel, EndpointContext context)
    {
        (_channelId, _config, _context) = (channel.Id, channel.Source, context);
        _allow = new AllowList(_config.Allow);
        _ = EndpointFactory.CreateDecoder(channel.Id, _config);
        _ack = _config.Ack is { } ack ? new SourceAck(ack, context.Time) : null;
    }

    private bool IsServer => _config.Type == EndpointType.TcpServer;

    private TcpTuning Tuning => new(_config.Bind, ReceiveBufferBytes: _config.RecvBufferBytes);

    /// <summary>The port that a server listens on; 0 before it does.</summary>
    public int Port => _listener?.Port ?? 0;

    public EndpointStatus Status
    {
        get
        {
            var clients = Volatile.Read(ref _clients);
            return new EndpointStatus(clients > 0 ? EndpointState.Connected : _state, _detail, clients, _counters.Snapshot());
        }
    }

    public ValueTask OpenAsync()
    {
        if (_config.Tls.Enabled) _tls = TlsContext.Load(_config.Tls, _context.Log);
        if (IsServer)
        {
            _listener = _context.Network.Listen(_config.Host ?? "*", _config.Port, Tuning);
            Log.SourceListening(_context.Log, _channelId, $"{_config.Host}:{_listener.Port}");
        }

        _state = EndpointState.Waiting;
        return ValueTask.CompletedTask;
    }

    public async Task RunAsync(IMessageSink sink, CancellationToken stop)
    {
        // Ends early, too, when a connection finds that the channel gave up, or fails in a way that nobody foresaw.
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        try
        {
            if (IsServer) await AcceptClientsAsync(sink, ending);
            else await ConnectAgainAndAgainAsync(sink, ending);
        }
        finally
        {
            _state = EndpointState.Closed;
        }
    }

    public ValueTask DisposeAsync()
    {
        _listener?.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task AcceptClientsAsync(IMessageSink sink, CancellationTokenSource ending)
    {
        var serving = new List<Task>();
        while (await NextClientAsync(ending.Token) is { } client)
        {
            serving.RemoveAll(task => task.IsCompletedSuccessfully);
            if (IsRefused(client)) client.Dispose();
            else serving.Add(ServeAsync(client, sink, ending));
        }

        _listener!.Dispose();
        await Task.WhenAll(serving);
    }

    /// <summary>Null when it is time to end. What stops an accept (too many open files, …) passes: it is reported and tried again.</summary>
    private async ValueTask<IConnection?> NextClientAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var client = await _listener!.AcceptAsync(stop);
                _detail = null;
                return client;
            }
            catch (IOException e)
            {
                if (_detail != e.Message) Log.SourceFailed(_context.Log, _channelId, e.Message);
                _detail = e.Message;
                await Task.Delay(AcceptRetryDelay, _context.Time, stop).QuietlyAsync();
            }
            catch (OperationCanceledException)
            {
                break;
            }
        }

        return null;
    }

    private bool IsRefused(IConnection client)
    {
        if (!_allow.IsAllowed(client.Remote.Address))
        {
            _counters.RefusedAddresses.Add();
            ReportRefused(client, "its address is not in allow");
            return true;
        }

        if (Volatile.Read(ref _clients) < _config.EffectiveMaxClients) return false;
        _counters.RefusedClients.Add();
        ReportRefused(client, $"max_clients ({_config.EffectiveMaxClients}) are connected");
        return true;
    }

    /// <summary>One line per address and reason in a row: who tries again and again is counted, not logged.</summary>
    private void ReportRefused(IConnection client, string reason)
    {
        var refused = (client.Remote.Address, reason);
        if (refused == _lastRefused) return;
        _lastRefused = refused;
        Log.SourceRefused(_context.Log, _channelId, client.Remote.Address, reason);
    }

    private async Task ConnectAgainAndAgainAsync(IMessageSink sink, CancellationTokenSource ending)
    {
        using var backoff = new Backoff(new RetryConfig(), _context.Time, _context.Random);
        while (!ending.IsCancellationRequested)
        {
            if (await TryConnectAsync(ending.Token) is { } connection && await ServeAsync(connection, sink, ending)) backoff.Reset();
            await backoff.WaitAsync(ending.Token).AsTask().QuietlyAsync();
        }
    }

    private async ValueTask<IConnection?> TryConnectAsync(CancellationToken stop)
    {
        try
        {
            return await _context.Network.ConnectAsync(_config.Host!, _config.Port, Tuning, stop);
        }
        catch (EndpointException e)
        {
            if (_detail != e.Message) Log.SourceFailed(_context.Log, _channelId, e.Message);
            _detail = e.Message;
        }
        catch (OperationCanceledException)
        {
            // The channel stops.
        }

        return null;
    }

    /// <summary>Receives from one connection to its end; true when anything came.</summary>
    private async Task<bool> ServeAsync(IConnection connection, IMessageSink sink, CancellationTokenSource ending)
    {
        var peer = connection.Remote.ToString();
        Interlocked.Increment(ref _clients);
        _counters.Connections.Add();
        _detail = peer;
        Log.SourceConnected(_context.Log, _channelId, peer);
        var (secured, endedInOrder) = (connection, false);
        try
        {
            secured = await SecureAsync(connection, ending.Token);
            using var receiver = new TcpReceiver(secured, sink, _config, _ack, _counters, _context);
            var reason = await receiver.RunAsync(ending.Token);
            endedInOrder = receiver.EndedInOrder;
            Log.SourceDisconnected(_context.Log, _channelId, peer, reason);
            _detail = $"{peer}: {reason}";
            return receiver.HasReceived;
        }
        catch (EndpointException e)
        {
            _counters.FailedHandshakes.Add();
            ReportRefused(connection, e.Message);
            _detail = e.Message;
            return false;
        }
        catch (OperationCanceledException)
        {
            ending.Cancel();
            return false;
        }
        catch
        {
            ending.Cancel();
            throw;
        }
        finally
        {
            // Its place first: who sees the end may come again at once.
            Interlocked.Decrement(ref _clients);
            if (endedInOrder) secured.ShutdownSend();
            secured.Dispose();
        }
    }

    /// <summary>The connection itself, or TLS over it.</summary>
    /// <exception cref="EndpointException">The handshake failed or took too long.</exception>
    private async ValueTask<IConnection> SecureAsync(IConnection connection, CancellationToken stop)
    {
        if (_tls is null) return connection;
        using var limit = new CancellationTokenSource(HandshakeLimit, _context.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, limit.Token);
        try
        {
            return IsServer
                ? await TlsConnection.ServerAsync(connection, _tls, either.Token)
                : await TlsConnection.ClientAsync(connection, _tls, _config.Host!, either.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new EndpointException($"TLS with {connection.Remote.Address} failed: no handshake within {HandshakeLimit.TotalSeconds} s.");
        }
    }
}
