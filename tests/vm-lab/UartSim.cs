using System.Globalization;

namespace IoBufferEdge.VmLab;

/// <summary>What the simulated UARTs tell and do, from outside of the process under test (kernel/uart-sim.c).</summary>
internal static class UartSim
{
    private const string Folder = "/sys/kernel/debug/uart-sim";

    public static bool IsThere => File.Exists($"{Folder}/control");

    /// <summary>Such as "0 unplug".</summary>
    public static void Control(string command) => File.WriteAllText($"{Folder}/control", command);

    /// <summary>All ports, for a test that fails.</summary>
    public static string State => File.ReadAllText($"{Folder}/ports");

    /// <summary>Counters and states of a port.</summary>
    public static IReadOnlyDictionary<string, long> Port(int port) =>
        File.ReadLines($"{Folder}/ports").ElementAt(port).Split(' ').Skip(1).Select(pair => pair.Split('='))
            .ToDictionary(pair => pair[0], pair => long.Parse(pair[1], CultureInfo.InvariantCulture));

    /// <summary>What a port sent without a pause, oldest first.</summary>
    public static List<SentFrame> Frames(int port) =>
        [.. File.ReadLines($"{Folder}/frames").Select(Numbers).Where(n => n[0] == port).Select(n => new SentFrame(n[1], n[2], n[3], n[4], n[5], n[6]))];

    /// <summary>What happened at a port, oldest first.</summary>
    public static List<PortEvent> Events(int port) =>
        [.. File.ReadLines($"{Folder}/events").Select(line => line.Split(' ')).Where(w => w[1] == $"{port}")
            .Select(w => new PortEvent(long.Parse(w[0], CultureInfo.InvariantCulture), w[2], w[3]))];

    private static long[] Numbers(string line) => [.. line.Split(' ').Select(word => long.Parse(word, CultureInfo.InvariantCulture))];
}

/// <param name="Start">First bit, nanoseconds of CLOCK_MONOTONIC.</param>
/// <param name="End">End of the last stop bit.</param>
/// <param name="Bytes">Characters.</param>
/// <param name="Lost">Those of them during which the transmitter was off.</param>
/// <param name="Lead">From the transmitter's switching on to the first bit, ns; −1: it was on before.</param>
/// <param name="Release">From the last stop bit to the transmitter's switching off, ns; −1: it is still on.</param>
internal sealed record SentFrame(long Start, long End, long Bytes, long Lost, long Lead, long Release);

internal sealed record PortEvent(long At, string What, string Value);
