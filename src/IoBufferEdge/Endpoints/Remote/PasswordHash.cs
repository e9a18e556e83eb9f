using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// What a configuration keeps of a password: PBKDF2 with HMAC-SHA-256, as text <c>$pbkdf2-sha256$i=ITERATIONS$SALT$HASH</c> (salt and hash in
/// base64 without padding). Thread-safe.
/// </summary>
public sealed class PasswordHash
{
    /// <summary>
    /// For new hashes. OWASP asks for 600,000 where a database with many accounts may be stolen; that takes a small board about half a second,
    /// in which nobody else gets in. Here one account is guessed at from outside, at ten attempts before waits begin, so that half of it does.
    /// The text carries the number: raising it leaves former hashes valid.
    /// </summary>
    public const int Iterations = 300_000;

    public const int SaltBytes = 16;

    public const int MinPasswordLength = 8;

    private const string Prefix = "$pbkdf2-sha256$i=";
    private const int HashBytes = 32, SaltBytesMax = 64, IterationsMin = 100_000, IterationsMax = 10_000_000;

    private readonly int _iterations;
    private readonly byte[] _salt;
    private readonly byte[] _hash;

    private PasswordHash(int iterations, byte[] salt, byte[] hash) => (_iterations, _salt, _hash) = (iterations, salt, hash);

    /// <param name="salt">Random bytes, <see cref="SaltBytes"/> of them, new for each password.</param>
    public static PasswordHash Create(string password, ReadOnlySpan<byte> salt, int iterations = Iterations) =>
        new(iterations, salt.ToArray(), Derive(Encoding.UTF8.GetBytes(password), salt, iterations));

    /// <summary>Null: not such a text, or its numbers are too small to protect anything, or so large that they would stop the gateway.</summary>
    public static PasswordHash? Parse(string text)
    {
        if (!text.StartsWith(Prefix, StringComparison.Ordinal) || text[Prefix.Length..].Split('$') is not [var count, var salt, var hash]) return null;
        if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var iterations)) return null;
        if (iterations is < IterationsMin or > IterationsMax) return null;
        if (Decode(salt) is not { Length: >= SaltBytes and <= SaltBytesMax } saltBytes) return null;
        if (Decode(hash) is not { Length: HashBytes } hashBytes) return null;
        var parsed = new PasswordHash(iterations, saltBytes, hashBytes);
        return parsed.ToString() == text ? parsed : null;
    }

    /// <summary>Whether it is the password, in UTF-8. Takes some tenths of a second of one processor, as long when it is not.</summary>
    public bool Matches(ReadOnlySpan<byte> password) => CryptographicOperations.FixedTimeEquals(Derive(password, _salt, _iterations), _hash);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{_iterations}${Encode(_salt)}${Encode(_hash)}");

    private static byte[] Derive(ReadOnlySpan<byte> password, ReadOnlySpan<byte> salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(password, salt, iterations, HashAlgorithmName.SHA256, HashBytes);

    private static string Encode(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=');

    private static byte[]? Decode(string text)
    {
        var bytes = new byte[text.Length];
        var padded = text.PadRight((text.Length + 3) / 4 * 4, '=');
        return Convert.TryFromBase64String(padded, bytes, out var length) ? bytes[..length] : null;
    }
}
