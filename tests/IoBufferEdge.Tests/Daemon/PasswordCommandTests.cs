using System.Diagnostics;
using System.Text;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Tests.Daemon;

/// <summary><c>iobuffer passwd</c> as a process, with a pipe as its input.</summary>
public sealed class PasswordCommandTests
{
    [Theory]
    [InlineData("correct horse\nwhat follows does not count\n", "correct horse")]
    [InlineData("Pa$$wörd ✓", "Pa$$wörd ✓")]
    [InlineData("with a carriage return\r\n", "with a carriage return")]
    public async Task The_first_line_becomes_a_hash(string input, string password)
    {
        var (code, output, _) = await RunAsync(input);
        Assert.Equal(0, code);
        Assert.EndsWith("\n", output, StringComparison.Ordinal);
        Assert.True(PasswordHash.Parse(output.TrimEnd('\n'))!.Matches(Encoding.UTF8.GetBytes(password)));
        Assert.NotEqual(output, (await RunAsync(input)).Output);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("1234567\n")]
    public async Task A_short_one_is_refused(string input)
    {
        var (code, output, errors) = await RunAsync(input);
        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith("The password must have at least 8 characters, but has ", errors, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Errors)> RunAsync(string input)
    {
        using var process = Process.Start(new ProcessStartInfo(DaemonTests.Binary, "passwd")
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false), StandardOutputEncoding = Encoding.UTF8,
        })!;
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        return (process.ExitCode, await output, await errors);
    }
}
