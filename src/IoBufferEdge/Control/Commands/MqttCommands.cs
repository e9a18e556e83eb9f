using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using IoBufferEdge.Buffers;
using IoBufferEdge.Secrets;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Control.Commands;

/// <summary>
/// The commands that come over MQTT as <c>cmd/TYPE/ID</c>. Whoever can publish is not root: only what <c>mqtt.commands</c> lists runs, never a
/// retained message, a secret only over TLS; what destroys must carry the present boot id, and a purge the configuration's hash too. A command
/// is recorded before it is carried out, so that no id runs twice, whatever ends the gateway in the middle (<see cref="CommandJournal"/>).
/// One at a time, each at most <see cref="TimeLimit"/>; at most <see cref="PerMinute"/> a minute, since each costs two syncs of the flash.
/// </summary>
/// <param name="redactor">Stands before every sentence that is recorded or answered.</param>
/// <param name="device">What reaches beyond the gateway.</param>
public sealed class MqttCommands(
    IGatewayControl gateway, SecretStore secrets, Redactor redactor, CommandJournal journal, CommandDuties device, TimeProvider time, ILogger log)
    : IDisposable
{
    public const int MaxPayloadBytes = 16 * 1024;
    public const int PerMinute = 60;

    public static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(60);

    /// <summary>Of a support bundle, in one message: every broker lets it through.</summary>
    public const int PartBytes = 64 * 1024;

    /// <summary>Messages that are asked for at once.</summary>
    private const int PartMessages = 1000;

    private static readonly TimeSpan RestartAfter = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _oneAtATime = new(1, 1);
    private readonly Queue<long> _lastMinute = new();
    private ITimer? _restarting;

    public static IReadOnlyList<string> AllowedByDefault { get; } = ["identify", "retry_now", "pause", "resume", "secret_set"];

    public static IReadOnlyList<string> Types { get; } =
    [
        "pause", "resume", "retry_now", "identify", "secret_set", "replay", "park", "purge", "restart", "update", "factory_reset", "support_bundle",
    ];

    /// <summary>1 to 64 of the characters a-z, A-Z, 0-9, _, . and -: what may stand in a topic and in a line of the journal.</summary>
    public static bool IsId(string id) =>
        id.Length is > 0 and <= 64 && id.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-');

    /// <summary>Carries a command out, or says why not.</summary>
    /// <returns>The result as JSON; null where id or type could not stand in the topic of an answer. Never throws for what it is given.</returns>
    public async Task<byte[]?> HandleAsync(string type, string id, ReadOnlyMemory<byte> payload, bool retained, bool overTls)
    {
        if (!IsId(id) || !Types.Contains(type))
        {
            Log.MqttCommandNotAnswered(log);
            return null;
        }

        await _oneAtATime.WaitAsync();
        try
        {
            var result = await AnswerAsync(type, id, payload, retained, overTls);
            Log.MqttCommand(log, type, id, result.Status, result.Message);
            return JsonSerializer.SerializeToUtf8Bytes(result, CommandJson.Default.CommandResult);
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    public void Dispose()
    {
        _restarting?.Dispose();
        _oneAtATime.Dispose();
    }

    private async Task<CommandResult> AnswerAsync(string type, string id, ReadOnlyMemory<byte> payload, bool retained, bool overTls)
    {
        if (retained) return Refused("A retained command is not carried out: publish it without retain.");
        if (journal.Find(id) is { } earlier)
            return earlier.Type == type ? earlier : Refused($"The id was used for {earlier.Type} already: each command needs one of its own.");
        if (!(device.Allowed() ?? AllowedByDefault).Contains(type)) return Refused($"{type} is not among mqtt.commands of the configuration.");
        if (payload.Length > MaxPayloadBytes) return Refused($"The payload has {payload.Length} bytes; at most {MaxPayloadBytes} are read.");
        if (Parse(payload.Span) is not { } asked) return Refused("The payload is no JSON object with the keys of this command.");
        if (Refusal(type, asked, overTls) is { } reason) return Refused(reason);
        if (IsTooOften()) return Refused($"More than {PerMinute} commands came within a minute: send it again later.");
        try
        {
            journal.Record(Result(CommandStatus.Begun, ""));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Refused($"The command cannot be recorded and is not carried out: {e.Message}");
        }

        var result = await RunAsync(type, id, asked, Result);
        try
        {
            journal.Record(result);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.MqttCommandNotRecorded(log, type, id, e.Message);
        }

        return result;

        CommandResult Refused(string message) => Result(CommandStatus.Refused, message);

        CommandResult Result(CommandStatus status, string message) =>
            new(id, type, status, redactor.Redact(message), time.GetUtcNow(), gateway.Status.BootId);
    }

    /// <summary>Null where the payload is no command's; an empty one has no keys.</summary>
    private static CommandPayload? Parse(ReadOnlySpan<byte> payload)
    {
        try
        {
            return payload.IsEmpty ? new CommandPayload() : JsonSerializer.Deserialize(payload, CommandJson.Default.CommandPayload);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>Why a command that is allowed is not carried out all the same; null: it is.</summary>
    private string? Refusal(string type, CommandPayload asked, bool overTls)
    {
        var status = gateway.Status;
        if (type == "secret_set" && !overTls) return "A secret is taken over TLS alone: enable mqtt.tls.";
        if (type is "pause" or "resume" or "retry_now" or "replay" or "park" or "purge" && asked.Channel is null)
            return $"{type} needs the id of a channel in channel.";
        if (type == "update" && !SystemImage.IsAddress(asked.Url)) return "update needs the bundle's address in url: https:// or http://.";
        if (type == "park" && asked.Action is not ("list" or "replay" or "drop")) return "park needs list, replay or drop in action.";
        if (IsDestructive(type, asked) && (string.IsNullOrEmpty(status.BootId) || asked.BootId != status.BootId))
            return "The command destroys and must carry the present boot_id, which stands in state and in this answer.";
        if (type is "purge" or "factory_reset" && (status.ConfigHash is null || asked.ConfigHash != status.ConfigHash))
            return "The command must carry the present config_hash, which stands in state.";
        return null;
    }

    private static bool IsDestructive(string type, CommandPayload asked) =>
        type is "purge" or "restart" or "update" or "factory_reset" || (type == "park" && asked.Action == "drop") || asked.Choice is not null;

    private bool IsTooOften()
    {
        var now = time.GetTimestamp();
        while (_lastMinute.TryPeek(out var oldest) && time.GetElapsedTime(oldest, now) >= TimeSpan.FromMinutes(1)) _lastMinute.Dequeue();
        if (_lastMinute.Count >= PerMinute) return true;
        _lastMinute.Enqueue(now);
        return false;
    }

    private async Task<CommandResult> RunAsync(string type, string id, CommandPayload asked, Func<CommandStatus, string, CommandResult> result)
    {
        using var late = new CancellationTokenSource(TimeLimit, time);
        try
        {
            var response = await ActAsync(type, id, asked, late.Token);
            return response.Ok ? result(CommandStatus.Done, response.Message!) : result(CommandStatus.Failed, response.Error!);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested)
        {
            return result(CommandStatus.Failed, $"It did not end within {TimeLimit.TotalSeconds} s.");
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return result(CommandStatus.Failed, e.Message);
        }
    }

    private async ValueTask<ControlResponse> ActAsync(string type, string id, CommandPayload asked, CancellationToken cancel)
    {
        var local = new ControlCommands(gateway, secrets, () => throw new NotSupportedException());
        switch (type)
        {
            case "secret_set":
                return await local.HandleAsync(new ControlRequest { Command = "secret set", Secret = asked.Name, Value = ValueOf(asked) }, cancel);
            case "restart":
                Restart();
                return ControlResponse.Done("The gateway restarts.");
            case "factory_reset":
                await device.ResetAsync();
                Restart();
                return ControlResponse.Done("The gateway restarts as provisioning left it: without what it had buffered, been told and given since.");
            case "park":
                return await ParkAsync(asked, cancel);
            case "update":
                return Update(asked.Url!);
            case "replay":
                return await InPartsAsync(asked, $"Delivered messages of {asked.Channel} queued once more", gateway.ReplayRetainedAsync, cancel);
            case "support_bundle":
                return Publish(id, await device.BundleAsync());
            default:
                var command = type switch { "pause" or "resume" => $"channel {type}", "retry_now" => "channel retry", "purge" => "queue purge", _ => type };
                return await local.HandleAsync(new ControlRequest { Command = command, Channel = Channel(type, asked), Choice = asked.Choice }, cancel);
        }
    }

    private ControlResponse Update(string url)
    {
        if (device.Image is not { Status: { } image })
            return ControlResponse.Failed("This installation has no image: update is done with its package manager.");
        if (image.Update is { Status: UpdateState.Installing }) return ControlResponse.Failed("An update is being installed: wait for what becomes of it.");
        if (image.Proving) return ControlResponse.Failed($"Slot {image.Slot} has yet to prove itself: wait until it is confirmed.");
        device.Image.RequestUpdate(url);
        return ControlResponse.Done("The update is asked for; state and events tell what becomes of it.");
    }

    private ControlResponse Publish(string id, byte[] bundle)
    {
        var parts = bundle.Chunk(PartBytes).ToList();
        for (var i = 0; i < parts.Count; i++) device.PublishPart(id, i + 1, parts[i]);
        var hash = Convert.ToHexStringLower(SHA256.HashData(bundle));
        return ControlResponse.Done($"{bundle.Length} bytes of tar.gz were published as part/1 to part/{parts.Count}; their SHA-256 is {hash}.");
    }

    private void Restart() => _restarting = time.CreateTimer(_ => device.Restart(), null, RestartAfter, Timeout.InfiniteTimeSpan);

    private static string? Channel(string type, CommandPayload asked) => type == "identify" ? null : asked.Channel;

    private static byte[]? ValueOf(CommandPayload asked) => asked.Value is { } text ? Encoding.UTF8.GetBytes(text) : asked.ValueBase64;

    private async Task<ControlResponse> ParkAsync(CommandPayload asked, CancellationToken cancel)
    {
        var id = asked.Channel!;
        if (asked.Action == "list")
        {
            return await gateway.ListParkedAsync(id, cancel) is not { } parked ? NoQueue(id)
                : ControlResponse.Done($"{parked.Count} parked: {string.Join(", ", parked.Select(p => $"{p.Sequence} ({p.Bytes} bytes)").Take(100))}");
        }

        return asked.Action == "drop"
            ? await InPartsAsync(asked, $"Parked messages of {id} dropped for good", gateway.DropParkedAsync, cancel)
            : await InPartsAsync(asked, $"Parked messages of {id} queued again", gateway.ReplayParkedAsync, cancel);
    }

    /// <summary>Of work that takes too long the answer tells how far it came, and where to go on.</summary>
    private static async Task<ControlResponse> InPartsAsync(
        CommandPayload asked, string done, Func<string, MessageSelection, CancellationToken, Task<SelectionOutcome?>> actAsync, CancellationToken cancel)
    {
        var (messages, from, upTo) = (0L, asked.From ?? asked.Sequence ?? 0, asked.Sequence);
        while (!cancel.IsCancellationRequested)
        {
            if (await actAsync(asked.Channel!, new MessageSelection(from, upTo, PartMessages), cancel) is not { } outcome) return NoQueue(asked.Channel!);
            messages += outcome.Messages;
            if (outcome.Next is not { } next) return ControlResponse.Done($"{done}: {messages}.");
            (from, upTo) = (next, outcome.UpTo);
        }

        return ControlResponse.Failed($"{done}: {messages}; the rest, from {from} on, did not end within {TimeLimit.TotalSeconds} s.");
    }

    private static ControlResponse NoQueue(string id) => ControlResponse.Failed($"There is no channel or queue \"{id}\".");
}

/// <summary>What commands ask of the device around the gateway.</summary>
/// <param name="Allowed">mqtt.commands of the configuration that runs; null: <see cref="MqttCommands.AllowedByDefault"/>.</param>
/// <param name="Restart">Ends the process in order; called a second after the answer.</param>
/// <param name="ResetAsync">Makes the next start begin as provisioning left the device.</param>
/// <param name="BundleAsync">Makes a support bundle.</param>
/// <param name="PublishPart">The command's id, a number from 1 on, and the bytes; before the command's result.</param>
/// <param name="Image">The firmware image; null: there is none.</param>
public sealed record CommandDuties(
    Func<IReadOnlyList<string>?> Allowed, Action Restart, Func<Task> ResetAsync, Func<Task<byte[]>> BundleAsync, Action<string, int, byte[]> PublishPart,
    SystemImage? Image = null);
