namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// Folders under /var/tmp: a real disk where /tmp is often memory, and a path short enough for a Unix socket's name.
/// </summary>
public static class WorkFolder
{
    public const string Root = "/var/tmp";

    public static string Create() => CreateIn(Root);

    /// <summary>In memory where there is such a folder: for a test that decides itself what a disk keeps.</summary>
    public static string CreateInMemory() => CreateIn(Directory.Exists("/dev/shm") ? "/dev/shm" : Root);

    private static string CreateIn(string folder)
    {
        var random = Path.GetRandomFileName().Replace(".", "", StringComparison.Ordinal);
        return Directory.CreateDirectory($"{folder}/iobuffer-{Environment.ProcessId}-{random}").FullName;
    }
}
