using IoBufferEdge.Benchmarks.Loops;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>Damage to a stopped store. <c>IoBufferEdge.Benchmarks flip-loop 1000</c> and <c>damage-loop 10</c> are the long forms.</summary>
public class DamageTests(ITestOutputHelper output)
{
    [Fact]
    public void A_flipped_bit_costs_one_block_at_most_and_status_names_it() => Check(loop => loop.Flips(24));

    [Fact]
    public void A_file_that_is_gone_costs_what_was_in_it_at_most_and_status_names_it() => Check(loop => loop.Files(tables: 1, cutsEach: 0));

    private void Check(Func<DamageLoop, string> run)
    {
        using var loop = new DamageLoop(1, TextWriter.Null);
        output.WriteLine(run(loop));
        Assert.True(loop.Failures.Count == 0, string.Join('\n', loop.Failures));
    }
}
