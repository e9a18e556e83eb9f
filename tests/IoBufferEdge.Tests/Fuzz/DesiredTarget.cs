using System.Text;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Tests.Control.Configuring;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// Messages of <c>config/desired</c>. Whatever the bytes are: what is refused changes nothing and says why; what is tried and not confirmed is
/// taken back, so that the same gateway runs after every message.
/// </summary>
internal sealed class DesiredTarget : FuzzTarget
{
    private readonly KeeperRig _rig = new(new PowerCutFolder());

    public override string Name => "config-desired";

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new[]
        {
            "\"revision\"", "\"config\"", "\"patch\"", "\"confirm_timeout_s\"", "\"channels\"", "\"schema_version\"", "\"mqtt\"", "\"device\"", "\"id\"",
            "\"password\"", "\"password_file\"", "\"serial\"", "\"/dev/null\"", "\"../x\"", "{}", "[]", "null", "1", "10", "3600", "\"a\"", ":", ",", "\\ud800",
        }.Select(Encoding.UTF8.GetBytes), [0xFF],
    ];

    protected override int InputBytesMax => 16 * 1024;

    public override void Judge(byte[] input, Behaviours seen)
    {
        var (channels, good) = (_rig.Channels, _rig.Report.LastGoodHash);
        _rig.Reports.Clear();
        _rig.Keeper.HandleAsync(input).GetAwaiter().GetResult();
        var report = _rig.Report;
        foreach (var error in report.Errors)
        {
            if (error.ToString().Any(char.IsControl)) Assert.Fail($"A control character stands in the problem {error}");
            seen.Saw(report.Status, new string([.. error.Path.Where(char.IsAsciiLetter)]), error.Message[..Math.Min(25, error.Message.Length)]);
        }

        if (report.Status == ConfigStatus.Failed) Assert.NotEmpty(report.Errors);
        if (report.Status == ConfigStatus.Applying) _rig.Keeper.RollbackAsync().GetAwaiter().GetResult();
        Assert.Equal((channels, good, false), (_rig.Channels, _rig.Report.LastGoodHash, _rig.Held));
    }

    public override void Dispose()
    {
        _rig.Dispose();
        base.Dispose();
    }
}
