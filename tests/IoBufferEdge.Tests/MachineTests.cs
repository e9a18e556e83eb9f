namespace IoBufferEdge.Tests;

/// <summary>What a machine is called after, on file systems made for it.</summary>
public sealed class MachineTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("iobuffer-machine-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void The_serial_number_goes_before_the_firmwares_and_that_before_the_adapters()
    {
        Assert.Null(Machine.ReadId(_root));
        Adapter("eth1", "b8:27:eb:00:00:02");
        Adapter("eth0", "b8:27:eb:00:00:01");
        Assert.Equal("b827eb000001", Machine.ReadId(_root));
        Write("sys/class/dmi/id/product_serial", "CZ-1234 AB\n");
        Assert.Equal("cz-1234-ab", Machine.ReadId(_root));
        Write("proc/device-tree/serial-number", "10000000ABCDEF01\0");
        Assert.Equal("10000000abcdef01", Machine.ReadId(_root));
    }

    [Theory]
    [InlineData("To Be Filled By O.E.M.")]
    [InlineData("Default string")]
    [InlineData("0000000000000000")]
    [InlineData("0123456789")]
    [InlineData("-")]
    [InlineData("")]
    [InlineData("ab")]
    public void A_number_that_thousands_have_is_none(string serial)
    {
        Write("sys/class/dmi/id/product_serial", serial + "\n");
        Assert.Null(Machine.ReadId(_root));
    }

    [Fact]
    public void Adapters_without_hardware_or_with_an_address_that_was_made_up_name_nothing()
    {
        Adapter("docker0", "02:42:ac:11:00:02", isReal: false);
        Adapter("eth0", "06:11:22:33:44:55", assigned: "1");
        Adapter("eth1", "00:00:00:00:00:00");
        Assert.Null(Machine.ReadId(_root));
    }

    [Fact]
    public void The_boot_id_is_the_kernels()
    {
        Assert.Equal("", Machine.ReadBootId(_root));
        Write("proc/sys/kernel/random/boot_id", "6f2c0a4e-1b7d-4f6c-9a53-2d8e7c10b4aa\n");
        Assert.Equal("6f2c0a4e-1b7d-4f6c-9a53-2d8e7c10b4aa", Machine.ReadBootId(_root));
        Assert.Equal(36, Machine.ReadBootId("/").Length);
    }

    private void Adapter(string name, string address, string assigned = "0", bool isReal = true)
    {
        Write($"sys/class/net/{name}/address", address + "\n");
        Write($"sys/class/net/{name}/addr_assign_type", assigned + "\n");
        if (isReal) Directory.CreateDirectory(Path.Combine(_root, $"sys/class/net/{name}/device"));
    }

    private void Write(string path, string text)
    {
        var file = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }
}
