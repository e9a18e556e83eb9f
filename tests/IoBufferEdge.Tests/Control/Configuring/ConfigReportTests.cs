using System.Text.Json;
using IoBufferEdge.Configuration;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Configuring;

namespace IoBufferEdge.Tests.Control.Configuring;

/// <summary>What stands on the wire as <c>config/reported</c>.</summary>
public sealed class ConfigReportTests
{
    [Fact]
    public void A_report_is_snake_case_with_its_status_in_capitals()
    {
        var report = new ConfigReport
        {
            Revision = "r7",
            Hash = "ab",
            Status = ConfigStatus.RolledBack,
            Errors = [new(ConfigSeverity.Error, "channels[0].id", "is missing")],
            LastGoodHash = "cd",
        };
        var json = JsonSerializer.Serialize(report, ControlJson.Default.ConfigReport);
        Assert.Equal(
            """{"revision":"r7","hash":"ab","status":"ROLLED_BACK","errors":[{"severity":"error","path":"channels[0].id","message":"is missing"}],"""
            + "\"last_good_hash\":\"cd\"}", json);
        Assert.Equal(ConfigStatus.RolledBack, JsonSerializer.Deserialize(json, ControlJson.Default.ConfigReport)!.Status);
        Assert.Equal("""{"status":"APPLIED","errors":[]}""", JsonSerializer.Serialize(new ConfigReport(), ControlJson.Default.ConfigReport));
    }
}
