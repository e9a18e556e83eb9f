using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using IoBufferEdge.Buffers;
using IoBufferEdge.Control;

namespace IoBufferEdge.Daemon;

/// <summary>JSON of <c>store verify --json</c>.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(StoreReport))]
internal sealed partial class StoreJson : JsonSerializerContext;

/// <summary>
/// <c>iobuffer store</c>: looks at the store of a gateway that does not run, and repairs it. It takes the data folder for itself as a gateway
/// does, so that none starts meanwhile. Exit codes: 0 sound, or salvaged; 1 damaged; 74 there is none, or it cannot be read; 75 a gateway runs.
/// </summary>
internal sealed class StoreCommandLine(string dataPath, bool json, TextWriter output, TextWriter errors)
{
    public static Command Command(Option<bool> yes, Option<string> data, Option<bool> json)
    {
        var verify = new Command("verify", "Read every record and every block, and say what is damaged or missing; changes nothing.") { data, json };
        verify.SetAction(parsed => Store(parsed, parsed.GetValue(json)).Verify());
        var salvage = new Command("salvage", "Make a new store of what reads of a damaged one; the original is kept.") { yes, data };
        salvage.SetAction(parsed => Store(parsed, json: false).Salvage(parsed.GetValue(yes)));
        return new Command("store", "See to the store of a gateway that does not run.") { verify, salvage };

        StoreCommandLine Store(ParseResult parsed, bool json) => new(parsed.GetValue(data)!, json, Console.Out, Console.Error);
    }

    private int Verify() => WithStore(options =>
    {
        var report = Read(options);
        if (json) output.WriteLine(JsonSerializer.Serialize(report, StoreJson.Default.StoreReport));
        else Show(report);
        return report.IsSound ? ExitCode.Ok : ExitCode.Failed;
    });

    private int Salvage(bool yes) => WithStore(options =>
    {
        var report = Read(options);
        Show(report);
        if (report.IsSound)
        {
            output.WriteLine("There is nothing to salvage.");
            return ExitCode.Ok;
        }

        const string question = "Make a new store of what reads? The original is kept in the folder quarantine, of older ones the newest.";
        if (Confirmation.Ask(question, yes, errors) is { } code) return code;
        output.WriteLine(StoreVerification.SalvageNow(options, string.Join(' ', report.Damage), Random.Shared, TimeProvider.System));
        return ExitCode.Ok;
    });

    private StoreReport Read(RocksStoreOptions options) => StoreVerification.Verify(options, new ProgressLine("reading", errors).Report);

    private void Show(StoreReport report)
    {
        foreach (var queue in report.Queues) output.WriteLine(Line(queue));
        foreach (var sentence in report.Damage) output.WriteLine(sentence);
        var read = $"{report.Blocks} blocks read, {StatusText.Size(report.BlockBytes)}";
        output.WriteLine(report.IsSound ? $"The store is sound: {read}." : $"The store is damaged: {read}.");
    }

    private static string Line(QueueReport queue)
    {
        var line = $"{queue.Id}: {queue.Waiting} wait ({StatusText.Size(queue.WaitingBytes)}), {queue.Parked} parked, {queue.DamagedBlocks} blocks damaged";
        if (queue.Missing.Count > 0) line += $", missing {string.Join(", ", queue.Missing)}";
        return queue.KnownMissing.Count > 0 ? $"{line}, missing since a salvage {string.Join(", ", queue.KnownMissing)}" : line;
    }

    private int WithStore(Func<RocksStoreOptions, int> use)
    {
        try
        {
            var store = Path.Combine(Path.GetFullPath(dataPath), "store");
            if (!Directory.Exists(store))
            {
                errors.WriteLine($"There is no store in {dataPath}.");
                return ExitCode.IoError;
            }

            using var folder = DataFolder.Take(dataPath);
            return use(new RocksStoreOptions { Directory = folder.Store });
        }
        catch (DataFolderException e)
        {
            errors.WriteLine(e.InUse ? $"A gateway runs on {dataPath}: stop it first; a store is looked at while nobody writes it." : e.Message);
            return e.InUse ? ExitCode.TemporaryFailure : ExitCode.IoError;
        }
        catch (StoreException e)
        {
            errors.WriteLine(e.Message);
            return ExitCode.IoError;
        }
    }
}
