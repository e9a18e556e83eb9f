using System.Text;

namespace IoBufferEdge.Simulation;

/// <summary>
/// What happened, in order: the newest events are kept to be shown, all of them go into a hash that proves that a seed replays.
/// Events are kept unformatted, so that tracing costs next to nothing.
/// </summary>
public sealed class Trace
{
    private const int Kept = 4096;
    private readonly Event[] _events = new Event[Kept];
    private long _count;

    public ulong Hash { get; private set; } = 14695981039346656037UL;

    public long Count => _count;

    /// <summary>Called with every event as it happens, formatted: a run that is looked at.</summary>
    public Action<string>? Listener { get; set; }

    public void Add(Scheduler scheduler, string what, string? who = null, long a = 0, long b = 0, long c = 0)
    {
        var hash = Mix(Mix(Hash, what), (ulong)scheduler.NowTicks);
        if (who is not null) hash = Mix(hash, who);
        Hash = Mix(Mix(Mix(hash, (ulong)a), (ulong)b), (ulong)c);
        ref var entry = ref _events[_count++ % Kept];
        entry = new Event(scheduler.NowTicks, what, who, a, b, c);
        Listener?.Invoke(entry.ToString());
    }

    /// <summary>The last events, oldest first.</summary>
    public string Last(int lines)
    {
        var text = new StringBuilder();
        var first = Math.Max(0, _count - Math.Min(lines, Kept));
        for (var i = first; i < _count; i++) text.AppendLine(_events[i % Kept].ToString());
        return text.ToString();
    }

    public static ulong Mix(ulong hash, string text)
    {
        foreach (var c in text) hash = (hash ^ c) * 1099511628211UL;
        return hash;
    }

    private static ulong Mix(ulong hash, ulong value)
    {
        hash ^= value;
        hash *= 0xFF51AFD7ED558CCDUL;
        return hash ^ (hash >> 33);
    }

    private readonly record struct Event(long Ticks, string What, string? Who, long A, long B, long C)
    {
        public override string ToString()
        {
            var text = new StringBuilder($"{Ticks / (double)TimeSpan.TicksPerSecond,12:0.000000} {What}");
            if (Who is not null) text.Append(' ').Append(Who);
            if (A != 0 || B != 0 || C != 0) text.Append(' ').Append(A);
            if (B != 0 || C != 0) text.Append(' ').Append(B);
            if (C != 0) text.Append(' ').Append(C);
            return text.ToString();
        }
    }
}
