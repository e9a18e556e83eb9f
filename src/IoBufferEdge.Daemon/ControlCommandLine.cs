using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using IoBufferEdge.Control;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Daemon;

/// <summary>The verbs that ask a running gateway over its control socket and show the answer; each returns the exit code.</summary>
internal sealed class ControlCommandLine(string socketPath, bool json, TextWriter output, TextWriter errors)
{
    public Task<int> StatusAsync(bool watch, CancellationToken cancel) => ConversationAsync(async client =>
    {
        while (true)
        {
            var answer = await client.AskAsync(new ControlRequest { Command = "status" }, cancel);
            if (answer.Status is not { } status) return Show(answer);
            if (watch && !json) output.Write("\e[H\e[2J");
            if (json) Print(status, ControlJson.Default.GatewayStatus);
            else output.Write(StatusText.Render(status));
            if (!watch) return ExitCode.Ok;
            await Task.Delay(TimeSpan.FromSeconds(1), cancel);
        }
    }, cancel);

    public Task<int> ListChannelsAsync(CancellationToken cancel) => ConversationAsync(async client =>
    {
        var answer = await client.AskAsync(new ControlRequest { Command = "status" }, cancel);
        if (answer.Status is not { } status) return Show(answer);
        if (json) Print(status.Channels, ControlJson.Default.IReadOnlyListChannelStatus);
        else output.Write(StatusText.RenderChannels(status.Channels));
        return ExitCode.Ok;
    }, cancel);

    public Task<int> AskAsync(string command, string? channel, CancellationToken cancel) => ConversationAsync(async client =>
        Show(await client.AskAsync(new ControlRequest { Command = command, Channel = channel }, cancel)), cancel);

    public Task<int> ResumeAsync(string channel, ResumeChoice? choice, CancellationToken cancel) => ConversationAsync(async client =>
        Show(await client.AskAsync(new ControlRequest { Command = "channel resume", Channel = channel, Choice = choice }, cancel)), cancel);

    /// <summary>Shows an answer as it came.</summary>
    internal int Show(ControlResponse answer)
    {
        if (json) Print(answer, ControlJson.Default.ControlResponse);
        else if (!answer.Ok) errors.WriteLine(answer.Error);
        else if (answer.Parked is { } parked) output.Write(StatusText.RenderParked(parked));
        else if (answer.Secrets is { } secrets) output.Write(StatusText.RenderSecrets(secrets));
        else output.WriteLine(answer.Document ?? answer.Message);
        return answer.Ok ? ExitCode.Ok : ExitCode.Failed;
    }

    /// <summary>For completion at a prompt: the channels of the gateway that answers there; none where none does at once.</summary>
    internal static IEnumerable<string> ChannelsOf(string socketPath)
    {
        try
        {
            using var late = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            var asking = Task.Run(async () =>
            {
                using var client = await ControlClient.ConnectAsync(socketPath, late.Token);
                return await client.AskAsync(new ControlRequest { Command = "status" }, late.Token);
            });
            return asking.GetAwaiter().GetResult().Status?.Channels.Select(c => c.Id) ?? [];
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            return [];
        }
    }

    private void Print<T>(T value, JsonTypeInfo<T> type) => output.WriteLine(JsonSerializer.Serialize(value, type));

    /// <summary>Connects and lets the verb ask; who cannot be reached is said.</summary>
    internal async Task<int> ConversationAsync(Func<ControlClient, Task<int>> talkAsync, CancellationToken cancel)
    {
        try
        {
            using var client = await ControlClient.ConnectAsync(socketPath, cancel);
            return await talkAsync(client);
        }
        catch (IOException e)
        {
            errors.WriteLine(e.Message);
            return ExitCode.Unavailable;
        }
    }
}
