using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Channels;

/// <summary>
/// One channel at work: a source that fills the buffer, a destination that empties it, each in its own loop, for ever. The buffer
/// between them belongs to the gateway and outlives both.
/// <code>ReceiveLoop: source ─frames─▶ buffer          DeliverLoop: buffer ─runs─▶ link; link ─confirmations─▶ buffer</code>
/// A loop never gives up: what cannot be opened or breaks is tried again with backoff.
/// </summary>
public sealed partial class Channel : IDeliverySink
{
    /// <summary>How long a send under way may take once the channel stops; then the link is cut and what it held counts as unconfirmed.</summary>
    private static readonly TimeSpan SendGrace = TimeSpan.FromMilliseconds(500);

    /// <summary>What a stop keeps of its time for writing back what the peer may not have read.</summary>
    private static readonly TimeSpan WriteBackReserve = TimeSpan.FromMilliseconds(700);

    private const int ResetsBeforeAlert = 3;

    private readonly ChannelBuffer _buffer;
    private readonly Func<ISource> _newSource;
    private readonly Func<IDestination> _newDestination;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Backoff _sourceBackoff;
    private readonly Backoff _backoff;
    private readonly CancellationTokenSource _stopSource = new();
    private readonly CancellationTokenSource _stopDelivery = new();

    private ISource _source;
    private IDestination _destination;
    private bool _sourceOpen;
    private bool _destinationOpen;
    private Task _receiving = Task.CompletedTask;
    private Task _delivering = Task.CompletedTask;

    private volatile IDestinationLink? _link;
    private volatile bool _connected;
    private volatile bool _blocked;
    private int _resetsInARow;
    private long _retries;
    private string? _lastError;
    private DateTimeOffset _lastErrorAt;
    private string? _sourceError;
    private string? _destinationError;

    public Channel(
        ChannelConfig config, ChannelBuffer buffer, Func<ISource> newSource, Func<IDestination> newDestination, TimeProvider time, Random random, ILogger log)
    {
        Config = config;
        _buffer = buffer;
        _newSource = newSource;
        _newDestination = newDestination;
        _time = time;
        _log = log;
        _source = newSource();
        _destination = newDestination();
        _sourceBackoff = new Backoff(config.Destination.Retry, time, random);
        _backoff = new Backoff(config.Destination.Retry, time, random);
    }

    public ChannelConfig Config { get; }

    public ChannelBuffer Buffer => _buffer;

    /// <summary>Opens both ends, so that Apply can go back before anything runs.</summary>
    /// <exception cref="EndpointException">Says which end cannot be opened and why; both are closed again.</exception>
    public async Task OpenAsync()
    {
        try
        {
            await _source.OpenAsync();
            _sourceOpen = true;
            await _destination.OpenAsync();
            _destinationOpen = true;
        }
        catch (EndpointException e)
        {
            await CloseAsync();
            throw new EndpointException($"channel {Config.Id}: {e.Message}", e);
        }
    }

    /// <summary>Begins to work. Ends that are not open yet are opened by the loops, with backoff.</summary>
    public void Start()
    {
        _buffer.Receive(true);
        _receiving = ReceiveLoopAsync();
        _delivering = DeliverLoopAsync();
    }

    /// <summary>
    /// Rule 10: the source stops and reads out what the kernel holds, the tail is committed or confirmed, the link ends in order, the
    /// cursor is synced. False: the store refused, some messages are not secured; the ends are closed all the same.
    /// </summary>
    /// <param name="budget">How long all of it may take.</param>
    /// <param name="leaveQueue">The process ends, or the queue is left without a channel: what is kept for a repeat goes into the store.</param>
    public async Task<bool> StopAsync(TimeSpan budget, bool leaveQueue)
    {
        var began = _time.GetTimestamp();
        TimeSpan Left() => TimeSpan.FromTicks(Math.Max(1, (budget - _time.GetElapsedTime(began)).Ticks));

        _buffer.Flush(true);
        _stopSource.Cancel();
        _sourceBackoff.CutShort();
        // A source that waits for room ends now: what it would take later came too late for this stop to secure it.
        if (!await _receiving.EndsWithinAsync(_time, Left() / 4)) _buffer.Receive(false);
        await SecuredWithinAsync(Left() / 4);

        _stopDelivery.Cancel();
        _backoff.CutShort();
        _buffer.StopTaking();
        if (!await _delivering.EndsWithinAsync(_time, Left() - WriteBackReserve))
        {
            // A farewell that takes too long is cut: the next channel on this queue must find it without a link.
            if (_link is { } link) await link.DisposeAsync();
            if (!await _delivering.EndsWithinAsync(_time, SendGrace)) _buffer.EndLink(new LinkEnd(false, "the stop has no time left"));
        }

        if (leaveQueue) _buffer.WriteBackKept();
        var flushed = await _buffer.WaitFlushedAsync(Left(), _time);
        _buffer.Flush(false);
        await CloseAsync();
        return flushed || _buffer.UnsecuredMessages == 0;
    }

    /// <summary>Tries again at once instead of waiting out a backoff.</summary>
    public void RetryNow()
    {
        _backoff.CutShort();
        _sourceBackoff.CutShort();
        _buffer.RetryNow();
    }

    public ChannelStatus Describe(ChannelStatus status) => _buffer.Describe(status with
    {
        State = State,
        SourceStatus = _source.Status,
        DestinationStatus = _destination.Status,
        LastError = _lastError,
        LastErrorAt = _lastError is null ? null : _lastErrorAt,
        NextRetryIn = _backoff.NextAttemptIn ?? _sourceBackoff.NextAttemptIn,
        Retries = _retries,
        Alerts = [.. Alerts()],
    });

    private ChannelState State
    {
        get
        {
            if (_sourceError is not null || (_destinationError is not null && !_destinationOpen)) return ChannelState.Failed;
            if (_buffer.Paused) return ChannelState.Paused;
            if (_blocked) return ChannelState.Blocked;
            return _connected ? ChannelState.Running : ChannelState.Waiting;
        }
    }

    private IEnumerable<KeyValuePair<string, string>> Alerts()
    {
        foreach (var alert in _destination.Alerts(_buffer)) yield return alert;

        if (_resetsInARow >= ResetsBeforeAlert)
        {
            yield return new("destination_resets",
                $"The destination ended {_resetsInARow} connections in a row before confirming anything new; what it may not have read is "
                + "sent again each time. If it closes on purpose, set destination.confirm to bytes (it acknowledges) or none (no repeats).");
        }

        if (Config.Source.ExpectEveryS > 0 && _buffer.SilentFor > TimeSpan.FromSeconds(Config.Source.ExpectEveryS))
        {
            yield return new("silent",
                $"No message for {_buffer.SilentFor.TotalSeconds:F0} s; one is expected every {Config.Source.ExpectEveryS} s.");
        }
    }

    private async Task ReceiveLoopAsync()
    {
        while (!_stopSource.IsCancellationRequested)
        {
            try
            {
                if (!_sourceOpen) await _source.OpenAsync();
                _sourceOpen = true;
                _sourceError = null;
                await _source.RunAsync(_buffer, _stopSource.Token);
                return;
            }
            catch (OperationCanceledException) when (_stopSource.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                NoteFailure(ref _sourceError, "source", e);
            }

            await _source.DisposeAsync();
            _sourceOpen = false;
            _source = _newSource();
            await WaitQuietlyAsync(_sourceBackoff, _stopSource.Token);
        }
    }

    private async Task DeliverLoopAsync()
    {
        while (!_stopDelivery.IsCancellationRequested)
        {
            try
            {
                if (!_destinationOpen) await _destination.OpenAsync();
                _destinationOpen = true;
                await using var link = await _destination.ConnectAsync(_stopDelivery.Token);
                _destinationError = null;
                await DeliverOverAsync(link);
            }
            catch (OperationCanceledException) when (_stopDelivery.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                NoteFailure(ref _destinationError, "destination", e);
            }

            if (_stopDelivery.IsCancellationRequested) return;
            _retries++;
            await BackOffAsync();
        }
    }

    /// <summary>Everything that happens on one link, from its first run to what its end leaves in doubt.</summary>
    private async Task DeliverOverAsync(IDestinationLink link)
    {
        using var cutSend = new CancellationTokenSource();
        using var endLink = new CancellationTokenSource();
        _buffer.BeginLink(link.MaxInFlightMessages);
        _link = link;
        _connected = true;
        Log.DestinationConnected(_log, Config.Id, Config.Destination.Summary);

        var watching = link.WatchAsync(this, endLink.Token);
        var pumping = PumpAsync(link, cutSend.Token);
        var stopping = new TaskCompletionSource();
        await using (_stopDelivery.Token.UnsafeRegister(static s => ((TaskCompletionSource)s!).TrySetResult(), stopping))
        {
            // A send can stand still for as long as the peer's window is closed: a stop does not wait for it.
            // Awaited first by a method of its own: WhenAny alone would go on in the thread pool, outside the simulated scheduler.
            await Task.WhenAny(watching, pumping, stopping.Task.QuietlyAsync().AsTask());
            _buffer.StopTaking();
            if (_stopDelivery.IsCancellationRequested) await pumping.EndsWithinAsync(_time, SendGrace);
            cutSend.Cancel();
            endLink.Cancel();
        }

        var end = await EndOfAsync(watching);
        await link.DisposeAsync(); // a write that the peer's closed window holds up ends with its connection only
        await pumping;
        _link = null;
        _connected = false;
        _blocked = false;
        if (!end.Orderly && !_stopDelivery.IsCancellationRequested) _resetsInARow++;
        Log.DestinationEnded(_log, Config.Id, Config.Destination.Summary, end.Reason);
        NoteError(ref _destinationError, end.Reason);
        _buffer.EndLink(end);
    }

    /// <summary>How the link ended. One that broke in a way it should not is an un-orderly end like any other: nothing is lost, all is said.</summary>
    private async Task<LinkEnd> EndOfAsync(Task<LinkEnd> watching)
    {
        try
        {
            return await watching;
        }
        catch (Exception e)
        {
            Log.EndpointBroke(_log, Config.Id, "destination", e);
            return new LinkEnd(false, $"{e.GetType().Name}: {e.Message}");
        }
    }

    private async Task PumpAsync(IDestinationLink link, CancellationToken cut)
    {
        try
        {
            while (true)
            {
                var run = await _buffer.TakeRunAsync();
                if (run.Count == 0) return;
                await link.SendAsync(run, cut);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or EndpointException)
        {
            // A broken link says why it ended in WatchAsync.
        }
        catch (Exception e)
        {
            Log.EndpointBroke(_log, Config.Id, "destination", e);
        }
    }

    private async Task BackOffAsync()
    {
        using var woken = CancellationTokenSource.CreateLinkedTokenSource(_stopDelivery.Token);
        var sign = CutShortOnPeerSignAsync(woken.Token);
        await WaitQuietlyAsync(_backoff, _stopDelivery.Token);
        woken.Cancel();
        await sign;
    }

    private async Task CutShortOnPeerSignAsync(CancellationToken cancel)
    {
        try
        {
            await _destination.WaitForPeerSignAsync(cancel);
            _backoff.CutShort();
        }
        catch (OperationCanceledException)
        {
            // The backoff was waited out.
        }
    }

    private static async Task WaitQuietlyAsync(Backoff backoff, CancellationToken cancel)
    {
        try
        {
            await backoff.WaitAsync(cancel);
        }
        catch (OperationCanceledException)
        {
            // The loop's condition sees it.
        }
    }

    private async Task SecuredWithinAsync(TimeSpan timeout)
    {
        using var late = new CancellationTokenSource(timeout, _time);
        try
        {
            await _buffer.WaitSecuredAsync(_buffer.LastSequence, late.Token);
        }
        catch (OperationCanceledException)
        {
            // StopAsync's result says so.
        }
    }

    private async Task CloseAsync()
    {
        await _source.DisposeAsync();
        await _destination.DisposeAsync();
        _sourceOpen = _destinationOpen = false;
    }

    private void NoteFailure(ref string? slot, string side, Exception e)
    {
        // One line per reason, not one per attempt: a peer that stays away must not fill the log.
        if (e is not EndpointException) Log.EndpointBroke(_log, Config.Id, side, e);
        else if (slot != e.Message) Log.EndpointFailed(_log, Config.Id, side, e.Message);
        NoteError(ref slot, e is EndpointException ? e.Message : $"{side}: {e.GetType().Name}: {e.Message}");
    }

    private void NoteError(ref string? slot, string error)
    {
        slot = _lastError = error;
        _lastErrorAt = _time.GetUtcNow();
    }
}
