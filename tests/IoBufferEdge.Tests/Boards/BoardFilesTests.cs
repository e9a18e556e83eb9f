using System.Diagnostics;
using System.Text.Json;
using IoBufferEdge.Boards;
using IoBufferEdge.Configuration;
using IoBufferEdge.Tests.Configuration;
using IoBufferEdge.Tests.Support;

namespace IoBufferEdge.Tests.Boards;

public class BoardFilesTests
{
    private static readonly string Folder = Path.Combine(RepositoryRoot.Path, "hardware", "boards");

    public static TheoryData<string> Ids => [.. BoardFiles.Ids];

    [Fact]
    public void Every_board_of_the_repository_is_built_in() =>
        Assert.Equal(Directory.GetDirectories(Folder).Select(Path.GetFileName).Order(StringComparer.Ordinal), BoardFiles.Ids);

    [Theory, MemberData(nameof(Ids))]
    public void A_board_file_follows_the_schema(string id)
    {
        using var schema = JsonDocument.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, "hardware", "schema", "board.schema.json")));
        var evaluator = new SchemaEvaluator(schema.RootElement);
        var text = File.ReadAllText(Path.Combine(Folder, id, "board.json"));
        Assert.True(evaluator.IsValid(JsonDocument.Parse(text).RootElement));
        Assert.False(evaluator.IsValid(JsonDocument.Parse(text.Replace("\"verified\"", "\"believed\"", StringComparison.Ordinal)).RootElement));
    }

    [Theory, MemberData(nameof(Ids))]
    public void Every_claim_has_a_source_that_is_named(string id)
    {
        var board = BoardFiles.Find(id)!;
        Assert.Equal(id, board.Id);
        Assert.NotEmpty(board.Ports);
        HashSet<string> used =
        [
            .. board.Ports.Select(p => p.Source), .. board.Leds.Select(l => l.Source), .. board.Parts.Select(p => p.Source),
            .. board.Button is { } button ? [button.Source] : Array.Empty<string>(),
        ];
        Assert.Equal(board.Sources.Keys.Order(StringComparer.Ordinal), used.Order(StringComparer.Ordinal));
    }

    [Theory, MemberData(nameof(Ids))]
    public void Names_devices_and_lines_are_used_once(string id)
    {
        var board = BoardFiles.Find(id)!;
        Once(board.Ports.Select(p => p.Name));
        Once(board.Ports.Select(p => p.Device));
        Once(board.Leds.Select(l => l.Address));
        Once(board.Leds.Select(l => l.Role.ToString()));
        Once(Lines(board).Select(l => $"{l.Chip}:{l.Line}"));
        Assert.All(board.Ports.Where(p => p.Rs485?.Mode == Rs485Mode.Gpio), p => Assert.NotNull(p.Rs485!.De));
    }

    [Theory, MemberData(nameof(Ids))]
    public void A_board_is_described_with_all_its_ports_and_its_button(string id)
    {
        var board = BoardFiles.Find(id)!;
        var text = BoardFiles.Describe(board);
        Assert.All(board.Ports, p => Assert.Contains($"  port {p.Name}: {p.Device}", text, StringComparison.Ordinal));
        Assert.Equal(board.Button is not null, text.Contains($"\n  button: {board.Button?.Gpio} (", StringComparison.Ordinal));
    }

    /// <summary>The page beside the board's file: what is wired where, for whoever has the screwdriver.</summary>
    [Theory, MemberData(nameof(Ids))]
    public void A_boards_page_names_its_ports_and_their_lines(string id)
    {
        var board = BoardFiles.Find(id)!;
        var page = File.ReadAllText(Path.Combine(Folder, id, "README.md"));
        Assert.All(board.Ports, p => Assert.Contains(p.Name, page, StringComparison.Ordinal));
        foreach (var line in board.Ports.SelectMany(p => new[] { p.Rs485?.De, p.Rs485?.Re }).OfType<GpioLineConfig>())
        {
            var name = line.Chip.StartsWith("pinctrl-bcm", StringComparison.Ordinal) ? $"GPIO{line.Line} " : $"`{line.Line}`";
            Assert.Contains(name, page, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("\"kernel\":\"a1_green\"", true)]
    [InlineData("\"gpio\":{\"chip\":\"panel\",\"line\":3,\"active_low\":true}", true)]
    [InlineData("\"kernel\":\"a1_green\",\"gpio\":{\"chip\":\"panel\",\"line\":3}", false)]
    [InlineData("\"note\":\"somewhere\"", false)]
    public void An_led_is_the_kernels_or_on_a_line(string address, bool isValid)
    {
        var json = $$"""
            {"id":"b","name":"B","sources":{"s":"S"},"ports":[],"parts":[],
             "leds":[{"role":"stat",{{address}},"color":"green","source":"s","verified":"bench"}]}
            """;
        using var schema = JsonDocument.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, "hardware", "schema", "board.schema.json")));
        Assert.Equal(isValid, new SchemaEvaluator(schema.RootElement).IsValid(JsonDocument.Parse(json).RootElement));
        if (!isValid) return;
        var board = JsonSerializer.Deserialize(json, BoardJson.Default.Board)!;
        Assert.Contains($"  LED stat (green): {(board.Leds[0].Gpio is null ? "a1_green" : "panel:3:low")} (bench, [s])\n", BoardFiles.Describe(board),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Overlays_compile()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/dtc"), "dtc is not installed; scripts/test.sh installs it.");
        var overlays = Directory.GetFiles(Folder, "overlay.dts", SearchOption.AllDirectories);
        Assert.NotEmpty(overlays);
        foreach (var overlay in overlays)
        {
            using var dtc = Process.Start(new ProcessStartInfo("/usr/bin/dtc", ["-@", "-I", "dts", "-O", "dtb", "-o", "/dev/null", overlay])
            {
                RedirectStandardError = true,
            })!;
            var said = dtc.StandardError.ReadToEnd();
            dtc.WaitForExit();
            Assert.True(dtc.ExitCode == 0 && said.Length == 0, $"{overlay}: {said}");
        }
    }

    private static IEnumerable<GpioLineConfig> Lines(Board board) =>
        board.Ports.SelectMany(p => new[] { p.Rs485?.De, p.Rs485?.Re }).Concat(board.Leds.Select(l => l.Gpio)).Append(board.Button?.Gpio)
            .OfType<GpioLineConfig>();

    private static void Once(IEnumerable<string> names) =>
        Assert.Empty(names.GroupBy(n => n, StringComparer.Ordinal).Where(g => g.Count() > 1).Select(g => g.Key));
}
