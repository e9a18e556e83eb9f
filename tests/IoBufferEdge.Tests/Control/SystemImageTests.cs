using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Commands;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Control;

public sealed class SystemImageTests : IDisposable
{
    private const string Bundle = "https://updates.example/iobufferedge-rpi4-0.2.0.raucb";

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-image-").FullName;
    private readonly FakeTimeProvider _time = new(Snapshots.Noon);
    private readonly TwinGateway _gateway = new();
    private readonly SystemImage _image;
    private int _next;

    public SystemImageTests()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "requests"));
        _image = new SystemImage(_folder, _time);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Status_is_what_the_files_of_the_image_say_and_half_a_second_old_at_most()
    {
        Assert.Null(_image.Status);
        Write("image.json", """{"version":"0.2.0","slot":"b","proving":true}""");
        Assert.Null(_image.Status);
        _time.Advance(TimeSpan.FromMilliseconds(500));
        Assert.Equal(new ImageStatus("0.2.0", "b", true), _image.Status);

        Write("update.json", """{"status":"INSTALLING","version":"0.2.1","percent":40,"message":"Copying.","at":"2026-05-01T12:00:00Z","boot_id":"x"}""");
        Write("provisioning-refused", "device.json: mqtt.host is missing\n");
        _time.Advance(TimeSpan.FromMilliseconds(500));
        var update = new UpdateStatus(UpdateState.Installing, "Copying.", new(2026, 5, 1, 12, 0, 0, TimeSpan.Zero), "x", "0.2.1", 40);
        Assert.Equal(new ImageStatus("0.2.0", "b", true, update, "device.json: mqtt.host is missing"), _image.Status);
    }

    [Theory]
    [InlineData("image.json", "{")]
    [InlineData("image.json", "null")]
    [InlineData("image.json", """{"version":"0.2.0"}""")]
    [InlineData("image.json", "")]
    [InlineData("update.json", """{"status":"DONE","message":"","at":"2026-05-01T12:00:00Z","boot_id":"x"}""")]
    [InlineData("update.json", """{"status":"FAILED"}""")]
    public void What_is_not_whole_says_nothing(string name, string text)
    {
        Write("image.json", """{"version":"0.2.0","slot":"b","proving":false}""");
        Write(name, text);
        Assert.Null(_image.Status);
    }

    [Fact]
    public void A_request_is_a_file_that_is_there_as_a_whole()
    {
        _image.RequestUpdate(Bundle);
        _image.RequestFactoryReset();
        Assert.Equal(["factory-reset", "update"], Directory.GetFiles(Path.Combine(_folder, "requests")).Select(Path.GetFileName).Order());
        Assert.Equal($"{Bundle}\n", File.ReadAllText(Path.Combine(_folder, "requests", "update")));
    }

    [Theory]
    [InlineData(Bundle, true)]
    [InlineData("http://192.0.2.7:8080/a.raucb", true)]
    [InlineData("HTTPS://u.example/a", true)]
    [InlineData(null, false)]
    [InlineData("", false)]
    [InlineData("/data/a.raucb", false)]
    [InlineData("file:///etc/shadow", false)]
    [InlineData("ftp://u.example/a", false)]
    [InlineData("https://", false)]
    [InlineData("https://u.example/a b", false)]
    [InlineData("https://u.example/a\n--help", false)]
    [InlineData("https://name:word@u.example/a", false)]
    [InlineData("--override=x", false)]
    public void Only_addresses_of_the_web_are_passed_on(string? url, bool right) => Assert.Equal(right, SystemImage.IsAddress(url));

    [Fact]
    public void An_address_has_an_end() => Assert.False(SystemImage.IsAddress($"https://u.example/{new string('a', 2048)}"));

    [Fact]
    public async Task An_update_is_asked_for_by_its_address_when_nothing_stands_against_it()
    {
        Assert.Equal(("failed", true), await SendAsync(Bundle, "no image"));
        Assert.Equal(("refused", true), await SendAsync("file:///etc/shadow", "url"));
        Assert.Empty(Directory.GetFiles(Path.Combine(_folder, "requests")));

        Tell("""{"version":"0.1.0","slot":"a","proving":true}""");
        Assert.Equal(("failed", true), await SendAsync(Bundle, "has yet to prove itself"));
        Tell("""{"version":"0.1.0","slot":"a","proving":false}""");
        Write("update.json", """{"status":"INSTALLING","percent":4,"message":"Copying.","at":"2026-05-01T12:00:00Z","boot_id":"x"}""");
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(("failed", true), await SendAsync(Bundle, "is being installed"));
        Assert.False(File.Exists(Path.Combine(_folder, "requests", "update")));

        Write("update.json", """{"status":"FAILED","message":"No.","at":"2026-05-01T12:00:00Z","boot_id":"x"}""");
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(("done", true), await SendAsync(Bundle, "asked for"));
        Assert.Equal($"{Bundle}\n", File.ReadAllText(Path.Combine(_folder, "requests", "update")));
    }

    private async Task<(string Status, bool Says)> SendAsync(string url, string words)
    {
        var secrets = new SecretStore(Path.Combine(_folder, "secrets"), null);
        using var journal = CommandJournal.Open(Path.Combine(_folder, "commands"));
        using var commands = new MqttCommands(_gateway, secrets, new Redactor(secrets), journal, new CommandDuties(
            () => ["update"], () => { }, () => Task.CompletedTask, () => Task.FromResult(new byte[1]), (_, _, _) => { }, _image), _time, NullLogger.Instance);
        var payload = JsonSerializer.SerializeToUtf8Bytes(new { url, boot_id = _gateway.Status.BootId });
        var result = JsonElement.Parse((await commands.HandleAsync("update", $"{_next++}", payload, retained: false, overTls: true))!);
        return (result.GetProperty("status").GetString()!, result.GetProperty("message").GetString()!.Contains(words, StringComparison.Ordinal));
    }

    private void Tell(string image)
    {
        Write("image.json", image);
        _time.Advance(TimeSpan.FromSeconds(1));
    }

    private void Write(string name, string text) => File.WriteAllBytes(Path.Combine(_folder, name), Encoding.UTF8.GetBytes(text));
}
