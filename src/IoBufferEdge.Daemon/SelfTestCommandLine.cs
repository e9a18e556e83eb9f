using System.CommandLine;
using System.Text.Json;

namespace IoBufferEdge.Daemon;

/// <summary><c>iobuffer selftest</c>. Exit codes: 0 the promise was kept, 1 it was not, 74 the test cannot be run here.</summary>
internal static class SelfTestCommandLine
{
    public static Command Command(Option<string> data, Option<bool> json)
    {
        var messages = Number("--messages", "How many messages to send.", 20_000, 10, 10_000_000);
        var kills = Number("--kills", "How often the gateway is killed.", 5, 0, 1000);
        var resets = Number("--resets", "How often the receiver resets its connection, with bytes unread.", 5, 0, 1000);
        var loss = new Command(
            "loss", "Prove on this device's disk that nothing is lost: a gateway of its own is killed under load. The one that runs is not touched.")
        {
            messages, kills, resets, data, json,
        };
        loss.SetAction((parsed, cancel) => LossAsync(
            new LossSelfTest.Options(parsed.GetValue(data)!, parsed.GetValue(messages), parsed.GetValue(kills), parsed.GetValue(resets)),
            parsed.GetValue(json), Console.Out, Console.Error, cancel));
        return new Command("selftest", "Try the promises on this device.") { loss };
    }

    private static async Task<int> LossAsync(LossSelfTest.Options options, bool json, TextWriter output, TextWriter errors, CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using var test = new LossSelfTest(options, Random.Shared, errors);
        Console.CancelKeyPress += (_, key) =>
        {
            key.Cancel = true;
            stop.Cancel();
        };
        try
        {
            var verdict = await test.RunAsync(stop.Token);
            output.WriteLine(json ? JsonSerializer.Serialize(verdict, LossJson.Default.LossVerdict) : Sentence(verdict));
            return verdict.IsKept ? ExitCode.Ok : ExitCode.Failed;
        }
        catch (OperationCanceledException)
        {
            errors.WriteLine("Broken off.");
            return ExitCode.Failed;
        }
        catch (IOException e)
        {
            errors.WriteLine(e.Message);
            return ExitCode.IoError;
        }
    }

    private static string Sentence(LossVerdict verdict) =>
        $"{verdict.Acknowledged} messages acknowledged, {verdict.Received} received, {verdict.Lost} lost, {verdict.Disordered} out of order, "
        + $"{verdict.Damaged} damaged, {verdict.Repeats} repeated; the gateway was killed {verdict.Kills} times, the receiver's connection reset "
        + $"{verdict.Resets} times, in {verdict.Seconds} s. "
        + (verdict.IsKept ? "The promise was kept." : "The promise was broken: please report it.");

    private static Option<int> Number(string name, string description, int standard, int least, int most)
    {
        var option = new Option<int>(name) { Description = $"{description} ({least} to {most:N0})", HelpName = "N", DefaultValueFactory = _ => standard };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is var value && (value < least || value > most))
                result.AddError($"{name} {value} is out of range: it goes from {least} to {most}.");
        });
        return option;
    }
}
