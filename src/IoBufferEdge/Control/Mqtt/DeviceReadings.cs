using System.Globalization;

namespace IoBufferEdge.Control.Mqtt;

/// <summary>What the kernel knows of the machine. Null: this machine does not say.</summary>
/// <param name="root">The file system's root.</param>
public sealed class DeviceReadings(string root)
{
    /// <summary>Degrees Celsius of the first thermal zone, the processor's.</summary>
    public double? TemperatureC =>
        double.TryParse(Read("sys/class/thermal/thermal_zone0/temp"), CultureInfo.InvariantCulture, out var thousandths)
            ? Math.Round(thousandths / 1000, 1) : null;

    /// <summary>
    /// How much of its life the most worn eMMC has used, in tenths: 10 means up to 10 %, 110 more than its maker promised. SD cards and disks
    /// do not say.
    /// </summary>
    public int? FlashLifeUsedPercent
    {
        get
        {
            var disks = Path.Combine(root, "sys/block");
            if (!Directory.Exists(disks)) return null;
            var tenths = (
                from disk in Directory.EnumerateFileSystemEntries(disks, "mmcblk*")
                from word in Read(Path.Combine(disk, "device/life_time"))?.Split(' ') ?? []
                where word.StartsWith("0x", StringComparison.Ordinal)
                select int.TryParse(word.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var n) ? n : 0).Append(0).Max();
            return tenths > 0 ? tenths * 10 : null;
        }
    }

    /// <summary>Whether the wall clock was set by a time server since the start, as systemd-timesyncd notes it.</summary>
    public bool? TimeSynced => Directory.Exists(Path.Combine(root, "run/systemd/timesync"))
        ? File.Exists(Path.Combine(root, "run/systemd/timesync/synchronized")) : null;

    /// <summary>The kernel's id of this boot; empty where it has none.</summary>
    public string BootId => _bootId ??= Read("proc/sys/kernel/random/boot_id") ?? "";

    private string? _bootId;

    private string? Read(string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(root, file)).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
