using System.Globalization;
using IoBufferEdge.Control;

namespace IoBufferEdge.Daemon;

/// <summary>Long work on messages is asked for in parts, so that its progress shows and Ctrl-C ends it between two of them.</summary>
internal sealed class PartsOfWork(ControlCommandLine control, TextWriter errors)
{
    /// <summary>Of one part.</summary>
    public const int Messages = 1000;

    /// <param name="total">Messages in all, for the progress; null: not known, and none is shown.</param>
    /// <param name="done">One word for the progress: replayed.</param>
    /// <param name="sentence">{0}: the channel, {1}: how many messages, {2}: what was left out, if anything.</param>
    public async Task<int> RunAsync(ControlClient client, ControlRequest request, long? total, string done, string sentence, CancellationToken cancel)
    {
        var (messages, bytes, busy) = (0L, 0L, 0);
        var first = request.From;
        var bar = total is > Messages ? new ProgressLine(done, errors) : null;
        while (true)
        {
            var answer = await client.AskAsync(request, cancel);
            if (answer.Progress is not { } part) return control.Show(answer);
            (messages, bytes, busy) = (messages + part.Messages, bytes + part.Bytes, busy + part.Busy);
            bar?.Report(part.Next is null ? 1 : Math.Min(0.99, messages / (double)total!.Value));
            if (part.Next is not { } next)
            {
                if (request.UpTo is { } one && first == one && messages + busy == 0)
                    return control.Show(ControlResponse.Failed($"There is no message {one} to be {done} in {request.Channel}."));
                var leftOut = busy == 0 ? "" : $"; another command has {busy} more";
                return control.Show(ControlResponse.Done(string.Format(CultureInfo.InvariantCulture, sentence, request.Channel, messages, leftOut)) with
                {
                    Progress = new CommandProgress(messages, bytes, busy, null, null),
                });
            }

            request = request with { From = next, UpTo = part.UpTo };
        }
    }
}
