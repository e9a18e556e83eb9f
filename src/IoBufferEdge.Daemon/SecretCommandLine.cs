using System.CommandLine;
using System.Text;
using IoBufferEdge.Control;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Daemon;

/// <summary>
/// <c>iobuffer secret</c>: through the gateway where one runs, as who may use its control socket; else in the data folder itself, which is
/// taken meanwhile. A value comes from standard input, never from the command line, where every user of the machine could read it.
/// </summary>
internal sealed class SecretCommandLine(string dataPath, bool json, TextWriter output, TextWriter errors)
{
    public static Command Command(Option<string> data, Option<bool> json)
    {
        var name = new Argument<string>("NAME") { Description = "What password_secret in the configuration names." };
        var set = new Command("set", "Keep what comes from standard input under a name.") { name, data, json };
        set.SetAction((parsed, cancel) => Secrets(parsed).SetAsync(parsed.GetValue(name)!, cancel));
        var list = new Command("list", "Show names, sizes and dates; never values.") { data, json };
        list.SetAction((parsed, cancel) => Secrets(parsed).AskAsync(new ControlRequest { Command = "secret list" }, cancel));
        return new Command("secret", "Passwords, keys and certificates that configurations name.") { set, list };

        SecretCommandLine Secrets(ParseResult parsed) => new(parsed.GetValue(data)!, parsed.GetValue(json), Console.Out, Console.Error);
    }

    private async Task<int> SetAsync(string name, CancellationToken cancel)
    {
        var value = Console.IsInputRedirected
            ? await ReadInputAsync(cancel)
            : Encoding.UTF8.GetBytes(PasswordCommandLine.Ask($"Value of {name}: ", errors));
        return await AskAsync(new ControlRequest { Command = "secret set", Secret = name, Value = value }, cancel);
    }

    /// <summary>One byte more than fits tells that it is too long.</summary>
    private static async Task<byte[]> ReadInputAsync(CancellationToken cancel)
    {
        await using var input = Console.OpenStandardInput();
        var value = new byte[SecretStore.MaxBytes + 1];
        return value[..await input.ReadAtLeastAsync(value, value.Length, throwOnEndOfStream: false, cancel)];
    }

    private async Task<int> AskAsync(ControlRequest request, CancellationToken cancel)
    {
        var socket = DataFolder.ControlSocketOf(dataPath);
        var control = new ControlCommandLine(socket, json, output, errors);
        try
        {
            ControlClient client;
            try
            {
                client = await ControlClient.ConnectAsync(socket, cancel);
            }
            catch (IOException)
            {
                return control.Show(Answer(request));
            }

            using (client) return control.Show(await client.AskAsync(request, cancel));
        }
        catch (DataFolderException e)
        {
            errors.WriteLine(e.InUse ? $"A gateway runs on {dataPath} and does not answer to this user: use root or the service's group." : e.Message);
            return e.InUse ? ExitCode.TemporaryFailure : ExitCode.IoError;
        }
        catch (IOException e)
        {
            errors.WriteLine(e.Message);
            return ExitCode.Unavailable;
        }
    }

    /// <summary>What the gateway would answer, with the data folder held as it would hold it.</summary>
    private ControlResponse Answer(ControlRequest request)
    {
        var secrets = SecretStore.Of(dataPath);
        try
        {
            if (request.Secret is not { } name) return new ControlResponse { Ok = true, Secrets = secrets.List() };
            using var folder = DataFolder.Take(dataPath);
            secrets.Set(name, request.Value);
            return ControlResponse.Done($"The secret {name} is set.");
        }
        catch (SecretException e)
        {
            return ControlResponse.Failed(e.Message);
        }
    }
}
