using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Tests.Endpoints.Serial;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>What helps who debugs a device: tap, the loss test, completion, the manual.</summary>
public partial class ToolTests(ITestOutputHelper output) : SystemTest(output)
{
    private static readonly string Tools = Path.Combine(GatewayProcess.RepositoryRoot, "image", "cli");

    [Fact]
    public async Task Tap_shows_both_ends_as_it_happens()
    {
        var ledger = new Ledger();
        using var device = new Pty();
        var port = FreePort.Tcp();
        var toLine = Config.Channel(Id, port, 1, """{"ack":{"type":"bytes","ack_hex":"06"}}""");
        toLine["destination"] = JsonNode.Parse($$"""{"type":"serial","port":"{{device.Path}}"}""");
        var gateway = StartedGateway(toLine);
        var tap = Keep(new PeerProcess(GatewayProcess.DefaultBinary, "tap", Id, "--json", "--data", gateway.DataFolder));
        Wait.Until(() => tap.LastLines.Contains("Looking at", StringComparison.Ordinal), 10, "the tap to look", () => tap.LastLines);
        using var client = new TcpClient("127.0.0.1", port);
        await client.GetStream().WriteAsync("weigh\e[2J\n"u8.ToArray());
        Assert.Equal("weigh\e[2J\n", Encoding.Latin1.GetString(await device.ReadAsync(10)));
        Wait.Until(() => Pieces(tap).Count >= 3, 10, "three pieces", () => tap.LastLines);
        Assert.Equal(
            ["destination sent weigh\e[2J\n", "source received weigh\e[2J\n", "source sent \u0006"],
            Pieces(tap).Select(p => $"{p["end"]} {p["direction"]} {Text(p)}").Order(StringComparer.Ordinal));
        Assert.Contains(Pieces(tap), p => p["peer"]!.GetValue<string>() == device.Path);
        gateway.Kill();
        Wait.Until(() => tap.HasExited, 10, "the tap's end", () => tap.LastLines);
        Assert.Empty(ledger.Violations);
    }

    [Fact]
    public void The_loss_test_keeps_a_ledger_and_leaves_nothing_behind()
    {
        var gateway = Gateway();
        var (code, said, errors) = gateway.Command(
            "selftest", "loss", "--data", gateway.Folder, "--messages", "4000", "--kills", "3", "--resets", "3", "--json");
        Output.WriteLine(said);
        Assert.True(code == 0, errors);
        var verdict = JsonNode.Parse(said)!;
        Assert.Equal([4000, 4000, 4000, 0, 3],
            ((string[])["sent", "acknowledged", "received", "lost", "kills"]).Select(key => verdict[key]!.GetValue<int>()));
        Assert.InRange(verdict["resets"]!.GetValue<int>(), 1, 3);
        Assert.Empty(Directory.GetDirectories(gateway.Folder, "selftest-*"));
        (code, _, errors) = gateway.Command("selftest", "loss", "--data", "/proc/nowhere");
        Assert.Equal(74, code);
        Assert.StartsWith("The loss test cannot make a folder in /proc/nowhere", errors, StringComparison.Ordinal);
        (code, _, errors) = gateway.Command("selftest", "loss", "--kills", "-1");
        Assert.Equal(64, code);
        Assert.StartsWith("--kills -1 is out of range: it goes from 0 to 1000.", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Completion_knows_verbs_options_and_the_channels_that_run()
    {
        var gateway = StartedGateway(Config.Channel("hall-2", FreePort.Tcp(), FreePort.Tcp()));
        Assert.Equal(["peek", "purge"], Completed("iobuffer queue p"));
        Assert.Contains("--watch", Completed("iobuffer status --"));
        Assert.Equal(["hall-2"], Completed($"iobuffer channel pause --data {gateway.DataFolder} h"));
        Assert.Empty(Completed($"iobuffer channel pause --data {gateway.Folder}/none h"));
    }

    /// <summary>The manual is written by hand: it names each verb and each option that the program has.</summary>
    [Fact]
    public void The_manual_leaves_no_verb_and_no_option_out()
    {
        var gateway = Gateway();
        var manual = File.ReadAllText(Path.Combine(Tools, "iobuffer.1")).Replace("\\-", "-", StringComparison.Ordinal);
        var missing = new List<string>();
        Look([]);
        Assert.Empty(missing);

        void Look(string[] verb)
        {
            var help = gateway.Command([.. verb, "--help"]).Output;
            missing.AddRange(OptionNames().Matches(help).Select(m => m.Value).Where(option => !manual.Contains(option, StringComparison.Ordinal)));
            var verbs = Verbs().Match(help + "\n");
            if (!verbs.Success && !manual.Contains(string.Join(' ', verb), StringComparison.Ordinal)) missing.Add(string.Join(' ', verb));
            foreach (Match next in Verb().Matches(verbs.Value)) Look([.. verb, next.Groups[1].Value]);
        }
    }

    [GeneratedRegex("--[a-z0-9-]+")]
    private static partial Regex OptionNames();

    [GeneratedRegex("Commands:\n(?:  .*\n)+")]
    private static partial Regex Verbs();

    [GeneratedRegex("^  ([a-z0-9-]+)", RegexOptions.Multiline)]
    private static partial Regex Verb();

    private static List<JsonNode> Pieces(PeerProcess tap) =>
        [.. tap.LastLines.Split('\n').Where(line => line.StartsWith('{')).Select(line => JsonNode.Parse(line)!)];

    private static string Text(JsonNode piece) => Encoding.Latin1.GetString(Convert.FromBase64String(piece["payload"]!.GetValue<string>()));

    /// <summary>What bash offers behind this line.</summary>
    private static string[] Completed(string line)
    {
        var script = $"""
            source {Tools}/iobuffer.bash-completion
            iobuffer() {'{'} {GatewayProcess.DefaultBinary} "$@"; {'}'}
            COMP_LINE='{line}' COMP_POINT={line.Length} COMP_WORDS=({line}) COMP_CWORD=$(({line.Split(' ').Length} - 1))
            _iobuffer
            printf '%s\n' "{"${COMPREPLY[@]}"}"
            """;
        using var bash = Process.Start(new ProcessStartInfo("bash") { ArgumentList = { "-c", script }, RedirectStandardOutput = true })!;
        var offered = bash.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        bash.WaitForExit();
        return offered;
    }
}
