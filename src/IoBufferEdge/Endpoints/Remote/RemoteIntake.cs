using System.Buffers;
using System.IO.Hashing;
using System.Text;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// One channel's side of the protocol, whatever carries it: takes batches and single messages, answers when they are durable (rule 12).
/// A batch is, in this order: known, and answered with its mark; of a life that another one has closed, and refused; known in part, and its rest
/// taken; else taken when it follows exactly what is held. What does not follow waits a little: the messages before it may be on their way.
/// Batches of one sender are judged and appended one after the other, and wait together until they are secured. Any thread.
/// Bounds: <see cref="SendersMax"/> senders of which something is held, <see cref="WaitingMax"/> batches of a sender that wait for those before,
/// <see cref="PatienceMax"/> for them or for room.
/// </summary>
public sealed partial class RemoteIntake
{
    public const int SendersMax = 256;
    public const int WaitingMax = 16;
    public const int KeyCharsMax = 128;
    public static readonly TimeSpan PatienceMax = TimeSpan.FromSeconds(2);
    public static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly string _instance;
    private readonly byte[] _instanceBytes;
    private readonly TimeProvider _time;
    private readonly RouteNames _routes = new();
    private readonly Lock _keyLock = new();

    /// <param name="instance">What this channel is called among instances, "device/channel".</param>
    public RemoteIntake(string instance, TimeProvider time)
    {
        (_instance, _instanceBytes, _time) = (instance, Encoding.ASCII.GetBytes(instance), time);
        _sendersBySpan = _senders.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Who may send; null: anyone.</summary>
    public AuthConfig? Auth { get; init; }

    /// <summary>The longest batch, uncompressed.</summary>
    public int MaxBatchBytes { get; init; } = int.MaxValue;

    /// <summary>The longest message, in a batch or of the simple form.</summary>
    public int MaxMessageBytes { get; init; } = BlockFormat.MaxMessageBytes;

    /// <summary>Takes a batch; answers when it is durable, or why it is not taken.</summary>
    /// <param name="bytes">A whole batch, uncompressed; it must stay as it is until the call has completed.</param>
    /// <exception cref="OperationCanceledException">The token: nobody waits for the answer any more. What was taken by then stays taken.</exception>
    public async ValueTask<RemoteReply> TakeBatchAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        if (Enter() is not { } sink) return Stopping();
        try
        {
            return await TakeEnteredAsync(bytes, sink, cancel);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return Stopping();
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Takes one message with an idempotency key of its own; one that was taken before under this key is not taken again.</summary>
    /// <param name="message">At least one byte; it must stay as it is until the call has completed.</param>
    /// <param name="key">1 to 128 printable ASCII characters.</param>
    /// <exception cref="OperationCanceledException">The token: nobody waits for the answer any more.</exception>
    public async ValueTask<RemoteReply> TakeOneAsync(ReadOnlyMemory<byte> message, string key, CancellationToken cancel)
    {
        if (Enter() is not { } sink) return Stopping();
        try
        {
            return await TakeOneEnteredAsync(message, key, sink, cancel);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return Stopping();
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>All that is held of a sender; answers when it is durable: a mark that a power cut takes back would cost a message.</summary>
    /// <exception cref="OperationCanceledException">The token: nobody waits for the answer any more.</exception>
    public async ValueTask<RemoteReply> MarksOfAsync(string sender, CancellationToken cancel)
    {
        if (!RemoteName.IsName(sender))
            return Refuse(_refusedInvalid, 400, "invalid", "A sender is called device/channel: two ids with one / between them.");
        if (Enter() is not { } sink) return Stopping();
        var known = EnterSender(sender, sink);
        try
        {
            return await MarksAsync(sink, sender, cancel);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return Stopping();
        }
        finally
        {
            if (known is not null) LeaveSender(known);
            Leave();
        }
    }

    private async ValueTask<RemoteReply> TakeEnteredAsync(ReadOnlyMemory<byte> bytes, IMessageSink sink, CancellationToken cancel)
    {
        if (bytes.Length > MaxBatchBytes)
            return Refuse(_refusedOversize, 413, "too_large", $"The batch has {bytes.Length} bytes; at most {MaxBatchBytes} are taken.");
        if (RemoteBatch.IsNewer(bytes.Span))
            return Refuse(_refusedInvalid, 415, "version", $"The batch has version {bytes.Span[4]}; up to {RemoteBatch.Version} are known here.");
        if (!RemoteBatch.TryRead(bytes, out var batch, out var problem)) return Refuse(_refusedInvalid, 400, "invalid", problem);
        if (LoopIn(batch) is { } loop) return Refuse(_refusedLoops, 508, "loop", loop);
        if (EnterSender(batch, sink) is not { } sender)
        {
            return Refuse(_refusedSenders, 403, "senders",
                $"{_instance} holds messages of {SendersMax} senders already, as many as it can tell apart: send to another channel.");
        }

        _batches.Add();
        var routes = ArrayPool<string>.Shared.Rent(batch.RouteCount);
        try
        {
            var next = 0;
            foreach (var route in batch.Routes) routes[next++] = _routes.Append(route, sender.Name);
            return await JudgeAsync(batch, routes, sender, sink, cancel);
        }
        finally
        {
            ArrayPool<string>.Shared.Return(routes, clearArray: true);
            LeaveSender(sender);
        }
    }

    /// <summary>Why these messages would go round in a circle; null: they do not.</summary>
    private string? LoopIn(RemoteBatch batch)
    {
        if (batch.Sender.SequenceEqual(_instanceBytes)) return $"{_instance} is the sender of this batch itself: a channel must not deliver to itself.";
        foreach (var route in batch.Routes)
        {
            if (RemoteName.Passes(route, _instanceBytes)) return $"{_instance} has had these messages: they came by {Encoding.ASCII.GetString(route)}.";
            if (RemoteName.HopsOf(route) == RemoteName.HopsMax)
                return $"These messages have passed {RemoteName.HopsMax} instances and their sender; at most {RemoteName.HopsMax} in all are taken.";
        }

        return null;
    }

    private async ValueTask<RemoteReply> JudgeAsync(RemoteBatch batch, string[] routes, RemoteSender sender, IMessageSink sink, CancellationToken cancel)
    {
        var patience = new Patience(_time);
        for (var woken = false; ; woken = true)
        {
            await sender.TakeTurnAsync();
            Verdict verdict;
            HeldMarks held;
            TaskCompletionSource? predecessor = null;
            var refused = 0L;
            try
            {
                held = sink.HeldFrom(sender.Name);
                verdict = Judge(batch, held);
                if (verdict == Verdict.Taken)
                {
                    (verdict, refused) = await AppendAsync(batch, routes, held.MarkOf(batch.Life) ?? 0, sender, sink, patience, cancel);
                    held = sink.HeldFrom(sender.Name);
                }
                else if (verdict == Verdict.Early)
                {
                    if (sender.FoundNoRoom && (woken || patience.IsOver)) verdict = Verdict.NoRoom;
                    else if (!patience.IsOver && !_stopping.IsCancellationRequested) predecessor = sender.BeginWait();
                }
            }
            finally
            {
                sender.PassTurn();
            }

            if (predecessor is null) return await AnswerAsync(verdict, batch, held, refused, sink, cancel);
            await WaitForAsync(predecessor, sender, patience, cancel);
        }
    }

    private static Verdict Judge(RemoteBatch batch, HeldMarks held)
    {
        if (held.MarkOf(batch.Life) is { } mark)
        {
            if (batch.LastSequence <= mark) return Verdict.Known;
            if (held.Head.Life != batch.Life) return Verdict.Closed;
            if (batch.FirstSequence <= mark) return Verdict.Taken;
        }

        return batch.After == held.Head ? Verdict.Taken : Verdict.Early;
    }

    /// <summary>Appends what is above the mark, as far as there is room for it.</summary>
    private async ValueTask<(Verdict Verdict, long Refused)> AppendAsync(
        RemoteBatch batch, string[] routes, long mark, RemoteSender sender, IMessageSink sink, Patience patience, CancellationToken cancel)
    {
        var taken = 0;
        sender.FoundNoRoom = false;
        try
        {
            foreach (var message in batch)
            {
                if (message.Sequence <= mark)
                {
                    _repeated.Add();
                    continue;
                }

                if (message.Payload.Length > MaxMessageBytes) return (Verdict.TooLong, message.Sequence);
                var stamp = StampOf(message, batch, routes, sender.Name);
                while (!sink.TryAppendRemote(message.Payload.Span, message.Flags, stamp, out _))
                {
                    if (taken > 0) sink.Publish();
                    if (await HasRoomAsync(sink, message.Payload.Length, patience, cancel)) continue;
                    sender.FoundNoRoom = true;
                    return (Verdict.NoRoom, 0);
                }

                taken++;
            }

            return (Verdict.Taken, 0);
        }
        finally
        {
            _messages.Add(taken);
            if (taken > 0) sink.Publish();
            sender.Change();
        }
    }

    private static RemoteStamp StampOf(in RemoteMessage message, RemoteBatch batch, string[] routes, string sender) => new()
    {
        Sender = sender,
        Identity = new MessageIdentity(batch.Life, message.Sequence),
        Claimed = batch.Claimed,
        Origin = message.Route < 0
            ? new MessageOrigin(sender, batch.Life, message.Sequence, message.ReceivedUnixUs)
            : new MessageOrigin(routes[message.Route], message.FirstLife, message.FirstSequence, message.ReceivedUnixUs),
    };

    /// <summary>True: there may be room now. False: there was none in time, or the channel stops.</summary>
    private async ValueTask<bool> HasRoomAsync(IMessageSink sink, int payloadBytes, Patience patience, CancellationToken cancel)
    {
        if (patience.IsOver) return false;
        using var late = new CancellationTokenSource(patience.Left, _time);
        using var any = CancellationTokenSource.CreateLinkedTokenSource(cancel, _stopping.Token, late.Token);
        try
        {
            await sink.WaitForRoomAsync(payloadBytes, any.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            cancel.ThrowIfCancellationRequested();
            return false;
        }
    }

    /// <summary>Returns when something has changed, or nothing has in time.</summary>
    private async ValueTask WaitForAsync(TaskCompletionSource predecessor, RemoteSender sender, Patience patience, CancellationToken cancel)
    {
        _waited.Add();
        using var late = new CancellationTokenSource(patience.Left, _time);
        using var any = CancellationTokenSource.CreateLinkedTokenSource(cancel, _stopping.Token, late.Token);
        using (any.Token.UnsafeRegister(static waiter => ((TaskCompletionSource)waiter!).TrySetResult(), predecessor)) await predecessor.Task;
        sender.EndWait(predecessor);
        cancel.ThrowIfCancellationRequested();
        if (_stopping.IsCancellationRequested) throw new OperationCanceledException("The channel stops.");
    }

    /// <summary>Marks go out when they are durable, never before.</summary>
    private async ValueTask<RemoteReply> AnswerAsync(
        Verdict verdict, RemoteBatch batch, HeldMarks held, long refused, IMessageSink sink, CancellationToken cancel)
    {
        if (verdict == Verdict.NoRoom) return _stopping.IsCancellationRequested ? Stopping() : NoRoom();
        await sink.WaitSecuredAsync(held.SecuredBy, cancel);
        if (verdict is Verdict.Known) _repeated.Add(batch.Count);
        return verdict switch
        {
            Verdict.Known or Verdict.Taken => new RemoteReply(200) { Receiver = _instance, Marks = [.. held.Lives.Where(mark => mark.Life == batch.Life)] },
            Verdict.TooLong => Refuse(
                _refusedOversize, 413, "too_large", $"Message {refused} has more bytes than max_message_bytes, {MaxMessageBytes}.", held, refused),
            Verdict.Closed => Refuse(_refusedClosed, 409, "closed", $"Life {batch.Life:x16} of the sender is followed by another one, and closed.", held),
            _ => Refuse(_refusedAfter, 409, "after", $"The batch follows {batch.After}; {held.Head} is the newest message that is held.", held),
        };
    }

    private async ValueTask<RemoteReply> MarksAsync(IMessageSink sink, string sender, CancellationToken cancel)
    {
        var held = sink.HeldFrom(sender);
        await sink.WaitSecuredAsync(held.SecuredBy, cancel);
        return new RemoteReply(200) { Receiver = _instance, Marks = held.Lives };
    }

    private async ValueTask<RemoteReply> TakeOneEnteredAsync(ReadOnlyMemory<byte> message, string key, IMessageSink sink, CancellationToken cancel)
    {
        if (key.Length is 0 or > KeyCharsMax || key.AsSpan().ContainsAnyExceptInRange('!', '~'))
            return Refuse(_refusedInvalid, 400, "invalid", $"Idempotency-Key must be 1 to {KeyCharsMax} printable ASCII characters without spaces.");
        if (message.IsEmpty) return Refuse(_refusedInvalid, 400, "invalid", "The body is the message, and must have at least one byte.");
        if (message.Length > MaxMessageBytes)
            return Refuse(_refusedOversize, 413, "too_large", $"The message has {message.Length} bytes; max_message_bytes is {MaxMessageBytes}.");

        var stamp = new RemoteStamp
        {
            Key = HashOf(key),
            Origin = new MessageOrigin(null, 0, 0, (_time.GetUtcNow().UtcTicks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond),
        };
        var patience = new Patience(_time);
        long? known, sequence;
        while (!TryTakeOne(message.Span, stamp, sink, out known, out sequence))
        {
            if (await HasRoomAsync(sink, message.Length, patience, cancel)) continue;
            return _stopping.IsCancellationRequested ? Stopping() : NoRoom();
        }

        (known is null ? _posts : _repeatedPosts).Add();
        if (known is null) sink.Publish();
        await sink.WaitSecuredAsync(known ?? sequence ?? 0, cancel);
        return new RemoteReply(200) { Receiver = _instance, Sequence = known ?? sequence ?? 0, IsRepeated = known is not null };
    }

    /// <summary>False: it is new, and there is no room for it.</summary>
    private bool TryTakeOne(ReadOnlySpan<byte> message, in RemoteStamp stamp, IMessageSink sink, out long? known, out long? sequence)
    {
        lock (_keyLock)
        {
            sequence = null;
            known = sink.FindKey(stamp.Key);
            if (known is not null) return true;
            if (!sink.TryAppendRemote(message, MessageFlags.None, stamp, out var taken)) return false;
            sequence = taken;
            return true;
        }
    }

    /// <summary>0 means that there is no key.</summary>
    private static UInt128 HashOf(string key)
    {
        var hash = XxHash128.HashToUInt128(Encoding.ASCII.GetBytes(key));
        return hash == 0 ? 1 : hash;
    }

    private enum Verdict
    {
        Known,
        Taken,
        Closed,

        /// <summary>It does not follow what is held, at least not yet.</summary>
        Early,
        NoRoom,
        TooLong,
    }

    /// <summary>How long a request still waits, for its predecessor and for room together.</summary>
    private readonly struct Patience(TimeProvider time)
    {
        private readonly long _began = time.GetTimestamp();

        public TimeSpan Left => PatienceMax - time.GetElapsedTime(_began) is { Ticks: > 0 } left ? left : TimeSpan.Zero;

        public bool IsOver => Left == TimeSpan.Zero;
    }
}
