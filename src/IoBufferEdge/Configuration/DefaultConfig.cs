namespace IoBufferEdge.Configuration;

/// <summary>The configuration that runs when none is given: one TCP and one UDP channel on the loopback address.</summary>
public static class DefaultConfig
{
    /// <summary>The document, UTF-8.</summary>
    public static byte[] Text() => Resource("default.json");

    public static GatewayConfig Load() =>
        ConfigFile.Parse(Text(), null).Config ?? throw new InvalidOperationException("The embedded default configuration is not valid.");

    /// <summary>The JSON Schema of the configuration file, for editors.</summary>
    public static byte[] Schema() => Resource("iobuffer.schema.json");

    private static byte[] Resource(string name)
    {
        using var stream = typeof(DefaultConfig).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"{name} is not embedded.");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
