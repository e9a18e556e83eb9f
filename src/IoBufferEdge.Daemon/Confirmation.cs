namespace IoBufferEdge.Daemon;

/// <summary>Asks before something is done for good.</summary>
internal static class Confirmation
{
    /// <summary>Null: go on. Else the exit code, and why has been said. Where nobody can be asked, <c>--yes</c> must have been given.</summary>
    public static int? Ask(string question, bool yes, TextWriter errors)
    {
        if (yes) return null;
        if (Console.IsInputRedirected)
        {
            errors.WriteLine($"{question} Nobody is there to ask: --yes says so.");
            return ExitCode.Usage;
        }

        errors.Write($"{question} [y/N] ");
        if (Console.ReadLine()?.Trim() is "y" or "Y" or "yes") return null;
        errors.WriteLine("Nothing was done.");
        return ExitCode.Failed;
    }
}
