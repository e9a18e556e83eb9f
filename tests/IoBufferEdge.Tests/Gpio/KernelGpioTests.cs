using System.Globalization;
using IoBufferEdge.Gpio;

namespace IoBufferEdge.Tests.Gpio;

/// <summary>The contract on the kernel's chips: a gpio-sim chip, where this kernel has the module and we may make one.</summary>
public sealed class KernelGpioTests : GpioContract, IDisposable
{
    private const string ConfigFolder = "/sys/kernel/config/gpio-sim";
    private readonly string _label = string.Create(CultureInfo.InvariantCulture, $"iobuffer-{Environment.ProcessId}-{Environment.CurrentManagedThreadId}");
    private readonly string _device;
    private readonly string _lines;

    public KernelGpioTests()
    {
        Assert.SkipUnless(Directory.Exists(ConfigFolder), "This kernel has no gpio-sim: the VM lab has.");
        _device = Path.Combine(ConfigFolder, _label);
        var bank = Directory.CreateDirectory(Path.Combine(_device, "bank")).FullName;
        File.WriteAllText(Path.Combine(bank, "num_lines"), "4");
        File.WriteAllText(Path.Combine(bank, "label"), _label);
        Name(bank, 0, "DE");
        Name(bank, 2, "BUTTON");
        File.WriteAllText(Path.Combine(_device, "live"), "1");
        _lines = Path.Combine("/sys/devices/platform", Text(_device, "dev_name"), Text(bank, "chip_name"));
    }

    public void Dispose()
    {
        File.WriteAllText(Path.Combine(_device, "live"), "0");
        Directory.Delete(Path.Combine(_device, "bank", "line0"));
        Directory.Delete(Path.Combine(_device, "bank", "line2"));
        Directory.Delete(Path.Combine(_device, "bank"));
        Directory.Delete(_device);
    }

    protected override IGpioChip Open() => LinuxGpioChip.Open(_label);

    protected override bool IsHigh(int line) => Text(_lines, $"sim_gpio{line}/value") == "1";

    protected override void Drive(int line, bool high) => File.WriteAllText(Path.Combine(_lines, $"sim_gpio{line}/pull"), high ? "pull-up" : "pull-down");

    private static void Name(string bank, int line, string name) =>
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(bank, $"line{line}")).FullName, "name"), name);

    private static string Text(string folder, string file) => File.ReadAllText(Path.Combine(folder, file)).Trim();
}
