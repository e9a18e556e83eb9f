using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control.Configuring;

/// <summary>A configuration that can run, and the document it was read from.</summary>
public sealed record RunnableConfig(GatewayConfig Config, StoredConfig Stored)
{
    public string? Hash => Stored.Hash;
}

/// <summary>
/// Makes runnable configurations out of documents, and chooses the one to start with: the last good one that was kept, while the
/// configuration file is as it was then; the configuration file where it is another; else the one from provisioning, the file, the built-in one.
/// What cannot be read gives way to the next: a device that has run once comes up.
/// </summary>
/// <param name="configPath">The configuration file; null: none was given.</param>
/// <param name="factoryPath">Where provisioning leaves its configuration.</param>
/// <param name="secrets">Where what a document names lies, and the bare names of files in a configuration from MQTT.</param>
public sealed class ConfigSource(string? configPath, string factoryPath, SecretStore secrets)
{
    public string? ConfigPath => configPath;

    /// <summary>The configuration file could not be read when it was last looked at.</summary>
    public bool IsUnreadable { get; private set; }

    /// <summary>Reads a document of the administrator's; relative names start at <paramref name="folder"/>. Null: the problems say why.</summary>
    internal RunnableConfig? Read(ReadOnlySpan<byte> utf8, string folder, ConfigOrigin origin, string? fileHash, List<ConfigProblem> problems)
    {
        var result = ConfigFile.Parse(utf8, folder, secrets);
        problems.AddRange(result.Problems);
        if (result.Config is null || ConfigDocument.Parse(utf8, problems) is not { } document) return null;
        return new RunnableConfig(result.Config, new StoredConfig(origin, ConfigDocument.Write(document, result.Files), null, fileHash));
    }

    /// <summary>Reads an offer from MQTT by the rules for what comes from there.</summary>
    internal RunnableConfig? Read(ConfigOffer offer, string present, string? fileHash, List<ConfigProblem> problems)
    {
        var kept = ConfigDocument.Kept(offer.Document, ConfigDocument.Parse(Encoding.UTF8.GetBytes(present), [])!);
        var utf8 = Encoding.UTF8.GetBytes(offer.Document.ToJsonString());
        var result = ConfigFile.Parse(utf8, secrets.Folder, secrets, new ForeignRules(secrets.Folder, kept));
        problems.AddRange(result.Problems);
        if (result.Config is null) return null;
        return new RunnableConfig(
            result.Config, new StoredConfig(ConfigOrigin.Mqtt, ConfigDocument.Write(offer.Document, result.Files), offer.Revision, fileHash));
    }

    /// <summary>Reads what was kept. Null: it can no longer run, or there is none.</summary>
    internal RunnableConfig? Read(StoredConfig? stored, List<ConfigProblem> problems)
    {
        if (stored is null) return null;
        var result = ConfigFile.Parse(Encoding.UTF8.GetBytes(stored.Document), "/", secrets);
        problems.AddRange(result.Problems);
        return result.Config is { } config ? new RunnableConfig(config, stored) : null;
    }

    /// <summary>Reads the configuration file. Null: it is wrong; it does not exist, or may not be read.</summary>
    internal RunnableConfig? ReadFile(List<ConfigProblem> problems) => ReadFile(configPath!, ConfigOrigin.File, problems);

    internal RunnableConfig ReadBuiltIn() => Read(DefaultConfig.Text(), "/", ConfigOrigin.BuiltIn, null, [])!;

    /// <summary>Null: nothing can run, which only a wrong configuration file on a new device brings about; the problems say why.</summary>
    public RunnableConfig? ChooseAtStart(ConfigState state, List<ConfigProblem> problems)
    {
        var fromFile = new List<ConfigProblem>();
        var file = configPath is null ? null : ReadFile(fromFile);
        problems.AddRange(fromFile);
        var good = state.Good is { Origin: ConfigOrigin.File } && configPath is null ? null : state.Good;
        if (good is not null && file is not null && good.FileHash != file.Stored.FileHash) return file;
        if (Read(good, problems) is { } kept) return kept;
        if (good is not null && Read(state.Former, problems) is { } former) return former;
        if (ReadFactory(problems) is { } factory) return factory with { Stored = factory.Stored with { FileHash = file?.Stored.FileHash } };
        return configPath is null || good is not null ? file ?? ReadBuiltIn() : file;
    }

    private RunnableConfig? ReadFactory(List<ConfigProblem> problems) =>
        File.Exists(factoryPath) ? ReadFile(factoryPath, ConfigOrigin.Factory, problems) : null;

    private RunnableConfig? ReadFile(string path, ConfigOrigin origin, List<ConfigProblem> problems)
    {
        try
        {
            IsUnreadable = false;
            var full = Path.GetFullPath(path);
            if (new FileInfo(full).Length > ConfigFile.MaxBytes) throw new IOException($"it is larger than {ConfigFile.MaxBytes} bytes");
            var bytes = File.ReadAllBytes(full);
            var hash = origin == ConfigOrigin.File ? ConfigStore.HashOf(bytes) : null;
            return Read(bytes, Path.GetDirectoryName(full)!, origin, hash, problems);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            IsUnreadable = origin == ConfigOrigin.File;
            problems.Add(new(ConfigSeverity.Error, "$", $"{path} cannot be read: {ConfigCheck.Reason(path, e)}"));
            return null;
        }
    }
}
