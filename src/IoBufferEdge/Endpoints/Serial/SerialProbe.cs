using System.Globalization;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// <c>iobuffer serial probe</c>: which serial ports there are, and how a device talks that nobody knows the settings of. It only listens, at the
/// usual rates, without parity and with even parity: at wrong settings characters fall apart, which the hardware reports (parity
/// and frame errors). Limits: a device that speaks only when asked is not heard; other parities and rates are not tried.
/// </summary>
public sealed class SerialProbe(ISerialPorts ports, TimeProvider time)
{
    private static readonly int[] Rates = [9_600, 19_200, 115_200, 38_400, 57_600, 4_800, 2_400, 1_200];
    private static readonly string[] Parities = ["None", "Even"];

    /// <summary>So many characters in one go tell enough of a setting.</summary>
    private const int EnoughBytes = 256;

    /// <summary>Fewer do not tell one setting from another.</summary>
    private const int TellingBytes = 8;

    private const int ShownBytes = 24;

    /// <summary>The ports below <paramref name="root"/> (/ but in tests), one line each: path, driver, name that survives a move to another socket.</summary>
    public static IEnumerable<string> List(string root)
    {
        var byId = Path.Combine(root, "dev/serial/by-id");
        var names = Directory.Exists(byId)
            ? Directory.EnumerateFiles(byId).ToLookup(link => Path.GetFileName(File.ResolveLinkTarget(link, returnFinalTarget: true)?.FullName))
            : Enumerable.Empty<string>().ToLookup(_ => (string?)null);
        foreach (var tty in Directory.EnumerateFileSystemEntries(Path.Combine(root, "sys/class/tty")).Order(StringComparer.Ordinal))
        {
            var driver = Path.Combine(tty, "device/driver");
            // A ttyS of type 0 is a number without hardware.
            var type = Path.Combine(tty, "type");
            if (!Directory.Exists(driver) || (File.Exists(type) && File.ReadAllText(type).Trim() == "0")) continue;
            var name = Path.GetFileName(tty);
            var stable = names[name].Select(link => "/" + Path.GetRelativePath(root, link)).FirstOrDefault() ?? "";
            yield return $"/dev/{name,-12} {Path.GetFileName(File.ResolveLinkTarget(driver, returnFinalTarget: true)?.FullName ?? "?"),-14} {stable}".TrimEnd();
        }
    }

    /// <summary>Listens at each setting in turn and writes what came. True: one setting fits.</summary>
    /// <param name="perSetting">How long at each, unless enough comes before.</param>
    /// <exception cref="EndpointException">The port cannot be used.</exception>
    /// <exception cref="IOException">It is not there.</exception>
    public async Task<bool> ListenAsync(SerialSettings standard, TimeSpan perSetting, TextWriter output, CancellationToken cancel)
    {
        var heard = new List<Heard>();
        foreach (var rate in Rates)
        {
            foreach (var parity in Parities)
            {
                var settings = standard with { BaudRate = rate, Parity = parity };
                var result = await ListenAsync(settings, perSetting, cancel);
                output.WriteLine(Line(result));
                heard.Add(result);
            }
        }

        var best = heard.Where(h => h.Bytes >= TellingBytes).OrderBy(h => h.DamagedShare).ThenByDescending(h => h.Bytes).FirstOrDefault();
        if (best is { DamagedShare: < 0.02 })
        {
            output.WriteLine($"{standard.Port}: {best.Settings} fits.");
            return true;
        }

        output.WriteLine(heard.All(h => h.Bytes == 0)
            ? $"{standard.Port}: nothing came. Is the device on, are A and B (or RX and TX) the right way round, and does it speak without being asked?"
            : $"{standard.Port}: none of these fits; what came is too little, or the device uses other settings.");
        return false;
    }

    private async Task<Heard> ListenAsync(SerialSettings settings, TimeSpan limit, CancellationToken cancel)
    {
        using var changed = new AsyncSignal(time);
        using var port = ports.Open(settings, changed.Set) ?? throw new IOException($"{settings.Port} is not there.");
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), changed);
        var (began, heard, buffer) = (time.GetTimestamp(), new Heard(settings), new byte[512]);
        while (heard.Bytes < EnoughBytes && limit - time.GetElapsedTime(began) is var left && left > TimeSpan.Zero)
        {
            cancel.ThrowIfCancellationRequested();
            if (port.TryRead(buffer) is { IsNone: false } arrival) heard.Add(arrival, buffer);
            else if (port.End is { } end) throw new IOException(end);
            else await changed.WaitAsync(left);
        }

        return heard;
    }

    private static string Line(Heard heard) => string.Create(
        CultureInfo.InvariantCulture, $"{heard.Settings,-12} {heard.Bytes,5} bytes, {heard.Damaged,4} damaged  {Convert.ToHexStringLower([.. heard.First])}");

    private sealed class Heard(SerialSettings settings)
    {
        public SerialSettings Settings => settings;

        public int Bytes { get; private set; }

        public int Damaged { get; private set; }

        public List<byte> First { get; } = [];

        public double DamagedShare => (double)Damaged / Bytes;

        public void Add(SerialArrival arrival, byte[] bytes)
        {
            if (arrival.Kind == ArrivalKind.Break) Damaged++; // A break that nobody sent is a character at a wrong rate.
            if (arrival.Kind == ArrivalKind.Damaged) Damaged += arrival.Count;
            Bytes += Math.Max(1, arrival.Count);
            First.AddRange(bytes.Take(Math.Min(arrival.Count, ShownBytes - First.Count)));
        }
    }
}
