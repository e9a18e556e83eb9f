using System.Text;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control.Configuring;

/// <summary>The <c>config</c> commands of the control socket, and provisioning.</summary>
/// <param name="refuse">Told why a provisioning was not taken: nobody may stand before the screen, but before the LEDs.</param>
public sealed class ConfigCommands(ConfigKeeper keeper, Redactor redactor, Action<string> refuse)
{
    /// <summary>Null: it is none of these.</summary>
    /// <exception cref="ConfigControlException">It cannot be done: one sentence.</exception>
    public async ValueTask<ControlResponse?> HandleAsync(ControlRequest request) => request.Command switch
    {
        "config show" => new ControlResponse
        {
            Ok = true, Message = $"From {EndpointOf(keeper.Origin)}.", Config = keeper.Report, Document = Show(),
        },
        "config apply" => await ApplyAsync(request),
        "config confirm" => Answer(await keeper.ConfirmAsync()),
        "provision" => await ProvisionAsync(request),
        "config rollback" => Answer(await keeper.RollbackAsync(), rolledBack: true),
        _ => null,
    };

    private async ValueTask<ControlResponse> ApplyAsync(ControlRequest request)
    {
        if (request.Document is not { } document || request.Folder is not { } folder)
            return ControlResponse.Failed("\"config apply\" needs the document and the folder it comes from.");
        if (request.ConfirmTimeoutS is < ConfigOffer.MinTimeoutS or > ConfigOffer.MaxTimeoutS)
            return ControlResponse.Failed($"The time to confirm is {ConfigOffer.MinTimeoutS} to {ConfigOffer.MaxTimeoutS} s.");
        TimeSpan? timeout = request.ConfirmTimeoutS is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
        return Answer(await keeper.ApplyAsync(Encoding.UTF8.GetBytes(document), folder, timeout));
    }

    private async ValueTask<ControlResponse> ProvisionAsync(ControlRequest request)
    {
        if (request.Provision is not { } given) return ControlResponse.Failed("\"provision\" needs what is to be taken.");
        try
        {
            return ControlResponse.Done(await keeper.ProvisionAsync(given, request.CheckOnly));
        }
        catch (ConfigControlException e)
        {
            refuse($"provisioning: {e.Message.Replace("\n", "; ", StringComparison.Ordinal)}");
            throw;
        }
    }

    private string Show()
    {
        var document = Encoding.UTF8.GetBytes(keeper.Document);
        redactor.Learn(document, "/");
        return ConfigDocument.Indent(redactor.RedactJson(document));
    }

    private ControlResponse Answer(ConfigReport report, bool rolledBack = false)
    {
        var problems = string.Concat(report.Errors.Select(e => $"\n{e}"));
        var sentence = report.Status switch
        {
            ConfigStatus.Applying =>
                $"The configuration runs. Confirm it within {keeper.ConfirmWithin?.TotalSeconds:0} s (iobuffer config confirm), or the former comes back.",
            ConfigStatus.Applied => "The configuration is applied and kept.",
            ConfigStatus.RolledBack => "The former configuration runs again.",
            _ => "The former configuration goes on.",
        };
        var ok = report.Status is ConfigStatus.Applying or ConfigStatus.Applied || rolledBack;
        return rolledBack ? ControlResponse.Done(sentence) with { Config = report }
            : ok ? ControlResponse.Done(sentence + problems) with { Config = report }
            : ControlResponse.Failed(sentence + problems) with { Config = report };
    }

    private static string EndpointOf(ConfigOrigin origin) => origin switch
    {
        ConfigOrigin.BuiltIn => "the program: it is built in",
        ConfigOrigin.Factory => "provisioning",
        ConfigOrigin.File => "the configuration file",
        ConfigOrigin.Command => "config apply",
        _ => "MQTT",
    };
}
