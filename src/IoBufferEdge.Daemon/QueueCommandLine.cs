using System.Globalization;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;

namespace IoBufferEdge.Daemon;

/// <summary>
/// <c>iobuffer queue</c>: looks at what waits in a channel, and takes a copy of it, while the gateway goes on. What is delivered in the
/// meantime is not in the copy, and what comes in behind the start of an export is left to the next one.
/// </summary>
internal sealed class QueueCommandLine(ControlCommandLine control, bool json, TextWriter output, TextWriter errors)
{
    private const int PreviewBytes = 48;

    public Task<int> PeekAsync(string channel, int count, CancellationToken cancel) => control.ConversationAsync(async client =>
    {
        var shown = 0;
        ControlResponse? refused = null;
        await foreach (var message in ReadAsync(client, channel, count, r => refused = r, cancel))
        {
            shown++;
            output.WriteLine(json ? JsonSerializer.Serialize(message, ControlJson.Default.QueuedEntry) : Line(message));
        }

        if (refused is not null) return control.Show(refused);
        if (!json && shown == 0) output.WriteLine($"Nothing waits in {channel}.");
        return ExitCode.Ok;
    }, cancel);

    /// <param name="raw">The payloads one after the other, as they are; else one JSON object a message.</param>
    public Task<int> ExportAsync(string channel, bool raw, Stream target, CancellationToken cancel) => control.ConversationAsync(async client =>
    {
        var (messages, bytes) = (0L, 0L);
        ControlResponse? refused = null;
        await foreach (var message in ReadAsync(client, channel, int.MaxValue, r => refused = r, cancel))
        {
            if (raw) await target.WriteAsync(message.Payload, cancel);
            else await target.WriteAsync((byte[])[.. JsonSerializer.SerializeToUtf8Bytes(message, ControlJson.Default.QueuedEntry), (byte)'\n'], cancel);
            bytes += message.Bytes;
            if (++messages % 1000 == 0) Progress();
        }

        await target.FlushAsync(cancel);
        if (refused is not null) return control.Show(refused);
        Progress();
        errors.WriteLine(Console.IsErrorRedirected ? $"{messages} messages, {bytes} bytes" : "");
        return ExitCode.Ok;

        void Progress()
        {
            if (!Console.IsErrorRedirected) errors.Write($"\r{messages} messages, {bytes} bytes");
        }
    }, cancel);

    /// <param name="upTo">The last number wanted; null: all that is retained.</param>
    public Task<int> ReplayAsync(string channel, long from, long? upTo, CancellationToken cancel) => control.ConversationAsync(async client =>
    {
        var status = (await client.AskAsync(new ControlRequest { Command = "status" }, cancel)).Status?.Channels.FirstOrDefault(c => c.Id == channel);
        // How many messages are retained is not known, only their numbers: gaps in them make the bar end early.
        var newest = Math.Min(upTo ?? long.MaxValue, status?.Cursor ?? 0);
        var total = newest - Math.Max(from, status?.RetainedFrom ?? newest) + 1;
        return await new PartsOfWork(control, errors).RunAsync(
            client, new ControlRequest { Command = "queue replay", Channel = channel, From = from, UpTo = upTo, Count = PartsOfWork.Messages },
            total, "replayed", "Delivered messages of {0} queued once more: {1}{2}.", cancel);
    }, cancel);

    public Task<int> PurgeAsync(string channel, bool yes, CancellationToken cancel) => control.ConversationAsync(async client =>
    {
        var status = (await client.AskAsync(new ControlRequest { Command = "status" }, cancel)).Status;
        var waiting = status?.Channels.FirstOrDefault(c => c.Id == channel)?.Ledger.Buffered;
        var idle = status?.IdleQueues.FirstOrDefault(q => q.Id == channel);
        var question = idle is not null
            ? $"Forget queue {channel}, which belongs to no channel, with {idle.Buffered} messages that wait and {idle.Parked} parked?"
            : $"Discard the {waiting} messages that wait in {channel}, for good?";
        // An unknown name is refused by the gateway, without a question.
        if ((waiting is not null || idle is not null) && Confirmation.Ask(question, yes, errors) is { } code) return code;
        return control.Show(await client.AskAsync(new ControlRequest { Command = "queue purge", Channel = channel }, cancel));
    }, cancel);

    /// <summary>Whole messages, put together from the pages' pieces.</summary>
    private static async IAsyncEnumerable<QueuedEntry> ReadAsync(
        ControlClient client, string channel, int count, Action<ControlResponse> refused,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel)
    {
        var (from, upTo) = (0L, long.MaxValue);
        QueuedEntry? begun = null;
        while (count > 0)
        {
            var answer = await client.AskAsync(
                new ControlRequest { Command = "queue peek", Channel = channel, From = from, Offset = begun?.Payload.Length ?? 0, Count = count }, cancel);
            if (answer.Queued is not { } page)
            {
                refused(answer);
                yield break;
            }

            if (upTo == long.MaxValue) upTo = answer.LastSequence ?? 0;
            if (page.Count == 0) yield break;
            foreach (var entry in page)
            {
                if (entry.Sequence > upTo) yield break;
                // A message that was delivered while it was being read is left out.
                var whole = begun?.Sequence == entry.Sequence ? entry with { Payload = [.. begun.Payload, .. entry.Payload] } : entry;
                begun = whole.Payload.Length < whole.Bytes ? whole : null;
                from = begun?.Sequence ?? entry.Sequence + 1;
                if (begun is not null) break;
                count--;
                yield return whole;
            }
        }
    }

    private static string Line(QueuedEntry message)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{message.Sequence}  {message.ReceivedAt:yyyy-MM-dd HH:mm:ss.fff}Z  {message.Bytes} bytes  ");
        if (message.Origin is { } origin) text.Append(CultureInfo.InvariantCulture, $"from {string.Join(" > ", origin.Path)} {origin.Sequence}  ");
        if (message.Flags.Count > 0) text.AppendJoin(',', message.Flags).Append("  ");
        foreach (var value in message.Payload.AsSpan(0, Math.Min(PreviewBytes, message.Payload.Length))) text.Append(Printable.Byte(value));
        return text.Append(message.Bytes > PreviewBytes ? " …" : "").ToString();
    }
}
