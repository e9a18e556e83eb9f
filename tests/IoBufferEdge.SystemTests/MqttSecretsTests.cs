using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Load;
using IoBufferEdge.Tests.Control.Mqtt;
using IoBufferEdge.Tests.Support;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>
/// Secrets in every place that can hold one, and somebody at the broker who asks in every wrong way for them to be told: none of them is in
/// anything that the broker gets, nor in the log. And whatever the broker gets keeps to the schema of its topic.
/// </summary>
public sealed class MqttSecretsTests : SystemTest
{
    private const string Root = "iobuffer/v1/gw-0017/";
    private const int Mutations = 60;

    /// <summary>What an account is, a file holds, a secret is named by, somebody sends, somebody writes down where it does not belong.</summary>
    private static readonly string[] Planted =
        [.. ((string[])["account", "destination", "sent", "sent-again", "literal", "source", "url"]).Select(place => $"planted-{place}-q7Zx\u00e9!")];

    private readonly ConcurrentQueue<string> _published = new();
    private readonly HashSet<string> _log = [];
    private readonly GatewayProcess _gateway;
    private readonly TestCertificates _certificates;
    private readonly Broker _broker;
    private readonly BrokerClient _client;

    public MqttSecretsTests(ITestOutputHelper output)
        : base(output)
    {
        Assert.SkipUnless(BrokerClient.IsThere, BrokerClient.Missing);
        _certificates = Keep(new TestCertificates());
        _gateway = Gateway();
        var (cert, key) = _certificates.Issue("localhost");
        var passwords = Path.Combine(_gateway.Folder, "passwords");
        File.WriteAllText(passwords, "");
        foreach (var (account, password) in (ReadOnlySpan<(string, string)>)[("gw", Planted[0]), ("operator", "operator")])
            BrokerClient.SetPassword(passwords, account, password);
        _broker = Keep(new Broker(
            _gateway.Folder, "allow_anonymous false", $"password_file {passwords}", $"cafile {_certificates.Authority}", $"certfile {cert}",
            $"keyfile {key}"));
        _client = new BrokerClient(_broker.Port, "-u", "operator", "-P", "operator", "--cafile", _certificates.Authority);
    }

    [Fact]
    public void None_of_them_is_told_to_the_broker_or_the_log()
    {
        using var listening = _client.Listen([Root + "#"]);
        listening.OutputDataReceived += (_, line) => _published.Enqueue(line.Data ?? "");
        listening.BeginOutputReadLine();
        _gateway.WriteConfig(Whole());
        foreach (var name in (string[])["broker", "next"])
            _gateway.CommandWithInput(Planted[name == "broker" ? 0 : 1], "secret", "set", name, "--data", _gateway.DataFolder);
        _gateway.Start();
        Wait.Until(() => Retained("availability") == "online", 30, "the gateway at the broker", Said);
        // The destination's account is refused or nobody is there: its error stands in the channel's state.
        Wait.Until(() => Retained("channel/out/state")?.Contains("last_error", StringComparison.Ordinal) == true, 30, "an error", Said);

        Command("secret_set", "1", $$"""{"name":"sent","value":"{{Planted[2]}}"}""");
        Command("secret_set", "2", $$"""{"name":"{{Planted[2]}}","value":"{{Planted[2]}}"}""");
        Command("secret_set", "3", $$"""{"name":"sent-again","value_base64":"{{Convert.ToBase64String(Encoding.UTF8.GetBytes(Planted[3]))}}"}""");
        Command("pause", "4", $$"""{"channel":"{{Planted[2]}}"}""");
        Command("pause", "5", $$"""{"channel":"{{Planted[3]}}"}""");
        Command("retry_now", Planted[3][..14], $$"""{"channel":"out","{{Planted[3]}}":1}""");
        var right = new JsonObject { ["revision"] = "1", ["config"] = Whole(), ["confirm_timeout_s"] = 10 };
        right["config"]!["channels"]![0]!["destination"]!["auth"] = new JsonObject { ["username"] = "relay", ["password"] = Planted[4] };
        right["config"]!["channels"]![0]!["destination"]!["url"] = $"http://relay:{Planted[6]}@127.0.0.1:{FreePort.Tcp()}";
        Desire(right.ToJsonString(), "1");
        var random = new Random(5);
        // Never two in a row that may be no JSON: the reports of both, without a revision, could not be told apart.
        for (var i = 0; i < Mutations; i++) Desire(Mutated(right, random, $"m{i}", mayBreak: i % 2 == 0), $"m{i}");
        Desire("""{"revision":"last","patch":{}}""", "last");
        _gateway.Terminate();
        Wait.Until(() => Retained("availability") == "offline", 30, "the gateway gone", Said);
        KeepLog();
        listening.Kill();

        var told = _published.Where(line => line.StartsWith(Root, StringComparison.Ordinal)).Select(line => line[Root.Length..]).ToList();
        var ours = told.Where(line => !line.StartsWith("config/desired ", StringComparison.Ordinal)
            && !(line.StartsWith("cmd/", StringComparison.Ordinal) && line.Split(' ')[0].Split('/').Length == 3)).ToList();
        Output.WriteLine($"{ours.Count} messages of the gateway, {_log.Count} lines of its log");
        Assert.True(ours.Count(line => line.StartsWith("cmd/", StringComparison.Ordinal)) >= 6 && ours.Count > Mutations, string.Join('\n', ours));
        var secrets = Planted.SelectMany(s => (string[])
            [s, s.Replace("\u00e9", "\\u00E9", StringComparison.Ordinal), Convert.ToBase64String(Encoding.UTF8.GetBytes(s))])
            .Concat(File.ReadAllLines(Path.Combine(_gateway.Folder, "client.key"))[1..^1]).ToList();
        var leaks = ours.Concat(_log).Where(line => secrets.Any(s => line.Contains(s, StringComparison.OrdinalIgnoreCase))).ToList();
        Assert.True(leaks.Count == 0, string.Join('\n', leaks));
        var violations = ours.Select(line => TopicSchemas.Violation(line.Split(' ', 2)[0], line.Split(' ', 2)[1])).OfType<string>().ToList();
        Assert.True(violations.Count == 0, string.Join('\n', violations));
    }

    /// <summary>Accounts by file and by secret, hashes, keys, and a port of its own for other gateways.</summary>
    private JsonObject Whole()
    {
        var (folder, (cert, key)) = (_gateway.Folder, _certificates.Issue("gw"));
        foreach (var (from, to) in (ReadOnlySpan<(string, string)>)[(cert, "client.pem"), (key, "client.key")])
            if (!File.Exists(Path.Combine(folder, to))) File.Copy(from, Path.Combine(folder, to));
        File.WriteAllText(Path.Combine(folder, "destination"), Planted[1] + "\n");
        var hash = _gateway.CommandWithInput(Planted[5] + "\n", "passwd").Output.Trim().Split('\n')[^1];
        var (next, listen) = (FreePort.Tcp(), FreePort.Tcp());
        var config = Config.Gateway(
            new JsonObject
            {
                ["id"] = "out",
                ["source"] = Config.Channel("x", FreePort.Tcp(), 1)["source"]!.DeepClone(),
                ["destination"] = ChainConfig.Destination(next, "in", Path.Combine(folder, "destination")),
            },
            new JsonObject
            {
                ["id"] = "in", ["source"] = ChainConfig.Source(hash), ["destination"] = Config.Channel("x", 1, FreePort.Tcp())["destination"]!.DeepClone(),
            });
        config["device"] = new JsonObject { ["id"] = "gw-0017" };
        config["http"] = new JsonObject { ["listen"] = $"127.0.0.1:{listen}" };
        config["mqtt"] = new JsonObject
        {
            ["host"] = "localhost", ["port"] = _broker.Port, ["username"] = "gw", ["password_secret"] = "broker",
            ["tls"] = new JsonObject
            {
                ["enabled"] = true, ["ca"] = _certificates.Authority,
                ["cert"] = Path.Combine(folder, "client.pem"), ["key"] = Path.Combine(folder, "client.key"),
            },
        };
        return config;
    }

    /// <summary>
    /// The wish with a few of its bytes changed, or one of its values in another's place: the passwords stay under their keys or go where an
    /// error quotes what it found.
    /// </summary>
    private static string Mutated(JsonObject right, Random random, string revision, bool mayBreak)
    {
        var wish = (JsonObject)right.DeepClone();
        wish["revision"] = revision;
        var channel = (JsonObject)wish["config"]!["channels"]![random.Next(2)]!;
        var places = new (JsonObject In, string Key)[]
        {
            (channel, "id"), (channel, "name"), ((JsonObject)channel["source"]!, "type"), ((JsonObject)channel["source"]!, "port"),
            ((JsonObject)channel["destination"]!, "channel_id"), ((JsonObject)channel["destination"]!, "no_such_key"), (channel, "enabled"),
            ((JsonObject)wish["config"]!["mqtt"]!, "host"), ((JsonObject)wish["config"]!["mqtt"]!, "password_secret"),
            ((JsonObject)wish["config"]!["mqtt"]!, "password_file"), (wish, "confirm_timeout_s"), ((JsonObject)wish["config"]!["http"]!, "listen"),
        };
        var (place, key) = places[random.Next(places.Length)];
        place[key] = Planted[random.Next(5)]; // those that the device knows wherever they stand
        if (random.Next(3) == 0) wish["config"]!["channels"]![0]!["destination"]!["auth"]!["password"] = new JsonArray(Planted[4], 7);
        if (random.Next(3) == 0) place[$"x{Planted[random.Next(5)]}"] = 1;
        var text = wish.ToJsonString();
        return mayBreak && random.Next(2) == 0 ? text.Insert(random.Next(text.Length / 2, text.Length), "\"}{,"[random.Next(4)].ToString()) : text;
    }

    private void Desire(string wish, string revision)
    {
        _client.Publish(Root + "config/desired", wish);
        // What is no JSON has no revision either: then the report of the wish before, which has one, must give way to one that failed.
        Func<string, bool> isIts = IsJson(wish)
            ? said => said.Contains($"\"{revision}\"", StringComparison.Ordinal)
            : said => !said.Contains("revision", StringComparison.Ordinal) && said.Contains("FAILED", StringComparison.Ordinal);
        Wait.Until(() => Retained("config/reported") is { } said && isIts(said), 30, $"a report of {revision}", Said);
        KeepLog();
    }

    private static bool IsJson(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private void Command(string type, string id, string payload)
    {
        _client.Publish($"{Root}cmd/{type}/{id}", payload);
        Wait.Until(() => _published.Any(line => line.StartsWith($"{Root}cmd/{type}/{id}/result ", StringComparison.Ordinal)),
            20, $"the result of {type} {id}", Said);
        KeepLog();
    }

    private void KeepLog() => _log.UnionWith(_gateway.LastLines.Split('\n'));

    private string? Retained(string topic) => _client.Retained(Root + topic);

    private string Said() => $"{Retained("config/reported")}\n{_gateway.LastLines}\n{_broker.LastLines}";
}
