using System.CommandLine;
using IoBufferEdge.Control;

namespace IoBufferEdge.Daemon;

/// <summary><c>iobuffer config</c>: the running gateway's configuration.</summary>
internal static class ConfigCommandLine
{
    public static Command Command(Option<string> data, Option<bool> json, Func<ParseResult, ControlCommandLine> client)
    {
        var file = new Argument<string>("FILE") { Description = "Configuration file." };
        var confirmTimeout = new Option<int?>("--confirm-timeout")
        {
            Description = "Go back by itself unless config confirm comes within so many seconds (10 to 3600).", HelpName = "S",
        };
        var show = new Command("show", "Show the configuration that runs, its file names absolute, without passwords.") { data, json };
        show.SetAction((parsed, cancel) => client(parsed).AskAsync("config show", null, cancel));
        var apply = new Command("apply", "Make the running gateway go over to a configuration, and keep it.") { file, confirmTimeout, data, json };
        apply.SetAction((parsed, cancel) => ApplyAsync(client(parsed), parsed.GetValue(file)!, parsed.GetValue(confirmTimeout), cancel));
        var confirm = new Command("confirm", "Keep the configuration that waits for its confirmation.") { data, json };
        confirm.SetAction((parsed, cancel) => client(parsed).AskAsync("config confirm", null, cancel));
        var rollback = new Command("rollback", "Go back to the last good configuration, or to the one kept before it.") { data, json };
        rollback.SetAction((parsed, cancel) => client(parsed).AskAsync("config rollback", null, cancel));
        return new Command("config", "See and change the running gateway's configuration.") { show, apply, confirm, rollback };
    }

    private static async Task<int> ApplyAsync(ControlCommandLine control, string file, int? confirmTimeoutS, CancellationToken cancel)
    {
        var path = Path.GetFullPath(file);
        string document;
        try
        {
            document = await File.ReadAllTextAsync(path, cancel);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"{file} cannot be read: {e.Message}");
            return ExitCode.IoError;
        }

        var request = new ControlRequest
        {
            Command = "config apply", Document = document, Folder = Path.GetDirectoryName(path), ConfirmTimeoutS = confirmTimeoutS,
        };
        return await control.ConversationAsync(async talk => control.Show(await talk.AskAsync(request, cancel)), cancel);
    }
}
