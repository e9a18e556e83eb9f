using System.Security.Cryptography;
using System.Text;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>The text is what other tools make of it, and nothing but the password opens it.</summary>
public sealed class PasswordHashTests
{
    private const int Quick = 100_000;

    /// <summary>Made with Python's hashlib.pbkdf2_hmac("sha256", …).</summary>
    [Theory]
    [InlineData("password", "000102030405060708090a0b0c0d0e0f", 100_000,
        "$pbkdf2-sha256$i=100000$AAECAwQFBgcICQoLDA0ODw$op/qD+2FxbhhDC5Wl+pBtVhxOeWKOI4Me3ztMNTm2N8")]
    [InlineData("Pa$$wörd ✓", "ffffffffffffffffffffffffffffffff", 300_000,
        "$pbkdf2-sha256$i=300000$/////////////////////w$ZtH27rh5koDMI6PEumgDQ9jaTWwhSYQzSCzQU/wPiGo")]
    public void It_is_the_hash_of_other_tools(string password, string salt, int iterations, string text)
    {
        Assert.Equal(text, PasswordHash.Create(password, Convert.FromHexString(salt), iterations).ToString());
        Assert.True(PasswordHash.Parse(text)!.Matches(Encoding.UTF8.GetBytes(password)));
    }

    [Fact]
    public void New_ones_take_the_iterations_that_the_text_names() =>
        Assert.StartsWith($"$pbkdf2-sha256$i={PasswordHash.Iterations}$", PasswordHash.Create("a password", new byte[16]).ToString(), StringComparison.Ordinal);

    [Fact]
    public void Another_password_or_a_changed_text_does_not_match()
    {
        var text = PasswordHash.Create("correct horse", RandomNumberGenerator.GetBytes(16), Quick).ToString();
        foreach (var wrong in new[] { "", "correct hors", "correct horse ", "Correct horse" })
            Assert.False(PasswordHash.Parse(text)!.Matches(Encoding.UTF8.GetBytes(wrong)), wrong);

        // One character of the salt or the hash is another one: no text, or another hash.
        for (var i = text.IndexOf("$i=", StringComparison.Ordinal) + 10; i < text.Length; i += 7)
        {
            if (text[i] == '$') continue;
            var changed = text[..i] + (text[i] == 'A' ? 'B' : 'A') + text[(i + 1)..];
            Assert.False(PasswordHash.Parse(changed)?.Matches("correct horse"u8) ?? false, changed);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("plain")]
    [InlineData("$pbkdf2-sha256$")]
    [InlineData("$pbkdf2-sha1$i=100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=99999$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=10000001$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=0100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA$")]
    [InlineData("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAB$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")]
    public void What_is_no_hash_or_a_weak_one_is_refused(string text) => Assert.Null(PasswordHash.Parse(text));

    [Fact]
    public void What_it_is_refused_for_is_the_number_alone() =>
        Assert.NotNull(PasswordHash.Parse("$pbkdf2-sha256$i=100000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}
