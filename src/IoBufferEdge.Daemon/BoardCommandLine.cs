using IoBufferEdge.Boards;

namespace IoBufferEdge.Daemon;

/// <summary><c>iobuffer board</c>: what is known about boards, for who installs one; each returns the exit code.</summary>
internal static class BoardCommandLine
{
    public static int List(TextWriter output)
    {
        foreach (var id in BoardFiles.Ids) output.WriteLine($"{id,-28}{BoardFiles.Find(id)!.Name}");
        return ExitCode.Ok;
    }

    public static int Show(string id, bool json, TextWriter output, TextWriter errors)
    {
        if (BoardFiles.Find(id) is not { } board)
        {
            errors.WriteLine($"There is no board \"{id}\": known are {string.Join(", ", BoardFiles.Ids)}.");
            return ExitCode.Failed;
        }

        using var file = new StreamReader(BoardFiles.Open(id)!);
        output.WriteLine(json ? file.ReadToEnd().TrimEnd() : BoardFiles.Describe(board));
        return ExitCode.Ok;
    }
}
