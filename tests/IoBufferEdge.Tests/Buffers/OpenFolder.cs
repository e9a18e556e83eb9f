namespace IoBufferEdge.Tests.Buffers;

/// <summary>What a killed process leaves: the files of a folder at one instant.</summary>
internal static class OpenFolder
{
    /// <summary>
    /// Copies a folder whose files a live engine may be changing, until nothing changed during the copy: only then it shows one instant,
    /// as a kill does.
    /// </summary>
    public static void Copy(string source, string target)
    {
        for (var attempt = 0; attempt < 100; attempt++)
        {
            var before = Listing(source);
            if (Directory.Exists(target)) Directory.Delete(target, recursive: true);
            if (TryCopy(source, target) && Listing(source).SequenceEqual(before)) return;
            Thread.Sleep(20);
        }

        throw new IOException($"{source} never stood still.");
    }

    private static bool TryCopy(string source, string target)
    {
        try
        {
            foreach (var file in Directory.GetFiles(source, "*", SearchOption.AllDirectories))
            {
                if (file.EndsWith("store.lock", StringComparison.Ordinal)) continue;
                var copy = Path.Combine(target, Path.GetRelativePath(source, file));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                File.Copy(file, copy);
            }

            return true;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
    }

    private static List<(string Name, long Length, DateTime Written)> Listing(string folder) =>
        [.. new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).OrderBy(f => f.FullName, StringComparer.Ordinal)
            .Where(f => f.Exists).Select(f => (f.FullName, f.Length, f.LastWriteTimeUtc))];
}
