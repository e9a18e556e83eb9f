using System.Diagnostics;
using System.Text;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Tests.Daemon;

/// <summary><c>iobuffer secret</c> as a process, with a gateway on the data folder and without one.</summary>
public sealed class SecretCommandTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _data = Directory.CreateTempSubdirectory("iobuffer-secret-").FullName;

    public void Dispose() => Directory.Delete(_data, recursive: true);

    [Fact]
    public async Task Without_a_gateway_the_data_folder_is_written_itself()
    {
        Assert.Equal((0, "no secrets\n", ""), await RunAsync("", "list"));
        Assert.Equal((0, "The secret relay is set.\n", ""), await RunAsync("hunter22\n", "set", "relay"));
        Assert.Equal("hunter22", new SecretStore(Path.Combine(_data, "secrets"), null).ReadPassword("relay"));
        var (code, output, _) = await RunAsync("", "list");
        Assert.Equal(0, code);
        Assert.Matches("^relay  9 bytes  20..-..-.. ..:.. UTC\n$", output);
        var (refused, nothing, errors) = await RunAsync("x", "set", "../relay");
        Assert.Equal((1, ""), (refused, nothing));
        Assert.Contains("A secret's name is", errors, StringComparison.Ordinal);
        Assert.Equal(1, (await RunAsync(new string('x', SecretStore.MaxBytes + 1), "set", "long")).Code);
        using (DataFolder.Take(_data)) Assert.Equal(75, (await RunAsync("x", "set", "relay")).Code);
    }

    [Fact]
    public async Task Where_a_gateway_runs_it_is_asked()
    {
        string[] arguments = ["run", "--config", Config(), "--data", _data];
        using var gateway = Process.Start(new ProcessStartInfo(DaemonTests.Binary, arguments) { RedirectStandardOutput = true })!;
        try
        {
            while (await gateway.StandardOutput.ReadLineAsync().WaitAsync(Patience) is { } line && !line.Contains("runs with", StringComparison.Ordinal))
            {
            }

            Assert.Equal((0, "The secret relay is set.\n", ""), await RunAsync("hunter22", "set", "relay"));
            Assert.StartsWith("relay  8 bytes", (await RunAsync("", "list")).Output, StringComparison.Ordinal);
            Assert.Equal("hunter22", new SecretStore(Path.Combine(_data, "secrets"), null).ReadPassword("relay"));
            Assert.Equal(0, (await RunAsync(new string('x', SecretStore.MaxBytes), "set", "long")).Code);
        }
        finally
        {
            gateway.Kill();
            await gateway.WaitForExitAsync().WaitAsync(Patience);
        }
    }

    private string Config()
    {
        var file = Path.Combine(_data, "gateway.json");
        File.WriteAllText(file, """{"schema_version":1,"channels":[]}""");
        return file;
    }

    private async Task<(int Code, string Output, string Errors)> RunAsync(string input, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(DaemonTests.Binary, ["secret", .. arguments, "--data", _data])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, StandardInputEncoding = new UTF8Encoding(false),
        })!;
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync().WaitAsync(Patience);
        return (process.ExitCode, await output, await errors);
    }
}
