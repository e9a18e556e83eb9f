namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>
/// The intake against a model: one or two senders that crash, lose their newest confirmations or everything they have; a network that loses,
/// doubles, delays and reorders requests and loses answers; a receiver that has no room, stops and starts, and loses power. Whatever happens:
/// no message twice, none out of order, none missing but those that a wiped sender took with it, and nothing confirmed that is not durable.
/// </summary>
public sealed class ExactlyOnceTests
{
    [Fact]
    public void One_sender() => Check(first: 1, seeds: 400, senders: 1);

    [Fact]
    public void Two_senders() => Check(first: 10_001, seeds: 250, senders: 2);

    private static void Check(int first, int seeds, int senders)
    {
        var total = new ModelFigures();
        for (var seed = first; seed < first + seeds; seed++)
        {
            var world = new RemoteWorld(seed, senders);
            var failure = world.Run();
            Assert.True(failure is null, $"Seed {seed}: {failure}");
            total.Add(world.Figures);
        }

        // A run in which nothing happens proves nothing.
        foreach (var (name, count) in total.Counts) Assert.True(count > seeds / 4, $"{name} happened {count} times in {seeds} runs.");
    }
}
