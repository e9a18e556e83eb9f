using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Control.Configuring;
using IoBufferEdge.Tests.Control.Mqtt;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// Messages of <c>config/desired</c>. Whatever the bytes are: what is refused changes nothing and says why; what is tried and not confirmed is
/// taken back, so that the same gateway runs after every message. And a secret of the device, wherever it stands in the message, does not stand
/// in what is reported of it.
/// </summary>
internal sealed class DesiredTarget : FuzzTarget
{
    private const string Planted = "planted-q7Zx";

    private readonly string _folder = CreateFolder();
    private readonly KeeperRig _rig = new(new PowerCutFolder());
    private readonly Redactor _redactor;

    public DesiredTarget()
    {
        var secrets = new SecretStore(_folder, null);
        secrets.Set("relay", Encoding.UTF8.GetBytes(Planted));
        _redactor = new Redactor(secrets);
    }

    public override string Name => "config-desired";

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new[]
        {
            "\"revision\"", "\"config\"", "\"patch\"", "\"confirm_timeout_s\"", "\"channels\"", "\"schema_version\"", "\"mqtt\"", "\"device\"", "\"id\"",
            "\"password\"", "\"password_file\"", "\"serial\"", "\"/dev/null\"", "\"../x\"", "{}", "[]", "null", "1", "10", "3600", "\"a\"", $"\"{Planted}\"",
            ":", ",", "\\ud800",
        }.Select(Encoding.UTF8.GetBytes), [0xFF],
    ];

    protected override int InputBytesMax => 16 * 1024;

    public override void Judge(byte[] input, Behaviours seen)
    {
        var (channels, good) = (_rig.Channels, _rig.Report.LastGoodHash);
        _rig.Reports.Clear();
        _redactor.Learn(input, _folder);
        _rig.Keeper.HandleAsync(input).GetAwaiter().GetResult();
        var report = _rig.Report;
        foreach (var error in report.Errors)
        {
            if (error.ToString().Any(char.IsControl)) Assert.Fail($"A control character stands in the problem {error}");
            seen.Saw(report.Status, new string([.. error.Path.Where(char.IsAsciiLetter)]), error.Message[..Math.Min(25, error.Message.Length)]);
        }

        var reported = Encoding.UTF8.GetString(_redactor.RedactJson(JsonSerializer.SerializeToUtf8Bytes(report, ControlJson.Default.ConfigReport)));
        if (reported.Contains(Planted, StringComparison.Ordinal)) Assert.Fail($"A secret is reported: {reported}");
        Assert.Null(TopicSchemas.Violation("config/reported", reported));
        if (report.Status == ConfigStatus.Failed) Assert.NotEmpty(report.Errors);
        if (report.Status == ConfigStatus.Applying) _rig.Keeper.RollbackAsync().GetAwaiter().GetResult();
        Assert.Equal((channels, good, false), (_rig.Channels, _rig.Report.LastGoodHash, _rig.Held));
    }

    public override void Dispose()
    {
        _rig.Dispose();
        Directory.Delete(_folder, recursive: true);
        base.Dispose();
    }
}
