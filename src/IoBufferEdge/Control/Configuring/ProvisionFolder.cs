using IoBufferEdge.Configuration;
using IoBufferEdge.Interop.Linux;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control.Configuring;

/// <summary>
/// The folder in which an installer hands over what a device is to be, mostly <c>provision/</c> of the boot partition, where any computer can
/// write:
/// <code>
/// device.json           a configuration, or as much of one as is known: {"device":{"id":…},"mqtt":{"host":…,"tls":{"enabled":true,"ca":"ca.pem"}}}
/// *.pem, *.crt, *.key   certificates and keys, named in device.json as they are here
/// secrets/NAME          passwords, named in device.json by password_secret
/// network/              is the image's own
/// result.txt            what came of it, written back</code>
/// Names are taken in lower case, as file systems of boot partitions do not tell it from upper case. What is not known is an error: it may be a
/// file that was meant to count. Secrets are removed once they are taken.
/// </summary>
public sealed class ProvisionFolder(string path)
{
    public const string Document = "device.json", Result = "result.txt";

    private static readonly string[] Ours = ["readme.txt", "readme.md", Result, "network", "system volume information"];
    private static readonly string[] SecretEndings = [".pem", ".crt", ".key"];

    private readonly List<string> _secretFiles = [];

    /// <summary>What is in it; null: nothing. Each of the problems is one sentence, and what can be read is read all the same.</summary>
    /// <exception cref="IOException">There is no such folder, or it cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public Provision? Read(List<string> problems)
    {
        string? config = null;
        var secrets = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var entry in new DirectoryInfo(path).EnumerateFileSystemInfos().OrderBy(e => e.Name, StringComparer.Ordinal))
        {
            var name = entry.Name.ToLowerInvariant();
            if (name.StartsWith('.') || Ours.Contains(name)) continue;
            if (entry is DirectoryInfo folder && name == "secrets")
            {
                foreach (var secret in folder.EnumerateFiles().Where(f => !f.Name.StartsWith('.')).OrderBy(f => f.Name, StringComparer.Ordinal))
                    Take(secret, $"secrets/{secret.Name}");
            }
            else if (entry is FileInfo document && name == Document) config = ReadDocument(document, problems);
            else if (entry is FileInfo file && SecretEndings.Any(e => name.EndsWith(e, StringComparison.Ordinal))) Take(file, file.Name);
            else problems.Add($"{entry.Name} is not known here: {Document}, certificates and keys (.pem, .crt, .key) and the folder secrets are.");
        }

        if ((config?.Length ?? 0) + secrets.Values.Sum(s => s.Length) > Provision.MaxBytes / 2)
            problems.Add($"All of it together is larger than {Provision.MaxBytes / 2} bytes, which a configuration and its secrets are far from.");
        return config is null && secrets.Count == 0 ? null : new Provision(config ?? "{}", secrets);

        void Take(FileInfo file, string shown)
        {
            var name = file.Name.ToLowerInvariant();
            if (!SecretStore.IsName(name))
                problems.Add($"{shown} cannot be a secret's name: it is 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit.");
            else if (file.Length is 0 or > SecretStore.MaxBytes) problems.Add($"{shown} has {file.Length} bytes: a secret has 1 to {SecretStore.MaxBytes}.");
            else if (!secrets.TryAdd(name, File.ReadAllBytes(file.FullName))) problems.Add($"{shown} is there twice under the name {name}: keep one of them.");
            else _secretFiles.Add(file.FullName);
        }
    }

    /// <summary>Removes the secrets that were read: they are in the device.</summary>
    public void RemoveSecrets()
    {
        foreach (var file in _secretFiles) File.Delete(file);
        foreach (var folder in _secretFiles.Select(f => Path.GetDirectoryName(f)!).Distinct().ToList()) LinuxFiles.SyncFolder(folder);
        _secretFiles.Clear();
    }

    /// <summary>Writes down what came of it, whole or not at all; a result that is the same but for its time stays.</summary>
    public void WriteResult(string text, DateTimeOffset at)
    {
        var (file, draft) = (Path.Combine(path, Result), Path.Combine(path, "result.new"));
        if (File.Exists(file) && File.ReadAllText(file).EndsWith($" UTC\n{text}\n", StringComparison.Ordinal)) return;
        File.WriteAllText(draft, $"{at.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC\n{text}\n");
        LinuxFiles.SyncData(draft);
        File.Move(draft, file, overwrite: true);
        LinuxFiles.SyncFolder(path);
    }

    private static string ReadDocument(FileInfo file, List<string> problems)
    {
        var found = new List<ConfigProblem>();
        var bytes = file.Length <= Provision.MaxBytes ? File.ReadAllBytes(file.FullName) : [];
        if (file.Length > Provision.MaxBytes) problems.Add($"{Document} is larger than {Provision.MaxBytes} bytes.");
        else if (ConfigDocument.Parse(bytes, found) is { } document) return document.ToJsonString();
        problems.AddRange(found.Select(p => $"{Document}: {(p.Path == "$" ? "it" : $"{p.Path}:")} {p.Message}."));
        return "{}";
    }
}
