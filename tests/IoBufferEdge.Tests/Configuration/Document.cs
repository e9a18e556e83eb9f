using System.Text;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>Documents for the tests, put together from what a test is about and what is right everywhere else.</summary>
internal static class Document
{
    public const string TcpSource = """{"type":"tcp_server","host":"127.0.0.1","port":7000,"framing":{"type":"line"}}""";

    public const string TcpDestination = """{"type":"tcp_client","host":"127.0.0.1","port":8000}""";

    public static string Channel(string? source = null, string? destination = null, string more = "", string id = "a") =>
        $$"""{"id":"{{id}}","source":{{source ?? TcpSource}},"destination":{{destination ?? TcpDestination}}{{more}}}""";

    public static string Of(string channels, string more = "") => $$"""{"schema_version":1,"channels":[{{channels}}]{{more}}}""";

    /// <summary>An object's text with keys added, or put in place of those that stand there.</summary>
    public static string With(string json, string keys)
    {
        var node = System.Text.Json.Nodes.JsonNode.Parse(json)!.AsObject();
        foreach (var (key, value) in System.Text.Json.Nodes.JsonNode.Parse("{" + keys + "}")!.AsObject()) node[key] = value?.DeepClone();
        return node.ToJsonString();
    }

    public static string[] Problems(string document) => [.. Parse(document).Problems.Select(p => p.ToString())];

    public static ConfigResult Parse(string document) => ConfigFile.Parse(Encoding.UTF8.GetBytes(document), "/nowhere");
}
