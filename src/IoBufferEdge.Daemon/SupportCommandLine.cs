using System.CommandLine;
using System.Globalization;
using IoBufferEdge.Control;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Daemon;

/// <summary><c>iobuffer support-bundle</c>: from the gateway that runs; else from what its data folder and the journal hold.</summary>
internal static class SupportCommandLine
{
    public static Command Command(Option<string> data)
    {
        var output = new Option<string?>("--output")
        {
            Description = "Where to write it, - for standard output; left out: iobuffer-support-TIME.tar.gz in this folder.", HelpName = "FILE",
        };
        var command = new Command("support-bundle", "Write all that a supporter asks for first into one file, without secrets.") { output, data };
        command.SetAction((parsed, cancel) => RunAsync(parsed.GetValue(data)!, parsed.GetValue(output), cancel));
        return command;
    }

    private static async Task<int> RunAsync(string dataPath, string? output, CancellationToken cancel)
    {
        try
        {
            var bundle = await AskAsync(dataPath, cancel);
            if (output == "-")
            {
                await using var standard = Console.OpenStandardOutput();
                await standard.WriteAsync(bundle, cancel);
                return ExitCode.Ok;
            }

            var file = output ?? string.Create(CultureInfo.InvariantCulture, $"iobuffer-support-{TimeProvider.System.GetUtcNow():yyyyMMdd-HHmmss}.tar.gz");
            await File.WriteAllBytesAsync(file, bundle, cancel);
            await Console.Out.WriteLineAsync($"{file}: {StatusText.Size(bundle.Length)}. It holds no secrets; look into it before you pass it on.");
            return ExitCode.Ok;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SecretException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return ExitCode.IoError;
        }
    }

    private static async Task<byte[]> AskAsync(string dataPath, CancellationToken cancel)
    {
        ControlClient client;
        try
        {
            client = await ControlClient.ConnectAsync(DataFolder.ControlSocketOf(dataPath), cancel);
        }
        catch (IOException e)
        {
            // Without a gateway the data folder tells the rest; who may not read it is told why neither goes.
            var data = Path.GetFullPath(dataPath);
            if (!CanRead(data)) throw new IOException(e.Message, e);
            var secrets = SecretStore.Of(data);
            return new SupportBundle(data, secrets, new Redactor(secrets), GatewayHost.Version, TimeProvider.System)
                .Create(null, null, SupportBundle.ReadJournal());
        }

        using (client)
        {
            var answer = await client.AskAsync(new ControlRequest { Command = "support bundle" }, cancel);
            return answer.Bundle ?? throw new IOException(answer.Error);
        }
    }

    private static bool CanRead(string data)
    {
        try
        {
            return Directory.EnumerateFileSystemEntries(data).Any();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
