using System.Net;
using System.Net.Sockets;

namespace IoBufferEdge.Endpoints;

/// <summary><c>allow</c>: addresses and networks (CIDR) that may connect; empty: anyone.</summary>
public sealed class AllowList
{
    private readonly IPNetwork[] _networks;

    /// <exception cref="EndpointException">An entry is neither an address nor a network.</exception>
    public AllowList(IReadOnlyList<string> entries) => _networks = [.. entries.Select(Parse)];

    public bool IsAllowed(IPAddress address)
    {
        if (_networks.Length == 0) return true;
        var plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        foreach (var network in _networks)
            if (network.Contains(plain)) return true;
        return false;
    }

    /// <summary>An address stands for itself; of a network's address only the prefix counts (192.168.1.7/24 is 192.168.1.0/24).</summary>
    private static IPNetwork Parse(string entry)
    {
        var slash = entry.IndexOf('/');
        var bits = -1;
        if (!IPAddress.TryParse(slash < 0 ? entry : entry.AsSpan(0, slash), out var address) ||
            slash >= 0 && !int.TryParse(entry.AsSpan(slash + 1), out bits))
            throw Bad(entry);
        var longest = address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;
        if (slash < 0) bits = longest;
        if (bits < 0 || bits > longest) throw Bad(entry);
        var bytes = address.GetAddressBytes();
        for (var i = bits; i < longest; i++) bytes[i / 8] &= (byte)~(0x80 >> (i % 8));
        return new IPNetwork(new IPAddress(bytes), bits);
    }

    private static EndpointException Bad(string entry) =>
        new($"allow: {entry} is neither an address such as 192.168.1.7 nor a network such as 192.168.1.0/24.");
}
