using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using IoBufferEdge.Boards;
using IoBufferEdge.Control.Configuring;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control;

/// <summary>
/// All that a supporter asks for first, as one <c>.tar.gz</c> of text files: status, configuration and its generations, the newest log lines, the
/// machine and its devices, what lies in the data folder. Never a message's payload, and no secret: everything goes through the redactor before
/// it is cut to its bound, so that no half of one is left. At most <see cref="MaxBytes"/>; the log gives way first, its oldest lines first.
/// </summary>
/// <param name="redactor">Knows what runs and what was offered; what is kept beside that is learnt here.</param>
public sealed class SupportBundle(string dataPath, SecretStore secrets, Redactor redactor, string version, TimeProvider time)
{
    public const int MaxBytes = 512 * 1024;

    private const int MaxEntryBytes = 1024 * 1024, MaxLogBytes = 512 * 1024, MaxFiles = 500, JournalLines = 2000;
    private const int MaxIndentedBytes = 256 * 1024;

    private static readonly TimeSpan JournalPatience = TimeSpan.FromSeconds(5);

    /// <summary>Where the machine says what it is; none of these holds anything of its user's.</summary>
    private static readonly string[] MachineFiles =
    [
        "/proc/version", "/etc/os-release", "/proc/device-tree/model", "/sys/class/dmi/id/product_name", "/proc/uptime", "/proc/loadavg", "/proc/meminfo",
    ];

    private static readonly string[] DeviceFolders =
        ["/dev/serial/by-id", "/dev/serial/by-path", "/sys/class/tty", "/sys/class/leds", "/sys/class/net", "/sys/class/watchdog", "/sys/bus/gpio/devices"];

    /// <param name="status">Null: no gateway runs.</param>
    /// <param name="document">The configuration that runs; null: the one that is kept.</param>
    /// <param name="log">Newest last.</param>
    public byte[] Create(GatewayStatus? status, string? document, IEnumerable<string> log)
    {
        var store = new ConfigStore(new ConfigFolder(Path.Combine(dataPath, "config")));
        var state = store.Load();
        string?[] documents = [document, state.Good?.Document, state.Former?.Document, store.LoadFactory()?.Config];
        var kept = new Redactor(secrets, documents.Length);
        foreach (var other in documents)
            if (other is not null) kept.Learn(Encoding.UTF8.GetBytes(other), "/");

        var entries = new List<(string Name, string Text)>
        {
            ("about.txt", About(status)),
            ("config.json", Indented(document ?? state.Good?.Document ?? Provisioning.Nothing)),
            ("config-kept.json", Indented(Kept(state))),
            ("devices.txt", Devices()),
            ("files.txt", Files()),
        };
        if (status is not null)
        {
            entries.Add(("status.txt", StatusText.Render(status)));
            entries.Add(("status.json", Indented(JsonSerializer.Serialize(status, ControlJson.Default.GatewayStatus))));
        }

        var lines = Encoding.UTF8.GetBytes(Clean(string.Join('\n', log)));
        var files = entries.Select(e => (e.Name, Bytes: Head(Encoding.UTF8.GetBytes(Clean(e.Text))))).ToList();
        for (var room = Math.Min(MaxLogBytes, lines.Length); ; room /= 2)
        {
            var bundle = Pack([.. files, ("log.txt", lines[^room..])]);
            if (bundle.Length <= MaxBytes || room == 0) return bundle.Length <= MaxBytes ? bundle : Pack([files[0], files.Find(f => f.Name == "status.txt")]);
        }

        string Clean(string text) => kept.Redact(redactor.Redact(text));

        string Indented(string json)
        {
            var clean = kept.RedactJson(redactor.RedactJson(Encoding.UTF8.GetBytes(json)));
            return clean.Length <= MaxIndentedBytes ? ConfigDocument.Indent(clean) : Encoding.UTF8.GetString(clean); // a tree takes ten times the memory
        }
    }

    /// <summary>What the journal has of the service, earlier runs too; empty where this user may not read it, or there is none.</summary>
    public static IReadOnlyList<string> ReadJournal()
    {
        try
        {
            string[] arguments = ["-u", "iobuffer.service", "-n", $"{JournalLines}", "-o", "short-iso", "--no-pager", "--quiet"];
            var start = new ProcessStartInfo("journalctl", arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
            using var journal = Process.Start(start);
            if (journal is null) return [];
            var (text, errors) = (journal.StandardOutput.ReadToEndAsync(), journal.StandardError.ReadToEndAsync());
            if (!journal.WaitForExit(JournalPatience) || !Task.WaitAll([text, errors], JournalPatience))
            {
                journal.Kill();
                return [];
            }

            return journal.ExitCode == 0 ? text.Result.Split('\n', StringSplitOptions.RemoveEmptyEntries) : [];
        }
        catch (Exception e) when (e is IOException or System.ComponentModel.Win32Exception or InvalidOperationException)
        {
            return [];
        }
    }

    private string About(GatewayStatus? status)
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"IoBufferEdge {version}, {time.GetUtcNow():yyyy-MM-dd HH:mm:ss} UTC by this device's clock");
        text.AppendLine(status is null ? "No gateway runs." : $"{status.DeviceId}: {status.State}, LEDs {status.LedCode}, boot {status.BootId}");
        text.AppendLine($"Id of the machine: {Machine.ReadId("/") ?? "none"}");
        foreach (var file in MachineFiles) text.AppendLine().AppendLine($"== {file}").AppendLine(Read(file));
        return text.ToString();
    }

    private static string Kept(ConfigState state)
    {
        static JsonObject? Generation(StoredConfig? config) => config is null ? null
            : new JsonObject { ["hash"] = config.Hash, ["origin"] = $"{config.Origin}", ["revision"] = config.Revision, ["file_hash"] = config.FileHash };

        return new JsonObject
        {
            ["good"] = Generation(state.Good), ["former"] = Generation(state.Former), ["factory"] = state.Factory, ["reset"] = state.Reset,
            ["last"] = state.Last is { } last ? JsonSerializer.SerializeToNode(last, ConfigStateJson.Default.WishOutcome) : null,
        }.ToJsonString();
    }

    private static string Devices()
    {
        var text = new StringBuilder();
        foreach (var folder in DeviceFolders)
        {
            text.AppendLine($"== {folder}");
            foreach (var entry in Entries(folder)) text.AppendLine($"{entry.Name}{(entry.LinkTarget is { } target ? $" -> {target}" : "")}");
        }

        foreach (var board in BoardFiles.Ids) text.Append(board).Append(' ');
        return text.Append("are the boards that this version knows.").AppendLine().ToString();
    }

    private string Files()
    {
        var text = new StringBuilder();
        foreach (var folder in new[] { dataPath }.Concat(Entries(dataPath).OfType<DirectoryInfo>().Select(d => d.FullName)))
        {
            text.AppendLine($"== {folder}");
            foreach (var file in Entries(folder).OfType<FileInfo>())
            {
                text.Append(CultureInfo.InvariantCulture, $"{file.Length,12}  {file.LastWriteTimeUtc:yyyy-MM-dd HH:mm:ss}  ");
                text.AppendLine(CultureInfo.InvariantCulture, $"{Convert.ToString((int)file.UnixFileMode, 8)}  {file.Name}");
            }
        }

        return text.ToString();
    }

    private static IEnumerable<FileSystemInfo> Entries(string folder)
    {
        try
        {
            return [.. new DirectoryInfo(folder).EnumerateFileSystemInfos().OrderBy(e => e.Name, StringComparer.Ordinal).Take(MaxFiles)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static string Read(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim('\0', '\n', ' ');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e is FileNotFoundException or DirectoryNotFoundException ? "is not there" : e.Message;
        }
    }

    private static byte[] Head(byte[] text) => text.Length <= MaxEntryBytes ? text : [.. text.AsSpan(0, MaxEntryBytes), .. "\n(cut)\n"u8];

    private byte[] Pack(IReadOnlyList<(string Name, byte[] Bytes)> files)
    {
        var output = new MemoryStream();
        using (var zip = new GZipStream(output, CompressionLevel.Optimal, leaveOpen: true))
        using (var tar = new TarWriter(zip, TarEntryFormat.Ustar))
        {
            foreach (var (name, bytes) in files.Where(f => f.Name is not null))
            {
                tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, $"iobuffer-support/{name}")
                {
                    DataStream = new MemoryStream(bytes), ModificationTime = time.GetUtcNow(),
                });
            }
        }

        return output.ToArray();
    }
}
