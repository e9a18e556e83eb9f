using System.Net;

namespace IoBufferEdge.Configuration;

/// <summary>Addresses as they stand in the configuration.</summary>
internal static class NetworkAddress
{
    /// <summary>An IPv4 address with four parts, an IPv6 address, or <c>localhost</c>; else null.</summary>
    public static IPAddress? Parse(string? text)
    {
        if (text == "localhost") return IPAddress.Loopback;
        if (text is null || !IPAddress.TryParse(text, out var address)) return null;
        return text.Contains(':') || text.Count(c => c == '.') == 3 ? address : null;
    }

    /// <summary><c>127.0.0.1:8080</c>, <c>[::1]:8080</c>, <c>localhost:8080</c>; else null.</summary>
    public static IPEndPoint? ParseEndPoint(string? text)
    {
        var colon = text?.LastIndexOf(':') ?? -1;
        if (colon < 0 || !ushort.TryParse(text.AsSpan(colon + 1), out var port) || port == 0) return null;
        var host = text![..colon];
        if (host is ['[', .., ']']) host = host[1..^1];
        else if (host.Contains(':')) return null;
        return Parse(host) is { } address ? new(address, port) : null;
    }

    /// <summary>An address, or a network, <c>192.0.2.0/24</c>; bits beyond the prefix don't count.</summary>
    public static bool IsAddressOrNetwork(string text)
    {
        var slash = text.IndexOf('/');
        if (slash < 0) return text != "localhost" && Parse(text) is not null;
        var longest = text.Contains(':') ? 128 : 32;
        return Parse(text[..slash]) is not null && byte.TryParse(text.AsSpan(slash + 1), out var bits) && bits <= longest;
    }

    public static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    /// <summary>A name or an address that only this device can reach.</summary>
    public static bool IsLoopback(string? host) => Parse(host) is { } address && IPAddress.IsLoopback(address);
}
