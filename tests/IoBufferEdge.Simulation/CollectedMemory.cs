using IoBufferEdge.Interop;

namespace IoBufferEdge.Simulation;

/// <summary>A killed process gives nothing back: what a run took of native memory is given back at its end.</summary>
internal static class CollectedMemory
{
    public static T Run<T>(Func<T> run)
    {
        var before = NativeMemoryBlock.Collector;
        var blocks = new List<NativeMemoryBlock>();
        NativeMemoryBlock.Collector = blocks;
        try
        {
            return run();
        }
        finally
        {
            NativeMemoryBlock.Collector = before;
            foreach (IDisposable block in blocks) block.Dispose();
        }
    }
}
