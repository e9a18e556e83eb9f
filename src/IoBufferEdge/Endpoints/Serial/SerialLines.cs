using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// The serial lines in use, one per port: a source and a destination of different channels that name the same port get the same
/// <see cref="SerialLine"/>. A line lives from its first user to its last.
/// </summary>
public sealed class SerialLines(ISerialPorts ports, TimeProvider time, ILogger log)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (SerialLine Line, int Users)> _lines = new(StringComparer.Ordinal);

    /// <summary>Opens the line, or joins its other user. A device that is not there is waited for; hand the line back in any case.</summary>
    /// <exception cref="EndpointException">The port is in use, not permitted, or refuses the settings; or its other user has other
    /// ones.</exception>
    public SerialLine Take(SerialSettings settings)
    {
        lock (_lock)
        {
            if (!_lines.TryGetValue(settings.Port, out var entry)) entry = (new SerialLine(settings, ports, time, log), 0);
            if (entry.Line.Settings != settings)
                throw new EndpointException($"{settings.Port} is in use with other line settings ({entry.Line.Settings}): make them equal.");
            entry.Line.Open();
            _lines[settings.Port] = entry with { Users = entry.Users + 1 };
            return entry.Line;
        }
    }

    /// <summary>One user less; the last one closes the port, and when this returns it is free.</summary>
    public void Return(SerialLine line)
    {
        lock (_lock)
        {
            var (_, users) = _lines[line.Settings.Port];
            if (users > 1)
            {
                _lines[line.Settings.Port] = (line, users - 1);
                return;
            }

            _lines.Remove(line.Settings.Port);
            line.Close();
        }
    }
}
