using System.Globalization;

namespace IoBufferEdge.Daemon;

/// <summary>How far long work is: a bar that is drawn over on a terminal; elsewhere a plain line for every tenth of it.</summary>
internal sealed class ProgressLine(string what, TextWriter errors)
{
    private const int BarCells = 30;
    private const int PlainSteps = 10;

    private readonly bool _isTerminal = !Console.IsErrorRedirected;
    private int _shown = -1;

    /// <param name="fraction">From 0 to 1.</param>
    public void Report(double fraction)
    {
        var step = (int)(Math.Clamp(fraction, 0, 1) * (_isTerminal ? 100 : PlainSteps));
        if (step == _shown) return;
        _shown = step;
        if (!_isTerminal)
        {
            errors.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {step * 100 / PlainSteps} %"));
            return;
        }

        var filled = step * BarCells / 100;
        errors.Write($"\r{what} [{new string('#', filled)}{new string(' ', BarCells - filled)}] {step} %\e[K");
        if (step == 100) errors.WriteLine();
    }
}
