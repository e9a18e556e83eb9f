namespace IoBufferEdge.Tests.Support;

/// <summary>The folder that holds IoBufferEdge.sln: for tests of what lies in the repository beside the code.</summary>
internal static class RepositoryRoot
{
    public static string Path { get; } = Find();

    private static string Find()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(System.IO.Path.Combine(folder.FullName, "IoBufferEdge.sln"))) folder = folder.Parent;
        return folder?.FullName
            ?? throw new InvalidOperationException($"IoBufferEdge.sln is in no folder above {AppContext.BaseDirectory}.");
    }
}
