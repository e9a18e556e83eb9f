using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using IoBufferEdge.Control;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Daemon;

/// <summary>
/// <c>iobuffer provision</c>: gives a device its name, its broker and its secrets, from a folder or by hand. A gateway that runs on the data folder
/// goes over to it at once; else it is kept there, and the next start takes it up.
/// </summary>
internal sealed class ProvisionCommandLine(string dataPath, bool json, TextWriter output, TextWriter errors)
{
    private const int MqttPort = 1883, MqttTlsPort = 8883;

    public static Command Command(Option<string> data, Option<bool> json)
    {
        var folder = new Argument<string?>("FOLDER")
        {
            Description = "Folder with device.json, certificates and keys, and secrets/; what came of it is written into its result.txt.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var broker = new Option<string?>("--broker") { Description = "The MQTT broker; the port is 8883 with --ca, else 1883.", HelpName = "HOST[:PORT]" };
        var device = new Option<string?>("--device-id") { Description = "The device's id; left out, it is named after its serial number.", HelpName = "ID" };
        var ca = new Option<string?>("--ca") { Description = "Authorities that the broker's certificate comes from, PEM: it is encrypted.", HelpName = "FILE" };
        var user = new Option<string?>("--username")
        {
            Description = "The account on the broker; its password is asked for, or read from standard input.", HelpName = "NAME",
        };
        var command = new Command("provision", "Give this device its name, its broker and its secrets.") { folder, broker, device, ca, user, data, json };
        command.Validators.Add(result =>
        {
            if (result.GetValue(folder) is null && result.GetValue(broker) is null && result.GetValue(device) is null)
                result.AddError("Give the folder with what the device is to be, or --broker, or --device-id.");
            if (result.GetValue(broker) is null && (result.GetValue(ca) ?? result.GetValue(user)) is not null)
                result.AddError("--ca and --username belong to a --broker.");
        });
        command.SetAction(async (parsed, cancel) =>
        {
            var provision = new ProvisionCommandLine(parsed.GetValue(data)!, parsed.GetValue(json), Console.Out, Console.Error);
            var byHand = new ByHand(parsed.GetValue(broker), parsed.GetValue(device), parsed.GetValue(ca), parsed.GetValue(user));
            return await provision.RunAsync(parsed.GetValue(folder), byHand, cancel);
        });
        return command;
    }

    private sealed record ByHand(string? Broker, string? DeviceId, string? Ca, string? Username);

    private async Task<int> RunAsync(string? path, ByHand byHand, CancellationToken cancel)
    {
        var problems = new List<string>();
        var folder = path is null ? null : new ProvisionFolder(path);
        try
        {
            var read = folder?.Read(problems);
            var given = Complete(read ?? new Provision("{}", new(StringComparer.Ordinal)), byHand, problems);
            if (read is null && path is not null && byHand == new ByHand(null, null, null, null) && problems.Count == 0)
            {
                output.WriteLine($"There is nothing in {path} that a device could be given.");
                return ExitCode.Ok;
            }

            // What cannot be read at all is said together with what is wrong in the rest.
            var answer = await AskAsync(new ControlRequest { Command = "provision", Provision = given, CheckOnly = problems.Count > 0 }, cancel);
            if (problems.Count > 0) answer = ControlResponse.Failed(string.Join('\n', problems.Concat(answer.Error?.Split('\n') ?? [])));
            if (answer.Ok) folder?.RemoveSecrets();
            folder?.WriteResult(answer.Message ?? $"Nothing was taken:\n{answer.Error}", TimeProvider.System.GetUtcNow());
            return new ControlCommandLine(DataFolder.ControlSocketOf(dataPath), json, output, errors).Show(answer);
        }
        catch (DataFolderException e)
        {
            errors.WriteLine(e.InUse ? $"A gateway runs on {dataPath} and does not answer to this user: use root or the service's group." : e.Message);
            return e.InUse ? ExitCode.TemporaryFailure : ExitCode.IoError;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.WriteLine(e.Message);
            return ExitCode.IoError;
        }
    }

    /// <summary>With what was said by hand, and a name where nothing gives one: root sees a serial number that the service does not.</summary>
    private static Provision Complete(Provision given, ByHand byHand, List<string> problems)
    {
        var config = (JsonObject)JsonNode.Parse(given.Config)!;
        if (config.Count == 0 && byHand is { Broker: null, DeviceId: null }) return given;
        if (byHand.Broker is { } broker)
        {
            var secured = byHand.Ca is not null;
            var colon = broker.LastIndexOf(':');
            var hasPort = int.TryParse(broker.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) && colon > 0;
            var mqtt = Section(config, "mqtt");
            (mqtt["host"], mqtt["port"]) = hasPort ? (broker[..colon].Trim('[', ']'), port) : (broker, secured ? MqttTlsPort : MqttPort);
            if (byHand.Ca is { } ca)
            {
                Take("broker-ca.pem", () => File.ReadAllBytes(ca), ca);
                mqtt["tls"] = new JsonObject { ["enabled"] = true, ["ca"] = "broker-ca.pem" };
            }

            if (byHand.Username is { } user)
            {
                (mqtt["username"], mqtt["password_secret"]) = (user, "broker");
                Take("broker", () => Encoding.UTF8.GetBytes(Console.IsInputRedirected
                    ? Console.In.ReadLine() ?? "" : PasswordCommandLine.Ask($"Password of {user}: ", Console.Error)), "The password");
            }
        }

        if ((byHand.DeviceId ?? (config["device"]?["id"] is null ? Machine.ReadId("/") : null)) is { } id) Section(config, "device")["id"] = id;
        return given with { Config = config.ToJsonString() };

        void Take(string name, Func<byte[]> read, string what)
        {
            try
            {
                if (read() is { Length: > 0 } value) given.Secrets[name] = value;
                else problems.Add($"{what} is empty.");
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                problems.Add($"{what} cannot be read: {e.Message}");
            }
        }
    }

    private static JsonObject Section(JsonObject config, string name)
    {
        if (config[name] is not JsonObject section) config[name] = section = [];
        return section;
    }

    private async Task<ControlResponse> AskAsync(ControlRequest request, CancellationToken cancel)
    {
        ControlClient client;
        try
        {
            client = await ControlClient.ConnectAsync(DataFolder.ControlSocketOf(dataPath), cancel);
        }
        catch (IOException)
        {
            return Keep(request.Provision!, request.CheckOnly);
        }

        using (client) return await client.AskAsync(request, cancel);
    }

    /// <summary>No gateway runs: what it would keep is kept for it.</summary>
    private ControlResponse Keep(Provision given, bool checkOnly)
    {
        using var held = DataFolder.Take(dataPath);
        var store = new ConfigStore(new ConfigFolder(Path.Combine(held.Path, "config")));
        var state = store.Load();
        try
        {
            var kept = Provisioning.Keep(
                store, SecretStore.Of(dataPath), state, given, state.Good?.Document ?? Provisioning.Nothing, checkOnly, out var sentence);
            return ControlResponse.Done(kept is null ? sentence : $"{sentence} The gateway takes it up when it starts.");
        }
        catch (Exception e) when (e is ConfigControlException or SecretException)
        {
            return ControlResponse.Failed(e.Message);
        }
    }
}
