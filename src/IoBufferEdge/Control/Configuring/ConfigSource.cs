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
/// Makes runnable configurations out of documents, and chooses the one to start with: what provisioning gave and was not taken up yet; the last
/// good one that was kept, while the configuration file is as it was then; the configuration file where it is another; else the one from
/// provisioning, the file, the built-in one, or none where a file was named that is not there yet or is empty.
/// What cannot be read gives way to the next: a device that has run once comes up.
/// </summary>
/// <param name="configPath">The configuration file; null: none was given.</param>
/// <param name="secrets">Where what a document names lies, and the bare names of files in a configuration from MQTT.</param>
public sealed class ConfigSource(string? configPath, SecretStore secrets)
{
    public string? ConfigPath => configPath;

    public SecretStore Secrets => secrets;

    /// <summary>The configuration file could not be read when it was last looked at.</summary>
    public bool IsUnreadable { get; private set; }

    /// <summary>It was read and cannot be used.</summary>
    public bool IsWrong { get; private set; }

    /// <summary>It was not there then, or was empty.</summary>
    private bool IsMissing { get; set; }

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

    /// <summary>Reads what provisioning gives, laid over the document that runs. Null: the problems say why.</summary>
    internal RunnableConfig? Read(Provision provision, string present, string? fileHash, List<ConfigProblem> problems)
    {
        var faults = problems.Count;
        var given = ConfigDocument.Parse(Encoding.UTF8.GetBytes(provision.Config), problems);
        if (given is null) return null;
        var whole = ConfigDocument.Merge(ConfigDocument.Parse(Encoding.UTF8.GetBytes(present), problems), given)!;
        return problems.Count > faults ? null : Read(Encoding.UTF8.GetBytes(whole.ToJsonString()), secrets.Folder, ConfigOrigin.Factory, fileHash, problems);
    }

    /// <summary>Reads the configuration file. Null: it is wrong; it does not exist, or may not be read.</summary>
    internal RunnableConfig? ReadFile(List<ConfigProblem> problems)
    {
        try
        {
            (IsUnreadable, IsWrong, IsMissing) = (false, false, false);
            var full = Path.GetFullPath(configPath!);
            if (new FileInfo(full).Length > ConfigFile.MaxBytes) throw new IOException($"it is larger than {ConfigFile.MaxBytes} bytes");
            var bytes = File.ReadAllBytes(full);
            IsMissing = bytes.AsSpan().IndexOfAnyExcept(" \t\r\n"u8) < 0;
            var read = Read(bytes, Path.GetDirectoryName(full)!, ConfigOrigin.File, ConfigStore.HashOf(bytes), problems);
            IsWrong = read is null && !IsMissing;
            return read;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            (IsUnreadable, IsMissing) = (true, e is FileNotFoundException or DirectoryNotFoundException);
            problems.Add(new(ConfigSeverity.Error, "$", $"{configPath} cannot be read: {ConfigCheck.Reason(configPath!, e)}"));
            return null;
        }
    }

    /// <summary>Null: nothing can run, which only a wrong configuration file on a new device brings about; the problems say why.</summary>
    public RunnableConfig? ChooseAtStart(ConfigState state, Provision? factory, List<ConfigProblem> problems)
    {
        var file = configPath is null ? null : ReadFile(problems);
        var fileHash = file?.Stored.FileHash;
        if (factory is not null && factory.Hash != state.Factory)
        {
            var present = state.Good is { Origin: not ConfigOrigin.BuiltIn } before ? before.Document : file?.Stored.Document ?? Provisioning.Nothing;
            if (Read(factory, present, fileHash, problems) is { } taken) return taken;
        }

        var good = state.Good is { Origin: ConfigOrigin.File } && configPath is null ? null : state.Good;
        if (good is not null && file is not null && good.FileHash != file.Stored.FileHash) return file;
        if (Read(good, problems) is { } kept) return kept;
        if (good is not null && Read(state.Former, problems) is { } former) return former;
        if (factory is not null && Read(factory, file?.Stored.Document ?? Provisioning.Nothing, fileHash, problems) is { } delivered) return delivered;
        if (configPath is null || good is not null) return file ?? Read(DefaultConfig.Text(), "/", ConfigOrigin.BuiltIn, null, [])!;
        return IsMissing ? Read(Encoding.UTF8.GetBytes(Provisioning.Nothing), "/", ConfigOrigin.BuiltIn, null, []) : file;
    }
}
