using System.Text.Json.Nodes;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>Configurations of gateways in a row: what one sends, the next takes, over <c>remote_icombuffer</c>.</summary>
public static class ChainConfig
{
    public const string Username = "relay";

    /// <param name="device">Its <c>device.id</c>: the next gateway knows it by that.</param>
    /// <param name="listen">Port for the one before it; 0: none listens.</param>
    public static JsonObject Gateway(string device, int listen, string channel, JsonNode source, JsonNode destination, string buffer = "{}")
    {
        var config = Config.Gateway(new JsonObject
        {
            ["id"] = channel, ["source"] = source.DeepClone(), ["buffer"] = JsonNode.Parse(buffer), ["destination"] = destination.DeepClone(),
        });
        config["device"] = new JsonObject { ["id"] = device };
        if (listen > 0) config["http"] = new JsonObject { ["listen"] = $"127.0.0.1:{listen}" };
        return config;
    }

    /// <param name="passwordHash">What <c>iobuffer passwd</c> printed; null: anyone may send.</param>
    public static JsonObject Source(string? passwordHash = null)
    {
        var source = new JsonObject { ["type"] = "remote_icombuffer" };
        if (passwordHash is not null) source["auth"] = new JsonObject { ["username"] = Username, ["password_hash"] = passwordHash };
        return source;
    }

    /// <param name="passwordFile">Null: without an account.</param>
    public static JsonObject Destination(int port, string channel, string? passwordFile = null)
    {
        var destination = new JsonObject
        {
            ["type"] = "remote_icombuffer",
            ["url"] = $"http://127.0.0.1:{port}",
            ["channel_id"] = channel,
            ["retry"] = new JsonObject { ["initial_ms"] = 20, ["max_ms"] = 200 },
        };
        if (passwordFile is not null) destination["auth"] = new JsonObject { ["username"] = Username, ["password_file"] = passwordFile };
        return destination;
    }
}
