using System.Net;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Configuration;

/// <summary>
/// Who can publish a configuration is not root. In what came over the network, files are bare names inside the secrets folder, serial ports
/// are tty devices, passwords are named and never written out, and credentials do not go over the network in the clear. What stands in it
/// as it stood in the configuration that runs was judged before and is left alone.
/// </summary>
/// <param name="secretsFolder">Where bare names lie.</param>
/// <param name="kept">Paths of sections and channels that are as they were.</param>
internal sealed class ForeignRules(string secretsFolder, IReadOnlySet<string> kept)
{
    private const string NoPassword = "must not stand in a configuration from MQTT, where it lies retained on the broker: "
        + "deliver it by cmd/secret_set or iobuffer secret set, and name it in password_secret";

    public bool Judges(string path) =>
        !kept.Any(k => path.StartsWith(k, StringComparison.Ordinal) && (path.Length == k.Length || path[k.Length] is '.' or '['));

    /// <summary>Null: a configuration from the network may name this file.</summary>
    public string? WhyNotFile(string given, string full)
    {
        if (!IsBareName(given) && !(IsBareName(Path.GetFileName(given)) && given == Path.Combine(secretsFolder, Path.GetFileName(given))))
            return "must be the bare name of a file in the device's secrets folder: deliver it by cmd/secret_set or iobuffer secret set";
        var file = new FileInfo(Path.Combine(secretsFolder, Path.GetFileName(given)));
        if (file.LinkTarget is not null || !LinuxDevices.IsRegularFileOrAbsent(file.FullName))
            return $"names {Spelling.Quote(Path.GetFileName(full))}, which is not a plain file in the device's secrets folder";
        return null;
    }

    public static void Check(GatewayConfig config, ConfigProblems problems)
    {
        for (var i = 0; i < config.Channels.Count; i++)
        {
            CheckEndpoint(config.Channels[i].Source, $"channels[{i}].source", problems);
            CheckEndpoint(config.Channels[i].Destination, $"channels[{i}].destination", problems);
            CheckSource(config, config.Channels[i].Source, $"channels[{i}].source", problems);
        }
    }

    private static void CheckEndpoint(EndpointConfig endpoint, string at, ConfigProblems problems)
    {
        if (!problems.IsForeign(at)) return;
        if (endpoint is { Type: EndpointType.Serial, SerialPort: { } port } && port.StartsWith('/') && !LinuxDevices.IsSerialPort(port))
        {
            problems.Error($"{at}.port",
                $"must be a tty device, /dev/ttyUSB0 or better /dev/serial/by-id/…, in a configuration from MQTT, but is {Spelling.Quote(port)}");
        }

        if (endpoint.Auth?.Password is not null) problems.Error($"{at}.auth.password", NoPassword);
        if (endpoint is { Auth: not null, Url: { } text } && Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme == "http"
            && !NetworkAddress.IsLoopback(url.Host))
        {
            problems.Error($"{at}.auth", "would go over the network in the clear, which a configuration from MQTT must not ask for: use https in url");
        }
    }

    private static void CheckSource(GatewayConfig config, SourceConfig source, string at, ConfigProblems problems)
    {
        if (source.Auth is null || source.Type != EndpointType.RemoteIcombuffer || !(problems.IsForeign(at) || problems.IsForeign("http"))) return;
        if (config.Http is not { Listen: { } listen, Tls.Enabled: false }) return;
        if (NetworkAddress.ParseEndPoint(listen) is { } address && !IPAddress.IsLoopback(address.Address))
        {
            problems.Error($"{at}.auth",
                "would come over the network in the clear, which a configuration from MQTT must not ask for: give http a tls, or listen on loopback");
        }
    }

    private static bool IsBareName(string name) =>
        name is { Length: > 0 and <= 64 } && char.IsAsciiLetterOrDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-');
}
