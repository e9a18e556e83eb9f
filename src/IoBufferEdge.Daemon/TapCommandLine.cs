using System.Globalization;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Control;

namespace IoBufferEdge.Daemon;

/// <summary>
/// <c>iobuffer tap CHANNEL</c>: what goes over a channel's lines, live, until Ctrl-C: one line a piece, as it was read or written, with
/// the time at which that happened. What scrolled away before it could be fetched is counted.
/// </summary>
internal sealed class TapCommandLine(ControlCommandLine control, bool hex, bool json, TextWriter output, TextWriter errors)
{
    public Task<int> RunAsync(string channel, CancellationToken cancel) => control.ConversationAsync(async client =>
    {
        var from = 0L;
        while (true)
        {
            var answer = await client.AskAsync(new ControlRequest { Command = "tap", Channel = channel, From = from }, cancel);
            if (answer is not { Tapped: { } tapped, Next: { } next }) return control.Show(answer);
            if (from == 0) errors.WriteLine($"Looking at {channel} until Ctrl-C; < is received, > is sent.");
            if (from > 0 && (tapped.Count > 0 ? tapped[0].Number : next) - from is var missed and > 0)
                errors.WriteLine($"… {missed} more went by too fast to be shown");
            foreach (var piece in tapped) output.WriteLine(json ? JsonSerializer.Serialize(piece, ControlJson.Default.TappedEntry) : Line(piece));
            await output.FlushAsync(cancel);
            from = next;
        }
    }, cancel);

    internal string Line(TappedEntry piece)
    {
        var text = new StringBuilder();
        var arrow = piece.Direction == "sent" ? '>' : '<';
        text.Append(CultureInfo.InvariantCulture, $"{piece.At:HH:mm:ss.ffffff}Z {piece.End,-11} {piece.Peer} {arrow} {piece.Bytes,5}  ");
        foreach (var value in piece.Payload)
        {
            if (hex) text.Append(CultureInfo.InvariantCulture, $"{value:x2} ");
            else text.Append(Printable.Byte(value));
        }

        return text.Append(piece.Bytes > piece.Payload.Length ? " …" : "").ToString().TrimEnd(hex ? ' ' : '\0');
    }
}
