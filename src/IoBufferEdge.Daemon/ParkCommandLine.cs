using System.CommandLine;
using IoBufferEdge.Control;

namespace IoBufferEdge.Daemon;

/// <summary><c>iobuffer park</c>: messages that a destination refused and that were kept aside.</summary>
internal sealed class ParkCommandLine(ControlCommandLine control, TextWriter errors)
{
    public static Command Command(
        Argument<string> channel, Option<bool> yes, Option<string> data, Option<bool> json, Func<ParseResult, ControlCommandLine> client)
    {
        var sequence = new Option<long?>("--sequence") { Description = "Only the message of this number.", HelpName = "N" };
        var all = new Option<bool>("--all") { Description = "All that are parked now." };
        var list = new Command("list", "Show them.") { channel, data, json };
        list.SetAction((parsed, cancel) => client(parsed).AskAsync("park list", parsed.GetValue(channel), cancel));
        var replay = new Command("replay", "Put them back into the queue.") { channel, sequence, data, json };
        replay.SetAction((parsed, cancel) => Park(parsed).ReplayAsync(parsed.GetValue(channel)!, parsed.GetValue(sequence), cancel));
        var drop = new Command("drop", "Drop them for good; they are counted as discarded.") { channel, sequence, all, yes, data, json };
        drop.SetAction((parsed, cancel) => Park(parsed).DropAsync(
            parsed.GetValue(channel)!, parsed.GetValue(sequence), parsed.GetValue(all), parsed.GetValue(yes), cancel));
        return new Command("park", "Messages that a destination refused and that are kept aside.") { list, replay, drop };

        ParkCommandLine Park(ParseResult parsed) => new(client(parsed), Console.Error);
    }

    private Task<int> ReplayAsync(string channel, long? sequence, CancellationToken cancel) => control.ConversationAsync(
        client => new PartsOfWork(control, errors).RunAsync(
            client, Request("park replay", channel, sequence), null, "replayed", "Parked messages of {0} queued again: {1}{2}.", cancel),
        cancel);

    private Task<int> DropAsync(string channel, long? sequence, bool all, bool yes, CancellationToken cancel)
    {
        if (sequence is null == !all)
        {
            errors.WriteLine("Say which: --sequence N (\"park list\" shows the numbers), or --all.");
            return Task.FromResult(ExitCode.Usage);
        }

        return control.ConversationAsync(async client =>
        {
            var status = (await client.AskAsync(new ControlRequest { Command = "status" }, cancel)).Status;
            var parked = status?.Channels.FirstOrDefault(c => c.Id == channel)?.Ledger.Parked
                ?? status?.IdleQueues.FirstOrDefault(q => q.Id == channel)?.Parked;
            var what = sequence is { } number ? $"parked message {number}" : $"the {parked} parked messages";
            if (parked is not null && Confirmation.Ask($"Drop {what} of {channel} for good?", yes, errors) is { } code) return code;
            return await new PartsOfWork(control, errors).RunAsync(
                client, Request("park drop", channel, sequence), parked, "dropped", "Parked messages of {0} dropped for good: {1}{2}.", cancel);
        }, cancel);
    }

    private static ControlRequest Request(string command, string channel, long? sequence) =>
        new() { Command = command, Channel = channel, From = sequence ?? 0, UpTo = sequence, Count = PartsOfWork.Messages };
}
