using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>The drop folder as an installer leaves it, who writes it on any computer.</summary>
public sealed class ProvisionFolderTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("iobuffer-drop-").FullName;
    private readonly List<string> _problems = [];

    private ProvisionFolder Folder { get; set; }

    public ProvisionFolderTests() => Folder = new ProvisionFolder(_path);

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Fact]
    public void Document_certificates_and_secrets_are_read_and_what_computers_leave_is_not()
    {
        Write("DEVICE.JSON", "\ufeff{ \"mqtt\": { \"host\": \"b\" } }");
        Write("Ca.pem", "certificate");
        Write("own.KEY", "key");
        Write("secrets/broker", "hunter22\r\n");
        foreach (var left in (string[])["._Ca.pem", ".DS_Store", "README.txt", "result.txt", "System Volume Information/x", "network/eth0", "secrets/.x"])
            Write(left, "x");
        var read = Folder.Read(_problems)!;
        Assert.Empty(_problems);
        Assert.Equal("""{"mqtt":{"host":"b"}}""", read.Config);
        Assert.Equal(["broker", "ca.pem", "own.key"], read.Secrets.Keys);
        Assert.Equal("hunter22\r\n"u8.ToArray(), read.Secrets["broker"]);

        Folder.RemoveSecrets();
        Assert.Equal(
            [".DS_Store", "._Ca.pem", "DEVICE.JSON", "README.txt", "result.txt"],
            Directory.GetFiles(_path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal([".x"], Directory.GetFiles(Path.Combine(_path, "secrets")).Select(Path.GetFileName));
    }

    [Fact]
    public void Each_thing_that_is_wrong_is_a_sentence()
    {
        Write("device.json", "{ \"mqtt\": ");
        Write("device.json.txt", "{}");
        Write("ca.pem", "");
        Write("own.key", new string('x', SecretStore.MaxBytes + 1));
        Write("secrets/two words", "x");
        Write("secrets/Broker", "x");
        Write("secrets/broker", "x");
        Folder.Read(_problems);
        foreach (var part in (string[])["device.json: line 1", "device.json.txt is not known here", "ca.pem has 0 bytes", "own.key has 10241 bytes",
            "secrets/two words cannot be", "secrets/broker is there twice"])
            Assert.Single(_problems, p => p.StartsWith(part, StringComparison.Ordinal) && p.EndsWith('.'));
        Assert.Equal(6, _problems.Count);
    }

    [Fact]
    public void An_empty_folder_is_nothing_and_none_is_said()
    {
        Assert.Null(Folder.Read(_problems));
        Assert.Empty(_problems);
        Assert.ThrowsAny<IOException>(() => new ProvisionFolder(Path.Combine(_path, "none")).Read(_problems));
    }

    [Fact]
    public void The_result_is_written_once_for_the_same()
    {
        var noon = Snapshots.Noon;
        Folder.WriteResult("taken", noon);
        Folder.WriteResult("taken", noon.AddDays(1));
        Assert.Equal("2026-11-22 12:00:00 UTC\ntaken\n", File.ReadAllText(Path.Combine(_path, "result.txt")));
        Folder.WriteResult("refused", noon.AddDays(1));
        Assert.Equal("2026-11-23 12:00:00 UTC\nrefused\n", File.ReadAllText(Path.Combine(_path, "result.txt")));
        Assert.Null(Folder.Read(_problems));
        Assert.Empty(_problems);
    }

    private void Write(string name, string text)
    {
        var file = Path.Combine(_path, name);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }
}
