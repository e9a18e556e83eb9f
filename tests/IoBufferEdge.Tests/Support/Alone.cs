namespace IoBufferEdge.Tests.Support;

/// <summary>
/// For tests that measure what the whole process does, such as how much it allocates: they run one by one, when the tests that run side by side
/// have ended.
/// </summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
