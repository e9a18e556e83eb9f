using System.Buffers;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// How instances are called among themselves: a name is "device/channel", both parts ids as in the configuration; a route is the names
/// that a message has passed, oldest first, with <c>&gt;</c> between them.
/// </summary>
internal static class RemoteName
{
    public const int IdBytesMax = 64;
    public const int NameBytesMax = 2 * IdBytesMax + 1;
    public const int HopsMax = 16;
    public const int RouteBytesMax = HopsMax * (NameBytesMax + 1) - 1;

    private static readonly SearchValues<byte> IdBytes = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789_-"u8);

    public static bool IsName(ReadOnlySpan<byte> text)
    {
        var slash = text.IndexOf((byte)'/');
        return slash >= 0 && IsId(text[..slash]) && IsId(text[(slash + 1)..]);
    }

    public static bool IsName(ReadOnlySpan<char> text)
    {
        if (text.Length > NameBytesMax) return false;
        Span<byte> bytes = stackalloc byte[NameBytesMax];
        for (var i = 0; i < text.Length; i++) bytes[i] = text[i] < 128 ? (byte)text[i] : (byte)0;
        return IsName(bytes[..text.Length]);
    }

    /// <summary>How many names a route has; 0: it is none, or has more than <see cref="HopsMax"/>.</summary>
    public static int HopsOf(ReadOnlySpan<byte> route)
    {
        for (var hops = 1; hops <= HopsMax; hops++)
        {
            var end = route.IndexOf((byte)'>');
            if (!IsName(end < 0 ? route : route[..end])) return 0;
            if (end < 0) return hops;
            route = route[(end + 1)..];
        }

        return 0;
    }

    /// <summary>Whether a route passes this instance.</summary>
    public static bool Passes(ReadOnlySpan<byte> route, ReadOnlySpan<byte> name)
    {
        while (true)
        {
            var end = route.IndexOf((byte)'>');
            if ((end < 0 ? route : route[..end]).SequenceEqual(name)) return true;
            if (end < 0) return false;
            route = route[(end + 1)..];
        }
    }

    /// <summary>1 to 64 of a-z, 0-9, _ and -, a letter or digit first.</summary>
    private static bool IsId(ReadOnlySpan<byte> text) =>
        text.Length is > 0 and <= IdBytesMax && text[0] is not ((byte)'_' or (byte)'-') && !text.ContainsAnyExcept(IdBytes);
}
