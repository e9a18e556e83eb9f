using System.Text.Json.Nodes;
using IoBufferEdge.Benchmarks.Bench;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The benchmark's own parts that need no gateway: what it is asked, and what it makes of its samples.</summary>
public class BenchTests
{
    [Fact]
    public void Without_options_a_run_is_whole_and_measures_everything()
    {
        var options = BenchArguments.Read([]);
        Assert.True(options.IsWhole);
        Assert.Equal(5, options.Rounds);
        Assert.Null(options.BusyPercent);
    }

    [Theory]
    [InlineData("--quick")]
    [InlineData("--only", "idle,reopen")]
    [InlineData("--busy", "12", "--quick", "--only", "deletes")]
    public void A_part_of_the_run_or_a_quick_one_is_not_whole(params string[] arguments) =>
        Assert.False(BenchArguments.Read(arguments).IsWhole);

    [Fact]
    public void Named_parts_and_the_load_before_are_taken()
    {
        var options = BenchArguments.Read(["--only", "idle,reopen", "--busy", "12.5"]);
        Assert.Equal(["idle", "reopen"], options.Only);
        Assert.Equal(12.5, options.BusyPercent);
    }

    [Theory]
    [InlineData("--only: 'speed' is no part of the benchmark; its parts are throughput, channels, ", "--only", "idle,speed")]
    [InlineData("--only: '' is no part", "--only", "")]
    [InlineData("bench: --only needs a value.", "--only")]
    [InlineData("--busy: 'much' is no number.", "--busy", "much")]
    [InlineData("bench: '--quik' is none of --quick", "--quik")]
    public void A_mistake_is_one_sentence_and_starts_no_run(string sentence, params string[] arguments) =>
        Assert.StartsWith(sentence, Assert.Throws<FormatException>(() => BenchArguments.Read(arguments)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("/var/tmp/work", 3 * 512)] // the mount on /var/tmp that covers the other one there
    [InlineData("/var/tmpfiles", 1 * 512)] // begins with a mount point's name, and is not below it
    [InlineData("/dev/shm/work", null)]
    public void The_device_under_a_folder_is_found_or_there_is_none(string folder, int? bytes)
    {
        string[] mounts =
        [
            "20 1 8:1 / / rw - ext4 /dev/sda1 rw", "21 20 8:2 / /var/tmp rw - ext4 /dev/sda2 rw", "22 20 8:3 / /var/tmp rw - ext4 /dev/sda3 rw",
            "23 20 0:25 / /dev/shm rw - tmpfs shm rw",
        ];
        string[] disks = ["   8       1 sda1 9 9 9 9 9 9 1 9 0 0 0", "   8       2 sda2 9 9 9 9 9 9 2 9 0 0 0", "   8       3 sda3 9 9 9 9 9 9 3 9 0 0 0"];
        Assert.Equal(bytes, ProcessFigures.DeviceWrittenBytes(folder, mounts, disks));
    }

    [Fact]
    public void The_bound_is_on_the_device_s_bytes_and_without_a_device_the_row_says_so()
    {
        var samples = new Samples();
        samples.Add("cut_through/1024/written", 0.3);
        Assert.Contains("is on no block device", Table(samples), StringComparison.Ordinal);

        samples.Add("cut_through/1024/device", 0.05);
        var table = Table(samples);
        Assert.Contains("| written per payload byte, 1 KB, cut_through |  | 0.05 |  | ≤ 0.10 | yes |", table, StringComparison.Ordinal);
        Assert.Contains("| … as the process counts it |  | 0.30 |  |  |  |", table, StringComparison.Ordinal);
    }

    [Fact]
    public void What_was_bounded_at_full_speed_is_bounded_at_a_third_of_it()
    {
        var samples = new Samples();
        samples.Add("durable_first/1024/device", 1.9);
        samples.Add("paced/1024/device", 1.2);
        samples.Add("durable_first/1024/written", 1.9);
        samples.Add("paced/1024/written", 1.2);
        var table = Table(samples);
        Assert.Contains("durable_first at a third of full speed |  | 1.20 |  | ≤ 1.12 | **no** |", table, StringComparison.Ordinal);
        Assert.Contains("durable_first at full speed |  | 1.90 |  |  |  |", table, StringComparison.Ordinal);
    }

    [Fact]
    public void The_last_run_s_ratio_or_value_and_the_change_get_a_column()
    {
        var last = Report(Throughput(relay: 100, gateway: 80), null);
        var table = Report(Throughput(relay: 200, gateway: 200), last)["table"]!.GetValue<string>();
        Assert.Contains("| Ratio | Last run | Bound |", table, StringComparison.Ordinal);
        Assert.Contains("| 1.00 × | 0.80 × (+25 %) | ≥ 1.00 × | yes |", table, StringComparison.Ordinal);
        Assert.DoesNotContain("Last run", last["table"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_the_last_run_did_not_measure_has_an_empty_cell()
    {
        var samples = Throughput(relay: 200, gateway: 200);
        samples.Add("idle/rss_mb", 30);
        var table = Report(samples, Report(Throughput(relay: 100, gateway: 80), null))["table"]!.GetValue<string>();
        Assert.Contains("| … RSS |  | 30.0 |  |  |  |  |", table, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(3, new double[] { 9, 1, 3 })]
    [InlineData(2, new double[] { 3, 1 })]
    public void The_median_is_the_middle_one_or_lies_between_two(double median, double[] values)
    {
        var samples = new Samples();
        foreach (var value in values)
            samples.Add("x", value);
        Assert.Equal(median, samples.Median("x"));
    }

    private static Samples Throughput(double relay, double gateway)
    {
        var samples = new Samples();
        samples.Add("relay/1024/per_s", relay);
        samples.Add("cut_through/1024/per_s", gateway);
        return samples;
    }

    private static string Table(Samples samples) => Report(samples, null)["table"]!.GetValue<string>();

    private static JsonObject Report(Samples samples, JsonNode? lastRun) => new BenchTable(samples).Print("a machine", new BenchOptions(), lastRun, []);
}
