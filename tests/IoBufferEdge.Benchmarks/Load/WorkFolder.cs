namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// Folders under /var/tmp: a real disk where /tmp is often memory, and a path short enough for a Unix socket's name.
/// </summary>
public static class WorkFolder
{
    public static string Create()
    {
        var random = Path.GetRandomFileName().Replace(".", "", StringComparison.Ordinal);
        return Directory.CreateDirectory($"/var/tmp/iobuffer-{Environment.ProcessId}-{random}").FullName;
    }
}
