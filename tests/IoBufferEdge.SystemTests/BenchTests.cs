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
}
