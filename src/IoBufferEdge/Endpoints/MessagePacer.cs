namespace IoBufferEdge.Endpoints;

/// <summary>
/// <c>max_messages_per_s</c>: a token bucket for slow upstreams after an outage. It holds what 20 ms bring, at least one token, so a
/// timer of a millisecond is fine enough for any rate. One taker at a time.
/// </summary>
internal sealed class MessagePacer
{
    private const double BurstSeconds = 0.02;
    private readonly TimeProvider _time;
    private readonly double _perTick;
    private readonly double _burst;
    private double _tokens;
    private long _filledAt;

    public MessagePacer(double messagesPerSecond, TimeProvider time)
    {
        _time = time;
        _perTick = messagesPerSecond / time.TimestampFrequency;
        _burst = Math.Max(1, messagesPerSecond * BurstSeconds);
        _tokens = _burst;
        _filledAt = time.GetTimestamp();
    }

    /// <summary>Null where the rate is 0: no pacing.</summary>
    public static MessagePacer? Create(double messagesPerSecond, TimeProvider time) =>
        messagesPerSecond > 0 ? new MessagePacer(messagesPerSecond, time) : null;

    /// <summary>Waits for a token and takes as many as there are, at most <paramref name="wanted"/>.</summary>
    /// <returns>How many messages may go out now, at least one.</returns>
    public async ValueTask<int> TakeAsync(int wanted, CancellationToken cancel)
    {
        while (true)
        {
            Fill();
            if (_tokens >= 1)
            {
                var taken = Math.Min(wanted, (int)_tokens);
                _tokens -= taken;
                return taken;
            }

            var missingTicks = (1 - _tokens) / _perTick;
            var wait = TimeSpan.FromMilliseconds(Math.Ceiling(missingTicks * 1000 / _time.TimestampFrequency));
            await Task.Delay(wait, _time, cancel);
        }
    }

    private void Fill()
    {
        var now = _time.GetTimestamp();
        _tokens = Math.Min(_burst, _tokens + (now - _filledAt) * _perTick);
        _filledAt = now;
    }
}
