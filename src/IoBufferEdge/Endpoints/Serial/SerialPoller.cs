using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// <c>poll</c>: asks devices on a schedule; each valid answer is a message, byte-exact. One request is out at a time, each in a turn of its
/// own on the line, so that others can use it in between. A request that comes due while the bus is busy is sent as soon as it can be,
/// once, not made up for. While the sink has no room nothing is asked. An answer that does not come, is damaged or fits no request is
/// counted and logged when it begins; the next request goes out as scheduled.
/// </summary>
internal sealed class SerialPoller(
    string channelId, SourceConfig config, object source, SerialLine line, AsyncSignal changed, SerialSourceCounters counters,
    EndpointContext context)
{
    private readonly List<Request> _requests = [.. config.Poll.Select(poll => new Request(poll))];
    private readonly ReplyReader _replies = new(config, line, changed, counters, context.Time);

    public async Task RunAsync(IMessageSink sink, CancellationToken stop)
    {
        var now = context.Time.GetTimestamp();
        foreach (var request in _requests) request.DueAt = now;
        while (!stop.IsCancellationRequested)
        {
            var next = _requests.MinBy(request => request.DueAt)!;
            if (!line.IsOpen) await changed.WaitAsync();
            else if (Until(next) is var wait && wait > TimeSpan.Zero) await changed.WaitAsync(wait);
            else await AskAsync(next, sink, stop);
        }
    }

    private async ValueTask AskAsync(Request request, IMessageSink sink, CancellationToken stop)
    {
        request.DueAt = NextDue(request);
        try
        {
            int length;
            using (var turn = await line.TakeTurnAsync(source, _replies.Gap, stop))
            {
                _replies.DiscardLate(turn);
                await turn.SendAsync(request.Bytes, stop);
                counters.Polls.Add();
                length = await _replies.ReadAsync(turn, request.Bytes, request.Config, stop);
            }

            if (length > 0) await AppendAsync(_replies.Reply[..length], sink);
            Report(request, length > 0 ? null : _replies.Problem);
        }
        catch (IOException)
        {
            // The port has gone: the loop waits for it.
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The loop's condition sees it.
        }
    }

    private async ValueTask AppendAsync(ReadOnlyMemory<byte> reply, IMessageSink sink)
    {
        var flags = _replies.IsDamaged ? MessageFlags.Damaged : MessageFlags.None;
        if (_replies.IsDamaged) counters.DamagedMessages.Add();
        while (!sink.TryAppend(reply.Span, flags, out _)) await sink.WaitForRoomAsync(reply.Length, CancellationToken.None);
        sink.Publish();
    }

    private void Report(Request request, string? problem)
    {
        if (problem is not null && request.IsAnswered) Log.PollUnanswered(context.Log, channelId, request.Config.RequestHex, problem);
        if (problem is null && !request.IsAnswered) Log.PollAnsweredAgain(context.Log, channelId, request.Config.RequestHex);
        request.IsAnswered = problem is null;
    }

    private TimeSpan Until(Request request) => context.Time.GetElapsedTime(context.Time.GetTimestamp(), request.DueAt);

    /// <summary>One interval after it was due; from now, when that has passed already.</summary>
    private long NextDue(Request request)
    {
        var interval = request.Config.IntervalMs * context.Time.TimestampFrequency / 1000;
        var now = context.Time.GetTimestamp();
        return request.DueAt + interval > now ? request.DueAt + interval : now;
    }

    private sealed class Request(PollConfig poll)
    {
        public PollConfig Config => poll;

        public byte[] Bytes { get; } = poll.Crc == PollCrc.Modbus
            ? ModbusRtu.WithCrc(Convert.FromHexString(poll.RequestHex))
            : Convert.FromHexString(poll.RequestHex);

        public long DueAt { get; set; }

        public bool IsAnswered { get; set; } = true;
    }
}
