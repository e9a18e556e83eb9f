using System.Collections.Concurrent;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// What goes over the lines of one channel, for somebody who looks at them (<c>iobuffer tap</c>): each piece as it was read from a
/// connection or port, or handed to it, above TLS. While nobody looks, a piece costs one comparison. Who looks asks again and again;
/// <see cref="LooksFor"/> after the last question it is over. Bounds: the newest <see cref="EntriesMax"/> pieces, <see cref="BytesMax"/>
/// bytes, <see cref="PieceBytesMax"/> of each.
/// </summary>
public sealed class LineTap(TimeProvider time)
{
    public const int EntriesMax = 1024;
    public const int BytesMax = 128 * 1024;
    public const int PieceBytesMax = 4096;

    public static readonly TimeSpan LooksFor = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan LooksEvery = TimeSpan.FromMilliseconds(50);

    private readonly Lock _lock = new();
    private readonly Queue<TapEntry> _entries = new();
    private long _count;
    private int _heldBytes;
    private long _lookedAt;
    private volatile bool _isWatched;

    internal bool IsWatched => _isWatched;

    /// <summary>The pieces from this number on, oldest first; waits where there are none. 0: begins to look, and nothing has been seen yet.</summary>
    /// <returns>Also the number to ask for next; a number that was asked for and is missing was displaced by newer ones.</returns>
    public async ValueTask<(IReadOnlyList<TapEntry> Entries, long Next)> LookAsync(long from, TimeSpan wait, CancellationToken cancel)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            var (entries, next) = Look(from);
            if (from == 0 || entries.Count > 0 || time.GetElapsedTime(began) >= wait) return (entries, next);
            await Task.Delay(LooksEvery, time, cancel);
        }
    }

    private (IReadOnlyList<TapEntry> Entries, long Next) Look(long from)
    {
        lock (_lock)
        {
            _lookedAt = time.GetTimestamp();
            _isWatched = true;
            var entries = from == 0 ? [] : _entries.Where(e => e.Number >= from).ToArray();
            return (entries, _count + 1);
        }
    }

    internal void Note(ChannelEnd end, bool sent, ReadOnlySpan<byte> bytes, string? peer)
    {
        lock (_lock)
        {
            if (time.GetElapsedTime(_lookedAt) > LooksFor)
            {
                _isWatched = false;
                _entries.Clear();
                _heldBytes = 0;
                return;
            }

            var kept = bytes[..Math.Min(bytes.Length, PieceBytesMax)].ToArray();
            _entries.Enqueue(new TapEntry(++_count, time.GetUtcNow(), end, sent, peer, bytes.Length, kept));
            _heldBytes += kept.Length;
            while (_entries.Count > EntriesMax || _heldBytes > BytesMax) _heldBytes -= _entries.Dequeue().Bytes.Length;
        }
    }
}

public enum ChannelEnd
{
    Source,
    Destination,
}

/// <param name="Sent">From here to the peer; else received.</param>
/// <param name="Peer">Address of the peer or name of the port.</param>
/// <param name="Length">Of the whole piece.</param>
/// <param name="Bytes">Its beginning, <see cref="LineTap.PieceBytesMax"/> at most.</param>
public sealed record TapEntry(long Number, DateTimeOffset At, ChannelEnd End, bool Sent, string? Peer, int Length, byte[] Bytes);

/// <summary>One end's way to its channel's <see cref="LineTap"/>; a peer is asked for its name only while somebody looks.</summary>
public sealed class EndTap(LineTap tap, ChannelEnd end)
{
    public void Received(ReadOnlySpan<byte> bytes, object? peer) => Note(sent: false, bytes, peer);

    public void Sent(ReadOnlySpan<byte> bytes, object? peer) => Note(sent: true, bytes, peer);

    private void Note(bool sent, ReadOnlySpan<byte> bytes, object? peer)
    {
        if (tap.IsWatched && !bytes.IsEmpty) tap.Note(end, sent, bytes, peer?.ToString());
    }
}

/// <summary>The taps of all channels, by id; a channel that is made anew keeps its own.</summary>
public sealed class LineTaps(TimeProvider time)
{
    private readonly ConcurrentDictionary<string, LineTap> _taps = new(StringComparer.Ordinal);

    public LineTap Of(string channelId) => _taps.GetOrAdd(channelId, static (_, time) => new LineTap(time), time);
}
