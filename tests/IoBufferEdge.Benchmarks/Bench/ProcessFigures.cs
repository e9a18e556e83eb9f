using System.Globalization;

namespace IoBufferEdge.Benchmarks.Bench;

/// <summary>What the kernel says about a process.</summary>
public static class ProcessFigures
{
    private const double TicksPerSecond = 100; // USER_HZ: fixed by the kernel's interface on every architecture that we build for

    /// <summary>User and system time in seconds, all threads, resolution 10 ms.</summary>
    public static double CpuSeconds(int processId)
    {
        var stat = File.ReadAllText($"/proc/{processId}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (Number(fields[11]) + Number(fields[12])) / TicksPerSecond;
    }

    /// <summary>Bytes that the process caused to be written to the block layer.</summary>
    public static long WrittenBytes(int processId) => Field($"/proc/{processId}/io", "write_bytes:");

    /// <summary>Proportional set size in MB (10⁶).</summary>
    public static double PssMb(int processId) => Field($"/proc/{processId}/smaps_rollup", "Pss:") * 1024 / 1e6;

    /// <summary>Resident set size in MB (10⁶): what others share counts whole.</summary>
    public static double RssMb(int processId) => Field($"/proc/{processId}/smaps_rollup", "Rss:") * 1024 / 1e6;

    /// <summary>Bytes that the block device under <paramref name="folder"/> was written, by everybody, since it was there; null where it is
    /// on none (tmpfs, overlay).</summary>
    public static long? DeviceWrittenBytes(string folder) =>
        DeviceWrittenBytes(folder, File.ReadLines("/proc/self/mountinfo"), File.ReadLines("/proc/diskstats"));

    /// <param name="mounts">Lines of /proc/self/mountinfo: "id parent major:minor root mount-point …".</param>
    /// <param name="disks">Lines of /proc/diskstats; the tenth field is what was written, in sectors of 512 bytes.</param>
    public static long? DeviceWrittenBytes(string folder, IEnumerable<string> mounts, IEnumerable<string> disks)
    {
        // Of several mounts on one point the last covers the others.
        var device = mounts.Select(line => line.Split(' ')).Where(fields => IsWithin(folder, fields[4]))
            .OrderBy(fields => fields[4].Length).LastOrDefault()?[2];
        return disks.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => $"{fields[0]}:{fields[1]}" == device).Select(fields => (long?)(Number(fields[9]) * 512)).FirstOrDefault();
    }

    private static bool IsWithin(string folder, string mountPoint) =>
        $"{folder}/".StartsWith(mountPoint.EndsWith('/') ? mountPoint : $"{mountPoint}/", StringComparison.Ordinal);

    /// <summary>The part of the proportional set size that is no file's, in MB (10⁶): unlike the rest, other processes do not move it.</summary>
    public static double OwnMemoryMb(int processId) => Field($"/proc/{processId}/smaps_rollup", "Pss_Anon:") * 1024 / 1e6;

    /// <summary>File descriptors that are open.</summary>
    public static int Handles(int processId) => Directory.GetFileSystemEntries($"/proc/{processId}/fd").Length;

    public static int Threads(int processId) => Directory.GetDirectories($"/proc/{processId}/task").Length;

    /// <param name="busyPercent">How busy its processors were before anything of the benchmark ran; null: nobody looked.</param>
    public static string Machine(double? busyPercent)
    {
        var model = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal));
        var cpu = model?.Split(':')[1].Trim()
            ?? System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();
        var memory = Field("/proc/meminfo", "MemTotal:") / 1024 / 1024.0;
        var kernel = File.ReadAllText("/proc/sys/kernel/osrelease").Trim();
        var busy = busyPercent is { } percent ? string.Create(CultureInfo.InvariantCulture, $", {percent:0} % busy before the run") : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{Environment.ProcessorCount} × {cpu}, {memory:0} GB, Linux {kernel}, {FileSystem("/var/tmp")}{busy}");
    }

    private static string FileSystem(string path) =>
        DriveInfo.GetDrives().Where(drive => path.StartsWith(drive.Name, StringComparison.Ordinal))
            .MaxBy(drive => drive.Name.Length)?.DriveFormat ?? "unknown file system";

    private static long Field(string file, string key)
    {
        var line = File.ReadLines(file).First(line => line.StartsWith(key, StringComparison.Ordinal));
        return Number(line[key.Length..].Replace("kB", "", StringComparison.Ordinal).Trim());
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
