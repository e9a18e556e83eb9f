using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Boards;

/// <summary>How far a claim about a board can be trusted.</summary>
public enum Verified
{
    /// <summary>Measured on the board itself.</summary>
    Bench,

    /// <summary>Read in what the vendor publishes.</summary>
    VendorSource,

    /// <summary>Believed; a guess.</summary>
    Unverified,
}

/// <summary>
/// What a board has, read from <c>hardware/boards/&lt;id&gt;/board.json</c> (shape: <c>hardware/schema/board.schema.json</c>). Every entry
/// names its source, a key of <see cref="Sources"/>, and how far it was verified.
/// </summary>
public sealed record Board
{
    public required string Id { get; init; }

    public required string Name { get; init; }

    /// <summary>Key → document, file or page.</summary>
    public required Dictionary<string, string> Sources { get; init; }

    public BoardPort[] Ports { get; init; } = [];

    public BoardLed[] Leds { get; init; } = [];

    /// <summary>Null: there is nothing to press.</summary>
    public BoardButton? Button { get; init; }

    public BoardPart[] Parts { get; init; } = [];

    /// <summary>The port that the configuration calls so; null: there is none.</summary>
    public BoardPort? Port(string name) => Array.Find(Ports, p => p.Name == name);
}

/// <summary>A serial port and what a channel inherits from it.</summary>
public sealed record BoardPort
{
    /// <summary>As printed on the case, or as good: <c>rs485-1</c>.</summary>
    public required string Name { get; init; }

    public required string Device { get; init; }

    /// <summary>Null: RS232, or an adapter that is asked for nothing.</summary>
    public Rs485Config? Rs485 { get; init; }

    public bool LowLatency { get; init; } = true;

    public string? Note { get; init; }

    public required string Source { get; init; }

    public required Verified Verified { get; init; }
}

public enum LedRole
{
    Stat,
    Err,
}

/// <summary>An LED of the kernel's, or on a GPIO line that nobody else serves: one of the two is named.</summary>
/// <param name="Kernel">Its name in the kernel's LED class; null: it has none.</param>
/// <param name="Gpio">The line that lights it; null: the kernel does.</param>
public sealed record BoardLed(
    LedRole Role, string Color, string Source, Verified Verified, string? Kernel = null, GpioLineConfig? Gpio = null, string? Note = null)
{
    /// <summary>What it is reached by, for people.</summary>
    public string Address => Kernel ?? Gpio!.ToString();
}

/// <summary>The push-button on the front; its line is pulled to the level at which it is not active.</summary>
public sealed record BoardButton(GpioLineConfig Gpio, string Source, Verified Verified, string? Note = null);

/// <summary>Something else on the board: clock, watchdog, expander, and what serves it.</summary>
public sealed record BoardPart(string Part, string Driver, string Source, Verified Verified, string? Note = null);

/// <summary>The board files, which are built into the binary.</summary>
public static class BoardFiles
{
    private const string Prefix = "boards/";

    /// <summary>In alphabetical order.</summary>
    public static IReadOnlyList<string> Ids { get; } =
    [
        .. typeof(BoardFiles).Assembly.GetManifestResourceNames().Where(n => n.StartsWith(Prefix, StringComparison.Ordinal))
            .Select(n => n.Split('/')[1]).Order(StringComparer.Ordinal),
    ];

    /// <summary>Null: there is no such board.</summary>
    public static Board? Find(string id)
    {
        using var file = Open(id);
        return file is null ? null : JsonSerializer.Deserialize(file, BoardJson.Default.Board);
    }

    /// <summary>The file as it lies in hardware/boards; null: there is no such board.</summary>
    public static Stream? Open(string id) =>
        Ids.Contains(id) ? typeof(BoardFiles).Assembly.GetManifestResourceStream($"{Prefix}{id}/board.json") : null;

    /// <summary>A board in words, for who installs it.</summary>
    public static string Describe(Board board)
    {
        var lines = new List<string> { $"{board.Id}: {board.Name}" };
        lines.AddRange(board.Ports.Select(p =>
            $"  port {p.Name}: {p.Device}{(p.Rs485 is { } rs485 ? $", RS485 {Describe(rs485)}" : "")}{Trust(p.Verified, p.Source, p.Note)}"));
        lines.AddRange(board.Leds.Select(l => $"  LED {EndpointValidator.Word(l.Role)} ({l.Color}): {l.Address}{Trust(l.Verified, l.Source, l.Note)}"));
        if (board.Button is { } button) lines.Add($"  button: {button.Gpio}{Trust(button.Verified, button.Source, button.Note)}");
        lines.AddRange(board.Parts.Select(p => $"  {p.Part}: {p.Driver}{Trust(p.Verified, p.Source, p.Note)}"));
        lines.AddRange(board.Sources.Select(s => $"  [{s.Key}] {s.Value}"));
        return string.Join('\n', lines);
    }

    private static string Describe(Rs485Config rs485) => $"{EndpointValidator.Word(rs485.Mode)}{Line("DE", rs485.De)}{Line("/RE", rs485.Re)}";

    private static string Line(string name, GpioLineConfig? line) => line is null ? "" : $", {name} {line}";

    private static string Trust(Verified verified, string source, string? note) =>
        $" ({JsonNamingPolicy.KebabCaseLower.ConvertName(verified.ToString())}, [{source}]){(note is null ? "" : $": {note}")}";
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    Converters = [typeof(KebabConverter<Verified>), typeof(KebabConverter<LedRole>), typeof(KebabConverter<Rs485Mode>)])]
[JsonSerializable(typeof(Board))]
internal sealed partial class BoardJson : JsonSerializerContext;

/// <summary>A GPIO line is written as a number or as a name.</summary>
internal sealed class LineConverter : JsonConverter<string>
{
    public override string Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.Number ? reader.GetInt32().ToString(CultureInfo.InvariantCulture) : reader.GetString()!;

    public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) => writer.WriteStringValue(value);
}

internal sealed class KebabConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false)
    where T : struct, Enum;
