using System.Net;
using System.Security.Cryptography;
using System.Text;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Remote;

public enum Access
{
    Granted,

    /// <summary>No credentials, or wrong ones.</summary>
    Refused,

    /// <summary>Too many wrong ones from this address: wait.</summary>
    TooManyFailures,

    /// <summary>Too many others are being judged: wait.</summary>
    Busy,
}

/// <param name="RetryAfter">How long to wait, where that helps.</param>
public readonly record struct AccessVerdict(Access Access, TimeSpan RetryAfter = default);

/// <summary>
/// Judges the credentials of requests (HTTP Basic) against a channel's <c>auth</c>. A password is derived once for a client and not once for
/// a request: what was right is remembered as an HMAC under a key of this process, per channel, and counts for the configured hash only, so
/// that a changed configuration forgets it. One derivation runs at a time. From the tenth failure of an address on (IPv6: of its /64) it is told to
/// wait, a second and each time twice as long, up to a minute; what is remembered as right passes all the same. Everything is bounded. Thread-safe.
/// </summary>
public sealed class RemoteAccess(TimeProvider time) : IDisposable
{
    public const int FreeFailures = 10;

    private const int AddressesMax = 1024, WaitingMax = 16, CredentialBytesMax = 512;
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan BusyWait = TimeSpan.FromSeconds(1);

    /// <summary>Made when it is first needed: it loads OpenSSL, which a gateway without such sources does without, in memory too.</summary>
    private readonly Lazy<byte[]> _key = new(() => RandomNumberGenerator.GetBytes(32));
    private readonly SemaphoreSlim _oneDerivation = new(1, 1);
    private readonly Lock _lock = new();
    private readonly Dictionary<string, byte[]> _proofs = new(StringComparer.Ordinal);
    private readonly Dictionary<IPAddress, Failures> _failures = [];
    private int _waiting;

    private readonly record struct Failures(int Count, long Last);

    /// <summary>How often a password was derived.</summary>
    public int Derivations { get; private set; }

    /// <summary>How many addresses have failures to remember.</summary>
    public int Addresses
    {
        get
        {
            lock (_lock) return _failures.Count;
        }
    }

    /// <param name="channelId">A channel that exists.</param>
    /// <param name="authorization">The request's header; null: none.</param>
    public async ValueTask<AccessVerdict> JudgeAsync(
        string channelId, AuthConfig auth, IPAddress peer, string? authorization, CancellationToken cancel)
    {
        if (auth is not { Username: { } username, PasswordHash: { } hashText } || PasswordHash.Parse(hashText) is not { } hash) return new(Access.Refused);
        if (!TryRead(authorization, out var credentials, out var colon)) return new(Access.Refused);
        var rightName = CryptographicOperations.FixedTimeEquals(credentials.AsSpan(0, colon), Encoding.UTF8.GetBytes(username));
        var proof = Prove(hashText, credentials);
        if (IsProven(channelId, proof) && rightName) return new(Access.Granted);

        var address = Group(peer);
        if (WaitOf(address) is { } wait) return new(Access.TooManyFailures, wait);
        if (Interlocked.Increment(ref _waiting) > WaitingMax)
        {
            Interlocked.Decrement(ref _waiting);
            return new(Access.Busy, BusyWait);
        }

        try
        {
            await _oneDerivation.WaitAsync(cancel);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }

        try
        {
            // What ran meanwhile may have answered for this one too.
            if (IsProven(channelId, proof) && rightName) return new(Access.Granted);
            if (WaitOf(address) is { } longer) return new(Access.TooManyFailures, longer);
            Derivations++;
            if (hash.Matches(credentials.AsSpan(colon + 1)) & rightName)
            {
                lock (_lock) _proofs[channelId] = proof;
                return new(Access.Granted);
            }
        }
        finally
        {
            _oneDerivation.Release();
        }

        NoteFailure(address);
        return new(Access.Refused);
    }

    public void Dispose() => _oneDerivation.Dispose();

    /// <summary><c>Basic</c> and base64 of <c>name:password</c>, in UTF-8.</summary>
    private static bool TryRead(string? authorization, out byte[] credentials, out int colon)
    {
        const string Scheme = "Basic ";
        (credentials, colon) = ([], -1);
        if (authorization is null || !authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) return false;
        var bytes = new byte[CredentialBytesMax];
        if (!Convert.TryFromBase64Chars(authorization.AsSpan(Scheme.Length).Trim(), bytes, out var length)) return false;
        credentials = bytes[..length];
        colon = credentials.AsSpan().IndexOf((byte)':');
        return colon >= 0;
    }

    private byte[] Prove(string hashText, byte[] credentials)
    {
        byte[] proven = [.. Encoding.ASCII.GetBytes(hashText), 0, .. credentials];
        return HMACSHA256.HashData(_key.Value, proven);
    }

    private bool IsProven(string channelId, byte[] proof)
    {
        lock (_lock) return _proofs.TryGetValue(channelId, out var known) && CryptographicOperations.FixedTimeEquals(known, proof);
    }

    /// <summary>Null: it need not wait.</summary>
    private TimeSpan? WaitOf(IPAddress address)
    {
        lock (_lock)
        {
            if (!_failures.TryGetValue(address, out var failures) || failures.Count < FreeFailures) return null;
            var seconds = Math.Min(LongestWait.TotalSeconds, Math.ScaleB(1, Math.Min(failures.Count - FreeFailures, 10)));
            var left = TimeSpan.FromSeconds(seconds) - time.GetElapsedTime(failures.Last);
            return left > TimeSpan.Zero ? left : null;
        }
    }

    private void NoteFailure(IPAddress address)
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            foreach (var (old, failures) in _failures)
                if (time.GetElapsedTime(failures.Last, now) > Memory) _failures.Remove(old);
            if (_failures.Count >= AddressesMax && !_failures.ContainsKey(address)) _failures.Remove(_failures.MinBy(f => f.Value.Last).Key);
            _failures[address] = new(_failures.GetValueOrDefault(address).Count + 1, now);
        }
    }

    /// <summary>Who has an IPv6 address has the 2⁶⁴ around it.</summary>
    private static IPAddress Group(IPAddress peer)
    {
        if (peer.IsIPv4MappedToIPv6) return peer.MapToIPv4();
        var bytes = peer.GetAddressBytes();
        if (bytes.Length != 16) return peer;
        bytes.AsSpan(8).Clear();
        return new IPAddress(bytes);
    }
}
