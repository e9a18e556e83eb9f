using System.Text;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Tests.Secrets;

/// <summary>Secrets on a real file system: what they are called, who may read them, and what stands in their place.</summary>
public sealed class SecretStoreTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("iobuffer-secrets-").FullName;

    private string Folder => Path.Combine(_root, "secrets");

    private string Credentials => Path.Combine(_root, "credentials");

    private SecretStore Store => new(Folder, Credentials);

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void What_is_set_is_read_and_only_its_owner_may()
    {
        Store.Set("relay", "correct horse\nmore"u8);
        Store.Set("relay", "battery staple\r\nmore"u8);
        Assert.Equal("battery staple\r\nmore", Encoding.UTF8.GetString(Store.Read("relay")!));
        Assert.Equal("battery staple", Store.ReadPassword("relay"));
        Assert.Equal(("700", "600"), (Mode(Folder), Mode(Path.Combine(Folder, "relay"))));
        Assert.Equal([Path.Combine(Folder, "relay")], Directory.EnumerateFileSystemEntries(Folder));
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("../x")]
    [InlineData("a/b")]
    [InlineData("/etc/passwd")]
    [InlineData(".hidden")]
    [InlineData("-x")]
    [InlineData("_x")]
    [InlineData("A")]
    [InlineData("é")]
    [InlineData("a b")]
    [InlineData("a\n")]
    [InlineData("a\0")]
    public void A_name_never_becomes_another_path(string name)
    {
        Assert.Throws<SecretException>(() => Store.Set(name, "value"u8));
        Assert.Null(Store.Read(name));
        Assert.False(Store.Has(name));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_root));
        Assert.Throws<SecretException>(() => Store.Set(new string('a', 65), "value"u8));
    }

    [Fact]
    public void Sizes_and_the_count_are_bounded()
    {
        Assert.Contains("is empty", Refusal("a", []), StringComparison.Ordinal);
        Assert.Contains("at most 10240 fit", Refusal("a", new byte[SecretStore.MaxBytes + 1]), StringComparison.Ordinal);
        for (var i = 0; i < SecretStore.MaxCount; i++) Store.Set($"s{i}", new byte[SecretStore.MaxBytes]);
        Assert.Contains("256 secrets already", Refusal("one-more", [1]), StringComparison.Ordinal);
        Store.Set("s7", "again"u8);
        Assert.Equal(SecretStore.MaxCount, Store.List().Count);
        File.WriteAllBytes(Path.Combine(Folder, "s1"), new byte[SecretStore.MaxBytes + 1]);
        Assert.Contains("is larger", Assert.Throws<SecretException>(() => Store.Read("s1")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_link_is_neither_read_nor_written_through()
    {
        var outside = Path.Combine(_root, "outside");
        File.WriteAllText(outside, "not yours");
        Directory.CreateDirectory(Folder);
        File.CreateSymbolicLink(Path.Combine(Folder, "relay"), outside);
        Assert.Contains("is a link", Assert.Throws<SecretException>(() => Store.Read("relay")).Message, StringComparison.Ordinal);
        Assert.Empty(Store.List());
        Store.Set("relay", "mine"u8);
        Assert.Equal(("not yours", "mine"), (File.ReadAllText(outside), Store.ReadPassword("relay")));

        Directory.Delete(Folder, recursive: true);
        Directory.CreateSymbolicLink(Folder, Directory.CreateDirectory(Path.Combine(_root, "elsewhere")).FullName);
        Assert.Contains("is a link", Refusal("relay", [1]), StringComparison.Ordinal);
    }

    [Fact]
    public void A_draft_that_a_power_cut_left_is_no_secret_and_in_nobodys_way()
    {
        Store.Set("relay", "first"u8);
        File.WriteAllText(Path.Combine(Folder, ".relay.new"), "ha");
        Assert.Equal(["relay"], Store.List().Select(s => s.Name));
        Store.Set("relay", "second"u8);
        Assert.Equal("second", Store.ReadPassword("relay"));
    }

    [Fact]
    public void Credentials_of_the_service_win_and_are_not_set()
    {
        Store.Set("relay", "own"u8);
        Directory.CreateDirectory(Credentials);
        File.WriteAllText(Path.Combine(Credentials, "relay"), "given");
        Assert.Equal("given", Store.ReadPassword("relay"));
        Assert.Contains("by systemd", Refusal("relay", [1]), StringComparison.Ordinal);
        Assert.Equal([("relay", 5L, true)], Store.List().Select(s => (s.Name, s.Bytes, s.IsCredential)));
    }

    [Fact]
    public void What_is_missing_is_told()
    {
        Assert.Contains("iobuffer secret set relay", Assert.Throws<SecretException>(() => Store.ReadPassword("relay")).Message, StringComparison.Ordinal);
        Store.Set("relay", "\nsecond line"u8);
        Assert.Contains("first line", Assert.Throws<SecretException>(() => Store.ReadPassword("relay")).Message, StringComparison.Ordinal);
    }

    private string Refusal(string name, byte[] value) => Assert.Throws<SecretException>(() => Store.Set(name, value)).Message;

    private static string Mode(string path) => Convert.ToString((int)File.GetUnixFileMode(path), 8);
}
