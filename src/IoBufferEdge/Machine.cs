namespace IoBufferEdge;

/// <summary>
/// What tells this machine from every other: the serial number in its device tree (a Raspberry Pi's is its processor's), else the one that its
/// maker wrote into the firmware, else the permanent address of its first network adapter. A configuration's <c>device.id</c> goes before.
/// The firmware's is for root alone to read, so that a service without that right gets the adapter's: <c>iobuffer provision</c> writes down
/// what it found.
/// </summary>
public static class Machine
{
    private const int MaxIdLength = 64;

    /// <summary>What makers leave there who write no number.</summary>
    private static readonly string[] NoNumbers =
    [
        "none", "default", "default string", "system serial number", "serial number", "not specified", "not applicable", "n/a", "na", "unknown", "oem",
        "to be filled by o.e.m.", "o.e.m.", "0123456789", "123456789", "1234567890", "invalid", "empty", "chassis serial number",
    ];

    /// <summary>An id as device ids are, or null where the machine has nothing of its own.</summary>
    /// <param name="root">The file system's root.</param>
    public static string? ReadId(string root) =>
        FromSerial(Read(root, "proc/device-tree/serial-number"))
        ?? FromSerial(Read(root, "sys/class/dmi/id/product_serial"))
        ?? FromAdapter(Path.Combine(root, "sys/class/net"));

    /// <summary>The kernel's id of this boot; empty where it has none.</summary>
    /// <param name="root">The file system's root.</param>
    public static string ReadBootId(string root) => Read(root, "proc/sys/kernel/random/boot_id") ?? "";

    private static string? FromSerial(string? serial)
    {
        if (serial is null || NoNumbers.Contains(serial, StringComparer.OrdinalIgnoreCase) || serial.Distinct().Count() < 3) return null;
        var id = new string([.. serial.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')]).Trim('-');
        return id.Length is >= 4 and <= MaxIdLength ? id : null;
    }

    /// <summary>Of real adapters (with hardware beneath) whose address is their own, the first by name.</summary>
    private static string? FromAdapter(string adapters)
    {
        if (!Directory.Exists(adapters)) return null;
        foreach (var adapter in Directory.EnumerateDirectories(adapters).Order(StringComparer.Ordinal))
        {
            if (!Path.Exists(Path.Combine(adapter, "device")) || Read(adapter, "addr_assign_type") != "0") continue;
            if (FromSerial(Read(adapter, "address")?.Replace(":", "", StringComparison.Ordinal)) is { } id) return id;
        }

        return null;
    }

    private static string? Read(string folder, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(folder, file)).Trim('\0', '\n', ' ') is { Length: > 0 } text ? text : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
