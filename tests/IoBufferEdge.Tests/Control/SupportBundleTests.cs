using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Configuration;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control;

/// <summary>A secret is planted in every place that a bundle is made from, and looked for in all of it.</summary>
public sealed class SupportBundleTests : IDisposable
{
    private const string InStore = "store-pass-1", InFactory = "factory-pass-2", Running = "running-pass-3", Good = "good-pass-4", Former = "former-pass-5",
        Offered = "offered-pass-6", InUrl = "url-pass-7", HashOfFactory = "pbkdf2-hash-8", InFile = "file-pass-9", KeyLine = "MHcCAQEEIKEYKEYKEY";

    private static readonly string[] Planted = [InStore, InFactory, Running, Good, Former, Offered, InUrl, HashOfFactory, InFile, KeyLine];

    private readonly string _data = Directory.CreateTempSubdirectory("iobuffer-support-").FullName;
    private readonly SecretStore _secrets;
    private readonly Redactor _redactor;

    public SupportBundleTests()
    {
        _secrets = new SecretStore(Path.Combine(_data, "secrets"), null);
        _redactor = new Redactor(_secrets);
    }

    public void Dispose() => Directory.Delete(_data, recursive: true);

    [Fact]
    public void Nothing_planted_is_in_it_and_all_a_supporter_asks_for_is()
    {
        var file = Path.Combine(_data, "relay.pw");
        File.WriteAllText(file, InFile);
        _secrets.Set("relay", Encoding.UTF8.GetBytes(InStore));
        _secrets.Set("own.key", Encoding.UTF8.GetBytes($"-----BEGIN EC PRIVATE KEY-----\n{KeyLine}\n-----END EC PRIVATE KEY-----\n"));
        var store = new ConfigStore(new ConfigFolder(Path.Combine(_data, "config")));
        store.Save(new ConfigState(
            new StoredConfig(ConfigOrigin.Command, With(Good)), new StoredConfig(ConfigOrigin.Mqtt, With(Former)),
            new WishOutcome("m", "7", "h", ConfigStatus.Failed, [new(IoBufferEdge.Configuration.ConfigSeverity.Error, "$", $"is not {Offered}")])));
        store.SaveFactory(new Provision($$"""{"x":{"password_hash":"{{HashOfFactory}}"} }""", new() { ["f"] = Encoding.UTF8.GetBytes(InFactory) }));
        _secrets.Set("f", Encoding.UTF8.GetBytes(InFactory));
        _redactor.Learn(Encoding.UTF8.GetBytes(With(Offered)), "/");
        _redactor.Learn(Encoding.UTF8.GetBytes(With(Running)), "/");

        string Everything(string where) => $"{where}: {string.Join(' ', Planted.Where(p => p != InUrl))} https://u:{InUrl}@h";
        var status = Snapshots.Gateway(Snapshots.Channel() with { LastError = Everything("error"), Name = Everything("name") }) with
        {
            ConfigError = Everything("config"),
            Config = new ConfigReport { Errors = [new(IoBufferEdge.Configuration.ConfigSeverity.Error, "$", Everything("report"))] },
        };
        var (files, _) = Open(Bundle().Create(status, With(Running, file), [.. Enumerable.Range(0, 50).Select(i => Everything($"line {i}"))]));
        Assert.Equal(
            ["about.txt", "config-kept.json", "config.json", "devices.txt", "files.txt", "log.txt", "status.json", "status.txt"], files.Keys);
        foreach (var (name, text) in files)
            foreach (var secret in Planted) Assert.False(text.Contains(secret, StringComparison.Ordinal), $"{secret} is in {name}:\n{text}");

        Assert.Equal(50, files["log.txt"].Split('\n').Length);
        Assert.StartsWith("line 0: *** ***", files["log.txt"], StringComparison.Ordinal);
        Assert.Contains("IoBufferEdge 0.1.0", files["about.txt"], StringComparison.Ordinal);
        Assert.Contains("/proc/version", files["about.txt"], StringComparison.Ordinal);
        using var config = JsonDocument.Parse(files["config.json"]);
        Assert.Equal("***", config.RootElement.GetProperty("channels")[0].GetProperty("destination").GetProperty("auth").GetProperty("password").GetString());
        using var kept = JsonDocument.Parse(files["config-kept.json"]);
        Assert.Equal(store.Load().Good!.Hash, kept.RootElement.GetProperty("good").GetProperty("hash").GetString());
        using var told = JsonDocument.Parse(files["status.json"]);
        Assert.Contains("relay", files["files.txt"], StringComparison.Ordinal);
    }

    [Fact]
    public void Its_size_is_bounded_and_the_newest_lines_stay()
    {
        var lines = Enumerable.Range(0, 20_000).Select(i => $"{i} {Convert.ToHexString(RandomNumberGenerator.GetBytes(50))}").ToList();
        var channels = Enumerable.Range(0, 2_000).Select(i => Snapshots.Channel($"c{i}")).ToArray();
        var (files, bytes) = Open(Bundle().Create(Snapshots.Gateway(channels), null, lines));
        Assert.InRange(bytes, 1, SupportBundle.MaxBytes);
        Assert.EndsWith(lines[^1], files["log.txt"], StringComparison.Ordinal);
        Assert.InRange(files["log.txt"].Length, 100_000, 512 * 1024);
    }

    [Fact]
    public void Without_a_gateway_the_data_folder_tells_the_rest()
    {
        var (files, _) = Open(Bundle().Create(null, null, []));
        Assert.Contains("No gateway runs.", files["about.txt"], StringComparison.Ordinal);
        Assert.DoesNotContain("status.json", files.Keys);
    }

    private SupportBundle Bundle() => new(_data, _secrets, _redactor, "0.1.0", new FakeTimeProvider(Snapshots.Noon));

    private static string With(string password, string file = "/nowhere/pw") => Document.Of(Document.Channel(
        destination: $$"""{"type":"remote_icombuffer","url":"https://u:{{InUrl}}@h:1","channel_id":"a","auth":{"username":"u","password":"{{password}}"} }"""),
        $$""","mqtt":{"host":"h","username":"u","password_file":"{{file}}"}""");

    private static (SortedDictionary<string, string> Files, int Bytes) Open(byte[] bundle)
    {
        var files = new SortedDictionary<string, string>(StringComparer.Ordinal);
        using var tar = new TarReader(new GZipStream(new MemoryStream(bundle), CompressionMode.Decompress));
        while (tar.GetNextEntry() is { } entry)
            files[Path.GetFileName(entry.Name)] = entry.DataStream is { } data ? new StreamReader(data).ReadToEnd() : "";
        return (files, bundle.Length);
    }
}
