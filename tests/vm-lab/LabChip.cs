namespace IoBufferEdge.VmLab;

/// <summary>The lab's gpio-sim chip, seen from the side of the wires (Documentation/admin-guide/gpio/gpio-sim.rst).</summary>
internal static class LabChip
{
    private const string Config = "/sys/kernel/config/gpio-sim/lab";
    private static readonly string Lines = Path.Combine("/sys/devices/platform", Text(Config, "dev_name"), Text(Config, "bank/chip_name"));

    /// <summary>The level that a line takes when nobody drives it.</summary>
    public static void Pull(int line, bool high) => File.WriteAllText(Path.Combine(Lines, $"sim_gpio{line}/pull"), high ? "pull-up" : "pull-down");

    private static string Text(string folder, string file) => File.ReadAllText(Path.Combine(folder, file)).Trim();
}
