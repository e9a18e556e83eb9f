using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>
/// Delivers over one TCP connection at a time: to a server it connects to (<c>tcp_client</c>), or to the client that connects to it
/// (<c>tcp_server</c>). A server listens from <see cref="OpenAsync"/> on and takes clients whether or not one is asked for, so that a
/// returning client ends a backoff; <c>client_policy</c> says which of two clients stays.
/// </summary>
public sealed class TcpDestination : IDestination
{
    private static readonly TimeSpan HandshakeLimit = TimeSpan.FromSeconds(10);
    private readonly ChannelConfig _channel;
    private readonly DestinationConfig _config;
    private readonly EndpointContext _context;
    private readonly TcpLinkOptions _linkOptions;
    private readonly AllowList _allow;
    private readonly EventCounter _refusedClients = new("refused_clients");
    private readonly EventCounter _takeovers = new("takeovers");
    private readonly TcpLinkCounters _counters = new();
    private readonly CancellationTokenSource _closed = new();
    private readonly Lock _lock = new();
    private readonly AsyncSignal _clientCame;
    private IListener? _listener;
    private TlsContext? _tls;
    private Task _accepting = Task.CompletedTask;

    // Under _lock.
    private TcpDestinationLink? _link;
    private IConnection? _client;
    private EndpointState _state = EndpointState.Closed;
    private string? _detail;

    public TcpDestination(ChannelConfig channel, EndpointContext context)
    {
        _channel = channel;
        _config = channel.Destination;
        _context = context;
        _clientCame = new AsyncSignal(context.Time);
        _allow = new AllowList(_config.Allow);
        _linkOptions = new TcpLinkOptions(
            _config.EffectiveConfirm,
            TimeSpan.FromMilliseconds(ChannelRules.EffectiveHoldMs(channel)),
            FrameEncoder.Create(_config.Framing),
            MessagePacer.Create(_config.MaxMessagesPerS, context.Time),
            _config.Tls.Enabled,
            context.Tap);
    }

    private bool IsServer => _config.Type == EndpointType.TcpServer;

    private string Address => $"{_config.Host}:{_config.Port}";

    public EndpointStatus Status
    {
        get
        {
            lock (_lock)
            {
                return new EndpointStatus(_state, _detail, _link is null ? 0 : 1, EventCounter.Snapshot(
                    _refusedClients, _takeovers, _counters.DisorderlyEnds, _counters.Naks, _counters.UnrelatedAcks, _counters.AckTimeouts));
            }
        }
    }

    /// <summary>The port listened on; 0 for a client.</summary>
    public int Port => _listener?.Port ?? 0;

    public ValueTask OpenAsync()
    {
        if (_config.Tls.Enabled) _tls = TlsContext.Load(_config.Tls, _context.Log);
        if (IsServer)
        {
            _listener = _context.Network.Listen(_config.Host ?? "*", _config.Port, new TcpTuning(_config.Bind));
            _accepting = AcceptAsync(_listener);
        }

        SetState(EndpointState.Waiting, null);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<IDestinationLink> ConnectAsync(CancellationToken cancel)
    {
        SetState(IsServer ? EndpointState.Waiting : EndpointState.Opening, null);
        try
        {
            var connection = await SecureAsync(IsServer ? await TakeClientAsync(cancel) : await DialAsync(cancel), cancel);
            var link = new TcpDestinationLink(connection, _linkOptions, _counters, _context.Time);
            lock (_lock) (_link, _state, _detail) = (link, EndpointState.Connected, $"{connection.Remote}");
            return link;
        }
        catch (EndpointException e)
        {
            SetState(EndpointState.Waiting, e.Message);
            throw;
        }
    }

    public async ValueTask WaitForPeerSignAsync(CancellationToken cancel)
    {
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _clientCame);
        while (!HasClient)
        {
            cancel.ThrowIfCancellationRequested();
            await _clientCame.WaitAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        _closed.Cancel();
        _listener?.Dispose();
        await _accepting;
        lock (_lock)
        {
            _client?.Dispose();
            (_client, _link, _state) = (null, null, EndpointState.Closed);
        }

        _closed.Dispose();
    }

    private ValueTask<IConnection> DialAsync(CancellationToken cancel) =>
        _context.Network.ConnectAsync(_config.Host!, _config.Port, new TcpTuning(_config.Bind), cancel);

    /// <summary>The handshake, where TLS is on. It may take 10 s: a client that connects and says nothing must not keep others out.</summary>
    private async ValueTask<IConnection> SecureAsync(IConnection connection, CancellationToken cancel)
    {
        if (_tls is not { } tls) return connection;
        using var limit = new CancellationTokenSource(HandshakeLimit, _context.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, limit.Token);
        try
        {
            return IsServer
                ? await TlsConnection.ServerAsync(connection, tls, either.Token)
                : await TlsConnection.ClientAsync(connection, tls, _config.Host!, either.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            connection.Dispose();
            throw new EndpointException($"TLS with {connection.Remote} failed: no handshake within {HandshakeLimit.TotalSeconds} s.");
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    // ---- server

    private async ValueTask<IConnection> TakeClientAsync(CancellationToken cancel)
    {
        await WaitForPeerSignAsync(cancel);
        lock (_lock)
        {
            var client = _client!;
            _client = null;
            return client;
        }
    }

    private async Task AcceptAsync(IListener listener)
    {
        while (!_closed.IsCancellationRequested)
        {
            try
            {
                Admit(await listener.AcceptAsync(_closed.Token));
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (IOException e)
            {
                Log.AcceptFailed(_context.Log, _channel.Id, e.Message);
                await PauseAsync();
            }
        }
    }

    /// <summary>Decides about a client that has just connected.</summary>
    private void Admit(IConnection client)
    {
        if (!_allow.IsAllowed(client.Remote.Address))
        {
            Refuse(client, "its address is not in allow");
            return;
        }

        TcpDestinationLink? replaced;
        lock (_lock)
        {
            replaced = _link is { IsOver: false } ? _link : null;
            if (_config.ClientPolicy == ClientPolicy.First && (replaced is not null || IsWaiting(_client)))
            {
                Refuse(client, "another client is connected (client_policy: first)");
                return;
            }

            _client?.Dispose();
            _client = client;
            _clientCame.Set();
        }

        if (replaced is null) return;
        _takeovers.Add();
        Log.ClientTookOver(_context.Log, _channel.Id, client.Remote);
        replaced.Abort($"{client.Remote} has taken over.");
    }

    private static bool IsWaiting(IConnection? client) => client?.Inspect() is { Established: true, PeerFinished: false };

    private void Refuse(IConnection client, string reason)
    {
        _refusedClients.Add();
        Log.ClientRefused(_context.Log, _channel.Id, client.Remote, reason);
        client.Dispose();
    }

    private Task PauseAsync() => Task.Delay(TimeSpan.FromSeconds(1), _context.Time, CancellationToken.None);

    private void SetState(EndpointState state, string? detail)
    {
        lock (_lock) (_state, _detail, _link) = (state, detail, null);
    }

    private bool HasClient
    {
        get
        {
            lock (_lock) return _client is not null;
        }
    }
}
